"""Keys: a right one always works, a wrong one never, guessing is slowed, and only hashes are kept."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.errors import InvalidKey, InvalidRequest, RateLimited, StorageError
from atp_engine.core.key_views import KeyWindow, KeyWish, TokenWish
from atp_engine.core.types import QoS
from atp_engine.services.keys import Keys
from atp_engine.services.keys_admin import AdminAuth, AdminTokens
from atp_engine.services.keys_secrets import Hasher
from atp_engine.storage.audit import AuditLog
from atp_engine.storage.database import Database
from atp_engine.storage.keys import KeyRepository
from atp_engine.storage.keys_admin import TokenRepository
from atp_engine.system import SystemClock
from tests.support.manual_clock import ManualClock
from tests.support.until import until

SECRET = "atp_key_" + "k7wq3d" * 8
Headers = list[tuple[bytes, bytes]]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database."""
    database = Database.open(tmp_path / "atp.db", SystemClock(), wait_s=0.5)
    yield database
    await database.aclose()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that stands still."""
    return ManualClock()


@pytest.fixture
async def keys(database: Database, clock: ManualClock) -> Keys:
    """Keys with the first one registered."""
    keys = Keys(KeyRepository(database), clock)
    await keys.load()
    await keys.ensure_first_key(SECRET)
    return keys


def bearer(secret: str) -> Headers:
    """As the OpenAI clients send it, among other headers."""
    return [(b"host", b"localhost"), (b"authorization", f"Bearer {secret}".encode()), (b"accept", b"*/*")]


def api_key(secret: str) -> Headers:
    """As the Anthropic clients send it."""
    return [(b"host", b"localhost"), (b"x-api-key", secret.encode())]


async def fails(keys: Keys, times: int, headers: Headers | None = None) -> list[str]:
    """The errors of so many wrong keys."""
    errors = []
    for number in range(times):
        with pytest.raises((InvalidKey, RateLimited)) as raised:
            keys.identify(headers or bearer(f"atp_key_wrong_{number}"))
        errors.append(type(raised.value).__name__)
    return errors


@pytest.mark.parametrize(
    "headers",
    [
        bearer(SECRET),
        api_key(SECRET),
        [(b"x-goog-api-key", SECRET.encode())],
        [(b"authorization", b"bearer   " + SECRET.encode() + b"  ")],
        [(b"authorization", b"BEARER " + SECRET.encode())],
        [*bearer(SECRET), *api_key(SECRET)],
        [(b"authorization", b"Bearer "), (b"x-api-key", SECRET.encode())],
        [(b"x-api-key", b""), (b"authorization", b"Bearer " + SECRET.encode())],
    ],
)
async def test_the_key_is_found_in_every_header_that_clients_use(keys: Keys, headers: Headers) -> None:
    caller = keys.identify(headers)
    assert (caller.key_name, caller.qos, caller.requests_per_minute) == ("default", QoS.SILVER, 0)


@pytest.mark.parametrize(
    "headers",
    [
        [*bearer(SECRET), *api_key(SECRET + "x")],
        [*api_key("other"), *bearer(SECRET)],
        [(b"x-api-key", SECRET.encode()), (b"x-goog-api-key", b"other")],
        [(b"authorization", b"Bearer other"), (b"authorization", b"Bearer " + SECRET.encode())],
        [(b"authorization", b"Basic dXNlcjpwYXNz"), (b"x-api-key", SECRET.encode())],
    ],
)
async def test_two_credentials_that_disagree_are_refused_even_if_one_is_right(keys: Keys, headers: Headers) -> None:
    with pytest.raises(InvalidKey):
        keys.identify(headers)


@pytest.mark.parametrize(
    "headers", [[], [(b"authorization", b"")], [(b"authorization", b"Bearer")], [(b"x-api-key", b" ")]]
)
async def test_a_missing_key_is_told_how_to_send_one_and_never_slowed(keys: Keys, headers: Headers) -> None:
    for _ in range(100):
        with pytest.raises(InvalidKey, match="x-api-key"):
            keys.identify(headers)


@pytest.mark.parametrize(
    "secret",
    [
        SECRET[:-1],
        SECRET + "a",
        SECRET.upper(),
        SECRET[1:],
        " ",
        "\x00",
        "k" * 100_000,
        SECRET + "\x00",
        "é",
        SECRET * 20,
    ],
)
async def test_nothing_but_the_whole_key_counts(keys: Keys, secret: str) -> None:
    with pytest.raises(InvalidKey):
        keys.identify([(b"x-api-key", secret.encode())])


async def test_a_key_cut_at_the_longest_length_is_not_mistaken_for_it(keys: Keys) -> None:
    long = "k" * 512
    await keys.ensure_first_key(long, "long")
    assert keys.identify(api_key(long)).key_name == "long"
    with pytest.raises(InvalidKey):
        keys.identify(api_key(long + "k"))


@settings(max_examples=200, deadline=None)
@given(
    headers=st.lists(st.tuples(st.sampled_from([b"authorization", b"x-api-key", b"cookie"]), st.binary(max_size=80)))
)
def test_no_bytes_get_in_or_break_it(headers: Headers) -> None:
    keys = Keys(Unused(), ManualClock())
    with pytest.raises((InvalidKey, RateLimited)):
        keys.identify(headers)


async def test_the_thirtieth_wrong_key_of_a_minute_is_told_to_wait_and_the_right_one_works(
    keys: Keys, clock: ManualClock
) -> None:
    assert await fails(keys, 35) == ["InvalidKey"] * 29 + ["RateLimited"] * 6
    with pytest.raises(RateLimited) as raised:
        keys.identify(api_key("wrong"))
    assert 1.0 <= raised.value.retry_after_s <= 60.0
    assert keys.identify(bearer(SECRET)).key_name == "default"
    clock.step_wall(86_400)
    assert await fails(keys, 1) == ["RateLimited"]
    clock.advance(60)
    assert await fails(keys, 1) == ["InvalidKey"]


async def test_wrong_keys_are_audited_at_a_bounded_rate_with_a_count_of_the_rest(
    keys: Keys, database: Database, clock: ManualClock
) -> None:
    await fails(keys, 500)
    clock.advance(60)
    await fails(keys, 1)
    await until(lambda: database.queue_depth == 0)
    entries = [entry for entry in await AuditLog(database).recent(1_000) if entry.action == "auth.refused"]
    assert len(entries) == 21
    assert "480 more" in entries[0].detail
    assert all(SECRET[8:] not in entry.detail and "wrong_" not in entry.detail for entry in entries)
    assert await AuditLog(database).first_broken() == 0


async def test_a_created_key_works_at_once_and_after_a_restart(
    keys: Keys, database: Database, clock: ManualClock
) -> None:
    wish = KeyWish("ci [bold]runner\x1b[0m", project="web", qos=QoS.GOLD, requests_per_minute=60, routes=("auto",))
    secret = (await keys.create(wish, actor="admin token")).secret
    caller = keys.identify(api_key(secret))
    again = Keys(KeyRepository(database), clock)
    await again.load()
    assert again.identify(bearer(secret)) == caller
    assert (caller.key_name, caller.project, caller.qos, caller.requests_per_minute, caller.routes) == (
        "ci [bold]runner",
        "web",
        QoS.GOLD,
        60,
        ("auto",),
    )


async def test_a_key_needs_a_name(keys: Keys) -> None:
    with pytest.raises(InvalidRequest):
        await keys.create(KeyWish(" \x1b[31m "), actor="admin token")


async def test_a_key_ends_when_it_expires(keys: Keys, clock: ManualClock) -> None:
    secret = (await keys.create(KeyWish("short", expires_in_s=10), actor="admin token")).secret
    clock.advance(9)
    keys.identify(bearer(secret))
    clock.advance(1)
    with pytest.raises(InvalidKey, match="short is revoked or has expired"):
        keys.identify(bearer(secret))


async def test_a_revoked_key_is_refused_at_once_and_for_good(
    keys: Keys, database: Database, clock: ManualClock
) -> None:
    made = await keys.create(KeyWish("gone"), actor="admin token")
    caller, secret = keys.identify(bearer(made.secret)), made.secret
    assert keys.is_current(caller)
    assert await keys.revoke(caller.key_id, actor="admin token")
    assert not await keys.revoke(caller.key_id, actor="admin token")
    assert not await keys.revoke("key_unknown", actor="admin token")
    again = Keys(KeyRepository(database), clock)
    await again.load()
    for book in (keys, again):
        with pytest.raises(InvalidKey):
            book.identify(bearer(secret))
    assert [entry.action for entry in await AuditLog(database).recent(2)] == ["key.revoked", "key.created"]


async def test_the_first_key_is_registered_once_and_stays_revoked(database: Database, clock: ManualClock) -> None:
    for _ in range(3):
        keys = Keys(KeyRepository(database), clock)
        await keys.load()
        await keys.ensure_first_key(SECRET)
    (first,) = keys.list()
    assert await keys.revoke(first.id, actor="admin token")
    keys = Keys(KeyRepository(database), clock)
    await keys.load()
    await keys.ensure_first_key(SECRET)
    with pytest.raises(InvalidKey):
        keys.identify(bearer(SECRET))


async def test_keys_are_listed_without_their_secrets(keys: Keys) -> None:
    secret = (await keys.create(KeyWish("second"), actor="admin token")).secret
    listed = keys.list()
    assert [key.name for key in listed] == ["default", "second"]
    assert listed[1].shown_as == f"{secret[:12]}…{secret[-4:]}"
    assert secret not in repr(listed)


async def test_no_secret_is_in_the_file(keys: Keys, database: Database) -> None:
    secret = (await keys.create(KeyWish("second"), actor="admin token")).secret
    files = [database.path, database.path.with_name(database.path.name + "-wal")]
    content = b"".join([file.read_bytes() for file in files])
    for known in (SECRET, secret):
        assert known.encode() not in content
        assert known[12:-4].encode() not in content


async def test_a_key_that_cannot_be_stored_is_neither_told_nor_accepted(keys: Keys, database: Database) -> None:
    lock = sqlite3.connect(database.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError):
        await keys.create(KeyWish("unlucky"), actor="admin token")
    assert [key.name for key in keys.list()] == ["default"]
    lock.execute("ROLLBACK")
    lock.close()
    await until(lambda: database.state() == "ok")
    assert [key.name for key in await KeyRepository(database).all()] == ["default"]


async def test_a_revocation_that_cannot_be_stored_counts_already_and_is_stored_later(
    keys: Keys, database: Database
) -> None:
    lock = sqlite3.connect(database.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    (first,) = keys.list()
    with pytest.raises(StorageError):
        await keys.revoke(first.id, actor="admin token")
    with pytest.raises(InvalidKey):
        keys.identify(bearer(SECRET))
    lock.execute("ROLLBACK")
    lock.close()
    await until(lambda: database.queue_depth == 0)
    assert (await KeyRepository(database).all())[0].revoked_at is not None


async def test_keys_made_at_once_are_all_kept(keys: Keys, database: Database) -> None:
    made = await asyncio.gather(*(keys.create(KeyWish(f"key {number}"), actor="admin token") for number in range(20)))
    assert len({one.secret for one in made}) == 20
    assert len(await KeyRepository(database).all()) == 21


async def test_an_admin_token_tells_its_role_and_others_are_audited(database: Database, clock: ManualClock) -> None:
    admin = AdminAuth(clock, AuditLog(database))
    admin.add("atp_admin_" + "a" * 40)
    admin.add("atp_view_" + "b" * 40, "viewer")
    assert [badge.role for badge in map(admin.verify, ("atp_admin_" + "a" * 40, "atp_view_" + "b" * 40)) if badge] == [
        "admin",
        "viewer",
    ]
    for wrong in ("", "atp_admin_" + "a" * 39, "\ud800", "x" * 100_000, SECRET):
        assert admin.verify(wrong) is None
    await until(lambda: database.queue_depth == 0)
    assert len(await AuditLog(database).recent(100)) == 5


@pytest.mark.parametrize(
    "wish",
    [
        KeyWish("k", requests_per_minute=-1),
        KeyWish("k", expires_in_s=0),
        KeyWish("k", expires_in_s=float("nan")),
        KeyWish("k", expires_in_s=1e12),
        KeyWish("k", routes=("",)),
        KeyWish("k", tags=("t",) * 65),
        KeyWish("k", windows=(KeyWindow(),)),
        KeyWish("k", windows=(KeyWindow(max_usd=-1.0),)),
        KeyWish("k", windows=(KeyWindow(max_usd=float("nan")),)),
        KeyWish("k", windows=(KeyWindow(max_tokens=10**30),)),
        KeyWish("k", windows=(KeyWindow(max_usd=1.0, period="fortnight"),)),
        KeyWish("k", windows=(KeyWindow(max_usd=1.0),) * 9),
    ],
)
async def test_a_wish_for_what_cannot_be_is_refused_and_nothing_is_kept(keys: Keys, wish: KeyWish) -> None:
    with pytest.raises(InvalidRequest):
        await keys.create(wish, actor="admin token")
    assert [key.name for key in keys.list()] == ["default"]


async def test_a_rotated_key_keeps_its_id_and_limits_and_its_old_secret_ends_at_once(
    database: Database, clock: ManualClock
) -> None:
    keys = Keys(KeyRepository(database), clock, Hasher(b"pepper"))
    await keys.load()
    changes: list[int] = []
    keys.on_change = lambda: changes.append(len(keys.limits()))
    window = KeyWindow(max_usd=5.0, period="month")
    made = await keys.create(KeyWish("ci", models=("gpt-*",), windows=(window,)), actor="admin token")
    before = keys.identify(bearer(made.secret))
    rotated = await keys.rotate(made.key.id, actor="admin token")
    assert rotated is not None
    assert not keys.is_current(before)  # a connection that was opened with the old secret
    again = Keys(KeyRepository(database), clock, Hasher(b"pepper"))
    await again.load()
    for book in (keys, again):
        with pytest.raises(InvalidKey):
            book.identify(bearer(made.secret))
        assert book.identify(bearer(rotated.secret)) == before
        assert book.limits()[0][0] == f"key:{made.key.id}"
        assert book.find(made.key.id) == rotated.key
    await keys.revoke(made.key.id, actor="admin token")
    assert changes == [1, 0]
    assert await keys.rotate(made.key.id, actor="admin token") is None
    actions = [entry.action for entry in await AuditLog(database).recent(9) if entry.action.startswith("key.")]
    assert actions == ["key.revoked", "key.rotated", "key.created"]
    other = Keys(KeyRepository(database), clock, Hasher(b"another data directory"))
    await other.load()
    with pytest.raises(InvalidKey):
        other.identify(bearer(rotated.secret))


async def test_keys_from_before_the_pepper_go_on_counting(keys: Keys, database: Database, clock: ManualClock) -> None:
    peppered = Keys(KeyRepository(database), clock, Hasher(b"pepper"))
    await peppered.load()
    await peppered.ensure_first_key(SECRET)
    assert len(peppered.list()) == 1
    assert peppered.identify(bearer(SECRET)).key_name == "default"


async def test_admin_tokens_have_roles_end_and_outlive_a_restart(database: Database, clock: ManualClock) -> None:
    def tokens() -> tuple[AdminAuth, AdminTokens]:
        hasher = Hasher(b"pepper")
        auth = AdminAuth(clock, None, hasher)
        return auth, AdminTokens(auth, TokenRepository(database), clock, hasher)

    auth, book = tokens()
    looker = await book.create(TokenWish("wall screen"), actor="admin")
    clock.advance(1)
    actor = await book.create(TokenWish("on call", "operator", expires_in_s=60), actor="admin")
    for wish in (TokenWish(" "), TokenWish("x", "root"), TokenWish("x", expires_in_s=-1)):
        with pytest.raises(InvalidRequest):
            await book.create(wish, actor="admin")
    again, other = tokens()
    await other.load()
    assert [token.role for token in other.list()] == ["viewer", "operator"]
    for one in (auth, again):
        badges = [badge for badge in map(one.verify, (looker.secret, actor.secret)) if badge]
        assert [(badge.role, badge.name) for badge in badges] == [
            ("viewer", "viewer wall screen"),
            ("operator", "operator on call"),
        ]
    assert await other.revoke(looker.token.id, actor="admin")
    assert not await other.revoke(looker.token.id, actor="admin")
    clock.advance(60)
    assert (again.verify(looker.secret), again.verify(actor.secret)) == (None, None)
    assert [badge.counts() for badge in badges] == [False, False]
    assert looker.secret not in repr(other.list())


class Unused(KeyRepository):
    """A repository that is never asked but for its log, which takes nothing."""

    def __init__(self) -> None:
        self.audit = Silent()


class Silent(AuditLog):
    """A log without a database."""

    def __init__(self) -> None:
        pass

    def note(self, entry: object) -> bool:
        """Takes nothing."""
        return False

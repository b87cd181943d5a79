"""Keys are stored without their secrets, sessions grow by what is added to them."""

from __future__ import annotations

import msgspec
import pytest

from atp_engine.core.errors import StorageError
from atp_engine.core.types import PriceState, QoS
from atp_engine.storage.audit import AuditEntry, AuditLog
from atp_engine.storage.database import Database
from atp_engine.storage.keys import KeyRepository, StoredKey
from atp_engine.storage.sessions import SessionGrowth, SessionRepository
from tests.support.until import until

ENTRY = AuditEntry(at=1.0, actor="admin", action="key.created", target="key_1")
KEY = StoredKey(
    id="key_1",
    digest=bytes(range(32)),
    name="laptop",
    project="demo",
    qos=QoS.GOLD,
    requests_per_minute=60,
    prefix="atp-abc",
    last_four="wxyz",
    created_at=1.0,
    expires_at=None,
    revoked_at=None,
)
GROWTH = SessionGrowth(
    id="s-1",
    client="codex",
    key_name="laptop",
    title="",
    started_at=100.0,
    last_at=110.0,
    requests=2,
    errors=1,
    prompt_tokens=30,
    output_tokens=7,
    cost_nusd=5,
    price_state=PriceState.ASSUMED,
)


async def test_a_key_comes_back_and_its_making_is_audited(database: Database) -> None:
    keys = KeyRepository(database)
    other = msgspec.structs.replace(KEY, id="key_2", digest=bytes(32), expires_at=9.5, created_at=2.0)
    await keys.add(KEY, ENTRY)
    await keys.add(other, ENTRY)
    assert await keys.all() == (KEY, other)
    assert await AuditLog(database).recent(9) == (ENTRY, ENTRY)


async def test_the_same_secret_cannot_be_stored_twice_and_leaves_no_audit_entry(database: Database) -> None:
    keys = KeyRepository(database)
    await keys.add(KEY, ENTRY)
    with pytest.raises(StorageError):
        await keys.add(msgspec.structs.replace(KEY, id="key_2"), ENTRY)
    assert await keys.all() == (KEY,)
    assert len(await AuditLog(database).recent(9)) == 1


async def test_a_revoked_key_keeps_the_time_of_its_first_revocation(database: Database) -> None:
    keys = KeyRepository(database)
    await keys.add(KEY, ENTRY)
    await keys.revoke("key_1", 50.0, ENTRY)
    await keys.revoke("key_1", 60.0, ENTRY)
    assert (await keys.all())[0].revoked_at == 50.0


async def test_a_session_grows_by_what_is_saved(database: Database) -> None:
    sessions = SessionRepository(database)
    sessions.save(GROWTH)
    sessions.save(
        msgspec.structs.replace(
            GROWTH, title="Fix the build", started_at=105.0, last_at=200.0, cost_nusd=4, price_state=PriceState.KNOWN
        )
    )
    sessions.save(msgspec.structs.replace(GROWTH, title="Another", last_at=150.0, price_state=PriceState.UNKNOWN))
    await until(lambda: database.queue_depth == 0)
    view = await sessions.get("s-1")
    assert view is not None
    assert (view.title, view.started_at, view.last_at) == ("Fix the build", 100.0, 200.0)
    assert (view.requests, view.errors, view.prompt_tokens, view.output_tokens, view.cost_nusd) == (6, 3, 90, 21, 14)
    assert view.price_state is PriceState.UNKNOWN
    assert view.in_flight == 0


async def test_sessions_are_listed_by_their_latest_request(database: Database) -> None:
    sessions = SessionRepository(database)
    for number in range(6):
        sessions.save(msgspec.structs.replace(GROWTH, id=f"s-{number}", last_at=float(number)))
    await until(lambda: database.queue_depth == 0)
    assert [view.id for view in await sessions.recent(3)] == ["s-5", "s-4", "s-3"]
    assert [view.id for view in await sessions.since(4.0, 10)] == ["s-5", "s-4"]
    assert await sessions.get("s-9") is None


async def test_one_odd_session_does_not_keep_the_others_out(database: Database) -> None:
    sessions = SessionRepository(database)
    sessions.save(msgspec.structs.replace(GROWTH, id="s-bad", started_at=None))
    sessions.save(msgspec.structs.replace(GROWTH, id="s-good", title="lone \ud800"))
    await until(lambda: database.queue_depth == 0)
    assert [(view.id, view.title) for view in await sessions.recent(9)] == [("s-good", "lone ?")]
    assert database.dropped == 1

"""Sessions: who belongs together, what is summed, when one ends, and that the map stays within its cap."""

from __future__ import annotations

import asyncio
import gc
import re
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.bus import EventBus, Subscription
from atp_engine.config.models import SessionsConfig
from atp_engine.core.events import SessionChanged, SessionEnded
from atp_engine.core.types import Caller, ClientHint, PriceState, RequestFacts, RequestState
from atp_engine.services.sessions import Session, Sessions
from atp_engine.storage.database import Database
from atp_engine.storage.sessions import SessionRepository
from atp_engine.system import SystemClock
from tests.support.manual_clock import ManualClock
from tests.support.records import a_view
from tests.support.until import until

FACTS = RequestFacts(
    model="main",
    is_stream=True,
    has_tools=False,
    has_images=False,
    wants_json=False,
    wants_usage=False,
    wants_reasoning=False,
    max_output_tokens=0,
    prompt_bytes=100,
    prompt_tokens_estimate=25,
    message_count=2,
    session_hint="",
    prefix_seed=b"You are helpful.\0Fix the failing build, please",
)


class Request:
    """What a request tells about itself when it joins a session."""

    def __init__(self, clock: ManualClock, client: str, hint: str, key: str) -> None:
        self.caller = Caller(key, f"name of {key}")
        self.hint = ClientHint(client, hint)
        self.session: Session | None = None
        self.started_at = clock.now()
        self.started_mono = clock.monotonic()


class World:
    """Sessions over a real database, with a clock that stands still."""

    def __init__(self, database: Database, config: SessionsConfig) -> None:
        self.clock = ManualClock()
        self.bus = EventBus()
        self.database = database
        self.repository = SessionRepository(database)
        self.sessions = Sessions(config, self.clock, self.bus, self.repository)

    def begin(
        self,
        *,
        client: str = "codex",
        hint: str = "",
        key: str = "key_1",
        body_hint: str = "",
        seed: bytes | None = None,
    ) -> Session:
        """One request joins."""
        facts = msgspec.structs.replace(FACTS, session_hint=body_hint)
        if seed is not None:
            facts = msgspec.structs.replace(facts, prefix_seed=seed)
        request = Request(self.clock, client, hint, key)
        session = self.sessions.begin(request, facts)
        assert request.session is session
        return session

    def call(self, **who: Any) -> Session:
        """One whole request."""
        session = self.begin(**who)
        self.sessions.finish(session, a_view("req", started_at=self.clock.now()))
        return session

    async def stored(self) -> None:
        """Waits until what was handed to the database is in it."""
        await until(lambda: self.database.queue_depth == 0)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An empty database."""
    database = Database.open(tmp_path / "atp.db", SystemClock())
    yield database
    await database.aclose()


@pytest.fixture
def world(database: Database) -> World:
    """Sessions with the default settings."""
    return World(database, SessionsConfig())


def small(database: Database, **config: Any) -> World:
    """Sessions with other settings."""
    return World(database, SessionsConfig(**config))


def events(subscription: Subscription) -> list[tuple[str, str]]:
    """What was announced, in short."""
    told = []
    for event in subscription.drain():
        if isinstance(event, SessionChanged):
            told.append(("changed", event.session.id))
        elif isinstance(event, SessionEnded):
            told.append(("ended", event.session_id))
    return told


async def test_the_same_opening_of_the_same_client_and_key_is_one_session(world: World) -> None:
    assert world.call() is world.call()
    assert world.call().requests == 3
    assert len(world.sessions) == 1


@pytest.mark.parametrize("other", [{"client": "aider"}, {"key": "key_2"}, {"seed": b"You are helpful.\0Write a poem"}])
async def test_another_client_key_or_opening_is_another_session(world: World, other: dict[str, Any]) -> None:
    assert world.call() is not world.call(**other)
    assert len({view.id for view in world.sessions.views(9)}) == 2


async def test_an_explicit_id_decides_whatever_the_opening_and_the_client(world: World) -> None:
    one = world.call(hint="abc", client="codex")
    assert world.call(hint="abc", client="other", seed=b"else\0else") is one
    assert world.call(body_hint="abc") is one
    assert world.call(hint="abd") is not one


async def test_a_header_counts_before_the_body(world: World) -> None:
    one = world.call(hint="from-header", body_hint="from-body")
    assert world.call(hint="from-header") is one
    assert world.call(body_hint="from-body") is not one


async def test_the_same_explicit_id_of_two_keys_is_two_sessions_with_two_names(world: World) -> None:
    one = world.call(hint="main", key="key_1")
    two = world.call(hint="main", key="key_2")
    assert one is not two
    assert one.id != two.id


async def test_ids_are_short_and_outlive_the_process(database: Database) -> None:
    one, two = small(database), small(database)
    assert one.call().id == two.call().id
    assert re.fullmatch(r"s-[0-9a-f]{8}", one.call().id)
    named = one.call(hint="3f2a9c1b-1111-2222-3333-444455556666")
    assert re.fullmatch(r"3f2a9c-[0-9a-f]{8}", named.id)
    assert named.id == two.call(hint="3f2a9c1b-1111-2222-3333-444455556666").id


@settings(max_examples=200, deadline=None)
@given(hint=st.text(max_size=300), client=st.text(max_size=300), seed=st.binary(max_size=300))
def test_whatever_comes_from_outside_ids_and_texts_are_safe(hint: str, client: str, seed: bytes) -> None:
    clock = ManualClock()
    sessions = Sessions(SessionsConfig(), clock, EventBus(), Unused())
    request = Request(clock, client, hint, "key_1")
    session = sessions.begin(request, msgspec.structs.replace(FACTS, prefix_seed=seed))
    assert re.fullmatch(r"[A-Za-z0-9._]{1,6}-[0-9a-f]{8}", session.id)
    assert len(session.title) <= 80
    for text in (session.title, session.client):
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text)


async def test_lone_surrogates_in_an_id_are_taken(world: World) -> None:
    assert world.call(hint="\ud800\udfff").id.startswith("s-")


@pytest.mark.parametrize(
    ("seed", "title"),
    [
        (b"system\0Fix the   failing\n\tbuild", "Fix the   failing build"),
        (b"system\0<system-reminder>be good</system-reminder>\n<env>x</env>Rename the module", "Rename the module"),
        (b"system\0<only-a-tag>text</only-a-tag>", "<only-a-tag>text</only-a-tag>"),
        (b"system\0" + b"word " * 100, "word " * 15 + "word…"),
        (b"system\0", ""),
        (b"", ""),
        (b"system\0\x1b]52;c;AAAA\x07hello \xe2\x80\xaeworld", "hello world"),
    ],
)
async def test_the_title_is_the_first_words_of_the_first_user_message(world: World, seed: bytes, title: str) -> None:
    assert world.call(seed=seed).title == title


async def test_sums_follow_the_finished_requests(world: World) -> None:
    session = world.begin()
    world.begin()
    assert (session.view().requests, session.view().in_flight) == (2, 2)
    world.clock.advance(2)
    first = a_view("req_1", started_at=world.clock.now() - 2, duration_ms=2_000.0, price_state=PriceState.ASSUMED)
    failed = a_view("req_2", state=RequestState.FAILED, price_state=PriceState.UNKNOWN, cost_nusd=0, duration_ms=None)
    assert world.sessions.finish(session, first) == 1
    assert session.view().price_state is PriceState.ASSUMED
    assert world.sessions.finish(session, failed) == 2
    view = session.view()
    assert (view.in_flight, view.errors, view.prompt_tokens, view.output_tokens, view.cost_nusd) == (
        0,
        1,
        200,
        60,
        1_000,
    )
    assert view.price_state is PriceState.UNKNOWN
    assert view.last_at == world.clock.now()
    assert view.key_name == "name of key_1"


async def test_the_latest_active_sessions_come_first(world: World) -> None:
    for name in ("a", "b", "c", "a"):
        world.clock.advance(1)
        world.call(hint=f"session-{name}")
    assert [view.id[:7] for view in world.sessions.views(2)] == [
        world.call(hint="session-a").id[:7],
        world.call(hint="session-c").id[:7],
    ]


async def test_a_session_ends_after_its_idle_time_by_the_steady_clock_alone(database: Database) -> None:
    world = small(database, ttl_s=60.0)
    session = world.call()
    world.clock.step_wall(86_400)
    world.sessions.sweep()
    assert len(world.sessions) == 1
    world.clock.advance(59)
    world.clock.step_wall(-3 * 86_400)
    world.sessions.sweep()
    assert len(world.sessions) == 1
    world.clock.advance(1)
    world.sessions.sweep()
    assert len(world.sessions) == 0
    assert world.call() is not session


async def test_a_session_with_an_open_request_does_not_end(database: Database) -> None:
    world = small(database, ttl_s=60.0)
    session = world.begin(hint="long")
    world.call(hint="short")
    world.clock.advance(600)
    world.sessions.sweep()
    assert [view.id for view in world.sessions.views(9)] == [session.id]
    world.sessions.finish(session, a_view("req"))
    world.clock.advance(59)
    world.sessions.sweep()
    assert len(world.sessions) == 1


async def test_the_longest_idle_session_makes_room_and_is_counted(database: Database) -> None:
    world = small(database, max_sessions=3)
    busy = world.begin(hint="busy")
    for name in ("one", "two", "three", "four"):
        world.call(hint=name)
    left = {view.id for view in world.sessions.views(9)}
    assert (len(left), world.sessions.evicted) == (3, 2)
    assert busy.id in left


async def test_a_full_map_of_busy_sessions_still_takes_the_next(database: Database) -> None:
    world = small(database, max_sessions=2)
    first = world.begin(hint="1")
    world.begin(hint="2")
    world.begin(hint="3")
    assert len(world.sessions) == 2
    world.sessions.finish(first, a_view("req"))  # it has left the map, and is stored all the same
    await world.stored()
    view = await world.sessions.view(first.id)
    assert view is not None
    assert view.requests == 1


async def test_an_ended_session_is_found_in_the_database_and_goes_on_there(database: Database) -> None:
    world = small(database, ttl_s=60.0)
    ident = world.call().id
    world.call()
    for _ in range(2):
        world.clock.advance(61)
        world.sessions.sweep()
        await world.stored()
        view = await world.sessions.view(ident)
        assert view is not None
        requests = view.requests
        world.call()
    assert requests == 3
    assert await world.sessions.view("s-unknown") is None


async def test_changes_are_saved_in_batches_and_never_twice(world: World) -> None:
    for _ in range(50):
        session = world.call()
    world.sessions.sweep()
    await world.stored()
    assert await world.repository.get(session.id) is None
    for _ in range(3):
        world.clock.advance(11)
        world.sessions.sweep()
        await world.stored()
        saved = await world.repository.get(session.id)
        assert saved is not None
        assert (saved.requests, saved.prompt_tokens, saved.cost_nusd) == (50, 5_000, 50_000)


async def test_closing_saves_what_is_left(world: World) -> None:
    ident = world.call().id
    await world.sessions.aclose()
    await world.stored()
    saved = await world.repository.get(ident)
    assert saved is not None
    assert saved.requests == 1


async def test_sessions_go_on_after_a_restart_within_their_idle_time(database: Database) -> None:
    before = small(database, ttl_s=600.0)
    going = before.call(hint="going")
    over = before.call(hint="over")
    before.clock.advance(500)
    before.call(hint="going")
    await before.sessions.aclose()
    await before.stored()
    after = small(database, ttl_s=600.0)
    after.clock.advance(700)
    await after.sessions.load()
    assert [(view.id, view.requests) for view in after.sessions.views(9)] == [(going.id, 2)]
    assert after.call(hint="going").view().requests == 3
    assert after.call(hint="over").view().requests == 1
    await after.sessions.aclose()
    await after.stored()
    stored = {ident: await after.repository.get(ident) for ident in (going.id, over.id)}
    assert {ident: view.requests for ident, view in stored.items() if view is not None} == {going.id: 3, over.id: 2}


async def test_a_resumed_session_that_gets_no_request_ends_at_its_time(database: Database) -> None:
    before = small(database, ttl_s=600.0)
    before.call()
    await before.sessions.aclose()
    await before.stored()
    after = small(database, ttl_s=600.0)
    after.clock.advance(400)
    await after.sessions.load()
    after.clock.advance(201)
    after.sessions.sweep()
    assert len(after.sessions) == 0


async def test_listeners_hear_a_session_at_once_then_at_a_bounded_rate(world: World) -> None:
    with world.bus.subscribe() as subscription:
        ident = world.begin().id
        assert events(subscription) == [("changed", ident)]
        for _ in range(100):
            world.call()
        assert events(subscription) == []
        world.sessions.sweep()
        told = subscription.drain()
        assert [type(event) for event in told] == [SessionChanged]
        assert isinstance(told[0], SessionChanged)
        assert told[0].session.requests == 101
        world.sessions.sweep()
        assert events(subscription) == []


async def test_what_changed_while_nobody_listened_is_told_when_somebody_does(world: World) -> None:
    ident = world.call().id
    world.sessions.sweep()
    with world.bus.subscribe() as subscription:
        world.sessions.sweep()
        assert events(subscription) == [("changed", ident)]


async def test_the_end_of_a_session_is_told(database: Database) -> None:
    world = small(database, ttl_s=60.0, max_sessions=2)
    with world.bus.subscribe() as subscription:
        first = world.call(hint="1").id
        world.call(hint="2")
        third = world.call(hint="3").id
        assert ("ended", first) in events(subscription)
        world.clock.advance(60)
        world.sessions.sweep()
        assert ("ended", third) in events(subscription)


async def test_another_config_counts_from_the_next_sweep(world: World) -> None:
    for number in range(10):
        world.call(hint=f"{number}")
    world.sessions.apply(SessionsConfig(ttl_s=5.0, max_sessions=4))
    world.call(hint="next")
    assert len(world.sessions) == 4
    world.clock.advance(5)
    world.sessions.sweep()
    assert len(world.sessions) == 0


@pytest.mark.parametrize("count", [4_000, pytest.param(10_000, marks=pytest.mark.long)])
async def test_many_sessions_end_and_a_second_wave_uses_their_memory(database: Database, count: int) -> None:
    world = small(database, ttl_s=60.0)

    async def wave(number: int) -> int:
        for name in range(count):
            world.call(hint=f"{number}-{name}", seed=b"system\0" + b"words " * 15)
        top = tracemalloc.get_traced_memory()[0]
        world.clock.advance(61)
        for _ in range(10):
            world.sessions.sweep()
            await world.stored()
        assert len(world.sessions) == 0
        gc.collect()
        return top

    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        first = await wave(1) - base
        left = tracemalloc.get_traced_memory()[0] - base
        second = await wave(2) - base
    finally:
        tracemalloc.stop()
    assert left < first * (0.15 if count >= 10_000 else 0.25)  # the empty tables, which weigh more of little
    assert second < first * 1.25
    assert world.sessions.evicted == 0


async def test_a_flood_of_session_ids_stays_within_the_cap(database: Database) -> None:
    world = small(database, max_sessions=100)
    for number in range(20_000):
        world.call(hint=f"flood-{number}")
        if number % 1_000 == 0:
            await asyncio.sleep(0)
    assert len(world.sessions) == 100
    assert world.sessions.evicted == 19_900


class Unused(SessionRepository):
    """A repository that is never asked."""

    def __init__(self) -> None:
        pass

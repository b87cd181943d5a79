"""The live stream: snapshot then deltas, resumed, coalesced, filtered, and never in anybody's way."""

from __future__ import annotations

import asyncio

import pytest

from atp_engine.api.events import EventStream, Listeners, coalesce
from atp_engine.bus import EventBus
from atp_engine.core.events import AnyEvent, Gap, Notice, RequestChanged, SessionChanged, SessionEnded
from atp_engine.core.types import RequestState
from tests.support.web import (
    ADMIN_TOKEN,
    JSON,
    Listener,
    StagedObservatory,
    SteppedClock,
    ask,
    build_face,
    engine_view,
    free_socket,
    listen,
    row,
    serve,
    session_row,
)


def request_ids(listener: Listener) -> list[str]:
    return [event["request"]["id"] for event in listener.events if event["type"] == "request"]


async def test_a_listener_gets_what_happens_after_it_came() -> None:
    face = build_face()
    face.observatory.put(row(id="before"))
    async with listen(face.app) as listener:
        assert (listener.status, listener.frames) == (200, [])
        face.observatory.put(row(id="after"))
        await listener.until(lambda it: bool(it.events))
        assert request_ids(listener) == ["after"]
        assert listener.frames[0]["id"] == str(face.observatory.bus.seq)


async def test_snapshot_then_deltas_miss_nothing_and_repeat_nothing() -> None:
    face = build_face()
    async with listen(face.app):
        snapshot = (await ask(face.app, "GET", "/admin/snapshot", token=ADMIN_TOKEN)).json()
        face.observatory.put(row(id="between"))
        async with listen(face.app, f"/admin/events?after={snapshot['seq']}") as listener:
            face.observatory.put(row(id="later"))
            await listener.until(lambda it: len(request_ids(it)) == 2)
            assert request_ids(listener) == ["between", "later"]


async def test_a_reconnect_resumes_by_the_last_event_id_before_anything_else() -> None:
    face = build_face()
    async with listen(face.app) as first:
        for name in ("a", "b", "c"):
            face.observatory.put(row(id=name))
        await first.until(lambda it: len(request_ids(it)) == 3)
        async with listen(face.app, "/admin/events?after=99", headers=[("last-event-id", "1")]) as second:
            await second.until(lambda it: bool(it.events))
            assert request_ids(second) == ["b", "c"]


@pytest.mark.parametrize("last", ["0", "77"])
async def test_what_cannot_be_resumed_begins_with_a_gap(last: str) -> None:
    observatory = StagedObservatory(SteppedClock(), EventBus(history=2))
    face = build_face(observatory=observatory)
    async with listen(face.app):
        for name in ("a", "b", "c", "d"):
            observatory.put(row(id=name))
        async with listen(face.app, headers=[("last-event-id", last)]) as listener:
            await listener.until(lambda it: bool(it.events))
            assert [event["type"] for event in listener.events] == ["gap"]
            assert listener.frames[0]["id"] == "4"


@pytest.mark.parametrize("last", ["", "x", "-1", "1e9", "9" * 40, "\xb2"])
async def test_a_nonsense_position_means_from_now(last: str) -> None:
    face = build_face()
    face.observatory.put(row())
    async with listen(face.app, headers=[("last-event-id", last)]) as listener:
        assert listener.frames == []


async def test_a_silent_stream_names_its_position_so_that_it_can_be_resumed() -> None:
    face = build_face()
    face.observatory.put(row())
    async with listen(face.app) as listener:
        assert listener.raw == b"retry: 1000\nid: 1\n\n"


async def test_a_burst_is_one_write_with_the_last_state_of_each() -> None:
    face = build_face()
    async with listen(face.app) as listener:
        for tokens in range(200):
            face.observatory.put(row(id="grows", state=RequestState.STREAMING, output_tokens=tokens))
            face.observatory.put_session(session_row(requests=tokens))
            face.observatory.put_engine(engine_view(in_flight=tokens))
        face.observatory.notice("warn", "circuit", "gpt-5: circuit open")
        await listener.until(lambda it: any(event["type"] == "notice" for event in it.events))
        assert [event["type"] for event in listener.events] == ["request", "session", "engine", "notice"]
        assert listener.events[0]["request"]["output_tokens"] == 199
        assert listener.writes == 2


async def test_writes_keep_a_tenth_of_a_second_between_them() -> None:
    face = build_face()
    loop = asyncio.get_running_loop()
    async with listen(face.app) as listener:
        began = loop.time()
        for number in range(3):
            seen = listener.writes
            face.observatory.put(row(id=f"r{number}"))
            await listener.until(lambda it, seen=seen: it.writes > seen)  # type: ignore[misc]
        assert loop.time() - began >= 0.28


async def test_a_filter_keeps_what_matches_and_names_what_stopped_to() -> None:
    face = build_face()
    async with listen(face.app, "/admin/events?q=state:open") as listener:
        face.observatory.put(row(id="a", state=RequestState.STREAMING))
        face.observatory.put(row(id="b", state=RequestState.OK))
        await listener.until(lambda it: bool(it.events))
        face.observatory.put(row(id="a", state=RequestState.OK))
        await listener.until(lambda it: len(it.frames) == 4)
        assert request_ids(listener) == ["a"]
        assert [frame["data"] for frame in listener.frames if frame["event"] == "hide"] == ['["b"]', '["a"]']


async def test_a_bad_filter_is_refused_with_the_parsers_words() -> None:
    face = build_face()
    answer = await ask(face.app, "GET", "/admin/events?q=sttus:4", token=ADMIN_TOKEN)
    assert answer.status == 400
    assert "did you mean status?" in answer.json()["error"]["message"]


async def test_a_slow_reader_never_holds_up_publishing_and_is_told_what_it_lost() -> None:
    face = build_face()
    async with listen(face.app, is_slow=True) as listener:
        for number in range(10_000):
            face.observatory.put(row(id=f"r{number}"))
        assert listener.writes == 1
        listener.is_slow = False
        listener.may_go_on.set()
        await listener.until(lambda it: bool(it.events))
        assert listener.events[0] == {"type": "gap", "seq": 10_000 - 4096 + 1, "dropped": 10_000 - 4096}
        assert len(request_ids(listener)) == 4096


async def test_a_stream_ends_when_the_reader_leaves() -> None:
    face = build_face()
    async with listen(face.app) as listener:
        assert face.observatory.bus.has_listeners
        listener.left.set()
        async with asyncio.timeout(5):
            await listener.task
        assert not face.observatory.bus.has_listeners


async def test_a_stream_ends_whole_when_the_engine_stops() -> None:
    face = build_face()
    async with listen(face.app) as listener:
        face.stopping.set()
        await listener.until(lambda it: it.is_over)
    assert not face.observatory.bus.has_listeners


async def test_a_stream_ends_with_the_login_that_opened_it() -> None:
    face = build_face()
    login = await ask(face.app, "POST", "/ui/login", headers=JSON, body=b'{"token":"%s"}' % ADMIN_TOKEN.encode())
    cookie = ("cookie", (login.header("set-cookie") or "").partition(";")[0])
    async with listen(face.app, headers=[cookie], token="") as listener:
        csrf = ("x-csrf-token", login.json()["csrf_token"])
        await ask(face.app, "POST", "/ui/logout", headers=[*JSON, cookie, csrf])
        face.observatory.put(row(id="secret"))
        await listener.until(lambda it: it.is_over)
        assert listener.events == []


async def test_silence_is_filled_with_heartbeats_that_carry_no_event() -> None:
    stream = EventStream(
        EventBus(),
        after=None,
        matches=None,
        is_allowed=lambda: True,
        stopping=asyncio.Event(),
        listeners=Listeners(),
        heartbeat_s=0.01,
    )
    async with listen(stream) as listener:
        await listener.until(lambda it: it.raw.count(b": alive\n\n") >= 2)
        assert listener.frames == []


async def test_streams_are_limited_in_number() -> None:
    face = build_face()
    opened = [listen(face.app) for _ in range(64)]
    for stream in opened:
        await stream.__aenter__()
    answer = await ask(face.app, "GET", "/admin/events", token=ADMIN_TOKEN)
    assert (answer.status, answer.header("retry-after")) == (503, "5")
    await opened[0].__aexit__(None, None, None)
    async with listen(face.app) as listener:
        assert listener.status == 200
    for stream in opened[1:]:
        await stream.__aexit__(None, None, None)


async def test_a_server_with_open_streams_stops_at_once() -> None:
    listener = free_socket()
    port = listener.getsockname()[1]
    face = build_face(port=port)
    loop = asyncio.get_running_loop()
    async with serve(face.app, listener):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"GET /admin/events HTTP/1.1\r\nhost: {face.host}\r\nauthorization: Bearer {ADMIN_TOKEN}\r\n\r\n"
        writer.write(head.encode())
        async with asyncio.timeout(5):
            await reader.readuntil(b"retry: 1000")
        face.stopping.set()
        began = loop.time()
        async with asyncio.timeout(5):
            rest = await reader.readuntil(b"0\r\n\r\n")
        assert rest.endswith(b"0\r\n\r\n")
        writer.close()
    assert loop.time() - began < 1.0


def test_coalescing_keeps_order_ends_notices_and_gaps() -> None:
    view, session = row(), session_row()
    events: list[AnyEvent] = [
        Gap(seq=1, dropped=4),
        RequestChanged(seq=2, request=view),
        SessionChanged(seq=3, session=session),
        Notice(seq=4, at=0.0, severity="info", code="x", text="one"),
        RequestChanged(seq=5, request=view),
        SessionEnded(seq=6, session_id=session.id),
        Notice(seq=7, at=0.0, severity="info", code="x", text="one"),
    ]
    assert [event.seq for event in coalesce(events)] == [1, 3, 4, 5, 6, 7]
    assert coalesce([]) == []

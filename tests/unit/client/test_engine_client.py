"""The admin API over real sockets: what is sent, what is decoded, and how each failure is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from atp_engine.client.endpoint import Endpoint
from atp_engine.client.engine_client import SILENCE_S, EngineClient, connect
from atp_engine.client.errors import EngineError, EngineGone, EngineRefused
from atp_engine.core.events import AnyEvent, RequestChanged
from atp_engine.core.views import CancelReply, LaunchCode, RequestPage, TrialReply
from atp_engine.providers.pooled import PooledTransport
from tests.support.console import engine_view, request_view, snapshot_of
from tests.support.manual_clock import ManualClock
from tests.support.upstream import Upstream, answer, chunk, hang, head, raw, reset, until_eof

_encode = msgspec.json.encode
_STREAM_HEAD = head(200, "transfer-encoding: chunked", "content-type: text/event-stream")


@asynccontextmanager
async def _client(upstream: Upstream) -> AsyncIterator[EngineClient]:
    client = connect(Endpoint(upstream.url, token="tok-1"))
    try:
        yield client
    finally:
        await client.aclose()


async def test_every_call_goes_to_its_address_with_the_token() -> None:
    async with Upstream(answer(b"{}")) as engine, _client(engine) as client:
        calls = [
            (client.snapshot(), "GET /admin/snapshot"),
            (client.status(), "GET /admin/status"),
            (client.config(), "GET /admin/config"),
            (client.requests("model:a b", 20, "req_9"), "GET /admin/requests?q=model%3Aa+b&limit=20&before=req_9"),
            (client.request("a/../b"), "GET /admin/requests/a%2F..%2Fb"),
            (client.tail("r1"), "GET /admin/requests/r1/tail"),
            (client.cancel("r1"), "POST /admin/requests/r1/cancel"),
            (client.sessions(9), "GET /admin/sessions?limit=9"),
            (client.session("s1"), "GET /admin/sessions/s1"),
            (client.deployments(), "GET /admin/deployments"),
            (client.connections(), "GET /admin/connections"),
            (client.test_request(), "POST /admin/test-request"),
            (client.launch_code(), "POST /admin/launch-code"),
        ]
        for call, expected in calls:
            with pytest.raises(EngineRefused, match="not of this version"):  # {} is nobody's answer
                await call
            seen = engine.requests[-1]
            assert f"{seen.method} {seen.target}" == expected
            assert seen.headers["authorization"] == "Bearer tok-1"
            if seen.method == "POST":
                assert seen.headers["content-type"] == "application/json"
                assert seen.body == b"{}"


async def test_answers_are_decoded() -> None:
    snapshot = snapshot_of([request_view()])
    answers = [
        answer(_encode(snapshot)),
        answer(_encode(engine_view())),
        answer(_encode(RequestPage((request_view(),), "next"))),
        answer(_encode(CancelReply(True))),
        answer(_encode(TrialReply("r", 200, "hi"))),
        answer(_encode(LaunchCode("c", 60.0))),
    ]
    async with Upstream(then=answers) as engine, _client(engine) as client:
        assert await client.snapshot() == snapshot
        assert await client.status() == engine_view()
        assert (await client.requests("", 1, "")).next_before == "next"
        assert await client.cancel("r") is True
        assert (await client.test_request("sim")).text == "hi"
        assert engine.requests[-1].body == b'{"model":"sim"}'
        assert (await client.launch_code()).code == "c"


async def test_a_unix_socket_carries_the_same_calls(tmp_path: Path) -> None:
    path = str(tmp_path / "engine.sock")
    async with Upstream(answer(_encode(engine_view())), unix_path=path):
        client = connect(Endpoint("http://127.0.0.1:7443", socket=path, token="t"))
        assert (await client.status()).pid == 4711
        await client.aclose()


async def test_a_refusal_carries_the_engine_s_own_words() -> None:
    body = b'{"error":{"code":"authentication_failed","message":"Wrong token.","request_id":"x"}}'
    async with Upstream(answer(body, 401)) as engine, _client(engine) as client:
        with pytest.raises(EngineRefused) as caught:
            await client.snapshot()
        assert (caught.value.status, caught.value.code, caught.value.message) == (
            401,
            "authentication_failed",
            "Wrong token.",
        )
        with pytest.raises(EngineRefused):
            await anext(client.events(0))


async def test_another_program_on_the_port_is_refused_not_believed() -> None:
    page = answer(b"<html>hello</html>", 200, "content-type: text/html")
    async with Upstream(page) as engine, _client(engine) as client:
        with pytest.raises(EngineRefused) as caught:
            await client.snapshot()
        assert caught.value.status == 0
    async with Upstream(answer(b"nope", 404)) as engine, _client(engine) as client:
        with pytest.raises(EngineRefused, match="the engine answered 404"):
            await client.status()


async def test_nobody_there_is_gone() -> None:
    async with Upstream() as engine:
        url = engine.url
    client = connect(Endpoint(url))
    with pytest.raises(EngineGone):
        await client.status()
    await client.aclose()


@pytest.mark.parametrize(
    "script", [reset(), reset(head(200, "content-length: 10"), b"{"), until_eof(b"{"), raw(b"not http at all\r\n\r\n")]
)
async def test_broken_answers_are_one_of_the_two_errors(script: object) -> None:
    async with Upstream(script) as engine, _client(engine) as client:  # type: ignore[arg-type]
        with pytest.raises(EngineError):
            await client.snapshot()


async def test_events_come_in_batches_after_the_asked_number() -> None:
    events: list[AnyEvent] = [RequestChanged(8, request_view(id="a")), RequestChanged(9, request_view(id="b"))]
    frames = [b"id: %d\nevent: batch\ndata: " % one.seq + _encode([one]) + b"\n\n" for one in events]
    async with (
        Upstream(hang(_STREAM_HEAD, chunk(b": alive\n\n"), *map(chunk, frames))) as engine,
        _client(engine) as client,
    ):
        stream = client.events(7)
        assert [await anext(stream), await anext(stream)] == [(events[0],), (events[1],)]
        assert engine.requests[0].headers["last-event-id"] == "7"
        assert engine.open_count == 1
        await stream.aclose()  # type: ignore[attr-defined]
        await engine.until(lambda one: one.open_count == 0)


async def test_the_end_of_the_stream_is_gone() -> None:
    async with (
        Upstream(then=[raw(_STREAM_HEAD, b"0\r\n\r\n"), reset(_STREAM_HEAD)]) as engine,
        _client(engine) as client,
    ):
        with pytest.raises(EngineGone, match="ended the live stream"):
            await anext(client.events(0))
        with pytest.raises(EngineGone):
            await anext(client.events(0))


async def test_fifteen_silent_seconds_are_gone() -> None:
    clock = ManualClock()
    frame = b"event: batch\ndata: " + _encode([RequestChanged(1, request_view())]) + b"\n\n"
    async with Upstream(hang(_STREAM_HEAD, chunk(frame))) as engine:
        client = EngineClient(Endpoint(engine.url), PooledTransport(clock), monotonic=clock.monotonic)
        stream = client.events(0)
        await anext(stream)
        waiting = asyncio.create_task(_first(stream))
        await asyncio.sleep(0)
        clock.advance(SILENCE_S + 0.1)
        with pytest.raises(EngineGone, match="no sign of life"):
            await waiting
        await client.aclose()


async def _first(stream: AsyncIterator[tuple[AnyEvent, ...]]) -> tuple[AnyEvent, ...]:
    return await anext(stream)

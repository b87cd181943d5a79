"""A client that leaves, or is cut off: its upstream is closed at once, and what was used is on record."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.support.calls import parse_answer
from tests.support.running import Running, running, upstream_config
from tests.support.until import until_answered
from tests.support.upstream import Script, Upstream, answer, chunk, hang, head

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
PROMISED_MS = 100.0
SSE_HEAD = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One chunk of an OpenAI stream, framed for a chunked body."""
    piece = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "model-only",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return chunk(b"data: " + json.dumps(piece).encode() + b"\n\n")


WORDS = event({"role": "assistant", "content": ""}) + b"".join(event({"content": f"word {n} "}) for n in range(20))
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "model-only",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()

SILENCE: dict[str, tuple[bool, Script]] = {
    "a stream before the upstream's headers": (True, hang()),
    "a stream before its first token": (True, hang(SSE_HEAD, event({"role": "assistant", "content": ""}))),
    "a stream after its first tokens": (True, hang(SSE_HEAD, WORDS)),
    "a plain call before the upstream's headers": (False, hang()),
    "a plain call in the middle of the answer": (
        False,
        hang(head(200, "content-type: application/json", "content-length: 400"), REPLY[:60]),
    ),
}
"""What the upstream sends before it falls silent, and whether a stream was asked for."""


@dataclass
class Scene:
    """One engine with a single place in front of one upstream."""

    engine: Running
    upstream: Upstream

    def request(self, path: str, *, is_stream: bool, prompt: str = "hello") -> bytes:
        body: dict[str, Any] = {"model": "only", "max_tokens": 99, "messages": [{"role": "user", "content": prompt}]}
        if is_stream:
            body["stream"] = True
        text = json.dumps(body).encode()
        return self.engine.head("POST", path, len(text)) + text

    @asynccontextmanager
    async def call(self, path: str, script: Script, *, is_stream: bool) -> AsyncIterator[asyncio.StreamReader]:
        """An open call that has reached the upstream; leaves at the end of the block."""
        self.upstream.then.append(script)
        seen = len(self.upstream.requests)
        async with self.engine.connection() as (reader, writer):
            writer.write(self.request(path, is_stream=is_stream))
            await self.upstream.until(lambda upstream: len(upstream.requests) > seen)
            yield reader
            writer.transport.abort()

    @property
    def vitals(self) -> tuple[int, int]:
        """Requests in flight and waiting."""
        status = self.engine.engine.observatory.status()
        return status.in_flight, status.queued

    async def until_idle(self) -> None:
        await self.engine.until(lambda: self.vitals == (0, 0))

    def open_ids(self) -> list[str]:
        """The requests that have no end yet, newest first."""
        snapshot = self.engine.engine.observatory.snapshot()
        return [view.id for view in snapshot.requests if view.duration_ms is None]

    async def ended(self, request_id: str) -> Any:
        """The detail of a request once its end is on record."""
        details: list[Any] = []

        async def has_ended() -> bool:
            details.append(await self.engine.request(request_id))
            return details[-1]["request"]["duration_ms"] is not None

        await until_answered(has_ended)
        return details[-1]

    async def cancel(self, request_id: str) -> bool:
        """Asks the admin API to end a request."""
        reply = await self.engine.admin("POST", f"/admin/requests/{request_id}/cancel", b"{}")
        is_cancelled: bool = reply.json()["cancelled"]
        return is_cancelled


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with Upstream(answer(REPLY)) as upstream:
        prices = "[deployments.only.price]\ninput = 10.0\noutput = 20.0\n"
        limits = "[limits]\nmax_parallel = 1\nqueue_timeout_s = 5\n"
        config = upstream_config({"only": upstream.port}, extra=prices + limits)
        async with running(tmp_path_factory.mktemp("disconnect"), config) as engine:
            yield Scene(engine, upstream)
            assert (await engine.admin("GET", "/admin/status")).json()["in_flight"] == 0


@pytest.fixture(params=[CHAT, MESSAGES])
def path(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.mark.parametrize("name", SILENCE)
async def test_a_client_that_leaves_takes_its_upstream_with_it(scene: Scene, path: str, name: str) -> None:
    is_stream, script = SILENCE[name]
    async with scene.call(path, script, is_stream=is_stream) as reader:
        wire = scene.upstream.connections[-1]
        if "tokens" in name:
            await asyncio.wait_for(reader.readuntil(b"word 19"), 5)
        assert scene.vitals == (1, 0)
        (request_id,) = scene.open_ids()
        left_at = time.monotonic()
    await asyncio.wait_for(wire.has_left.wait(), 5)
    assert (time.monotonic() - left_at) * 1000.0 < PROMISED_MS
    await scene.until_idle()
    detail = await scene.ended(request_id)
    view = detail["request"]
    assert view["state"] == "cancelled"
    assert "left" in view["error_message"]
    (attempt,) = detail["attempts"]
    assert attempt["outcome"] == "cancelled"
    if "tokens" in name:
        assert view["is_usage_estimated"]
        assert view["prompt_tokens"] > 0
        assert view["output_tokens"] >= 20
        assert view["cost_nusd"] > 0
        assert attempt["cost_nusd"] == view["cost_nusd"]
    assert await served(scene, path)


async def served(scene: Scene, path: str) -> bool:
    """The one place is free: the next call gets its answer."""
    raw = await scene.engine.raw(scene.request(path, is_stream=False), within_s=5)
    return parse_answer(raw).status == 200


async def test_a_client_that_leaves_while_it_waits_for_a_place_is_never_forwarded(scene: Scene, path: str) -> None:
    async with scene.call(path, hang(), is_stream=False):
        forwarded = len(scene.upstream.requests)
        async with scene.engine.connection() as (_, writer):
            writer.write(scene.request(path, is_stream=True))
            await scene.engine.until(lambda: scene.vitals == (1, 1))
            waiting = scene.open_ids()[0]
            writer.transport.abort()
        await scene.engine.until(lambda: scene.vitals == (1, 0))
        detail = await scene.ended(waiting)
        assert (detail["request"]["state"], detail["request"]["tries"], detail["attempts"]) == ("cancelled", 0, [])
    await scene.until_idle()
    assert len(scene.upstream.requests) == forwarded
    assert await served(scene, path)


async def test_a_place_that_is_given_to_a_client_who_has_just_left_goes_on(scene: Scene, path: str) -> None:
    """Both ends in the same turn of the loop: the holder's and that of the first in the queue."""
    async with scene.call(path, hang(), is_stream=False):
        async with scene.engine.connection() as (_, first), scene.engine.connection() as (reader, last):
            first.write(scene.request(path, is_stream=False))
            await scene.engine.until(lambda: scene.vitals == (1, 1))
            last.write(scene.request(path, is_stream=False))
            await scene.engine.until(lambda: scene.vitals == (1, 2))
            scene.engine.engine.observatory.cancel(scene.open_ids()[-1], "a test")
            first.transport.abort()
            raw = await asyncio.wait_for(reader.read(), 5)
        assert parse_answer(raw).status == 200
    await scene.until_idle()


async def test_a_client_that_sends_everything_and_leaves_at_once_holds_nothing(scene: Scene, path: str) -> None:
    """The engine reads the request and the end of the connection in one turn."""
    scene.upstream.always = hang()
    for _ in range(20):
        async with scene.engine.connection() as (_, writer):
            writer.write(scene.request(path, is_stream=True))
            await writer.drain()
            writer.transport.abort()
    await scene.until_idle()
    await scene.upstream.until(lambda upstream: upstream.open_count == 0)
    scene.upstream.always = answer(REPLY)
    assert await served(scene, path)


async def test_a_refusal_to_a_client_that_has_left_is_recorded_without_a_traceback(
    scene: Scene, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        async with scene.engine.connection() as (_, writer):
            writer.write(scene.request(path, is_stream=False).replace(b'"only"', b'"nope"'))
            await writer.drain()
            writer.transport.abort()
    await scene.until_idle()
    assert not [record.message for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")]


async def test_clients_that_leave_at_any_moment_leak_no_place(scene: Scene) -> None:
    dice = random.Random(7)
    scene.upstream.always = hang(SSE_HEAD, WORDS)

    async def visit(number: int) -> None:
        async with scene.engine.connection() as (reader, writer):
            request = scene.request(dice.choice([CHAT, MESSAGES]), is_stream=True, prompt=f"visit {number}")
            writer.write(request[: dice.choice([len(request), len(request), len(request) // 2])])
            await writer.drain()
            if dice.random() < 0.7:
                read = asyncio.create_task(reader.read(64))
                await asyncio.wait({read}, timeout=dice.random() * 0.02)
                read.cancel()
                await asyncio.gather(read, return_exceptions=True)
            writer.transport.abort()

    await asyncio.gather(*(visit(number) for number in range(60)))
    await scene.until_idle()
    await scene.upstream.until(lambda upstream: upstream.open_count == 0)
    scene.upstream.always = answer(REPLY)
    assert await served(scene, CHAT)
    page = (await scene.engine.admin("GET", "/admin/requests?q=&limit=70&before=")).json()["requests"]
    assert {view["state"] for view in page} <= {"cancelled", "ok", "rejected"}


async def test_cancelling_a_stream_from_outside_ends_it_with_an_error_event(scene: Scene, path: str) -> None:
    async with scene.call(path, hang(SSE_HEAD, WORDS), is_stream=True) as reader:
        wire = scene.upstream.connections[-1]
        begin = await asyncio.wait_for(reader.readuntil(b"word 19"), 5)
        (request_id,) = scene.open_ids()
        assert await scene.cancel(request_id)
        rest = await asyncio.wait_for(reader.read(), 5)
        assert wire.has_left.is_set()
        answer = parse_answer(begin + rest)
        assert "error" in answer.events()[-1]
        assert "cancelled" in answer.events()[-1]["error"]["message"]
        assert b"[DONE]" not in answer.body
        assert b"message_stop" not in answer.body
        assert not await scene.cancel(request_id)
    detail = await scene.ended(request_id)
    assert detail["request"]["state"] == "cancelled"
    assert detail["request"]["output_tokens"] >= 20


async def test_cancelling_a_plain_call_from_outside_answers_with_an_error(scene: Scene, path: str) -> None:
    async with scene.call(path, hang(), is_stream=False) as reader:
        (request_id,) = scene.open_ids()
        assert await scene.cancel(request_id)
        answer = parse_answer(await asyncio.wait_for(reader.read(), 5))
    assert answer.status >= 400
    assert "cancelled" in answer.json()["error"]["message"]
    assert answer.headers["x-atp-request-id"] == request_id
    assert answer.headers["x-should-retry"] == "false"
    await scene.until_idle()


async def test_a_client_that_reads_nothing_can_still_be_cut_off(scene: Scene) -> None:
    """Its socket is full, so the walk waits in the middle of a write."""
    flood = b"".join(event({"content": "x" * 16_000}) for _ in range(400))
    async with scene.call(CHAT, hang(SSE_HEAD, *[flood] * 4), is_stream=True):
        wire = scene.upstream.connections[-1]
        (request_id,) = scene.open_ids()
        sent = -1
        while wire.sent_bytes != sent:  # until the flood stands still
            sent = wire.sent_bytes
            await asyncio.sleep(0.05)
        assert await scene.cancel(request_id)
        await asyncio.wait_for(wire.has_left.wait(), 5)
        await scene.until_idle()

"""Requests free what they held when they end, however they end: no cycle keeps a body until a collection.

The engine collects rarely, so a failed request in a cycle (an exception that a frame of its own traceback
holds) would keep its body, up to 32 MiB, for thousands of requests.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import pytest_asyncio

from atp_engine.api.exchange import Exchange
from atp_engine.api.server import EngineProtocol
from atp_engine.core.errors import ATPError
from atp_engine.providers.connection import Connection
from atp_engine.services.attempt import Attempt, RawCall
from atp_engine.services.live import LiveRequest
from tests.support.running import Running, running, upstream_config
from tests.support.until import until
from tests.support.upstream import Script, Upstream, answer, chunk, hang, head, reset, sse

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
OURS = (ATPError, Attempt, Connection, EngineProtocol, Exchange, LiveRequest, RawCall)
CALLS = 3


def event(text: str, finish: str | None = None) -> bytes:
    """One event of an OpenAI stream."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    piece = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(piece).encode()


SSE_HEAD = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")
REPLY = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Yes."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
).encode()
GOOD = {"model": "auto", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**GOOD, "stream": True}


@dataclass(frozen=True)
class Kind:
    """A way for requests to end: what is asked, and what the upstream does."""

    body: object = None
    script: Script | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_left: bool = False


KINDS = {
    "whole": Kind(GOOD, answer(REPLY)),
    "a whole stream": Kind(STREAM, sse(event("a"), event("b", "stop"), b"data: [DONE]")),
    "not JSON": Kind("{"),
    "an unknown model": Kind({**GOOD, "model": "nope"}),
    "a wrong key": Kind(GOOD, headers=(("authorization", "Bearer nope"),)),
    "two keys": Kind(GOOD, headers=(("x-api-key", "nope"),)),
    "too large": Kind("x" * 2_000_000),
    "refused by the upstream": Kind(GOOD, answer(b'{"error":{"message":"no"}}', 400)),
    "failed by the upstream": Kind(GOOD, answer(b'{"error":{"message":"no"}}', 500)),
    "an answer that is none": Kind(GOOD, answer(b"<html>")),
    "reset before an answer": Kind(GOOD, reset()),
    "reset in a stream": Kind(STREAM, reset(SSE_HEAD, chunk(event("a") + b"\n\n"))),
    "an error in a stream": Kind(STREAM, sse(event("a"), b'data: {"error":{"message":"no"}}')),
    "an error before a stream": Kind(STREAM, sse(b'data: {"error":{"message":"no"}}')),
    "a stream that ends without its end": Kind(STREAM, sse(event("a"))),
    "left before an answer": Kind(GOOD, hang(), is_left=True),
    "left in a stream": Kind(STREAM, hang(SSE_HEAD, chunk(event("a") + b"\n\n")), is_left=True),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Running, Upstream]]:
    async with Upstream() as upstream:
        config = upstream_config({"only": upstream.port}, extra="[limits]\nmax_attempts = 1\n")
        config = config.replace("port = 0\n", "port = 0\nmax_body_bytes = 1000000\n", 1)
        async with running(tmp_path_factory.mktemp("garbage"), config) as found:
            yield found, upstream


@contextmanager
def garbage() -> Iterator[list[object]]:
    """What the block left for the collector; filled at its end."""
    found: list[object] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
async def test_a_request_that_has_ended_holds_nothing(engine: tuple[Running, Upstream], path: str, name: str) -> None:
    calls, upstream = engine
    kind = KINDS[name]
    body = kind.body.encode() if isinstance(kind.body, str) else json.dumps(kind.body).encode()
    request = calls.head("POST", path, len(body), dict(kind.headers)) + body
    await ask(calls, upstream, kind, request)
    with garbage() as found:
        for _ in range(CALLS):
            await ask(calls, upstream, kind, request)
    ours = collections.Counter(type(one).__name__ for one in found if isinstance(one, OURS))
    assert not ours


async def ask(calls: Running, upstream: Upstream, kind: Kind, request: bytes) -> None:
    """One call on a connection of its own, and the end of everything it started."""
    if kind.script is not None:
        upstream.always = kind.script
    seen = len(upstream.requests)
    async with calls.connection() as (reader, writer):
        writer.write(request)
        if kind.is_left:
            await upstream.until(lambda upstream: len(upstream.requests) > seen)
            writer.transport.abort()
        else:
            assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 ")
    observatory = calls.engine.observatory
    await until(lambda: observatory.status().in_flight == 0)
    await until(lambda: all(view.state.is_final for view in observatory.snapshot().requests))
    await calls.admin("GET", "/admin/requests?q=&limit=1&before=")  # the record is committed, the task has ended

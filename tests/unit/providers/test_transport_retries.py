"""How often a call is really sent, and how a call that failed leaves its connection."""

from __future__ import annotations

import asyncio
import select

import msgspec
import pytest

from atp_engine.core.errors import BadUpstreamReply, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from atp_engine.providers.pooled import PooledTransport
from atp_engine.providers.transport import Transport, UpstreamRequest
from tests.support.transports import RunningClock, call, failing
from tests.support.upstream import Upstream, Wire, answer, raw, reset


def retry(request: UpstreamRequest) -> UpstreamRequest:
    return msgspec.structs.replace(request, is_retry=True)


async def body_of(transport: Transport, request: UpstreamRequest) -> bytes:
    return await (await transport.open(request)).read_all(100)


async def test_a_retry_is_sent_once_whatever_connection_it_gets(transport: Transport) -> None:
    async with Upstream(reset(), then=[answer(b"ok")]) as upstream:
        assert await body_of(transport, call(upstream.origin())) == b"ok"
        with failing(UpstreamUnreachable):
            await transport.open(retry(call(upstream.origin())))
        assert len(upstream.requests) == 2


async def test_a_pooled_retry_goes_to_a_new_connection() -> None:
    transport = PooledTransport(RunningClock())
    async with Upstream(answer(b"ok")) as upstream:
        assert await body_of(transport, call(upstream.origin())) == b"ok"
        assert await body_of(transport, retry(call(upstream.origin()))) == b"ok"
        assert [request.connection for request in upstream.requests] == [0, 1]
        await transport.aclose()


async def test_a_failure_tells_whether_the_call_was_sent_twice() -> None:
    transport = PooledTransport(RunningClock())
    async with Upstream(reset(), then=[answer(b"ok")]) as upstream:
        assert await body_of(transport, call(upstream.origin())) == b"ok"
        for expected in (True, False):  # the first on the kept connection, the second on none
            with pytest.raises(UpstreamError) as caught:
                await transport.open(call(upstream.origin()))
            assert isinstance(caught.value, UpstreamUnreachable)
            assert caught.value.was_resent is expected
        await transport.aclose()


async def test_rubbish_on_a_reused_connection_is_an_answer_and_not_sent_again() -> None:
    transport = PooledTransport(RunningClock())
    async with Upstream(raw(b"+OK ready\r\n"), then=[answer(b"ok")]) as upstream:
        assert await body_of(transport, call(upstream.origin())) == b"ok"
        with failing(BadUpstreamReply):
            await transport.open(call(upstream.origin()))
        assert len(upstream.requests) == 2
        await transport.aclose()


async def test_an_upstream_that_does_not_read_sees_the_call_end() -> None:
    ended = asyncio.Event()

    async def wait_unread(wire: Wire) -> None:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        poll = select.poll()
        poll.register(wire.writer.get_extra_info("socket").fileno(), 0)
        # A reset is told by the kernel; a close would wait behind the bytes that nobody reads.
        while not poll.poll(0):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        ended.set()

    transport = PooledTransport(RunningClock())
    async with Upstream(on_connect=wait_unread) as upstream:
        with failing(UpstreamTimeout, limit="ttft"):
            await transport.open(call(upstream.origin(), b"x" * 4_000_000, within_s=0.2))
        async with asyncio.timeout(2.0):
            await ended.wait()
        await transport.aclose()

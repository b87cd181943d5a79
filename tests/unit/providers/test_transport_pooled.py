"""What only the pooled transport promises: its pool, its exact framing, its counts."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamUnreachable
from atp_engine.providers.deadlines import Sweeper
from atp_engine.providers.pool import host_header
from atp_engine.providers.pooled import PooledTransport, TransportStats
from atp_engine.providers.transport import Origin
from tests.support.transports import RunningClock, call, failing
from tests.support.upstream import (
    LAST_CHUNK,
    Authority,
    SeenRequest,
    Upstream,
    Wire,
    answer,
    chunk,
    hang,
    head,
    raw,
    until_eof,
)


@pytest.fixture
def clock() -> RunningClock:
    return RunningClock()


@pytest.fixture
async def pooled(clock: RunningClock) -> AsyncIterator[PooledTransport]:
    transport = PooledTransport(clock)
    yield transport
    await transport.aclose()


async def body_of(transport: PooledTransport, origin: Origin) -> bytes:
    response = await transport.open(call(origin))
    return await response.read_all(1_000)


@pytest.mark.parametrize(
    ("keep_alive", "idle_s", "connections"),
    [
        ("x-none: 1", 45, 1),
        ("x-none: 1", 51, 2),
        ("keep-alive: timeout=10, max=5", 8, 1),
        ("keep-alive: timeout=10, max=5", 9.5, 2),
        ("keep-alive: timeout=600", 51, 2),
        ("keep-alive: timeout=1", 0, 2),
        ("keep-alive: nonsense", 45, 1),
    ],
)
async def test_an_idle_connection_is_kept_shorter_than_the_upstream_keeps_it(
    pooled: PooledTransport, clock: RunningClock, keep_alive: str, idle_s: float, connections: int
) -> None:
    async with Upstream(answer(b"ok", 200, keep_alive)) as upstream:
        await body_of(pooled, upstream.origin())
        clock.added_s += idle_s
        await body_of(pooled, upstream.origin())
        assert len(upstream.connections) == connections
        await upstream.until(lambda it: it.open_count == 1)


async def test_idle_connections_are_closed_without_another_call(pooled: PooledTransport) -> None:
    async with Upstream(answer(b"ok", 200, "keep-alive: timeout=1")) as upstream:
        await body_of(pooled, upstream.origin())
        await upstream.until(lambda it: it.open_count == 0)
        assert pooled.stats() == TransportStats(open=0, idle=0, waiting=0, origins=1)


async def test_the_connection_used_last_is_used_first(pooled: PooledTransport) -> None:
    gate = asyncio.Event()

    async def script(wire: Wire, request: SeenRequest) -> None:
        await gate.wait()
        await answer(b"%d" % request.connection)(wire, request)

    async with Upstream(script) as upstream:
        both = [asyncio.create_task(body_of(pooled, upstream.origin())) for _ in range(2)]
        await upstream.until(lambda it: len(it.requests) == 2)
        gate.set()
        await asyncio.gather(*both)
        again = {await body_of(pooled, upstream.origin()) for _ in range(4)}
        assert len(again) == 1


async def test_stats_count_open_idle_and_waiting(pooled: PooledTransport) -> None:
    async with Upstream(hang(), then=[answer(b"ok")]) as upstream:
        origin = upstream.origin(max_connections=1)
        assert pooled.stats() == TransportStats(open=0, idle=0, waiting=0, origins=0)
        await body_of(pooled, origin)
        assert pooled.stats() == TransportStats(open=1, idle=1, waiting=0, origins=1)
        tasks = [asyncio.create_task(body_of(pooled, origin)) for _ in range(3)]
        await upstream.until(lambda it: len(it.requests) == 2)
        assert pooled.stats() == TransportStats(open=1, idle=0, waiting=2, origins=1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await upstream.until(lambda it: it.open_count == 0)
        assert pooled.stats() == TransportStats(open=0, idle=0, waiting=0, origins=1)


async def test_origins_of_the_past_are_forgotten(pooled: PooledTransport) -> None:
    async with Upstream() as upstream:
        port = upstream.port
    for number in range(50):
        with failing(UpstreamUnreachable):
            await pooled.open(call(Origin("http", f"127.0.0.{number + 1}", port)))
    assert pooled.stats().origins == 1


async def test_a_whole_answer_frees_its_connection_before_it_is_read(pooled: PooledTransport) -> None:
    async with Upstream(answer(b"second"), then=[answer(b"first")]) as upstream:
        origin = upstream.origin(max_connections=1)
        first = await pooled.open(call(origin))
        second = await pooled.open(call(origin))
        assert await second.read_all(100) == b"second"
        assert await first.read_all(100) == b"first"
        first.close()
        second.close()
        assert pooled.stats().idle == 1


async def test_unasked_bytes_on_an_idle_connection_close_it(pooled: PooledTransport) -> None:
    async with Upstream(answer(b"ok")) as upstream:
        await body_of(pooled, upstream.origin())
        await upstream.connections[0].send(head(408, "content-length: 0"))
        await upstream.until(lambda it: it.open_count == 0)
        assert await body_of(pooled, upstream.origin()) == b"ok"


@pytest.mark.parametrize("extra", [b"more", head(200, "content-length: 4") + b"evil", b"HTTP/1.1 20"])
async def test_an_answer_stands_whatever_follows_it(pooled: PooledTransport, extra: bytes) -> None:
    async with Upstream(raw(head(200, "content-length: 2") + b"ok" + extra)) as upstream:
        for _ in range(3):
            assert await body_of(pooled, upstream.origin()) == b"ok"
        assert len(upstream.connections) == 3


async def test_a_body_sent_to_head_is_dropped_with_its_connection(pooled: PooledTransport) -> None:
    async with Upstream(raw(head(200, "content-length: 4") + b"body")) as upstream:
        for _ in range(2):
            response = await pooled.open(call(upstream.origin(), b"", method=b"HEAD"))
            assert await response.read_all(100) == b""
        assert len(upstream.connections) == 2


async def test_interim_answers_without_end_are_cut_off(pooled: PooledTransport) -> None:
    async def script(wire: Wire, _: SeenRequest) -> None:
        while not wire.has_left.is_set():
            await wire.send(head(102, "x: y") * 50)

    async with Upstream(script) as upstream:
        with failing(BadUpstreamReply):
            await pooled.open(call(upstream.origin(), within_s=5.0))


@pytest.mark.parametrize("flood", [b"y" * 1_000, b"x-t: y\r\n" * 100])
async def test_framing_without_a_body_is_cut_off(pooled: PooledTransport, flood: bytes) -> None:
    start = b"5;x=" if flood.startswith(b"y") else b"0\r\n"

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "transfer-encoding: chunked") + chunk(b"ok") + start)
        while not wire.has_left.is_set():
            await wire.send(flood)

    async with Upstream(script) as upstream:
        response = await pooled.open(call(upstream.origin()))
        assert await response.read() == b"ok"
        response.set_deadline(time.monotonic() + 5.0, "idle")
        with failing(StreamBroken):
            await response.read()


async def test_what_arrived_before_the_break_is_given_first(pooled: PooledTransport) -> None:
    async with Upstream(raw(head(200, "content-length: 9") + b"some", is_last=True)) as upstream:
        response = await pooled.open(call(upstream.origin()))
        await upstream.until(lambda it: it.open_count == 0)
        assert await response.read() == b"some"
        with failing(StreamBroken):
            await response.read()


@pytest.mark.parametrize("is_tls", [False, True])
@pytest.mark.parametrize("piece", [b"x" * 200_000, chunk(b"xy") * 20_000], ids=["large", "small"])
async def test_no_more_than_half_a_megabyte_is_held_for_a_reader_that_stops(
    pooled: PooledTransport, authority: Authority, is_tls: bool, piece: bytes
) -> None:
    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "transfer-encoding: chunked"))
        while not wire.has_left.is_set():
            await wire.send(piece if piece.startswith(b"2") else chunk(piece))

    tls = authority.server if is_tls else None
    async with Upstream(script, tls=tls, ca_file=authority.ca_file) as upstream:
        response = await pooled.open(call(upstream.origin()))
        wire = upstream.connections[0]
        sent = -1
        while sent != wire.sent_bytes:
            sent = wire.sent_bytes
            await asyncio.sleep(0.05)
        assert 262_144 <= response.held_bytes <= 2 * 262_144
        assert len(response.pieces) <= 65
        response.close()
        await upstream.until(lambda it: it.open_count == 0)
        assert response.held_bytes == 0


@pytest.mark.asyncio(loop_factories=["uvloop"])  # asyncio's own TLS does not tell the two apart
async def test_a_tls_body_without_a_length_ends_only_with_an_orderly_close(
    pooled: PooledTransport, authority: Authority
) -> None:
    async def cut(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200) + b"some")
        await asyncio.sleep(0.02)
        wire.writer.transport.abort()

    async with Upstream(until_eof(b"whole"), then=[cut], tls=authority.server, ca_file=authority.ca_file) as upstream:
        response = await pooled.open(call(upstream.origin()))
        with failing(StreamBroken):
            await response.read_all(100)
        assert await body_of(pooled, upstream.origin()) == b"whole"


@pytest.mark.parametrize("seed", range(4))
async def test_cancelling_at_any_moment_leaves_no_descriptor(
    pooled: PooledTransport, authority: Authority, seed: int
) -> None:
    dice = random.Random(seed)
    tls = {"tls": authority.server, "ca_file": authority.ca_file} if seed % 2 else {}

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "transfer-encoding: chunked"))
        await wire.send(chunk(b"x" * dice.choice([1, 300_000])))
        await wire.send(LAST_CHUNK)

    async with Upstream(script, **tls) as upstream:  # type: ignore[arg-type]
        warm = PooledTransport(RunningClock())  # the loop itself opens descriptors on first use
        assert await body_of_any(warm, upstream.origin())
        await warm.aclose()
        await upstream.until(lambda it: it.open_count == 0)
        before = descriptors()
        origin = upstream.origin(max_connections=3)
        for _round in range(20):
            tasks = [asyncio.create_task(body_of_any(pooled, origin)) for _ in range(8)]
            for _turn in range(dice.randrange(30)):
                await asyncio.sleep(0)
            for task in dice.sample(tasks, 6):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        stats = pooled.stats()
        assert (stats.waiting, stats.open <= 3) == (0, True)
        assert await body_of_any(pooled, origin)
        await pooled.aclose()
        assert pooled.stats() == TransportStats(open=0, idle=0, waiting=0, origins=0)
        await upstream.until(lambda it: it.open_count == 0)
        await asyncio.sleep(0.01)
        assert descriptors() <= before


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def body_of_any(transport: PooledTransport, origin: Origin) -> bytes:
    response = await transport.open(call(origin, within_s=5.0))
    try:
        return await response.read_all(1_000_000)
    finally:
        response.close()


def test_an_ipv6_host_is_bracketed_and_the_default_port_left_out() -> None:
    assert host_header(Origin("http", "::1", 8080)) == b"[::1]:8080"
    assert host_header(Origin("https", "api.test", 443)) == b"api.test"
    assert host_header(Origin("http", "api.test", 443)) == b"api.test:443"


class Waiting:
    """A wait that notes when it ended."""

    def __init__(self, deadline_at: float) -> None:
        self.deadline_at = deadline_at
        self.ended = asyncio.Event()

    def expire(self) -> None:
        self.ended.set()


async def test_the_sweeper_ends_waits_that_are_over_and_no_others(clock: RunningClock) -> None:
    sweeper = Sweeper(clock)
    soon, later, off = Waiting(clock.monotonic() + 30), Waiting(clock.monotonic() + 600), Waiting(0.0)
    for wait in (soon, later, off):
        sweeper.watch(wait)
    clock.added_s += 31
    async with asyncio.timeout(2):
        await soon.ended.wait()
    assert not later.ended.is_set() and not off.ended.is_set()
    sweeper.stop()


async def test_the_sweeper_starts_again_after_it_had_nothing_to_watch(clock: RunningClock) -> None:
    sweeper = Sweeper(clock)
    for _ in range(2):
        wait = Waiting(clock.monotonic())
        sweeper.watch(wait)
        async with asyncio.timeout(2):
            await wait.ended.wait()
        sweeper.watched.discard(wait)
        await asyncio.sleep(0.12)
    sweeper.stop()

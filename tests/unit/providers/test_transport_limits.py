"""What every transport promises about time, cancellation, the cap on connections and memory."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from atp_engine.core.errors import StreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from atp_engine.providers.transport import Transport
from tests.support.transports import call, failing
from tests.support.upstream import (
    LAST_CHUNK,
    Authority,
    SeenRequest,
    Upstream,
    Wire,
    answer,
    chunk,
    chunked,
    drip,
    hang,
    head,
    never_read,
    raw,
    reset,
    say_nothing,
)

TICKS_S = 0.3
"""How late a limit may fire in a test: a tick of 50 ms and a busy machine."""
EARLY_S = 0.005
"""How early: loops keep timers in milliseconds."""


async def lasting(act: Callable[[], Awaitable[object]]) -> float:
    """Seconds that an act took."""
    started = time.monotonic()
    await act()
    return time.monotonic() - started


# Time.


async def test_headers_that_do_not_come_in_time_are_a_timeout_with_the_name_of_the_limit(transport: Transport) -> None:
    async with Upstream(hang(b"HTTP/1.1 200")) as upstream:

        async def act() -> None:
            with failing(UpstreamTimeout, limit="ttft"):
                await transport.open(call(upstream.origin(), within_s=0.2))

        assert 0.2 - EARLY_S <= await lasting(act) <= 0.2 + TICKS_S
        await upstream.until(lambda it: it.open_count == 0)


async def test_a_header_byte_now_and_then_does_not_defeat_the_limit(transport: Transport) -> None:
    async with Upstream(drip(head(200, "x: " + "y" * 1_000), gap_s=0.02)) as upstream:

        async def act() -> None:
            with failing(UpstreamTimeout, limit="total"):
                await transport.open(call(upstream.origin(), within_s=0.3, limit="total"))

        assert 0.3 - EARLY_S <= await lasting(act) <= 0.3 + TICKS_S


async def test_a_body_that_stalls_is_a_timeout_and_the_limit_can_move(transport: Transport) -> None:
    async with Upstream(hang(head(200, "transfer-encoding: chunked"), chunk(b"one"))) as upstream:
        response = await transport.open(call(upstream.origin(), within_s=5.0))
        response.set_deadline(time.monotonic() + 5.0, "total")
        assert await response.read() == b"one"
        response.set_deadline(time.monotonic() + 0.2, "idle")

        async def act() -> None:
            with failing(UpstreamTimeout, limit="idle"):
                await response.read()

        assert 0.2 - EARLY_S <= await lasting(act) <= 0.2 + TICKS_S
        await upstream.until(lambda it: it.open_count == 0)


async def test_the_limit_of_the_headers_ends_with_them(transport: Transport) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "content-length: 2"))
        await go_on.wait()
        await wire.send(b"ok")

    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin(), within_s=0.1))
        reading = asyncio.create_task(response.read_all(10))
        await asyncio.wait([reading], timeout=0.3)
        assert not reading.done()
        go_on.set()
        assert await reading == b"ok"


async def test_what_has_arrived_can_be_read_after_the_limit(transport: Transport) -> None:
    async with Upstream(answer(b"ok")) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert await response.read() == b"ok"
        response.set_deadline(time.monotonic() + 0.01, "idle")
        assert await response.read() == b""


async def test_a_tls_handshake_that_hangs_is_a_connect_timeout(transport: Transport) -> None:
    async with Upstream(on_connect=say_nothing) as silent:

        async def act() -> None:
            with failing(UpstreamTimeout, limit="connect"):
                await transport.open(call(silent.origin(scheme="https"), connect_s=0.2))

        assert 0.2 - EARLY_S <= await lasting(act) <= 0.2 + TICKS_S + 0.2
        await silent.until(lambda it: it.open_count == 0)


async def test_connecting_stops_at_the_deadline_too(transport: Transport) -> None:
    async with Upstream(on_connect=say_nothing) as silent:
        with failing(UpstreamTimeout, limit="ttft"):
            await transport.open(call(silent.origin(scheme="https"), connect_s=0.0, within_s=0.2))
        await silent.until(lambda it: it.open_count == 0)


async def test_an_upstream_that_never_reads_does_not_hold_the_call_beyond_its_limit(transport: Transport) -> None:
    async with Upstream(on_connect=never_read) as upstream:

        async def act() -> None:
            with failing(UpstreamTimeout, limit="ttft"):
                await transport.open(call(upstream.origin(), b"x" * 30_000_000, within_s=0.3))

        assert await lasting(act) <= 0.3 + 1.0


# Cancellation.


async def test_cancelling_the_wait_for_headers_closes_the_socket(transport: Transport) -> None:
    async with Upstream(hang()) as upstream:
        opening = asyncio.create_task(transport.open(call(upstream.origin())))
        await upstream.until(lambda it: bool(it.requests))
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await upstream.until(lambda it: it.open_count == 0, within_s=0.5)


async def test_cancelling_a_read_closes_the_socket_and_leaves_only_close(transport: Transport) -> None:
    async with Upstream(hang(head(200, "transfer-encoding: chunked"))) as upstream:
        response = await transport.open(call(upstream.origin()))
        reading = asyncio.create_task(response.read())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await upstream.until(lambda it: it.open_count == 0, within_s=0.5)
        with failing(StreamBroken):
            await response.read()
        response.close()


async def test_closing_before_the_end_closes_the_socket(transport: Transport) -> None:
    async with Upstream(hang(head(200, "transfer-encoding: chunked"), chunk(b"one"))) as upstream:
        response = await transport.open(call(upstream.origin()))
        response.close()
        response.close()
        await upstream.until(lambda it: it.open_count == 0, within_s=0.5)


@pytest.mark.parametrize("seed", range(3))
async def test_cancelling_at_any_moment_leaks_neither_places_nor_sockets(transport: Transport, seed: int) -> None:
    dice = random.Random(seed)

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "transfer-encoding: chunked"))
        for _piece in range(dice.randrange(4)):
            await asyncio.sleep(0)
            await wire.send(chunk(b"x" * dice.choice([1, 1_000, 100_000])))
        await wire.send(LAST_CHUNK)

    async def whole_call() -> bytes:
        response = await transport.open(call(upstream.origin(max_connections=4), within_s=5.0))
        try:
            return await response.read_all(1_000_000)
        finally:
            response.close()

    async def cancelled_call() -> None:
        task = asyncio.create_task(whole_call())
        for _turn in range(dice.randrange(25)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async with Upstream(script) as upstream:
        for _round in range(15):
            await asyncio.gather(*(cancelled_call() for _ in range(12)))
        async with asyncio.timeout(5):
            await asyncio.gather(*(whole_call() for _ in range(8)))
        await upstream.until(lambda it: it.open_count <= 4)
        await transport.aclose()
        await upstream.until(lambda it: it.open_count == 0)


# The cap.


async def test_calls_beyond_the_cap_wait_in_order(transport: Transport) -> None:
    gates = [asyncio.Event() for _ in range(6)]

    async def script(wire: Wire, request: SeenRequest) -> None:
        await gates[int(request.body)].wait()
        await answer(request.body)(wire, request)

    async def one(number: int) -> bytes:
        response = await transport.open(call(upstream.origin(max_connections=2), b"%d" % number))
        return await response.read_all(10)

    async with Upstream(script) as upstream:
        tasks = [asyncio.create_task(one(number)) for number in range(6)]
        await upstream.until(lambda it: len(it.requests) == 2)
        for gate in gates:
            gate.set()
            await asyncio.sleep(0.005)
        assert await asyncio.gather(*tasks) == [b"0", b"1", b"2", b"3", b"4", b"5"]
        assert [request.body for request in upstream.requests[2:]] == [b"2", b"3", b"4", b"5"]
        assert len(upstream.connections) == 2


async def test_a_place_goes_on_when_its_connection_breaks(transport: Transport) -> None:
    async with Upstream(answer(b"ok"), then=[reset(), reset(head(200, "content-length: 9") + b"x")]) as upstream:
        origin = upstream.origin(max_connections=1)

        async def one() -> bytes:
            response = await transport.open(call(origin))
            return await response.read_all(10)

        results = await asyncio.gather(*(one() for _ in range(4)), return_exceptions=True)
        assert [type(result) for result in results[:2]] == [UpstreamUnreachable, StreamBroken]
        assert results[2:] == [b"ok", b"ok"]
        assert upstream.open_count == 1


async def test_a_waiting_call_that_is_cancelled_takes_no_place(transport: Transport) -> None:
    async with Upstream(answer(b"ok"), then=[hang()]) as upstream:
        origin = upstream.origin(max_connections=1)
        first = asyncio.create_task(transport.open(call(origin)))
        await upstream.until(lambda it: bool(it.requests))
        waiting = [asyncio.create_task(transport.open(call(origin))) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        first.cancel()
        waiting[1].cancel()
        async with asyncio.timeout(5):
            response = await waiting[2]
            assert await response.read_all(10) == b"ok"
            await asyncio.gather(first, *waiting[:2], return_exceptions=True)
            response = await transport.open(call(origin))
            assert await response.read_all(10) == b"ok"


async def test_waiting_for_a_place_ends_at_the_deadline(transport: Transport) -> None:
    async with Upstream(hang()) as upstream:
        origin = upstream.origin(max_connections=1)
        first = asyncio.create_task(transport.open(call(origin)))
        await upstream.until(lambda it: bool(it.requests))

        async def act() -> None:
            with failing(UpstreamTimeout, limit="ttft"):
                await transport.open(call(origin, within_s=0.2))

        assert 0.2 - EARLY_S <= await lasting(act) <= 0.2 + TICKS_S
        assert len(upstream.requests) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


# Reuse.


async def test_one_connection_serves_calls_one_after_another(transport: Transport) -> None:
    async with Upstream(chunked(b"ok")) as upstream:
        for _ in range(5):
            response = await transport.open(call(upstream.origin()))
            assert await response.read_all(10) == b"ok"
        assert len(upstream.connections) == 1


@pytest.mark.parametrize(
    "message",
    [head(200, "content-length: 2", "connection: close") + b"ok", b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok"],
)
async def test_a_connection_that_the_upstream_will_close_is_not_used_again(
    transport: Transport, message: bytes
) -> None:
    async with Upstream(raw(message)) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            assert await response.read_all(10) == b"ok"
        assert len(upstream.connections) == 2


async def test_a_connection_that_died_while_idle_is_not_used_again(transport: Transport) -> None:
    async def script(wire: Wire, request: SeenRequest) -> None:
        await answer(b"ok")(wire, request)
        wire.close()

    async with Upstream(script) as upstream:
        for _ in range(3):
            response = await transport.open(call(upstream.origin()))
            assert await response.read_all(10) == b"ok"
            await upstream.until(lambda it: it.open_count == 0)
        assert len(upstream.requests) == 3


@pytest.mark.parametrize("ending", [reset(), raw(is_last=True)])
async def test_a_reused_connection_that_dies_without_a_byte_is_replaced_once(
    transport: Transport, ending: Callable[[Wire, SeenRequest], Awaitable[None]]
) -> None:
    async with Upstream(answer(b"ok"), then=[answer(b"ok"), ending]) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            assert await response.read_all(10) == b"ok"
        assert [request.connection for request in upstream.requests] == [0, 0, 1]


async def test_a_call_is_sent_twice_at_most(transport: Transport) -> None:
    async with Upstream(reset(), then=[answer(b"ok")]) as upstream:
        response = await transport.open(call(upstream.origin()))
        await response.read_all(10)
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin()))
        assert len(upstream.requests) == 3
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin()))
        assert len(upstream.requests) == 4


async def test_closing_the_transport_ends_calls_and_sockets(transport: Transport) -> None:
    async with Upstream(hang(), then=[answer(b"ok"), hang(head(200, "transfer-encoding: chunked"))]) as upstream:
        idle = await transport.open(call(upstream.origin()))
        await idle.read_all(10)
        streaming = await transport.open(call(upstream.origin()))
        reading = asyncio.create_task(streaming.read())
        opening = asyncio.create_task(transport.open(call(upstream.origin())))
        await upstream.until(lambda it: len(it.requests) == 3)
        await transport.aclose()
        for result in await asyncio.gather(reading, opening, return_exceptions=True):
            assert isinstance(result, UpstreamError)
        await upstream.until(lambda it: it.open_count == 0)
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin()))


# Memory.


async def test_a_reader_that_stops_stalls_the_upstream(transport: Transport) -> None:
    total = 100_000_000

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, f"content-length: {total}"))
        piece = b"x" * 100_000
        for _number in range(total // len(piece)):
            await wire.send(piece)

    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin()))
        first = len(await response.read())
        wire = upstream.connections[0]
        sent = -1
        while sent != wire.sent_bytes:  # until the kernel's buffers are full
            sent = wire.sent_bytes
            await asyncio.sleep(0.05)
        assert sent < 20_000_000
        largest = 0
        got = first
        while piece := await response.read():
            largest = max(largest, len(piece))
            got += len(piece)
        assert got == total
        assert largest <= 600_000


# TLS.


async def test_tls_works_with_a_known_authority(transport: Transport, authority: Authority) -> None:
    async with Upstream(chunked(b"safe"), tls=authority.server, ca_file=authority.ca_file) as upstream:
        for host in ("127.0.0.1", "localhost", "127.0.0.1"):
            response = await transport.open(call(upstream.origin(host=host), within_s=5.0))
            assert await response.read_all(10) == b"safe"
        assert len(upstream.connections) == 2


async def test_tls_with_an_unknown_authority_is_unreachable(transport: Transport, authority: Authority) -> None:
    async with Upstream(tls=authority.server) as upstream:
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin()))
        assert upstream.requests == []


async def test_tls_for_another_name_is_unreachable(transport: Transport, authority: Authority) -> None:
    async with Upstream(tls=authority.server, ca_file=authority.ca_file) as upstream:
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin(host="127.0.0.2")))
        assert upstream.requests == []


async def test_a_trust_file_that_is_missing_or_no_certificate_is_unreachable(
    transport: Transport, authority: Authority
) -> None:
    for ca_file in ("/nowhere/ca.pem", __file__):
        async with Upstream(tls=authority.server, ca_file=ca_file) as upstream:
            with failing(UpstreamUnreachable):
                await transport.open(call(upstream.origin()))


async def test_tls_to_a_plain_server_is_unreachable(transport: Transport) -> None:
    async def say_hello(wire: Wire) -> None:
        await wire.send(b"220 hello\r\n" * 10)
        await wire.has_left.wait()

    async with Upstream(on_connect=say_hello) as plain:
        with failing(UpstreamUnreachable):
            await transport.open(call(plain.origin(scheme="https"), within_s=5.0))


async def test_a_tls_stream_that_is_cut_is_broken(transport: Transport, authority: Authority) -> None:
    script = reset(head(200, "transfer-encoding: chunked"), chunk(b"some"))
    async with Upstream(script, tls=authority.server, ca_file=authority.ca_file) as upstream:
        response = await transport.open(call(upstream.origin()))
        with failing(StreamBroken):
            while await response.read():
                pass


async def test_calls_go_over_unix_sockets(transport: Transport, unix_path: str) -> None:
    async with Upstream(chunked(b"near"), unix_path=unix_path) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            assert await response.read_all(10) == b"near"
        assert upstream.requests[0].headers["host"] == "localhost"
    with failing(UpstreamUnreachable):
        await transport.open(call(upstream.origin()))

"""What every transport promises about answers, framing and failures, over real sockets."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamUnreachable
from atp_engine.providers.transport import Origin, Transport, UpstreamResponse
from tests.support.transports import call, failing
from tests.support.upstream import (
    LAST_CHUNK,
    SeenRequest,
    Upstream,
    Wire,
    answer,
    chunk,
    chunked,
    drip,
    head,
    raw,
    reset,
    until_eof,
)

BIG = bytes(range(256)) * 20_000  # 5 MB


async def pieces_of(response: UpstreamResponse) -> list[bytes]:
    pieces = []
    while piece := await response.read():
        pieces.append(piece)
    return pieces


async def test_an_answer_arrives_with_status_headers_and_body(transport: Transport) -> None:
    script = answer(b'{"a":1}', 429, "Retry-After: 7", "X-Twice: one", "X-Twice: two")
    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert response.status == 429
        assert response.header(b"retry-after") == b"7"
        assert response.header(b"x-twice") == b"one"
        assert (b"x-twice", b"two") in response.headers
        assert response.header(b"missing") == b""
        assert await response.read_all(1_000) == b'{"a":1}'
        assert await response.read() == b""
        response.close()
        response.close()


async def test_the_call_is_sent_as_given_with_the_headers_that_the_transport_owns(transport: Transport) -> None:
    async with Upstream() as upstream:
        headers = b"authorization: Bearer k\r\nx-odd:  two  words\r\n"
        response = await transport.open(
            call(upstream.origin(), b"hello", target=b"/v1/a%2Fb?x=1&y=%20", headers=headers)
        )
        await response.read_all(100)
        seen = upstream.requests[0]
        assert (seen.method, seen.target, seen.body) == ("POST", "/v1/a%2Fb?x=1&y=%20", b"hello")
        assert seen.headers["host"] == f"127.0.0.1:{upstream.port}"
        assert seen.headers["accept-encoding"] == "identity"
        assert seen.headers["content-length"] == "5"
        assert seen.headers["authorization"] == "Bearer k"
        assert set(seen.headers) == {"host", "accept-encoding", "content-length", "authorization", "x-odd"}


async def test_a_get_has_no_body_and_no_length(transport: Transport) -> None:
    async with Upstream() as upstream:
        response = await transport.open(call(upstream.origin(), b"", method=b"GET", headers=b""))
        assert await response.read_all(100) == b"{}"
        assert "content-length" not in upstream.requests[0].headers


async def test_an_empty_post_says_that_its_length_is_zero(transport: Transport) -> None:
    async with Upstream() as upstream:
        response = await transport.open(call(upstream.origin(), b""))
        await response.read_all(100)
        assert upstream.requests[0].headers["content-length"] == "0"


async def test_a_large_body_goes_up_and_comes_down_whole(transport: Transport) -> None:
    async def echo(wire: Wire, request: SeenRequest) -> None:
        await answer(request.body)(wire, request)

    async with Upstream(echo) as upstream:
        response = await transport.open(call(upstream.origin(), BIG))
        assert await response.read_all(len(BIG)) == BIG


async def test_chunks_are_joined_without_their_framing(transport: Transport) -> None:
    async with Upstream(chunked(b"one ", b"two ", b"three")) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert b"".join(await pieces_of(response)) == b"one two three"


async def test_trailers_and_chunk_extensions_are_not_part_of_the_answer(transport: Transport) -> None:
    message = head(200, "transfer-encoding: chunked") + b"2;n=v\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n"
    async with Upstream(raw(message)) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            assert await response.read_all(100) == b"ok"
            assert response.header(b"x-trailer") == b""
        assert len(upstream.connections) == 1


async def test_a_body_without_a_length_ends_with_the_connection(transport: Transport) -> None:
    async with Upstream(until_eof(b"one ", b"two")) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert b"".join(await pieces_of(response)) == b"one two"


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_end_at_once(transport: Transport, status: int) -> None:
    async with Upstream(raw(head(status))) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            assert (response.status, await response.read_all(100)) == (status, b"")
        assert len(upstream.connections) == 1


async def test_the_answer_to_head_has_headers_only(transport: Transport) -> None:
    async with Upstream(raw(head(200, "content-length: 999"))) as upstream:
        response = await transport.open(call(upstream.origin(), b"", method=b"HEAD"))
        assert (response.header(b"content-length"), await response.read()) == (b"999", b"")


async def test_interim_answers_are_skipped(transport: Transport) -> None:
    interim = head(100) + head(103, "link: <x>; rel=preload", "content-encoding: gzip")
    async with Upstream(raw(interim, head(200, "content-length: 2"), b"ok")) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert (response.status, await response.read_all(100)) == (200, b"ok")
        assert response.header(b"link") == b""


@pytest.mark.parametrize("framing", ["length", "chunks", "eof"])
async def test_an_answer_may_arrive_byte_by_byte(transport: Transport, framing: str) -> None:
    message = {
        "length": head(200, "x-a: b", "content-length: 11") + b"hello world",
        "chunks": head(200, "transfer-encoding: chunked") + chunk(b"hello ") + chunk(b"world") + LAST_CHUNK,
        "eof": head(200, "connection: close") + b"hello world",
    }[framing]

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.drip(message)
        if framing == "eof":
            wire.close()

    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert b"".join(await pieces_of(response)) == b"hello world"


async def test_read_gives_everything_that_has_arrived(transport: Transport) -> None:
    sent = asyncio.Event()

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "transfer-encoding: chunked"))
        for piece in (b"one ", b"two ", b"three "):
            await wire.send(chunk(piece))
        await asyncio.sleep(0.05)  # the loop delivers them meanwhile
        sent.set()
        await wire.has_left.wait()

    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin()))
        await sent.wait()
        assert await response.read() == b"one two three "
        response.close()


async def test_a_pump_gives_all_that_comes_and_stops_when_it_is_told(transport: Transport) -> None:
    go_on = asyncio.Event()

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(head(200, "transfer-encoding: chunked") + chunk(b"one"))
        await go_on.wait()
        await wire.drip(chunk(b"two") + chunk(b"stop") + chunk(b"three") + LAST_CHUNK)

    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin()))
        seen = b""

        def take(piece: bytes) -> bool:
            nonlocal seen
            seen += piece
            go_on.set()
            return not seen.endswith(b"stop")

        assert await response.pump(take)
        assert seen == b"onetwostop"
        assert not await response.pump(take)
        assert seen == b"onetwostopthree"
        assert not await response.pump(take)
        response.close()


async def test_what_goes_wrong_while_pumping_is_raised_there(transport: Transport) -> None:
    def fail(piece: bytes) -> bool:
        raise LookupError(piece.decode())

    async with Upstream(chunked(b"one", b"two")) as upstream:
        response = await transport.open(call(upstream.origin()))
        with pytest.raises(LookupError):
            await response.pump(fail)
        response.close()
    async with Upstream(raw(head(200, "content-length: 9"), b"half", is_last=True)) as upstream:
        response = await transport.open(call(upstream.origin()))
        with pytest.raises(StreamBroken):
            await response.pump(lambda piece: True)


async def test_a_redirect_is_returned_and_cookies_are_forgotten(transport: Transport) -> None:
    async with Upstream(answer(b"", 307, "location: /elsewhere", "set-cookie: a=b; path=/")) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            assert (response.status, response.header(b"location")) == (307, b"/elsewhere")
            await response.read_all(10)
        assert [request.target for request in upstream.requests] == ["/v1/chat"] * 2
        assert "cookie" not in upstream.requests[1].headers


async def test_a_refused_connection_is_unreachable(transport: Transport) -> None:
    async with Upstream() as upstream:
        origin = upstream.origin()
    with failing(UpstreamUnreachable):
        await transport.open(call(origin))


async def test_a_host_that_is_no_name_is_unreachable(transport: Transport) -> None:
    with failing(UpstreamUnreachable):
        await transport.open(call(Origin("http", "a..b", 80)))


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 2", head(200, "content-length: 2")[:-2]])
@pytest.mark.parametrize("ending", ["reset", "close", "half_close"])
async def test_a_connection_that_ends_before_the_headers_is_unreachable(
    transport: Transport, first: bytes, ending: str
) -> None:
    async def script(wire: Wire, _: SeenRequest) -> None:
        if first:
            await wire.send(first)
            await asyncio.sleep(0.01)
        getattr(wire, ending)()

    async with Upstream(script) as upstream:
        with failing(UpstreamUnreachable):
            await transport.open(call(upstream.origin()))
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "message",
    [
        b"<html>hello</html>\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        head(99),
        head(101, "upgrade: websocket", "connection: upgrade"),
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        head(200, "content-length: -1"),
        head(200, "content-length: 2", "content-length: 3") + b"abc",
        head(200, "content-length: 2", "transfer-encoding: chunked") + b"abc",
        head(200, "content-length: 99999999999999999999999999"),
        head(200, "content-encoding: gzip", "content-length: 2") + b"ab",
        head(200, "content-encoding: br", "transfer-encoding: chunked") + chunk(b"ab") + LAST_CHUNK,
        head(200, "transfer-encoding: gzip, chunked") + chunk(b"ab") + LAST_CHUNK,
        head(200, "x-long: " + "y" * 70_000),
        head(200, *(f"x-{number}: {'y' * 100}" for number in range(700))),
    ],
)
async def test_what_is_not_an_acceptable_answer_is_named_so(transport: Transport, message: bytes) -> None:
    async with Upstream(raw(message)) as upstream:
        with failing(BadUpstreamReply):
            await transport.open(call(upstream.origin(), within_s=5.0))


async def test_headers_without_end_are_cut_off(transport: Transport) -> None:
    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(b"HTTP/1.1 200 OK\r\nx: ")
        while not wire.has_left.is_set():
            await wire.send(b"y" * 1_000)

    async with Upstream(script) as upstream:
        with failing(BadUpstreamReply):
            await transport.open(call(upstream.origin(), within_s=5.0))
        await upstream.until(lambda it: it.open_count == 0)


async def test_identity_as_an_encoding_is_fine(transport: Transport) -> None:
    async with Upstream(answer(b"ok", 200, "content-encoding: identity")) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert await response.read_all(10) == b"ok"


@pytest.mark.parametrize(
    "start",
    [
        head(200, "content-length: 100") + b"some",
        head(200, "transfer-encoding: chunked") + chunk(b"some"),
        head(200, "transfer-encoding: chunked") + chunk(b"some") + b"5\r\nha",
    ],
)
@pytest.mark.parametrize("ending", ["reset", "close", "half_close"])
async def test_an_answer_that_ends_early_is_broken(transport: Transport, start: bytes, ending: str) -> None:
    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.send(start)
        await asyncio.sleep(0.01)
        getattr(wire, ending)()

    async with Upstream(script) as upstream:
        response = await transport.open(call(upstream.origin()))
        with failing(StreamBroken):
            await pieces_of(response)
        with failing(StreamBroken):
            await response.read()
        response.close()
        assert len(upstream.requests) == 1


async def test_a_body_without_a_length_that_is_reset_is_broken(transport: Transport) -> None:
    async with Upstream(reset(head(200) + b"some")) as upstream:
        response = await transport.open(call(upstream.origin()))
        with failing(StreamBroken):
            await pieces_of(response)


@pytest.mark.parametrize("garbage", [b"zz\r\nsome", b"-1\r\n", b"5\r\nhello!!", b"ffffffffffffffffffff\r\n"])
async def test_chunks_that_make_no_sense_are_broken(transport: Transport, garbage: bytes) -> None:
    async with Upstream(raw(head(200, "transfer-encoding: chunked"), chunk(b"ok"), garbage)) as upstream:
        response = await transport.open(call(upstream.origin()))
        with failing(StreamBroken):
            await pieces_of(response)
        await upstream.until(lambda it: it.open_count == 0)


@pytest.mark.parametrize("extra", [b"more", head(200, "content-length: 4") + b"evil", b"HTTP/1.1 20"])
async def test_bytes_after_the_answer_never_reach_the_next_call(transport: Transport, extra: bytes) -> None:
    good = head(200, "content-length: 2") + b"ok"
    async with Upstream(raw(good), then=[raw(good + extra)]) as upstream:
        for _ in range(2):
            with suppress(BadUpstreamReply):  # aiohttp may refuse the whole answer for what follows it
                response = await transport.open(call(upstream.origin()))
                assert await response.read_all(100) == b"ok"
        response = await transport.open(call(upstream.origin()))
        assert (response.status, await response.read_all(100)) == (200, b"ok")


async def test_read_all_stops_at_the_cap(transport: Transport) -> None:
    async with Upstream(answer(b"x" * 1_000), then=[chunked(b"x" * 600, b"x" * 600)]) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin()))
            with failing(BadUpstreamReply):
                await response.read_all(999)
        response = await transport.open(call(upstream.origin()))
        assert len(await response.read_all(1_000)) == 1_000


async def test_an_answer_before_the_whole_request_is_read_counts(transport: Transport) -> None:
    async def refuse(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.send(head(413, "content-length: 4", "connection: close") + b"full")
        while await wire.reader.read(65_536):
            pass
        wire.close()

    async with Upstream(on_connect=refuse) as upstream:
        for _ in range(2):
            response = await transport.open(call(upstream.origin(), BIG, within_s=5.0))
            assert (response.status, await response.read_all(100)) == (413, b"full")
        assert len(upstream.connections) == 2


async def test_drip_script_serves_other_tests(transport: Transport) -> None:
    async with Upstream(drip(head(200, "content-length: 1") + b"x")) as upstream:
        response = await transport.open(call(upstream.origin()))
        assert await response.read_all(10) == b"x"

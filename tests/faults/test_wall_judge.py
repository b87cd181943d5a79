"""The wall's judge finds every planted lie, and lets an honest gateway pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from atp_console.wall.runner import Result, Wall, run_case, scenes
from atp_console.wall.scenarios import cases
from atp_console.wall.upstream import UPSTREAM_KEY, WallUpstream, listen
from tests.support.gateways import CHUNK, STREAM_HEAD, Reply, error_answer, gateway, relays, says

STOPPED = ("data: " + CHUNK % ("{}", '"stop"') + "\n\n").encode()
DONE = b"data: [DONE]\n\n"
TOLD = b'data: {"error":{"message":"broke off","type":"server_error","param":null,"code":"stream_broken"}}\n\n'
FILTERED = error_answer(400, "content filtering policy", "content_filter", "x-request-id: r1")


@asynccontextmanager
async def upstream_for(name: str) -> AsyncIterator[WallUpstream]:
    chosen = cases(names=(name,), variants=("chat",))
    async with WallUpstream(scenes(chosen), 0.01, listen("127.0.0.1", 0)) as upstream:
        yield upstream


async def judged(name: str, reply: Reply, upstream: WallUpstream) -> Result:
    chosen = cases(names=(name,), variants=("chat",))
    async with gateway(reply) as target:
        return await run_case(chosen[0], Wall(chosen, target, factor=100.0), upstream)


async def verdict(name: str, answer: bytes) -> str:
    """The complaints about a gateway that always says the same."""
    async with upstream_for(name) as upstream:
        return "\n".join((await judged(name, says(answer), upstream)).complaints)


async def test_a_gateway_that_tells_of_the_cut_passes() -> None:
    async with upstream_for("cut-after-40") as upstream:
        result = await judged("cut-after-40", relays(upstream.port, "primary", TOLD), upstream)
        assert result.complaints == ()
        assert result.saw == "broken stream_broken after 40 tokens by primary; upstream calls 1+0"


@pytest.mark.parametrize("ending", [STOPPED + DONE, STOPPED, DONE])
async def test_an_invented_end_of_a_cut_stream_is_a_lie(ending: bytes) -> None:
    async with upstream_for("cut-after-40") as upstream:
        result = await judged("cut-after-40", relays(upstream.port, "primary", ending), upstream)
        assert any("LIE" in complaint and "did not finish" in complaint for complaint in result.complaints)


async def test_a_cut_that_is_passed_on_in_silence_is_no_end() -> None:
    async with upstream_for("cut-after-40") as upstream:
        result = await judged("cut-after-40", relays(upstream.port, "primary", b""), upstream)
        assert "saw unfinished, expected broken" in result.complaints


async def test_an_answer_that_nobody_gave_is_a_lie() -> None:
    chunk = ("data: " + CHUNK % ('{"content":"as an AI "}', "null") + "\n\n").encode()
    said = await verdict("unavailable-forever", STREAM_HEAD + chunk + STOPPED + DONE)
    assert "LIE: text that no upstream sent" in said
    assert "0 calls of the primary, expected 1 to 2" in said


async def test_events_after_the_end_are_malformed() -> None:
    async with upstream_for("cut-after-40") as upstream:
        result = await judged("cut-after-40", relays(upstream.port, "primary", TOLD + DONE), upstream)
        assert "malformed: an event after the end" in result.complaints


async def test_a_gateway_that_never_ends_is_a_hang() -> None:
    async with upstream_for("content-filter") as upstream:
        chosen = cases(names=("content-filter",), variants=("chat",))
        async with gateway(relays(upstream.port, "nobody", b"", reads_all=True)) as target:
            result = await run_case(chosen[0], Wall(chosen, target, factor=100.0), upstream)
        assert any(complaint.startswith("HANG") for complaint in result.complaints)


@pytest.mark.parametrize("status", [200, 502])
async def test_a_page_is_no_answer(status: int) -> None:
    page = b"<html>Bad gateway</html>"
    head = f"HTTP/1.1 {status} OK\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\n\r\n".encode()
    said = await verdict("content-filter", head + page)
    assert "malformed" in said
    assert "no request id" in said


async def test_what_is_inside_must_stay_inside() -> None:
    for secret in (UPSTREAM_KEY, "Traceback (most recent call last)", "a-client-key"):
        said = await verdict(
            "content-filter", error_answer(400, f"content filtering policy {secret}", "content_filter")
        )
        assert "leak:" in said


async def test_the_upstreams_401_is_not_the_callers() -> None:
    said = await verdict("upstream-401-alone", error_answer(401, "bad key", "invalid_api_key", "x-request-id: r1"))
    assert "the caller got 401 for a fault of the upstream" in said


async def test_an_error_must_have_the_dialects_shape() -> None:
    body = b'{"detail": "no"}'
    head = f"HTTP/1.1 400 Bad\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    said = await verdict("content-filter", head + body)
    assert "an error without a message" in said
    assert "an error without a type" in said


async def test_a_wrong_length_is_a_broken_connection() -> None:
    said = await verdict("content-filter", FILTERED.replace(b"content-length: ", b"content-length: 9"))
    assert "saw cut, expected error" in said


async def test_two_frames_at_once_are_malformed() -> None:
    said = await verdict(
        "content-filter", FILTERED.replace(b"x-request-id", b"transfer-encoding: chunked\r\nx-request-id")
    )
    assert "both a length and chunks" in said

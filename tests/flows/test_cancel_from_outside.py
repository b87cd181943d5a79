"""An operator ends a request: its client is told so in its dialect, the upstream is closed, it is on record."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from tests.support.running import running, upstream_config
from tests.support.upstream import Script, Upstream, chunk, hang, head

EVENT = chunk(b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n')
STREAM = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize(
    ("script", "is_stream", "is_begun"),
    [(hang(), False, False), (hang(), True, False), (hang(STREAM), True, False), (hang(STREAM, EVENT), True, True)],
    ids=["whole", "before the headers", "before the content", "in the stream"],
)
async def test_a_request_cancelled_from_outside_ends_in_an_error_that_says_so(
    tmp_path: Path, path: str, script: Script, is_stream: bool, is_begun: bool
) -> None:
    body = {"model": "auto", "stream": is_stream, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    async with (
        Upstream(script) as upstream,
        running(tmp_path, upstream_config({"only": upstream.port})) as engine,
    ):
        call = asyncio.create_task(engine.post(path, body))
        await upstream.until(lambda it: len(it.requests) == 1)
        live = engine.engine.observatory
        wanted = "streaming" if is_begun else "connecting"
        await engine.until(lambda: [one.state for one in live.snapshot().requests] == [wanted])
        (request,) = live.snapshot().requests
        reply = await engine.admin("POST", f"/admin/requests/{request.id}/cancel", b"{}")
        cancelled_at = time.monotonic()
        assert reply.json() == {"cancelled": True}
        await upstream.until(lambda it: it.open_count == 0)
        assert time.monotonic() - cancelled_at < 1.0
        answer = await call
        if is_begun:
            assert answer.status == 200
            events = answer.events()
            error = events[-1]["error"]
            assert "[DONE]" not in events
            assert all(isinstance(event, dict) and event.get("type") != "message_stop" for event in events)
        else:
            assert answer.status == 499
            error = answer.json()["error"]
        assert "cancelled" in error["message"]
        assert error.get("code", "request_cancelled") == "request_cancelled"
        detail = await engine.request(request.id)
        assert (detail["request"]["state"], detail["request"]["error_code"]) == ("cancelled", "request_cancelled")
        (attempt,) = detail["attempts"]
        assert attempt["outcome"] == "cancelled"
        assert bool(attempt["usage"]["output_tokens"]) is is_begun
        assert (await engine.status())["in_flight"] == 0
        again = await engine.admin("POST", f"/admin/requests/{request.id}/cancel", b"{}")
        assert again.json() == {"cancelled": False}

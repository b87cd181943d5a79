"""A time limit that runs out is named, with its seconds, to the client and in the trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.running import running, upstream_config
from tests.support.upstream import Script, Upstream, chunk, hang, head

EVENT = chunk(b'data: {"id":"c","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n')
STREAM = head(200, "content-type: text/event-stream", "transfer-encoding: chunked")
BEGUN = head(200, "content-type: application/json", "content-length: 400") + b'{"id"'


@pytest.mark.parametrize(
    ("limits", "script", "is_stream", "said"),
    [
        ("ttft_s = 0.2", hang(), True, "ttft limit of 0.2 s"),
        ("ttft_s = 0.2", hang(STREAM), True, "ttft limit of 0.2 s"),
        ("idle_s = 0.2", hang(STREAM, EVENT), True, "idle limit of 0.2 s"),
        ("total_s = 0.2", hang(), True, "total limit of 0.2 s"),
        ("total_s = 0.2", hang(STREAM, EVENT), True, "total limit of 0.2 s"),
        ("ttft_s = 0.2", hang(), False, "ttft limit of 0.2 s"),
        ("idle_s = 0.2", hang(BEGUN), False, "idle limit of 0.2 s"),
        ("total_s = 0.2", hang(), False, "total limit of 0.2 s"),
    ],
)
async def test_the_limit_that_ran_out_is_named_to_the_client_and_in_the_trace(
    tmp_path: Path, limits: str, script: Script, is_stream: bool, said: str
) -> None:
    body = {"model": "auto", "stream": is_stream, "messages": [{"role": "user", "content": "hello"}]}
    async with Upstream(script) as upstream:
        config = upstream_config({"only": upstream.port}, extra=f"[routes.auto.timeouts]\n{limits}\n")
        async with running(tmp_path, config) as engine:
            answer = await engine.post("/v1/chat/completions", body)
            error = answer.events()[-1]["error"] if answer.status == 200 else answer.json()["error"]
            assert error["code"] == "upstream_timeout"
            assert said in error["message"]
            (attempt,) = (await engine.request(answer.headers["x-atp-request-id"]))["attempts"]
            assert said in attempt["message"]
            assert attempt["outcome"] == ("truncated" if answer.status == 200 else "timeout")


async def test_a_whole_answer_may_begin_late_but_not_stall(tmp_path: Path) -> None:
    """The idle limit does not count before the body begins."""
    body = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
    async with Upstream(hang(head(200, "content-type: application/json", "content-length: 400"))) as upstream:
        extra = "[routes.auto.timeouts]\nidle_s = 0.1\ntotal_s = 0.5\n"
        async with running(tmp_path, upstream_config({"only": upstream.port}, extra=extra)) as engine:
            answer = await engine.post("/v1/chat/completions", body)
            assert answer.status == 504
            assert "total limit of 0.5 s" in answer.json()["error"]["message"]

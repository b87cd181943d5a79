"""When a deployment fails: another one answers before the first content, and nothing is hidden after it."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.running import SIMULATED, running


async def test_a_failing_first_rank_is_passed_over_and_both_attempts_are_told(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        body = {
            "model": "auto",
            "stream": True,
            "messages": [{"role": "user", "content": "[[sim:429 on=sim-instant]] hello"}],
            "max_tokens": 8,
        }
        answer = await engine.post("/v1/chat/completions", body)
        assert answer.status == 200
        assert answer.events()[-1] == "[DONE]"
        assert answer.headers["x-atp-deployment"] == "sim-fast"
        assert answer.headers["x-atp-attempts"] == "2"
        detail = await engine.request(answer.headers["x-atp-request-id"])
        assert [attempt["outcome"] for attempt in detail["attempts"]] == ["rate_limited", "ok"]
        assert detail["attempts"][0]["cost_nusd"] == 0


async def test_a_stream_that_breaks_after_content_ends_in_an_error_and_is_recorded_as_truncated(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        for path in ("/v1/chat/completions", "/v1/messages"):
            body = {
                "model": "sim-instant",
                "stream": True,
                "max_tokens": 400,
                "messages": [{"role": "user", "content": "[[sim:cut after=5]] hello"}],
            }
            answer = await engine.post(path, body)
            assert answer.status == 200
            events = answer.events()
            assert "error" in events[-1]
            assert "[DONE]" not in events
            assert "message_stop" not in json.dumps(events)
            view = (await engine.request(answer.headers["x-atp-request-id"]))["request"]
            assert view["state"] == "truncated"
            assert view["output_tokens"] > 0
            assert view["is_usage_estimated"]


async def test_a_refusal_of_the_request_itself_is_passed_on_and_not_retried(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        body = {"model": "auto", "messages": [{"role": "user", "content": "[[sim:filter]] hello"}]}
        answer = await engine.post("/v1/chat/completions", body)
        assert answer.status == 400
        detail = await engine.request(answer.headers["x-atp-request-id"])
        assert [attempt["outcome"] for attempt in detail["attempts"]] == ["content_blocked"]

"""An operator's own requests: a prompt tried, a recorded request sent again or only decided again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.running import Running, running

_CONFIG = """
[providers.sim]
kind = "simulated"
[deployments.fast]
provider = "sim"
model = "sim-fast"
[deployments.large]
provider = "sim"
model = "sim-large"
[routes.auto]
deployments = ["fast", "large"]
[storage]
is_bodies_kept = true
{extra}
"""


async def _ended(engine: Running, request_id: str) -> dict[str, Any]:
    def is_over() -> bool:
        found = [one for one in engine.engine.observatory.snapshot().requests if one.id == request_id]
        return bool(found) and found[0].state.is_final

    await engine.until(is_over, deadline_s=10.0)
    detail: dict[str, Any] = (await engine.admin("GET", f"/admin/requests/{request_id}")).json()
    return detail


async def test_a_prompt_is_a_real_request_that_can_be_followed_by_its_id(tmp_path: Path) -> None:
    async with running(tmp_path, _CONFIG.format(extra="")) as engine:
        ask = {"model": "large", "prompt": "two words about routers", "system": "be brief", "max_tokens": 12}
        started = (await engine.admin("POST", "/admin/plays", json.dumps(ask).encode())).json()
        detail = await _ended(engine, started["request_id"])
        assert detail["request"]["state"] == "ok"
        assert detail["request"]["served"] == "large"
        assert detail["request"]["key_name"] == "console"
        assert detail["request"]["cost_nusd"] > 0
        assert detail["response_body"].count("data: ") > 3, "the whole stream is kept"
        sent = json.loads(detail["request_body"])
        assert sent["max_tokens"] == 12
        assert [message["role"] for message in sent["messages"]] == ["system", "user"]
        audit = (await engine.admin("GET", "/admin/audit?limit=1")).json()["entries"]
        assert (audit[0]["action"], audit[0]["target"]) == ("request.played", started["request_id"])


async def test_a_recorded_request_is_sent_again_as_it_was_or_on_another_model(tmp_path: Path) -> None:
    async with running(tmp_path, _CONFIG.format(extra="")) as engine:
        body = {"model": "fast", "max_tokens": 20, "messages": [{"role": "user", "content": "say something"}]}
        first = await engine.post("/v1/messages", body)
        original = first.headers["x-atp-request-id"]
        again = (await engine.admin("POST", f"/admin/requests/{original}/replay", b"{}")).json()
        assert (await _ended(engine, again["request_id"]))["request"]["served"] == "fast"
        other = (await engine.admin("POST", f"/admin/requests/{original}/replay", b'{"model": "large"}')).json()
        detail = await _ended(engine, other["request_id"])
        assert detail["request"]["served"] == "large"
        assert detail["request"]["dialect"] == "anthropic"
        assert json.loads(detail["request_body"])["messages"] == body["messages"]
        decision = (await engine.admin("GET", f"/admin/requests/{original}/decision?model=auto")).json()
        assert [one["deployment"] for one in decision["candidates"]] == ["fast", "large"]


async def test_what_cannot_be_sent_again_is_refused_and_says_why(tmp_path: Path) -> None:
    async with running(tmp_path, _CONFIG.format(extra="body_max_bytes = 1024")) as engine:
        big = {"model": "fast", "max_tokens": 5, "messages": [{"role": "user", "content": "x" * 3000}]}
        request_id = (await engine.post("/v1/chat/completions", big)).headers["x-atp-request-id"]
        refused = await engine.admin("POST", f"/admin/requests/{request_id}/replay", b"{}")
        assert refused.status == 409
        assert "was cut" in refused.json()["error"]["message"]
        unknown = await engine.admin("POST", "/admin/requests/req_none/replay", b"{}")
        assert unknown.status == 404
        for body, words in (
            (b'{"model": "fast", "prompt": " "}', "nothing to send"),
            (b'{"model": "fsat", "prompt": "x"}', "fast"),
            (b'{"model": "fast", "prompt": "x", "colour": 1}', "colour"),
        ):
            answer = await engine.admin("POST", "/admin/plays", body)
            assert answer.status in (400, 404)
            assert words in answer.json()["error"]["message"]

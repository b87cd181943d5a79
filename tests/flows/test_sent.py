"""What a client sent beside what went up: the engine tells exactly what an upstream on a socket saw."""

from __future__ import annotations

import json
from pathlib import Path

from atp_engine.client.endpoint import Endpoint
from atp_engine.client.engine_client import connect
from tests.support.running import running
from tests.support.upstream import Upstream, answer

_CONFIG = """
[server]
port = 0
[providers.one]
kind = "custom"
base_url = "http://127.0.0.1:{one}/v1"
dialect = "openai_chat"
is_local = true
api_key = "file:{key}"
[providers.one.headers]
x-team = "red team only"
[providers.two]
kind = "custom"
base_url = "http://127.0.0.1:{two}/v1"
dialect = "anthropic"
is_local = true
[deployments.first]
provider = "one"
model = "model-one"
[deployments.second]
provider = "two"
model = "model-two"
price = {{ input = 1.0, output = 10.0 }}
[routes.auto]
deployments = ["first", "second"]
[storage]
body_max_bytes = 4096
"""
_REPLY = {
    "id": "m", "type": "message", "role": "assistant", "model": "model-two", "stop_reason": "end_turn",
    "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1000, "output_tokens": 500},
}  # fmt: skip
_BODY = {
    "model": "auto",
    "logit_bias": {"50256": -100},
    "max_tokens": 9,
    "messages": [{"role": "user", "content": "my key is sk-proj-abcdefghijklmnop0123 please"}],
}
_HEADERS = {"x-stainless-lang": "python", "x-company-token": "hush hush", "openai-beta": "a=1", "cookie": "id=77"}


async def test_both_sides_of_a_failover_are_told_as_the_upstreams_saw_them(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("sk-proj-0123456789abcdefghijklmnop")
    key.chmod(0o600)
    async with (
        Upstream(answer(b"{}", 401)) as one,
        Upstream(answer(json.dumps(_REPLY).encode())) as two,
        running(tmp_path, _CONFIG.format(key=key, one=one.port, two=two.port)) as engine,
    ):
        said = await engine.post("/v1/chat/completions", _BODY, _HEADERS)
        assert said.status == 200
        request_id = said.headers["x-atp-request-id"]
        client = connect(Endpoint(engine.url, token=engine.admin_token))
        try:
            view = await client.sent(request_id)
            detail = await client.request(request_id)
        finally:
            await client.aclose()
        big = await engine.post("/v1/chat/completions", {**_BODY, "messages": [_said("x" * 9000)]})
        cut = (await engine.admin("GET", f"/admin/requests/{big.headers['x-atp-request-id']}/sent")).json()
        unknown = await engine.admin("GET", "/admin/requests/req_none/sent")

    assert [(call.deployment, call.model, call.is_translated) for call in view.calls] == [
        ("first", "model-one", False),
        ("second", "model-two", True),
    ]
    first, second = view.calls
    for call, upstream in ((first, one), (second, two)):
        seen = upstream.requests[0]
        assert call.url == f"{upstream.url}{seen.target}"
        assert call.body is not None
        told = json.loads(call.body)
        assert json.dumps(told).replace("sk-***", "sk-proj-abcdefghijklmnop0123") == json.dumps(json.loads(seen.body))
        lines = {header.name: header.value for header in call.headers}
        assert set(lines) == set(seen.headers) - {"host", "content-length", "connection", "accept-encoding"}
        for name, value in lines.items():
            assert value in ("***", seen.headers[name])
    assert {header.name: (header.value, header.fate) for header in first.headers} | {"user-agent": None} == {
        "content-type": ("application/json", "ours"),
        "user-agent": None,
        "x-team": ("***", "ours"),
        "authorization": ("***", "ours"),
        "openai-beta": ("a=1", "passed"),
        "x-stainless-lang": ("python", "passed"),
    }
    assert second.dropped_fields == ("logit_bias",)
    assert view.headers is not None
    client_side = {header.name: (header.value, header.fate) for header in view.headers}
    assert client_side["x-company-token"] == ("***", "kept back")
    assert client_side["cookie"] == ("***", "kept back")
    assert client_side["authorization"] == ("***", "kept back")
    assert client_side["x-stainless-lang"] == ("python", "kept back"), "another dialect gets none of them"
    assert any("credentials in the body" in note for note in view.notes)
    costs = {one.deployment: (one.cost_nusd, one.is_sure) for one in detail.would_cost}
    assert costs == {"first": (0, True), "second": (6_000_000, True)}
    assert {call["body"] for call in cut["calls"]} == {None}
    assert all("body_max_bytes" in call["note"] for call in cut["calls"])
    assert unknown.status == 404


def _said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}

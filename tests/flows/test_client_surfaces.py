"""What clients find around the chat calls: models, counts, bases, pre-flight calls, and what of them goes upstream."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio

from tests.support.running import SIMULATED, Running, running, upstream_config
from tests.support.upstream import Upstream, answer

SAID = [{"role": "user", "content": "What does a router for language models do?"}]
CHAT_REPLY = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 2, "total_tokens": 42},
}
MESSAGE_REPLY = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "hello"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 40, "output_tokens": 2},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One engine for what leaves no trace."""
    config = SIMULATED.replace(
        'model = "sim-fast"', 'model = "sim-fast"\ncontext_tokens = 32000\nmax_output_tokens = 64'
    )
    async with running(tmp_path_factory.mktemp("surfaces"), config) as engine:
        yield engine


@pytest.mark.asyncio(loop_scope="module")
async def test_models_are_listed_in_the_shape_of_the_sdk_that_asks(own: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{own.url}/v1", api_key=own.key) as client:
        listed = [model async for model in client.models.list()]
        assert [model.id for model in listed] == ["auto", "sim-instant", "sim-fast"]
        one = (await client.models.retrieve("sim-fast")).model_dump()
        assert (one["context_tokens"], one["max_output_tokens"], one["is_usable"]) == (32000, 64, True)
        assert (one["health"], one["deployments"]) == ("unknown", ["sim-fast"])
        assert one["input_usd_per_mtok"] is not None
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("sim-nothing")
    async with anthropic.AsyncAnthropic(base_url=own.url, api_key=own.key) as other:
        page = await other.models.list(limit=2)
        assert [(model.id, model.type, model.display_name) for model in page.data] == [
            ("auto", "model", "auto"),
            ("sim-instant", "model", "sim-instant"),
        ]
        assert page.has_more
        assert [model.id async for model in page] == ["auto", "sim-instant", "sim-fast"]
        assert (await other.models.retrieve("sim-fast")).max_input_tokens == 32000
        with pytest.raises(anthropic.NotFoundError):
            await other.models.retrieve("sim-nothing")
    for query in ("limit=0", "limit=x", "limit=99999", "after_id=nothing"):
        told = await own.call("GET", f"/v1/models?{query}", headers={"anthropic-version": "2026-10-21"})
        assert (told.status, told.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.asyncio(loop_scope="module")
async def test_tokens_are_counted_here_and_said_to_be_estimated(own: Running) -> None:
    async with anthropic.AsyncAnthropic(base_url=own.url, api_key=own.key) as client:
        raw = await client.messages.with_raw_response.count_tokens(model="auto", messages=SAID)  # type: ignore[arg-type]
        assert 10 < (await raw.parse()).input_tokens < 60
        assert raw.headers["x-atp-token-count"].startswith("estimate, ")
        with pytest.raises(anthropic.NotFoundError):
            await client.messages.count_tokens(model="nothing", messages=SAID)  # type: ignore[arg-type]
        with pytest.raises(anthropic.BadRequestError, match="messages"):
            await client.messages.count_tokens(model="auto", messages=[])
    wrong = await own.post("/v1/messages/count_tokens", {"model": "auto", "messages": [{"role": "x", "content": "y"}]})
    assert wrong.status == 400
    assert "messages[0].role" in wrong.json()["error"]["message"]


@pytest.mark.asyncio(loop_scope="module")
async def test_every_path_answers_under_a_vendors_base_too(own: Running) -> None:
    async with openai.AsyncOpenAI(base_url=f"{own.url}/openai/v1", api_key=own.key) as client:
        assert (await client.chat.completions.create(model="auto", messages=SAID)).choices  # type: ignore[arg-type]
        assert [model.id async for model in client.models.list()]
    async with anthropic.AsyncAnthropic(base_url=f"{own.url}/anthropic", api_key=own.key) as other:
        kind = {"messages": SAID, "model": "auto", "max_tokens": 9}
        assert (await other.messages.create(**kind)).content  # type: ignore[call-overload]
        assert (await other.messages.count_tokens(model="auto", messages=SAID)).input_tokens  # type: ignore[arg-type]
        assert [model.id async for model in other.models.list()]
    listed = await own.call("GET", "/anthropic/v1/models")  # no version: the base says whose shape
    assert listed.json()["data"][0]["type"] == "model"
    assert (await own.post("/openai/v1/ask", {"prompt": "x", "stream": False})).status == 200


@pytest.mark.asyncio(loop_scope="module")
async def test_pre_flight_calls_need_no_key_and_unknown_paths_say_what_there_is(own: Running) -> None:
    for method, path in [("HEAD", "/"), ("HEAD", "/api/hello"), ("HEAD", "/v1"), ("HEAD", "/v1/")]:
        told = await own.call(method, path, token="")
        assert (told.status, told.body) == (200, b"")
    about = await own.call("GET", "/", token="")
    assert about.json()["name"] == "atp-console"
    page = await own.call("GET", "/", headers={"accept": "text/html,application/xhtml+xml"}, token="")
    assert (page.status, page.headers["location"]) == (303, "/ui/")
    for path, headers, shape in [
        ("/v1/audio/speech", {}, "openai"),
        ("/openai/v1/audio/speech", {"anthropic-version": "2023-06-01"}, "openai"),
        ("/v1/files", {"anthropic-version": "2026-10-21"}, "anthropic"),
        ("/v1/messages/batches", {}, "anthropic"),
        ("/anthropic/v1/files", {}, "anthropic"),
    ]:
        told = await own.call("POST", path, b"{}", headers)
        assert told.status == 404, path
        if shape == "anthropic":
            assert told.json()["type"] == "error"
            assert told.json()["error"]["type"] == "not_found_error"
            assert told.headers["request-id"]
        else:
            assert told.json()["error"]["type"] == "not_found_error"
            assert told.headers["x-request-id"]
        message = told.json()["error"]["message"]
        assert f"POST {path}" in message
        assert "POST /v1/chat/completions" in message


@pytest.mark.asyncio(loop_scope="module")
async def test_compressed_bodies_are_refused_in_the_callers_dialect(own: Running) -> None:
    body = gzip.compress(json.dumps({"model": "auto", "messages": SAID, "max_tokens": 5}).encode())
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/ask"):
        told = await own.call("POST", path, body, {"content-encoding": "gzip"})
        assert told.status == 400
        assert "compressed" in told.json()["error"]["message"]
        if path in ("/v1/chat/completions", "/v1/ask"):
            assert told.json()["error"]["param"] == "content-encoding"


SENT = {
    "anthropic-beta": "context-management-2025-06-27,oauth-2025-04-20",
    "anthropic-version": "2026-10-21",
    "openai-beta": "assistants=v2",
    "openai-organization": "org-of-the-client",
    "openai-project": "proj-of-the-client",
    "x-stainless-lang": "python",
    "x-stainless-retry-count": "2",
    "cookie": "session=abc",
    "x-api-key": "",
    "x-goog-api-key": "",
    "proxy-authorization": "Basic abc",
    "connection": "close, x-secret-hop",
    "x-secret-hop": "1",
    "te": "trailers",
    "keep-alive": "timeout=9",
    "x-forwarded-for": "10.0.0.9",
    "x-atp-session": "abc",
    "x-claude-code-session-id": "0f1e",
    "forwarded": "for=10.0.0.9",
    "expect": "",
}
NEVER = {
    "cookie",
    "proxy-authorization",
    "x-secret-hop",
    "te",
    "keep-alive",
    "x-forwarded-for",
    "forwarded",
    "x-atp-session",
    "x-claude-code-session-id",
    "x-csrf-token",
}


@pytest.mark.parametrize(
    ("dialect", "path", "passed", "kept_back"),
    [
        (
            "openai_chat",
            "/v1/chat/completions",
            {"openai-beta", "x-stainless-lang", "x-stainless-retry-count"},
            {"anthropic-beta", "anthropic-version", "openai-organization", "openai-project"},
        ),
        (
            "anthropic",
            "/v1/messages?beta=true",
            {"anthropic-beta", "anthropic-version", "x-stainless-lang", "x-stainless-retry-count"},
            {"openai-beta", "openai-organization", "openai-project"},
        ),
    ],
)
async def test_only_what_a_vendor_expects_of_a_clients_headers_reaches_it(
    tmp_path: Path, dialect: str, path: str, passed: set[str], kept_back: set[str]
) -> None:
    reply = CHAT_REPLY if dialect == "openai_chat" else MESSAGE_REPLY
    async with Upstream(answer(json.dumps(reply).encode())) as upstream:
        config = upstream_config({"a": upstream.port}, dialect=dialect)
        config = config.replace("is_local = true\n", 'is_local = true\napi_key = "file:vendor.key"\n')
        (tmp_path / "vendor.key").write_text("sk-of-the-vendor")
        (tmp_path / "vendor.key").chmod(0o600)
        async with running(tmp_path, config) as engine:
            told = await engine.post(path, {"model": "auto", "messages": SAID, "max_tokens": 5}, SENT)
            assert told.status == 200, told.body
            seen = upstream.requests[0]
            for name in passed:
                assert seen.headers[name] == SENT[name]
            assert not (NEVER | kept_back) & seen.headers.keys()
            assert engine.key.encode() not in seen.head
            assert b"sk-of-the-vendor" in seen.head
            assert seen.target.endswith("?beta=true") == (dialect == "anthropic")
            translated = "/v1/messages" if dialect == "openai_chat" else "/v1/chat/completions"
            await engine.post(translated, {"model": "auto", "messages": SAID, "max_tokens": 5}, SENT)
            crossed = upstream.requests[1]
            assert not (NEVER | {"anthropic-beta", "openai-beta", "x-stainless-lang"}) & crossed.headers.keys()
            assert engine.key.encode() not in crossed.head


@pytest.mark.parametrize("params", ["adapt", "strict", "pass"])
async def test_a_route_says_what_becomes_of_fields_that_cannot_be_carried(tmp_path: Path, params: str) -> None:
    async with Upstream(answer(json.dumps(MESSAGE_REPLY).encode())) as upstream:
        config = upstream_config({"a": upstream.port}, dialect="anthropic", extra=f'params = "{params}"\n')
        async with running(tmp_path, config) as engine:
            body: dict[str, Any] = {"model": "auto", "messages": SAID, "max_tokens": 5, "logit_bias": {"50256": -100}}
            told = await engine.post("/v1/chat/completions", body)
            if params == "strict":
                assert (told.status, told.json()["error"]["param"]) == (400, "logit_bias")
                assert told.json()["error"]["code"] == "unsupported_feature"
                assert not upstream.requests
                return
            assert told.status == 200
            sent = json.loads(upstream.requests[0].body)
            assert ("logit_bias" in sent) == (params == "pass")
            assert ("logit_bias" in told.headers.get("x-atp-dropped-fields", "")) == (params == "adapt")


async def test_estimates_are_corrected_by_what_vendors_count_and_their_error_is_told(tmp_path: Path) -> None:
    async with Upstream(answer(json.dumps(CHAT_REPLY).encode())) as upstream:
        config = upstream_config({"a": upstream.port})
        async with running(tmp_path, config) as engine:
            before = (await engine.post("/v1/messages/count_tokens", {"model": "auto", "messages": SAID})).json()
            for _ in range(12):
                await engine.post("/v1/chat/completions", {"model": "auto", "messages": SAID})
            after = await engine.post("/v1/messages/count_tokens", {"model": "auto", "messages": SAID})
            assert abs(after.json()["input_tokens"] - 40) < abs(before["input_tokens"] - 40)
            assert after.headers["x-atp-token-count"] == "estimate, +-0 % lately"
            (view,) = (await engine.admin("GET", "/admin/deployments")).json()
            assert view["estimate_error"] == pytest.approx(0.0, abs=0.05)
        async with running(tmp_path, config) as engine:  # what was learned is in the ledger
            again = await engine.post("/v1/messages/count_tokens", {"model": "auto", "messages": SAID})
            assert again.json() == after.json()

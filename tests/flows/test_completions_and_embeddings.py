"""`/v1/completions` and `/v1/embeddings` with OpenAI's own SDK, and what a route cannot do."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from tests.flows.test_responses import CHAT_REPLY, client_of, scripted
from tests.support.running import SIMULATED, Running, running
from tests.support.upstream import Upstream, answer

EMBEDDING = '\n[deployments.vectors]\nprovider = "simulated"\nmodel = "sim-embed"\n'
VECTORS = {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}]}
TEXT = {
    "id": "cmpl-1",
    "object": "text_completion",
    "created": 1,
    "model": "m",
    "choices": [{"text": " a time", "index": 0, "logprobs": None, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One engine on simulated models."""
    async with running(tmp_path_factory.mktemp("vectors"), SIMULATED + EMBEDDING) as engine:
        yield engine


@pytest.mark.asyncio(loop_scope="module")
async def test_completions_are_chats_of_one_message_elsewhere(own: Running) -> None:
    async with client_of(own) as client:
        told = await client.completions.create(model="auto", prompt="Once upon", max_tokens=20)
        assert told.object == "text_completion"
        assert told.choices[0].text
        assert told.choices[0].finish_reason in ("stop", "length")
        assert told.usage is not None
        assert told.usage.completion_tokens <= 20
        chunks = [
            chunk
            async for chunk in await client.completions.create(
                model="auto", prompt="Once upon", max_tokens=20, stream=True, stream_options={"include_usage": True}
            )
        ]
        assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
        assert chunks[-1].usage is not None
        for field, more in (
            ("suffix", {"suffix": "x"}),
            ("prompt", {"prompt": ["a", "b"]}),
            ("prompt", {"prompt": [1]}),
        ):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.completions.create(**{"model": "auto", "prompt": "x", **more})  # type: ignore[call-overload]
            assert refused.value.param == field


@pytest.mark.asyncio(loop_scope="module")
async def test_embeddings_are_unit_vectors_that_follow_from_the_text(own: Running) -> None:
    async with client_of(own) as client:
        raw = await client.embeddings.with_raw_response.create(
            model="vectors", input=["a red fox", "a red dog", "billing of tokens"]
        )
        told = raw.parse()
        vectors = [one.embedding for one in told.data]
        assert [math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-6) for vector in vectors] == [True] * 3
        near, far = (sum(a * b for a, b in zip(vectors[0], other, strict=True)) for other in vectors[1:])
        assert near > far
        again = await client.embeddings.create(model="vectors", input="a red fox", encoding_format="float")
        assert again.data[0].embedding == pytest.approx(vectors[0], abs=1e-6)
        small = await client.embeddings.create(model="vectors", input=[[1, 2], [3]], dimensions=8)
        assert [len(one.embedding) for one in small.data] == [8, 8]
        assert small.usage.prompt_tokens == 3
        detail = await own.request(raw.headers["x-atp-request-id"])
        view = detail["request"]
        assert (view["dialect"], view["state"], view["served"]) == ("openai_embeddings", "ok", "vectors")
        assert view["prompt_tokens"] == told.usage.prompt_tokens
        assert view["cost_nusd"] == told.usage.prompt_tokens * 20
        tasks = {model.id: model.model_dump()["tasks"] async for model in client.models.list()}
        assert (tasks["vectors"], tasks["auto"]) == (["embeddings"], ["chat"])


@pytest.mark.asyncio(loop_scope="module")
async def test_a_route_that_gives_something_else_refuses_and_the_decision_says_why(own: Running) -> None:
    for path, model, body, reason in (
        ("/v1/embeddings", "auto", {"input": "x"}, "gives no embeddings"),
        ("/v1/chat/completions", "vectors", {"messages": [{"role": "user", "content": "x"}]}, "gives embeddings only"),
        ("/v1/responses", "vectors", {"input": "x"}, "gives embeddings only"),
    ):
        told = await own.post(path, {"model": model, **body})
        assert told.status == 400
        assert told.json()["error"]["param"] == "model"
        detail = await own.request(told.headers["x-atp-request-id"])
        assert {candidate["reason"] for candidate in detail["decision"]["candidates"]} == {reason}
        assert detail["attempts"] == []


@pytest.mark.asyncio(loop_scope="module")
async def test_faults_of_an_embedding_model_are_told_as_of_any_other(own: Running) -> None:
    async with client_of(own) as client:
        with pytest.raises(openai.RateLimitError):
            await client.embeddings.create(model="vectors", input="[[sim:429 retry=90]] x")


async def test_a_vendor_that_has_them_gets_both_as_they_are(tmp_path: Path) -> None:
    async with Upstream(answer(json.dumps(VECTORS).encode())) as upstream:
        config = f"""
[server]
port = 0
[providers.up]
kind = "vllm"
base_url = "http://127.0.0.1:{upstream.port}/v1"
[deployments.bge-m3]
provider = "up"
model = "BAAI/bge-m3"
[deployments.chat]
provider = "up"
model = "m"
[deployments.odd]
provider = "up"
model = "special"
task = "embeddings"
"""
        async with running(tmp_path, config) as engine:
            told = await engine.post("/v1/embeddings", {"model": "bge-m3", "input": "x", "new_knob": 1})
            assert told.json() == VECTORS
            assert upstream.requests[-1].target == "/v1/embeddings"
            assert json.loads(upstream.requests[-1].body) == {"model": "BAAI/bge-m3", "input": "x", "new_knob": 1}
            assert (await engine.post("/v1/embeddings", {"model": "odd", "input": "x"})).status == 200
            upstream.then.append(answer(json.dumps(TEXT).encode()))
            told = await engine.post("/v1/completions", {"model": "chat", "prompt": ["a", "b"], "echo": True})
            assert told.json() == TEXT
            assert upstream.requests[-1].target == "/v1/completions"
            chunks = b'data: {"choices":[{"text":"Hi","index":0,"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
            upstream.then.append(answer(chunks, 200, "content-type: text/event-stream"))
            told = await engine.post("/v1/completions", {"model": "chat", "prompt": "x", "stream": True})
            assert told.body == chunks
            assert json.loads(upstream.requests[-1].body)["stream_options"] == {"include_usage": True}
            cut = chunks.partition(b"data: [DONE]")[0].replace(b'"stop"', b"null")
            upstream.then.append(answer(cut, 200, "content-type: text/event-stream"))
            told = await engine.post("/v1/completions", {"model": "chat", "prompt": "x", "stream": True})
            assert b"[DONE]" not in told.body
            assert b'"error"' in told.body


_ROBOT = [{"role": "robot", "content": "x"}]
WRONG: list[tuple[str, str, Any]] = [
    ("/v1/responses", "input", {}),
    ("/v1/responses", "input", {"input": []}),
    ("/v1/responses", "input", {"input": 1}),
    ("/v1/responses", "input[0]", {"input": ["x"]}),
    ("/v1/responses", "input[0].role", {"input": _ROBOT}),
    ("/v1/responses", "input[0].role", {"input": [{"content": "x"}]}),
    ("/v1/responses", "input[0].content", {"input": [{"role": "user"}]}),
    ("/v1/responses", "input[0].content[0].type", {"input": [{"role": "user", "content": [{"text": "x"}]}]}),
    ("/v1/responses", "input[0].call_id", {"input": [{"type": "function_call_output", "output": "x"}]}),
    ("/v1/responses", "input[0]", {"input": [{"type": "item_reference", "id": "x"}]}),
    (
        "/v1/responses",
        "input[0].content[0].image_url",
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "file:///x"}]}]},
    ),
    ("/v1/responses", "tools[0].name", {"input": "x", "tools": [{"type": "function"}]}),
    ("/v1/responses", "tools", {"input": "x", "tools": {}}),
    ("/v1/responses", "tool_choice", {"input": "x", "tool_choice": "maybe"}),
    ("/v1/responses", "max_output_tokens", {"input": "x", "max_output_tokens": -1}),
    ("/v1/responses", "text.format.schema", {"input": "x", "text": {"format": {"type": "json_schema"}}}),
    ("/v1/responses", "temperature", {"input": "x", "temperature": "hot"}),
    ("/v1/responses", "store", {"input": "x", "store": "yes"}),
    ("/v1/responses", "metadata", {"input": "x", "metadata": []}),
    ("/v1/responses", "previous_response_id", {"input": "x", "previous_response_id": "resp_x"}),
    ("/v1/responses", "previous_response_id", {"input": "x", "previous_response_id": 7}),
    ("/v1/responses", "background", {"input": "x", "background": True}),
    ("/v1/responses", "conversation", {"input": "x", "conversation": "conv_1"}),
    ("/v1/responses/input_tokens", "input", {}),
    ("/v1/completions", "prompt", {}),
    ("/v1/completions", "prompt", {"prompt": []}),
    ("/v1/completions", "prompt", {"prompt": ""}),
    ("/v1/completions", "prompt", {"prompt": {"a": 1}}),
    ("/v1/completions", "max_tokens", {"prompt": "x", "max_tokens": -1}),
    ("/v1/completions", "n", {"prompt": "x", "n": 0}),
    ("/v1/embeddings", "input", {}),
    ("/v1/embeddings", "input", {"input": ""}),
    ("/v1/embeddings", "input", {"input": []}),
    ("/v1/embeddings", "input", {"input": ["a", 1]}),
    ("/v1/embeddings", "input", {"input": [[1], []]}),
    ("/v1/embeddings", "input", {"input": [-1]}),
    ("/v1/embeddings", "input", {"input": None}),
    ("/v1/embeddings", "dimensions", {"input": "x", "dimensions": 0}),
    ("/v1/embeddings", "encoding_format", {"input": "x", "encoding_format": "hex"}),
]


async def test_what_is_wrong_is_named_and_nothing_of_it_goes_up(tmp_path: Path) -> None:
    async with scripted(tmp_path, "openai_chat", CHAT_REPLY) as (engine, upstream):
        for path, param, body in WRONG:
            told = await engine.post(path, {"model": "auto", **body})
            error = told.json()["error"]
            assert (told.status, error["param"], error["type"]) == (400, param, "invalid_request_error"), (path, body)
        deep = b"[" * 5_000 + b"]" * 5_000
        for path, field in (("responses", b"input"), ("completions", b"prompt"), ("embeddings", b"input")):
            for value in (deep, b"NaN", b'"\xff"', b'"x', b'\xef\xbb\xbf"x"'):
                told = await engine.call("POST", f"/v1/{path}", b'{"model":"auto","%b":%b}' % (field, value))
                assert told.status == 400, (path, value[:20], told.body)
                assert told.json()["error"]["message"]
            for whole in (b"", b"[]", b"null", b"{}", b'\xef\xbb\xbf{"model":"auto"}'):
                assert (await engine.call("POST", f"/v1/{path}", whole)).status == 400
        assert upstream.requests == []
        for path, body in (
            ("responses", b'{"model":"auto","input":"a\\ud83c"}'),
            ("responses", b'{"model":"auto","input":"a","input":[{"role":"user","content":"b"}]}'),
            ("completions", b'{"model":"auto","prompt":"a\\ud83c"}'),
        ):
            assert (await engine.call("POST", f"/v1/{path}", body)).status == 200, body
        first = (await engine.call("POST", "/v1/responses", b'{"model":"auto","input":"a\\ud83c"}')).json()["id"]
        assert (
            await engine.post("/v1/responses", {"model": "auto", "input": "b", "previous_response_id": first})
        ).status == 200
        assert (await engine.call("GET", f"/v1/responses/{first}/input_items")).json()["data"][0]["content"]
        many = [{"type": "function", "name": f"t{place}", "parameters": {"type": "object"}} for place in range(200)]
        assert (await engine.post("/v1/responses", {"model": "auto", "input": "x", "tools": many})).status == 200

"""Google's and Ollama's own SDKs against a whole engine: over every dialect of upstream, and over a scripted one."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ollama
import pytest
from google import genai
from google.genai import errors, types

from tests.support import wire_cases_gemini as gemini_wire
from tests.support import wire_cases_ollama as ollama_wire
from tests.support.running import SIMULATED, Running, running, upstream_config
from tests.support.upstream import Upstream, answer, chunked, hang
from tests.support.wire_cases import PIXEL

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")  # of aiohttp, by the SDK
LONG = [pytest.param(dialect, marks=pytest.mark.long) for dialect in ("openai_responses", "anthropic")]
DIALECTS = ("openai_chat", "gemini", "ollama", *LONG)
PROMPT = "What does a router for language models do?"
PICTURE = b64decode(PIXEL)
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def simulated(dialect: str) -> str:
    return SIMULATED.replace('kind = "simulated"', f'kind = "simulated"\ndialect = "{dialect}"')


@asynccontextmanager
async def google(engine: Running, version: str = "v1beta", key: str = "") -> AsyncIterator[Any]:
    options = types.HttpOptions(base_url=engine.url, api_version=version)
    client = genai.Client(api_key=key or engine.key, http_options=options)
    try:
        yield client.aio.models
    finally:
        await client.aio.aclose()
        client.close()


@asynccontextmanager
async def llama(engine: Running, key: str = "") -> AsyncIterator[ollama.AsyncClient]:
    client = ollama.AsyncClient(host=engine.url, headers={"authorization": f"Bearer {key or engine.key}"})
    try:
        yield client
    finally:
        await client._client.aclose()


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_both_sdks_are_served_by_every_dialect(tmp_path: Path, dialect: str) -> None:
    async with running(tmp_path, simulated(dialect)) as engine:
        await _use_google(engine)
        await _use_ollama(engine)


async def _use_google(engine: Running) -> None:
    async with google(engine) as models:
        whole = await models.generate_content(model="auto", contents=PROMPT)
        assert whole.text
        assert whole.usage_metadata.total_token_count > whole.usage_metadata.prompt_token_count > 0
        limited = types.GenerateContentConfig(max_output_tokens=12, system_instruction="Be brief.")
        stream = await models.generate_content_stream(model="simulated/sim-fast", contents=PROMPT, config=limited)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.text or "" for chunk in chunks)
        assert chunks[-1].candidates[0].finish_reason is types.FinishReason.MAX_TOKENS
        page = (await engine.admin("GET", "/admin/requests?q=&limit=10&before=")).json()["requests"]
        assert [view["state"] for view in page] == ["ok", "ok"]
        assert page[0]["dialect"] == "gemini"
        assert page[0]["client"] == "google-genai"
        assert page[0]["output_tokens"] == chunks[-1].usage_metadata.candidates_token_count
        shaped = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=SCHEMA)
        answered = await models.generate_content(model="auto", contents="A city", config=shaped)
        assert isinstance(json.loads(answered.text)["city"], str)


async def _use_ollama(engine: Running) -> None:
    async with llama(engine) as client:
        messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": PROMPT}]
        whole = await client.chat("auto", messages)
        assert whole.message.content
        assert whole.done and whole.done_reason == "stop"
        assert whole.prompt_eval_count and whole.eval_count
        chunks = [
            chunk async for chunk in await client.chat("sim-fast", messages, stream=True, options={"num_predict": 9})
        ]
        assert "".join(chunk.message.content or "" for chunk in chunks)
        assert (chunks[-1].done_reason, chunks[-1].eval_count) == ("length", 9)
        generated = await client.generate("auto", PROMPT, system="Be brief.", images=[PICTURE])
        assert generated.response and generated.done
        pieces = [piece async for piece in await client.generate("auto", PROMPT, stream=True)]
        assert "".join(piece.response or "" for piece in pieces) and pieces[-1].done
        shaped = await client.chat("auto", messages, format=SCHEMA)
        assert isinstance(json.loads(shaped.message.content or "")["city"], str)
        page = (await engine.admin("GET", "/admin/requests?q=&limit=10&before=")).json()["requests"]
        assert {view["state"] for view in page} == {"ok"}
        assert page[0]["client"] == "ollama-py"


async def test_models_are_listed_and_errors_are_the_sdks_own(tmp_path: Path) -> None:
    vectors = '\n[deployments.vectors]\nprovider = "simulated"\nmodel = "sim-embed"\n'
    async with running(tmp_path, SIMULATED + vectors) as engine:
        await _list(engine)
        await _embed(engine)
        await _err(engine)


async def _list(engine: Running) -> None:
    for version in ("v1", "v1beta"):
        async with google(engine, version) as models:
            listed = [model.name async for model in await models.list()]
            assert "models/auto" in listed
            assert (await models.get(model="sim-instant")).name == "models/sim-instant"
            counted = await models.count_tokens(model="auto", contents=[PROMPT] * 40)
            assert counted.total_tokens > 100
    async with llama(engine) as client:
        assert "sim-fast" in [model.model for model in (await client.list()).models]
        assert "tools" in ((await client.show("sim-fast")).capabilities or [])
        assert (await client.ps()).models == []
        with pytest.raises(ollama.ResponseError, match="no such model") as refused:
            await client.show("nope")
        assert refused.value.status_code == 404


async def _embed(engine: Running) -> None:
    async with llama(engine) as client:
        found = await client.embed("vectors", ["one", "two"], dimensions=8)
        assert [len(vector) for vector in found.embeddings] == [8, 8]
        assert found.prompt_eval_count
        assert (await client.embeddings("vectors", "one")).embedding
        with pytest.raises(ollama.ResponseError, match="input"):
            await client.embed("vectors", "")
    async with google(engine, "v1") as models:
        sized = types.EmbedContentConfig(output_dimensionality=8, task_type="RETRIEVAL_QUERY")
        batch = await models.embed_content(model="vectors", contents=["one", "two"], config=sized)
        assert [len(vector.values) for vector in batch.embeddings] == [8, 8]
        with pytest.raises(errors.ClientError, match="parts"):
            await models.embed_content(model="vectors", contents="")
    single = await engine.post("/v1beta/models/vectors:embedContent", {"content": {"parts": [{"text": "one"}]}})
    assert len(single.json()["embedding"]["values"]) > 8
    kept = await engine.post("/api/embed", {"model": "vectors", "input": "one", "truncate": True})
    assert kept.headers["x-atp-dropped-fields"] == "truncate"


async def test_gemini_gives_vectors_to_openais_sdk_and_its_own(tmp_path: Path) -> None:
    vectors = _json({"embeddings": [{"values": [0.5, 0.25]}], "usageMetadata": {"promptTokenCount": 3}})
    async with Upstream(answer(vectors), then=[answer(vectors)] * 2) as upstream:
        config = upstream_config({"up": upstream.port}, dialect="gemini").replace("model-up", "gemini-embedding-001")
        async with running(tmp_path, config) as engine:
            told = await engine.post("/v1/embeddings", {"model": "auto", "input": "one"})
            assert told.json()["data"][0]["embedding"] == [0.5, 0.25]
            assert told.json()["usage"]["prompt_tokens"] == 3
            async with google(engine) as models:
                found = await models.embed_content(model="auto", contents="one")
                assert found.embeddings[0].values == [0.5, 0.25]
        targets = {request.target for request in upstream.requests}
        assert targets == {"/v1/models/gemini-embedding-001:batchEmbedContents"}
        assert json.loads(upstream.requests[0].body)["requests"][0]["model"] == "models/gemini-embedding-001"


async def _err(engine: Running) -> None:
    async with google(engine, key="wrong") as stranger:
        with pytest.raises(errors.ClientError, match="UNAUTHENTICATED") as refused:
            await stranger.generate_content(model="auto", contents="hi")
        assert refused.value.code == 401
    async with google(engine) as models:
        with pytest.raises(errors.ClientError, match="sim-instant") as refused:
            await models.generate_content(model="sim-instan", contents="hi")
        assert (refused.value.code, refused.value.status) == (404, "NOT_FOUND")
        with pytest.raises(errors.ClientError, match="NOT_FOUND"):
            async for _ in await models.generate_content_stream(model="nope", contents="hi"):
                pass
    async with llama(engine) as client:
        with pytest.raises(ollama.ResponseError, match="sim-instant") as missing:
            await client.chat("sim-instan", [{"role": "user", "content": "hi"}])
        assert missing.value.status_code == 404
    async with llama(engine, key="wrong") as client:
        with pytest.raises(ollama.ResponseError) as strange:
            await client.chat("auto", [{"role": "user", "content": "hi"}])
        assert strange.value.status_code == 401


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


async def test_a_tool_loop_of_googles_sdk_keeps_geminis_seal(tmp_path: Path) -> None:
    asked = gemini_wire.answer(gemini_wire.call("weather", {"city": "Oslo"}, thoughtSignature=gemini_wire.SEAL))
    then = [answer(_json(asked)), answer(_json(gemini_wire.answer("Sunny.")))]
    async with Upstream(answer(b"{}"), then=then) as upstream:
        config = upstream_config({"up": upstream.port}, dialect="gemini")
        async with running(tmp_path, config) as engine, google(engine) as models:
            tool = types.Tool(
                function_declarations=[types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)]
            )
            settings = types.GenerateContentConfig(tools=[tool])
            question = types.Content(
                role="user",
                parts=[types.Part(text="Weather?"), types.Part.from_bytes(data=PICTURE, mime_type="image/png")],
            )
            first = await models.generate_content(model="auto", contents=[question], config=settings)
            call = first.function_calls[0]
            assert (call.name, call.args) == ("weather", {"city": "Oslo"})
            result = types.Part.from_function_response(name="weather", response={"result": "sun"})
            turns = [question, first.candidates[0].content, types.Content(role="user", parts=[result])]
            second = await models.generate_content(model="auto", contents=turns, config=settings)
            assert second.text == "Sunny."
        sent = json.loads(upstream.requests[1].body)
        assert upstream.requests[1].target == "/v1/models/model-up:generateContent"
        assert sent["contents"][1]["parts"][0]["thoughtSignature"] == gemini_wire.SEAL
        assert not {"model", "stream"} & sent.keys()


async def test_a_tool_loop_of_ollamas_sdk_reaches_gemini(tmp_path: Path) -> None:
    events = [gemini_wire.STREAMS["tool_calls"].encode()]
    script = chunked(*events, headers=["content-type: text/event-stream"])
    async with Upstream(script) as upstream:
        config = upstream_config({"up": upstream.port}, dialect="gemini")
        async with running(tmp_path, config) as engine, llama(engine) as client:
            messages: list[Any] = [{"role": "user", "content": "Weather?", "images": [PICTURE]}]
            chunks = [
                chunk async for chunk in await client.chat("auto", messages, tools=[ollama_wire.TOOL], stream=True)
            ]
            calls = [call for chunk in chunks for call in chunk.message.tool_calls or ()]
            assert [(call.function.name, call.function.arguments) for call in calls] == [
                ("weather", {"city": "Oslo"}),
                ("time", {}),
            ]
            messages += [{"role": "assistant", "tool_calls": calls}]
            messages += [{"role": "tool", "tool_name": call.function.name, "content": "ok"} for call in calls]
            async for _ in await client.chat("auto", messages, stream=True):
                pass
        assert upstream.requests[0].target == "/v1/models/model-up:streamGenerateContent?alt=sse"
        parts = [part for content in json.loads(upstream.requests[1].body)["contents"] for part in content["parts"]]
        assert [part["functionResponse"]["name"] for part in parts if "functionResponse" in part] == ["weather", "time"]


@pytest.mark.parametrize("dialect", ["gemini", pytest.param("ollama", marks=pytest.mark.long)])
async def test_a_stream_that_breaks_is_told_as_broken(tmp_path: Path, dialect: str) -> None:
    config = simulated(dialect)
    async with running(tmp_path, config) as engine:
        async with google(engine) as models:
            with pytest.raises(errors.APIError):
                async for _ in await models.generate_content_stream(model="sim-fast", contents="[[sim:cut]] hello"):
                    pass
        async with llama(engine) as client:
            with pytest.raises(ollama.ResponseError):
                async for _ in await client.chat("sim-fast", [{"role": "user", "content": "[[sim:cut]]"}], stream=True):
                    pass
        page = (await engine.admin("GET", "/admin/requests?q=&limit=10&before=")).json()["requests"]
        assert [view["state"] for view in page] == ["truncated", "truncated"]


async def test_an_ollama_server_serves_its_own_sdk_and_others_line_by_line(tmp_path: Path) -> None:
    lines = ollama_wire.STREAMS["text"].encode().splitlines(keepends=True)
    cut = chunked(lines[0], headers=["content-type: application/x-ndjson"])
    script = chunked(*lines, headers=["content-type: application/x-ndjson"])
    missing = answer(b'{"error":"model \\"model-up\\" not found, try pulling it first"}', 404)
    async with Upstream(script, then=[script, script, cut, missing]) as upstream:
        config = (
            upstream_config({"up": upstream.port})
            .replace('"custom"', '"ollama"')
            .replace('dialect = "openai_chat"\n', "")
        )
        async with running(tmp_path, config) as engine:
            async with llama(engine) as client:
                hello: list[Any] = [{"role": "user", "content": "hi"}]
                chunks = [chunk async for chunk in await client.chat("auto", hello, stream=True)]
                assert [chunk.message.content for chunk in chunks] == ["Hel", "lo 🌍", ""]
                assert chunks[0].created_at == "2026-11-24T10:00:00.123456789Z", "the server's own bytes"
            translated = await engine.post("/v1/chat/completions", {"model": "auto", "messages": hello, "stream": True})
            texts = [one["choices"][0]["delta"].get("content") or "" for one in translated.events() if one != "[DONE]"]
            assert "".join(texts) == "Hello 🌍"
            broken = await engine.post("/api/chat", {"model": "auto", "messages": hello})
            assert "error" in json.loads(broken.body.splitlines()[-1])
            refused = await engine.post("/api/chat", {"model": "auto", "messages": hello})
            assert (refused.status, "not found" in refused.json()["error"]) == (404, True)
        assert {request.target for request in upstream.requests} == {"/api/chat"}
        assert json.loads(upstream.requests[0].body)["model"] == "model-up"


async def test_both_sdks_stand_refusals_silence_and_a_hundred_calls_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine, google(engine) as models, llama(engine) as client:
        with pytest.raises(errors.ClientError) as limited:
            await models.generate_content(model="sim-fast", contents="[[sim:429 retry=90]] hi")
        assert (limited.value.code, limited.value.status) == (429, "RESOURCE_EXHAUSTED")
        slow: list[Any] = [{"role": "user", "content": "[[sim:429 retry=90]] hi"}]
        with pytest.raises(ollama.ResponseError) as refused:
            await client.chat("sim-fast", slow)
        assert refused.value.status_code == 429
        asked = [models.generate_content(model="sim-instant", contents=f"Say {place}") for place in range(50)]
        said = [client.chat("sim-instant", [{"role": "user", "content": f"Say {place}"}]) for place in range(50)]
        answers, told = await asyncio.gather(asyncio.gather(*asked), asyncio.gather(*said))
        assert all(answer.text for answer in answers)
        assert all(answer.message.content for answer in told)


async def test_both_sdks_are_told_when_an_upstream_stays_silent(tmp_path: Path) -> None:
    async with Upstream(hang()) as upstream:
        limits = "[routes.auto.timeouts]\ntotal_s = 0.2\n"
        config = upstream_config({"up": upstream.port}, dialect="gemini", extra=limits)
        async with running(tmp_path, config) as engine, google(engine) as models, llama(engine) as client:
            with pytest.raises(errors.ServerError) as late:
                await models.generate_content(model="auto", contents="hi")
            assert (late.value.code, late.value.status) == (504, "DEADLINE_EXCEEDED")
            with pytest.raises(ollama.ResponseError) as silent:
                await client.chat("auto", [{"role": "user", "content": "hi"}])
            assert silent.value.status_code == 504

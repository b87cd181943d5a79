"""The walk end to end: an unmodified SDK's call is answered, recorded, priced and explained."""

from __future__ import annotations

from pathlib import Path

import anthropic
import openai
import pytest

from tests.support.running import SIMULATED, Running, running

PROMPT = "What does a router for language models do?"


def openai_client(engine: Running) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=engine.key, max_retries=0)


def anthropic_client(engine: Running) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=engine.url, api_key=engine.key, max_retries=0)


async def test_the_openai_sdk_gets_a_whole_answer_and_the_ledger_has_its_figures(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine, openai_client(engine) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="auto", messages=[{"role": "user", "content": PROMPT}]
        )
        answer = raw.parse()
        assert answer.choices[0].message.content
        assert answer.usage is not None
        detail = await engine.request(raw.headers["x-atp-request-id"])
        view = detail["request"]
        assert (view["state"], view["asked"], view["served"]) == ("ok", "auto", "sim-instant")
        assert view["prompt_tokens"] == answer.usage.prompt_tokens
        assert view["output_tokens"] == answer.usage.completion_tokens
        assert detail["decision"]["candidates"][0]["deployment"] == "sim-instant"
        assert raw.headers["x-atp-deployment"] == "sim-instant"


async def test_the_openai_sdk_streams_and_the_usage_it_asked_for_is_the_recorded_one(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine, openai_client(engine) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="sim-fast",
            messages=[{"role": "user", "content": PROMPT}],
            stream=True,
            stream_options={"include_usage": True},
            max_tokens=12,
        )
        chunks = [chunk async for chunk in raw.parse()]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        usage = chunks[-1].usage
        assert text
        assert usage is not None
        view = (await engine.request(raw.headers["x-atp-request-id"]))["request"]
        assert view["state"] == "ok"
        assert view["output_tokens"] == usage.completion_tokens
        assert view["ttft_ms"] > 0
        assert view["cost_nusd"] > 0


@pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
async def test_the_anthropic_sdk_is_served_by_either_dialect_of_upstream(tmp_path: Path, dialect: str) -> None:
    config = SIMULATED.replace('kind = "simulated"', f'kind = "simulated"\ndialect = "{dialect}"')
    async with running(tmp_path, config) as engine, anthropic_client(engine) as client:
        answer = await client.messages.create(
            model="auto", max_tokens=64, messages=[{"role": "user", "content": PROMPT}]
        )
        assert answer.content[0].type == "text"
        async with client.messages.stream(
            model="sim-fast", max_tokens=16, messages=[{"role": "user", "content": PROMPT}]
        ) as stream:
            text = "".join([piece async for piece in stream.text_stream])
            final = await stream.get_final_message()
        assert text == final.content[0].text  # type: ignore[union-attr]
        page = (await engine.admin("GET", "/admin/requests?q=&limit=10&before=")).json()["requests"]
        assert [view["state"] for view in page] == ["ok", "ok"]
        assert page[0]["output_tokens"] == final.usage.output_tokens


async def test_errors_come_in_the_callers_own_shape(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine:
        async with openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="wrong", max_retries=0) as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.chat.completions.create(model="auto", messages=[{"role": "user", "content": "hi"}])
        async with openai_client(engine) as client:
            with pytest.raises(openai.NotFoundError, match="sim-instant"):
                await client.chat.completions.create(model="sim-instan", messages=[{"role": "user", "content": "hi"}])
        async with anthropic_client(engine) as other:
            with pytest.raises(anthropic.NotFoundError):
                await other.messages.create(model="nope", max_tokens=5, messages=[{"role": "user", "content": "hi"}])
        for path in ("/v1/chat/completions", "/v1/messages"):
            for body in (
                b"not json",
                b"[]",
                b'{"model": "auto"}',
                b'{"messages": []}',
                b'{"model": 1, "messages": []}',
            ):
                answer = await engine.call("POST", path, body)
                assert answer.status == 400, (path, body, answer.body)
                assert answer.headers["x-atp-request-id"]
                assert answer.json()["error"]["message"]

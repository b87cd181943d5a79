"""`/v1/responses` with OpenAI's own SDK: on simulated models, and on scripted upstreams of each dialect."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import pytest_asyncio
from pydantic import BaseModel

from tests.support import wire_cases_responses
from tests.support.running import SIMULATED, Running, running, upstream_config
from tests.support.upstream import Upstream, answer
from tests.support.wire_cases import PIXEL

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "description": "Looks outside",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
SAID = wire_cases_responses.answer(wire_cases_responses.message(wire_cases_responses.text("Hello")))
CHAT_REPLY = {
    "id": "chatcmpl-1",
    "created": 1761000000,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
}
MESSAGE_REPLY = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "text", "text": "Hello"},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 2},
}


class Weather(BaseModel):
    """What a structured answer holds."""

    city: str
    degrees: int


def client_of(engine: Running, key: str = "") -> openai.AsyncOpenAI:
    """The SDK pointed at the engine."""
    return openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key=key or engine.key, max_retries=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """One engine on simulated models."""
    async with running(tmp_path_factory.mktemp("responses"), SIMULATED) as engine:
        yield engine


@asynccontextmanager
async def scripted(folder: Path, dialect: str, reply: Any) -> AsyncIterator[tuple[Running, Upstream]]:
    """An engine before an upstream of a dialect that always answers the same."""
    async with (
        Upstream(answer(json.dumps(reply).encode())) as upstream,
        running(folder, upstream_config({"up": upstream.port}, dialect=dialect)) as engine,
    ):
        yield engine, upstream


@pytest.mark.asyncio(loop_scope="module")
async def test_an_answer_repeats_its_request_and_has_the_ledgers_figures(own: Running) -> None:
    async with client_of(own) as client:
        raw = await client.responses.with_raw_response.create(
            model="auto", input="What is a router?", instructions="Be brief.", metadata={"a": "b"}, temperature=0.5
        )
        told = raw.parse()
        assert told.status == "completed"
        assert told.output_text
        assert (told.instructions, told.metadata, told.temperature) == ("Be brief.", {"a": "b"}, 0.5)
        view = (await own.request(raw.headers["x-atp-request-id"]))["request"]
        assert (view["dialect"], view["state"]) == ("openai_responses", "ok")
        assert told.usage is not None
        assert (view["prompt_tokens"], view["output_tokens"]) == (told.usage.input_tokens, told.usage.output_tokens)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_stream_comes_in_the_vendors_order_and_adds_up(own: Running) -> None:
    async with (
        client_of(own) as client,
        client.responses.stream(model="sim-instant", input="Tell me more") as stream,
    ):
        events = [event async for event in stream]
        final = await stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds[-4:-1] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
    ]
    assert (kinds[-1], final.status) == ("response.completed", "completed")
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == final.output_text


@pytest.mark.asyncio(loop_scope="module")
async def test_tools_structured_output_and_pictures_work(own: Running) -> None:
    async with client_of(own) as client:
        asked = await client.responses.create(
            model="auto", input="Weather in Oslo?", tools=[WEATHER], tool_choice="required", store=False
        )
        call = next(item for item in asked.output if item.type == "function_call")
        assert call.name == "get_weather"
        assert json.loads(call.arguments)["city"]
        loop: Any = [
            {"role": "user", "content": "Weather in Oslo?"},
            *[item.model_dump(exclude_none=True) for item in asked.output],
            {"type": "function_call_output", "call_id": call.call_id, "output": "Snow"},
        ]
        assert (await client.responses.create(model="auto", input=loop, tools=[WEATHER])).output_text
        parsed = await client.responses.parse(model="auto", input="Weather?", text_format=Weather)
        assert isinstance(parsed.output_parsed, Weather)
        picture: Any = [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "auto"},
                ],
            }
        ]
        assert (await client.responses.create(model="auto", input=picture)).output_text
        async with client.responses.stream(
            model="auto", input="Weather in Oslo?", tools=[WEATHER], tool_choice="required"
        ) as stream:
            kinds = [event.type async for event in stream]
        assert "response.function_call_arguments.done" in kinds


@pytest.mark.asyncio(loop_scope="module")
async def test_errors_are_the_sdks_own_and_a_broken_stream_is_never_whole(own: Running) -> None:
    async with client_of(own) as client:
        with pytest.raises(openai.NotFoundError, match="sim-instant"):
            await client.responses.create(model="sim-instan", input="hi")
        with pytest.raises(openai.BadRequestError) as wrong:
            robot: Any = [{"role": "robot", "content": "hi"}]
            await client.responses.create(model="auto", input=robot)
        assert wrong.value.param == "input[0].role"
        with pytest.raises(openai.RateLimitError):
            await client.responses.create(model="sim-fast", input="[[sim:429 retry=90]] hi")
        kinds: list[str] = []
        with pytest.raises(openai.APIError, match=r"broke|lost|cut|ended"):
            stream = await client.responses.create(model="sim-instant", input="[[sim:cut after=5]] hi", stream=True)
            async for event in stream:
                kinds.append(event.type)  # noqa: PERF401 - the list must hold what came before the error
        assert "response.output_text.delta" in kinds
        assert kinds[-1] == "response.failed"
        assert "response.completed" not in kinds
    async with client_of(own, "wrong") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.responses.create(model="auto", input="hi")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_conversation_is_kept_gone_on_with_looked_up_and_forgotten(own: Running) -> None:
    async with client_of(own) as client:
        first = await client.responses.create(model="auto", input="My name is Ada.")
        async with client.responses.stream(model="auto", input="And my name?", previous_response_id=first.id) as stream:
            second = await stream.get_final_response()
        assert second.previous_response_id == first.id
        third = await client.responses.with_raw_response.create(
            model="auto", input=[{"role": "user", "content": "So?"}], previous_response_id=second.id
        )
        view = (await own.request(third.headers["x-atp-request-id"]))["request"]
        assert view["prompt_tokens"] > second.usage.input_tokens  # type: ignore[union-attr]
        assert (await client.responses.retrieve(second.id)).output_text == second.output_text
        listed: list[Any] = [item async for item in client.responses.input_items.list(first.id)]
        assert [item.content[0].text for item in listed] == ["My name is Ada."]
        counted = await client.responses.input_tokens.count(model="auto", input="So?", previous_response_id=second.id)
        assert (
            counted.input_tokens > (await client.responses.input_tokens.count(model="auto", input="So?")).input_tokens
        )
        unkept = await client.responses.create(model="auto", input="hi", store=False)
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve(unkept.id)
        await client.responses.delete(first.id)
        for gone in (first.id, "resp_nothing"):
            with pytest.raises(openai.NotFoundError):
                await client.responses.retrieve(gone)
            with pytest.raises(openai.NotFoundError):
                await client.responses.delete(gone)
        for built_upon in (second.id, unkept.id, "resp_nothing"):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.responses.create(model="auto", input="hi", previous_response_id=built_upon)
            assert refused.value.param == "previous_response_id"
    for query in ("limit=0", "limit=x", "order=up"):
        told = await own.call("GET", f"/v1/responses/{second.id}/input_items?{query}")
        assert (told.status, told.json()["error"]["param"]) == (400, query.split("=")[0])


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_sees_or_builds_upon_what_another_key_keeps(own: Running) -> None:
    made = await own.admin("POST", "/admin/keys", b'{"name": "other"}')
    assert made.status in (200, 201), made.body
    other = next(value for value in made.json().values() if isinstance(value, str) and value.startswith("atp_"))
    async with client_of(own) as client, client_of(own, other) as stranger:
        mine = await client.responses.create(model="auto", input="A secret")
        with pytest.raises(openai.NotFoundError):
            await stranger.responses.retrieve(mine.id)
        with pytest.raises(openai.NotFoundError):
            await stranger.responses.delete(mine.id)
        with pytest.raises(openai.BadRequestError):
            await stranger.responses.create(model="auto", input="hi", previous_response_id=mine.id)
        assert (await client.responses.retrieve(mine.id)).id == mine.id


@pytest.mark.parametrize(("dialect", "reply"), [("openai_chat", CHAT_REPLY), ("anthropic", MESSAGE_REPLY)])
async def test_an_upstream_of_another_dialect_gets_the_whole_conversation(
    tmp_path: Path, dialect: str, reply: Any
) -> None:
    async with scripted(tmp_path, dialect, reply) as (engine, upstream), client_of(engine) as client:
        first = await client.responses.create(model="auto", input="One", instructions="Be brief.")
        assert first.id.startswith("resp_")
        assert first.output_text == "Hello"
        second = await client.responses.create(model="auto", input="Two", previous_response_id=first.id)
        assert second.id != first.id
        sent = json.loads(upstream.requests[-1].body)
        assert [turn["role"] for turn in sent["messages"]] == ["user", "assistant", "user"]
        assert "brief" not in json.dumps(sent)  # instructions are of one answer
        if dialect == "anthropic":
            seal = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
            assert sent["messages"][1]["content"][0] == seal
        body = upstream.requests[-1].body
        assert b"previous_response_id" not in body


async def test_the_vendor_that_made_an_answer_gets_its_bare_id_and_its_bytes_come_through(tmp_path: Path) -> None:
    async with scripted(tmp_path, "openai_responses", SAID) as (engine, upstream), client_of(engine) as client:
        raw = await engine.post("/v1/responses", {"model": "auto", "input": "One", "new_knob": {"x": [1]}})
        assert raw.json() == SAID
        assert upstream.requests[-1].target == "/v1/responses"
        sent = json.loads(upstream.requests[-1].body)
        assert sent == {"model": "model-up", "input": "One", "new_knob": {"x": [1]}}
        await client.responses.create(model="auto", input="Two", previous_response_id="resp_1")
        assert json.loads(upstream.requests[-1].body)["previous_response_id"] == "resp_1"
        await client.responses.create(model="auto", input="Two", previous_response_id="resp_made_elsewhere")
        assert json.loads(upstream.requests[-1].body)["previous_response_id"] == "resp_made_elsewhere"
        assert (await client.responses.retrieve("resp_1")).output_text == "Hello"


async def test_another_vendor_of_the_dialect_gets_the_conversation_without_what_its_maker_alone_can_read(
    tmp_path: Path,
) -> None:
    thought = wire_cases_responses.thought("Hm", "gAAAA")
    said = wire_cases_responses.answer(thought, wire_cases_responses.message(wire_cases_responses.text("Hello")))
    async with (
        Upstream(answer(json.dumps(said).encode())) as one,
        Upstream(answer(json.dumps({**said, "id": "resp_2"}).encode())) as two,
    ):
        config = upstream_config({"one": one.port, "two": two.port}, dialect="openai_responses")
        async with running(tmp_path, config) as engine, client_of(engine) as client:
            await client.responses.create(model="one", input="One")
            await client.responses.create(model="two", input="Two", previous_response_id="resp_1")
            sent = json.loads(two.requests[-1].body)
            assert "previous_response_id" not in sent
            assert [item.get("type", "user") for item in sent["input"]] == ["user", "message", "user"]
            assert "id" not in sent["input"][1]
            assert "atp_previous_response_id" not in sent


async def test_a_stream_of_a_vendor_of_the_dialect_is_untouched_and_kept(tmp_path: Path) -> None:
    sent = wire_cases_responses.STREAMS["thinking"].encode()
    async with Upstream(answer(sent, 200, "content-type: text/event-stream")) as upstream:
        config = upstream_config({"up": upstream.port}, dialect="openai_responses")
        async with running(tmp_path, config) as engine:
            told = await engine.post("/v1/responses", {"model": "auto", "input": "One", "stream": True})
            assert told.body == sent
            view = (await engine.request(told.headers["x-atp-request-id"]))["request"]
            assert (view["prompt_tokens"], view["cache_read_tokens"], view["output_tokens"]) == (30, 20, 12)
            assert (await engine.call("GET", "/v1/responses/resp_1")).json()["id"] == "resp_1"


async def test_every_client_is_served_by_an_upstream_that_speaks_responses(tmp_path: Path) -> None:
    config = SIMULATED.replace('kind = "simulated"', 'kind = "simulated"\ndialect = "openai_responses"')
    said: Any = [{"role": "user", "content": "Weather in Oslo?"}]
    tool: Any = {"name": "get_weather", "description": "Looks outside", "input_schema": WEATHER["parameters"]}
    function: Any = {"name": "get_weather", "parameters": WEATHER["parameters"]}
    async with (
        running(tmp_path, config) as engine,
        client_of(engine) as client,
        anthropic.AsyncAnthropic(base_url=engine.url, api_key=engine.key, max_retries=0) as other,
    ):
        chat = await client.chat.completions.create(
            model="auto", messages=said, tools=[{"type": "function", "function": function}], tool_choice="required"
        )
        assert chat.choices[0].finish_reason == "tool_calls"
        assert chat.usage is not None
        chunks = [
            chunk
            async for chunk in await client.chat.completions.create(
                model="auto", messages=said, stream=True, stream_options={"include_usage": True}
            )
        ]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert chunks[-1].usage is not None
        called = await other.messages.create(
            model="auto", max_tokens=200, messages=said, tools=[tool], tool_choice={"type": "any"}
        )
        assert called.stop_reason == "tool_use"
        async with other.messages.stream(model="auto", max_tokens=50, messages=said) as stream:
            assert (await stream.get_final_message()).usage.output_tokens
        assert (await client.responses.create(model="auto", input="hi")).output_text
        for fault in ("cut", "error", "short"):
            with pytest.raises(openai.APIError):
                async for _ in await client.responses.create(
                    model="sim-instant", input=f"[[sim:{fault} after=5]] hi", stream=True
                ):
                    pass


async def test_a_vendor_with_both_dialects_is_asked_in_the_clients_own(tmp_path: Path) -> None:
    async with Upstream(answer(json.dumps(SAID).encode())) as upstream:
        config = f"""
[server]
port = 0
[providers.up]
kind = "openai"
base_url = "http://127.0.0.1:{upstream.port}/v1"
models = ["gpt-*"]
"""
        async with running(tmp_path, config) as engine:
            told = await engine.post("/v1/responses", {"model": "gpt-5.5", "input": "x", "truncation": "auto"})
            assert told.json() == SAID
            upstream.then.append(answer(json.dumps(CHAT_REPLY).encode()))
            said = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}]}
            assert (await engine.post("/v1/chat/completions", said)).json() == CHAT_REPLY
            assert [seen.target for seen in upstream.requests] == ["/v1/responses", "/v1/chat/completions"]


async def test_a_hundred_calls_at_once_each_get_their_own_answer_and_keep_it(tmp_path: Path) -> None:
    async with running(tmp_path, SIMULATED) as engine, client_of(engine) as client:
        calls = [
            client.responses.create(model="sim-instant", input=f"Call {place}", metadata={"place": str(place)})
            for place in range(100)
        ]
        answers = await asyncio.gather(*calls)
        assert [one.metadata for one in answers] == [{"place": str(place)} for place in range(100)]
        assert len({one.id for one in answers}) == 100
        kept = await asyncio.gather(*(client.responses.retrieve(one.id) for one in answers[::10]))
        assert [one.output_text for one in kept] == [one.output_text for one in answers[::10]]

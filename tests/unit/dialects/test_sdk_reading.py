"""The vendors' own SDKs read what the codecs write: whole answers and streams."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import httpx2
import openai
import pytest

from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import encode_reply, stream_encoder
from atp_engine.dialects.facts import read_facts

USAGE = TokenUsage(10, 20, 3, 2, 5)
RESULT = ir.ChatResult(
    id="x1",
    model="m",
    parts=(
        ir.Reasoning("Hm"),
        ir.Text("Hello"),
        ir.ToolCall("call_1", "get", '{"a":1}'),
        ir.ToolCall("call_2", "put", "{}"),
    ),
    finish_reason=ir.FinishReason.TOOL_CALLS,
    usage=USAGE,
    created=5,
)
EVENTS: list[ir.StreamEvent] = [
    ir.Started("x1", "m", 5),
    ir.ReasoningDelta("H"),
    ir.ReasoningDelta("m"),
    ir.TextDelta("Hel"),
    ir.TextDelta("lo"),
    ir.ToolCallStarted(0, "call_1", "get"),
    ir.ToolCallDelta(0, '{"a":'),
    ir.ToolCallDelta(0, "1}"),
    ir.ToolCallStarted(1, "call_2", "put"),
    ir.ToolCallDelta(1, "{}"),
    ir.Stopped(ir.FinishReason.TOOL_CALLS),
    ir.UsageReported(USAGE),
    ir.Ended(),
]


def _stream(dialect: Dialect) -> bytes:
    encoder = stream_encoder(dialect, wants_usage=True)
    return b"".join(encoder.encode(event) for event in EVENTS)


def _answer(request: httpx2.Request, *, is_translated: bool) -> httpx2.Response:
    """Answers in the dialect of the path; translated from the other dialect's wire when asked."""
    client = Dialect.ANTHROPIC if request.url.path.endswith("/messages") else Dialect.OPENAI_CHAT
    other = Dialect.OPENAI_CHAT if client is Dialect.ANTHROPIC else Dialect.ANTHROPIC
    source = other if is_translated else client
    pair = bridge(client, source)
    facts = read_facts(client, request.content)
    assert pair.request(request.content, facts, "served").body
    if not facts.is_stream:
        content = pair.reply(encode_reply(source, RESULT), created=5).body
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=content)
    tap = pair.tap(facts, "req_1", created=5)
    content = tap.feed(_stream(source)) + tap.finish()
    assert tap.is_complete
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=content)


@pytest.fixture(params=[False, True], ids=["same_dialect", "translated"])
def http(request: pytest.FixtureRequest) -> Iterator[httpx2.Client]:
    """An HTTP client whose other end is a bridge."""
    transport = httpx2.MockTransport(lambda call: _answer(call, is_translated=request.param))
    with httpx2.Client(transport=transport) as client:
        yield client


def test_the_openai_sdk_reads_a_whole_answer(http: httpx2.Client) -> None:
    sdk = openai.OpenAI(base_url="http://gate/v1", api_key="k", http_client=http)
    answer = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}])
    message = answer.choices[0].message
    assert (message.content, answer.choices[0].finish_reason) == ("Hello", "tool_calls")
    calls = [call for call in message.tool_calls or [] if call.type == "function"]
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        ("call_1", "get", '{"a":1}'),
        ("call_2", "put", "{}"),
    ]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (15, 20, 35)
    assert answer.created == 5


def test_the_openai_sdk_builds_the_answer_from_a_stream(http: httpx2.Client) -> None:
    sdk = openai.OpenAI(base_url="http://gate/v1", api_key="k", http_client=http)
    with sdk.chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "Hi"}], stream_options={"include_usage": True}
    ) as stream:
        texts = [event.delta for event in stream if event.type == "content.delta"]
        answer = stream.get_final_completion()
    assert texts == ["", "Hel", "lo"]
    message = answer.choices[0].message
    assert (message.content, answer.choices[0].finish_reason) == ("Hello", "tool_calls")
    assert [call.function.arguments for call in message.tool_calls or []] == ['{"a":1}', "{}"]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 15


def test_the_openai_sdk_gets_no_usage_chunk_that_it_did_not_ask_for(http: httpx2.Client) -> None:
    sdk = openai.OpenAI(base_url="http://gate/v1", api_key="k", http_client=http)
    chunks = list(sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True))
    assert all(chunk.choices for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_anthropic_sdk_reads_a_whole_answer(http: httpx2.Client) -> None:
    sdk = anthropic.Anthropic(base_url="http://gate", api_key="k", http_client=http)
    message = sdk.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert message.stop_reason == "tool_use"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (
        10,
        3,
        20,
    )


def test_the_anthropic_sdk_builds_the_message_from_a_stream(http: httpx2.Client) -> None:
    sdk = anthropic.Anthropic(base_url="http://gate", api_key="k", http_client=http)
    with sdk.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert text == "Hello"
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
    inputs = [block.input for block in message.content if block.type == "tool_use"]
    assert inputs == [{"a": 1}, {}]
    assert (message.stop_reason, message.usage.output_tokens, message.usage.input_tokens) == ("tool_use", 20, 10)

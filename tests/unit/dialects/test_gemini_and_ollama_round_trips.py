"""What Gemini's and Ollama's codecs write they read back, alone and across every other dialect."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atp_engine.core.errors import ATPError
from atp_engine.core.types import Dialect, RequestFacts, TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS, codec, decode_request, encode_reply, stream_encoder
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.gemini_schema import json_schema
from atp_engine.dialects.gemini_seals import for_gemini, for_gemini_client, from_gemini

NEW = st.sampled_from([Dialect.GEMINI, Dialect.OLLAMA])
ANY = st.sampled_from(CHAT_DIALECTS)
FACTS = RequestFacts("m", True, False, False, False, True, False, 0, 40, 10, 1, "", b"")
relaxed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
NAMES = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
ARGUMENTS = st.dictionaries(WORDS, WORDS | st.integers(-9, 9) | st.none(), max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)
IMAGES = st.from_regex(r"iVBORw0KGgo[A-Za-z0-9]{4}", fullmatch=True).map(lambda data: ir.Image("image/png", data))
COUNTS = st.integers(0, 10**6)


@st.composite
def requests(draw: st.DrawFn) -> ir.ChatRequest:
    """Calls that both dialects hold whole: every result answers a call, at most one text in a turn."""
    messages = [ir.Message(ir.Role.SYSTEM, (ir.Text(draw(WORDS)),))] if draw(st.booleans()) else []
    messages.append(ir.Message(ir.Role.USER, (ir.Text(draw(WORDS)), *draw(st.lists(IMAGES, max_size=2)))))
    for turn in range(draw(st.integers(0, 2))):
        names = draw(st.lists(NAMES, min_size=1, max_size=3))
        calls = [ir.ToolCall(f"call_{turn}_{place}", name, draw(ARGUMENTS)) for place, name in enumerate(names)]
        said = [ir.Text(draw(WORDS))] if draw(st.booleans()) else []
        messages.append(ir.Message(ir.Role.ASSISTANT, (*said, *calls)))
        results = [ir.ToolResult(call.id, (ir.Text("w" + draw(WORDS)),)) for call in draw(st.permutations(calls))]
        messages.append(ir.Message(ir.Role.USER, tuple(results)))
    schema = msgspec.Raw(b'{"type":"object","properties":{"a":{"type":"string"}}}')
    tools = tuple(ir.Tool(name, "", schema) for name in draw(st.lists(NAMES, max_size=2, unique=True)))
    return ir.ChatRequest(
        model="gemini-2.5-flash",
        messages=tuple(messages),
        wants_usage=True,
        tools=tools,
        max_output_tokens=draw(st.integers(1, 10**6)),
        temperature=draw(st.none() | st.floats(0, 1)),
        json_format=draw(st.none() | st.just(ir.JsonFormat(schema))),
    )


def _flat(request: ir.ChatRequest) -> list[tuple[ir.Role, ir.Part]]:
    return [(message.role, part) for message in request.messages for part in message.parts]


@relaxed
@given(NEW, requests())
def test_a_request_reads_back(dialect: Dialect, request: ir.ChatRequest) -> None:
    written = codec(dialect).encode_request(request)
    assert written.dropped_fields == ()
    back = decode_request(dialect, written.body)
    assert _flat(back) == _flat(request)
    for name in ("tools", "max_output_tokens", "temperature", "json_format", "is_stream"):
        assert getattr(back, name) == getattr(request, name)


@relaxed
@given(NEW, ANY, st.booleans(), requests())
def test_a_request_keeps_its_meaning_across_dialects(
    new: Dialect, other: Dialect, is_client: bool, request: ir.ChatRequest
) -> None:
    client, upstream = (new, other) if is_client else (other, new)
    body = codec(client).encode_request(request).body
    if client is Dialect.GEMINI:
        body = msgspec.json.encode({**msgspec.json.decode(body, type=dict[str, msgspec.Raw]), "model": "m"})
    sent = bridge(client, upstream).request(body, read_facts(client, body), "gemini-2.5-flash")
    back = decode_request(upstream, sent.body)
    assert _flat(back) == _flat(request)
    assert [(tool.name, bytes(tool.parameters)) for tool in back.tools] == [
        (tool.name, bytes(tool.parameters)) for tool in request.tools
    ]
    assert (back.max_output_tokens, back.temperature) == (request.max_output_tokens, request.temperature)


@st.composite
def results(draw: st.DrawFn) -> ir.ChatResult:
    """Thinking, text, then calls."""
    calls = [ir.ToolCall(f"call_{place}", draw(NAMES), draw(ARGUMENTS)) for place in range(draw(st.integers(0, 2)))]
    parts: list[ir.Part] = [*draw(st.lists(st.builds(ir.Reasoning, WORDS), max_size=1))]
    parts += [*draw(st.lists(st.builds(ir.Text, WORDS), max_size=1)), *calls]
    reason = (
        ir.FinishReason.TOOL_CALLS if calls else draw(st.sampled_from([ir.FinishReason.STOP, ir.FinishReason.LENGTH]))
    )
    usage = TokenUsage(draw(COUNTS), draw(COUNTS) + 1)
    return ir.ChatResult("x", "m", tuple(parts), reason, usage, 1_764_000_000)


def _same(result: ir.ChatResult) -> ir.ChatResult:
    return msgspec.structs.replace(result, id="", created=0, echo={})


@relaxed
@given(NEW, ANY, results())
def test_an_answer_keeps_its_meaning(client: Dialect, upstream: Dialect, result: ir.ChatResult) -> None:
    reply = bridge(client, upstream).reply(encode_reply(upstream, result))
    assert _same(codec(client).decode_reply(reply.body)) == _same(result)
    assert reply.usage == result.usage


def _events(result: ir.ChatResult) -> list[ir.StreamEvent]:
    found: list[ir.StreamEvent] = [ir.Started("x", "m", result.created)]
    index = 0
    for part in result.parts:
        if isinstance(part, ir.Text):
            found += [ir.TextDelta(letter) for letter in part.text]
        elif isinstance(part, ir.Reasoning):
            found.append(ir.ReasoningDelta(part.text))
        elif isinstance(part, ir.ToolCall):
            found.append(ir.ToolCallStarted(index, part.id, part.name))
            found += [ir.ToolCallDelta(index, piece) for piece in (part.arguments[:3], part.arguments[3:]) if piece]
            index += 1
    assert result.usage is not None
    return [*found, ir.Stopped(result.finish_reason), ir.UsageReported(result.usage), ir.Ended()]


@relaxed
@given(NEW, ANY, results(), st.integers(0, 2_000))
def test_a_stream_says_what_the_whole_answer_says(
    client: Dialect, upstream: Dialect, result: ir.ChatResult, place: int
) -> None:
    encoder = stream_encoder(upstream, wants_usage=True)
    sent = b"".join(encoder.encode(event) for event in _events(result))
    tap = bridge(client, upstream).tap(FACTS, "req_1")
    written = tap.feed(sent[:place]) + tap.feed(sent[place:]) + tap.finish()
    assert tap.error is None
    assert tap.is_complete
    assert tap.usage == result.usage
    said = "".join(part.text for part in result.parts if isinstance(part, ir.Text))
    assert _text(client, written) == said
    assert tap.has_content is bool(result.parts)


def _text(dialect: Dialect, written: bytes) -> str:
    """The text that a client of the dialect puts together."""
    if dialect is Dialect.OLLAMA:
        return "".join(json.loads(line)["message"]["content"] for line in written.splitlines())
    chunks = [json.loads(line.removeprefix("data: ")) for line in written.decode().split("\n\n") if line]
    parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


@relaxed
@given(NEW, ANY, results(), st.data())
def test_a_shortened_stream_is_never_taken_for_a_whole_one(
    new: Dialect, client: Dialect, result: ir.ChatResult, draw: st.DataObject
) -> None:
    encoder = stream_encoder(new, wants_usage=True)
    sent = b"".join(encoder.encode(event) for event in _events(result))
    stopped = max(sent.find(b'"finishReason"'), sent.find(b'"done":true'))
    tap = bridge(client, new).tap(FACTS, "req_1")
    tap.feed(sent[: draw.draw(st.integers(0, stopped))])
    tap.finish()
    assert tap.error is not None
    assert not tap.is_complete


KEYS = st.sampled_from(
    [
        "role",
        "parts",
        "text",
        "thought",
        "thoughtSignature",
        "functionCall",
        "functionResponse",
        "name",
        "args",
        "id",
        "response",
        "inlineData",
        "mimeType",
        "data",
        "fileData",
        "fileUri",
        "tools",
        "functionDeclarations",
        "parameters",
        "toolConfig",
        "functionCallingConfig",
        "mode",
        "generationConfig",
        "thinkingConfig",
        "thinkingBudget",
        "topK",
        "responseSchema",
        "type",
        "content",
        "images",
        "tool_calls",
        "function",
        "arguments",
        "options",
        "stop",
        "format",
        "think",
        "tool_name",
        "systemInstruction",
    ]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "user", "model"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(NEW, ANY, JSON, st.dictionaries(KEYS, JSON, max_size=4))
def test_no_tree_makes_reading_fail_otherwise(dialect: Dialect, upstream: Dialect, said: Any, more: Any) -> None:
    top = "contents" if dialect is Dialect.GEMINI else "messages"
    body = json.dumps({**more, "model": "m", top: said}).encode()
    try:
        bridge(dialect, upstream).request(body, read_facts(dialect, body), "m")
    except ATPError as error:
        assert error.http_status == 400


@given(st.text(max_size=30), st.sampled_from(["", "atp:openai:"]), st.booleans())
def test_a_seal_comes_back_to_whoever_made_it(text: str, mark: str, is_redacted: bool) -> None:
    thought = ir.Reasoning("", mark + text, is_redacted=is_redacted and not mark)
    if not text or thought.signature.startswith("atp:") is not bool(mark):
        return
    assert from_gemini(for_gemini_client(thought)) == thought
    assert for_gemini(thought) == ""
    assert for_gemini(from_gemini(text)) in (text, "")


def test_a_deep_schema_is_refused_not_followed() -> None:
    deep = b'{"items":' * 500 + b"{}" + b"}" * 500
    with pytest.raises(ValueError, match="nested"):
        json_schema(msgspec.Raw(deep))

"""What a codec writes it reads back: requests, answers and streams, in every dialect and across two."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from atp_engine.core.types import Dialect, RequestFacts, TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import codec, decode_request, encode_reply, stream_encoder
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.sse import events
from tests.support.dialects import SSE_DIALECTS

DIALECTS = st.sampled_from(list(SSE_DIALECTS))
FACTS = RequestFacts("m", True, False, False, False, True, False, 0, 40, 10, 1, "", b"")
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
IDS = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=6,
)
OBJECTS = st.dictionaries(WORDS, VALUES, max_size=3)
ARGUMENTS = OBJECTS.map(lambda value: msgspec.json.encode(value).decode())
SCHEMAS = OBJECTS.map(lambda value: msgspec.Raw(msgspec.json.encode({"type": "object", "properties": value})))
TEXTS = st.builds(ir.Text, WORDS)
IMAGES = st.builds(ir.Image, media_type=st.just("image/png"), base64=IDS) | st.builds(
    ir.Image, url=IDS.map(lambda path: f"https://example.com/{path}")
)
CALLS = st.builds(ir.ToolCall, id=IDS, name=IDS, arguments=ARGUMENTS)
COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    lambda fresh, output, read, written, share: TokenUsage(
        fresh, output + 1, read, written, (output + 1) * share // 100
    ),
    COUNTS,
    COUNTS,
    COUNTS,
    COUNTS,
    st.integers(0, 100),
)
TOOLS = st.builds(ir.Tool, name=IDS, description=WORDS | st.just(""), parameters=SCHEMAS, is_strict=st.booleans())


def _message(role: ir.Role, *parts: ir.Part) -> ir.Message:
    return ir.Message(role, parts)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ir.Message, ...]:
    """A system prompt or none, then turns that alternate; results of the calls stand before what is said."""
    messages: list[ir.Message] = []
    calls: list[ir.ToolCall] = []
    if draw(st.booleans()):
        messages.append(_message(ir.Role.SYSTEM, draw(TEXTS)))
    for _ in range(draw(st.integers(1, 3))):
        results = [ir.ToolResult(call.id, (draw(TEXTS),)) for call in calls]
        said = draw(st.lists(TEXTS | IMAGES, min_size=0 if results else 1, max_size=3))
        messages.append(_message(ir.Role.USER, *results, *said))
        spoken = draw(st.lists(TEXTS, max_size=1))
        calls = draw(st.lists(CALLS, min_size=0 if spoken else 1, max_size=2, unique_by=lambda call: call.id))
        messages.append(_message(ir.Role.ASSISTANT, *spoken, *calls))
    return tuple(messages)


@st.composite
def requests(draw: st.DrawFn) -> ir.ChatRequest:
    """Requests that both dialects can hold whole."""
    tools = tuple(draw(st.lists(TOOLS, max_size=2)))
    choices = [None, *(ir.ToolChoice(mode) for mode in ("auto", "none", "required"))]
    choice = draw(st.sampled_from([*choices, ir.ToolChoice("named", tools[0].name)])) if tools else None
    return ir.ChatRequest(
        model="model-x",
        messages=draw(conversations()),
        is_stream=draw(st.booleans()),
        wants_usage=True,
        tools=tools,
        tool_choice=choice,
        max_output_tokens=draw(st.integers(1, 10**6)),
        temperature=draw(st.none() | st.floats(0, 1)),
        stop=tuple(draw(st.lists(WORDS, max_size=4))),
        user=draw(st.just("") | IDS),
    )


def _carried(request: ir.ChatRequest, *dialects: Dialect) -> ir.ChatRequest:
    """The request without what one of the dialects has no place for."""
    return msgspec.structs.replace(request, stop=()) if Dialect.OPENAI_RESPONSES in dialects else request


def _flat(messages: Iterable[ir.Message]) -> list[tuple[ir.Role, ir.Part]]:
    """Who says what in order; OpenAI gives each tool result a message of its own."""
    return [(message.role, part) for message in messages for part in message.parts]


@relaxed
@given(DIALECTS, requests())
def test_a_request_reads_back(dialect: Dialect, request: ir.ChatRequest) -> None:
    request = _carried(request, dialect)
    written = codec(dialect).encode_request(request)
    assert written.dropped_fields == ()
    back = decode_request(dialect, written.body)
    assert _flat(back.messages) == _flat(request.messages)
    wants_usage = dialect is not Dialect.OPENAI_CHAT or request.is_stream
    expected = msgspec.structs.replace(request, messages=back.messages, wants_usage=wants_usage)
    assert back == expected


@relaxed
@given(DIALECTS, DIALECTS, requests())
def test_a_request_keeps_its_meaning_across_dialects(
    client: Dialect, upstream: Dialect, request: ir.ChatRequest
) -> None:
    request = _carried(request, client, upstream)
    body = codec(client).encode_request(request).body
    sent = bridge(client, upstream).request(body, read_facts(client, body), "served")
    assert sent.dropped_fields == ()
    back = decode_request(upstream, sent.body)
    assert back.model == "served"
    assert _flat(back.messages) == _flat(request.messages)
    assert (back.tools, back.tool_choice, back.stop) == (request.tools, request.tool_choice, request.stop)
    assert (back.temperature, back.max_output_tokens, back.user) == (
        request.temperature,
        request.max_output_tokens,
        request.user,
    )
    assert read_facts(upstream, sent.body).is_stream is request.is_stream


REASONS = st.sampled_from([ir.FinishReason.STOP, ir.FinishReason.LENGTH])


@st.composite
def results(draw: st.DrawFn) -> ir.ChatResult:
    """Answers that both dialects can hold whole: thinking, text, then calls."""
    calls = draw(st.lists(CALLS, max_size=3, unique_by=lambda call: call.id))
    parts: list[ir.Part] = [*draw(st.lists(st.builds(ir.Reasoning, WORDS), max_size=1))]
    parts += [*draw(st.lists(TEXTS, max_size=1)), *calls]
    reason = ir.FinishReason.TOOL_CALLS if calls else draw(REASONS)
    return ir.ChatResult("chatcmpl-msg_1", "m", tuple(parts), reason, draw(USAGES))


def _same(result: ir.ChatResult, **changes: object) -> ir.ChatResult:
    return msgspec.structs.replace(result, id="", created=0, dropped_fields=(), **changes)


@relaxed
@given(DIALECTS, results())
def test_an_answer_reads_back(dialect: Dialect, result: ir.ChatResult) -> None:
    assert _same(codec(dialect).decode_reply(encode_reply(dialect, result))) == _same(result)


@relaxed
@given(DIALECTS, DIALECTS, results())
def test_an_answer_keeps_its_meaning_across_dialects(client: Dialect, upstream: Dialect, result: ir.ChatResult) -> None:
    reply = bridge(client, upstream).reply(encode_reply(upstream, result))
    assert _same(codec(client).decode_reply(reply.body)) == _same(result)
    assert reply.usage == result.usage


def _cut(text: str, sizes: list[int]) -> list[str]:
    pieces = []
    for size in sizes:
        pieces.append(text[:size])
        text = text[size:]
    return [piece for piece in [*pieces, text] if piece]


@st.composite
def streams(draw: st.DrawFn) -> tuple[ir.ChatResult, list[ir.StreamEvent]]:
    """An answer and one way of streaming it."""
    result = draw(results())
    found: list[ir.StreamEvent] = [ir.Started("chatcmpl-msg_1", "m")]
    sizes = st.lists(st.integers(1, 5), max_size=3)
    index = 0
    for part in result.parts:
        if isinstance(part, ir.Text):
            found += [ir.TextDelta(piece) for piece in _cut(part.text, draw(sizes))]
        elif isinstance(part, ir.Reasoning):
            found += [ir.ReasoningDelta(piece) for piece in _cut(part.text, draw(sizes))]
        elif isinstance(part, ir.ToolCall):
            found.append(ir.ToolCallStarted(index, part.id, part.name))
            found += [ir.ToolCallDelta(index, piece) for piece in _cut(part.arguments, draw(sizes))]
            index += 1
    assert result.usage is not None
    return result, [*found, ir.Stopped(result.finish_reason), ir.UsageReported(result.usage), ir.Ended()]


def _folded(dialect: Dialect, written: bytes) -> ir.ChatResult:
    """The answer that a stream of the dialect adds up to."""
    decoder = codec(dialect).stream_decoder("req_1")
    texts: dict[str, str] = {"reasoning": "", "text": ""}
    calls: list[list[str]] = []
    reason, usage = ir.FinishReason.PAUSE, None
    found = [change for event in events(written) for change in decoder.decode(event)]
    assert decoder.is_ended
    for change in found:
        if isinstance(change, ir.TextDelta):
            texts["text"] += change.text
        elif isinstance(change, ir.ReasoningDelta):
            texts["reasoning"] += change.text
        elif isinstance(change, ir.ToolCallStarted):
            assert change.index == len(calls)
            calls.append([change.id, change.name, ""])
        elif isinstance(change, ir.ToolCallDelta):
            calls[change.index][2] += change.arguments
        elif isinstance(change, ir.Stopped):
            reason = change.reason
        elif isinstance(change, ir.UsageReported):
            usage = change.usage
    parts: list[ir.Part] = [ir.Reasoning(texts["reasoning"])] if texts["reasoning"] else []
    parts += [ir.Text(texts["text"])] if texts["text"] else []
    parts += [ir.ToolCall(*call) for call in calls]
    return ir.ChatResult("", "m", tuple(parts), reason, usage)


def _written(dialect: Dialect, found: list[ir.StreamEvent]) -> bytes:
    encoder = stream_encoder(dialect, wants_usage=True)
    return b"".join(encoder.encode(event) for event in found)


@relaxed
@given(DIALECTS, streams())
def test_a_stream_reads_back(dialect: Dialect, stream: tuple[ir.ChatResult, list[ir.StreamEvent]]) -> None:
    result, found = stream
    assert _folded(dialect, _written(dialect, found)) == _same(result)


@relaxed
@given(DIALECTS, DIALECTS, streams(), st.lists(st.integers(0, 3_000), max_size=5))
def test_a_stream_keeps_its_meaning_across_dialects(
    client: Dialect, upstream: Dialect, stream: tuple[ir.ChatResult, list[ir.StreamEvent]], places: list[int]
) -> None:
    result, found = stream
    sent = _written(upstream, found)
    cuts = sorted(min(place, len(sent)) for place in places)
    tap = bridge(client, upstream).tap(FACTS, "req_1")
    pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
    written = b"".join(tap.feed(piece) for piece in pieces) + tap.finish()
    assert tap.is_complete
    assert tap.usage == result.usage
    assert tap.has_content is bool(result.parts)
    assert _folded(client, written) == _same(result)


@relaxed
@given(DIALECTS, DIALECTS, streams(), st.data())
def test_a_shortened_stream_is_never_taken_for_a_whole_one(
    client: Dialect, upstream: Dialect, stream: tuple[ir.ChatResult, list[ir.StreamEvent]], draw: st.DataObject
) -> None:
    sent = _written(upstream, stream[1])
    ends = (b'"finish_reason":"', b'"stop_reason":"', b"event: response.completed", b"event: response.incomplete")
    stopped = max(sent.find(end) for end in ends)
    tap = bridge(client, upstream).tap(FACTS, "req_1")
    written = tap.feed(sent[: draw.draw(st.integers(0, stopped))]) + tap.finish()
    assert tap.error is not None
    assert not tap.is_complete
    assert b"[DONE]" not in written
    assert b"message_stop" not in written
    assert b"event: response.completed" not in written


@pytest.mark.parametrize("dialect", list(SSE_DIALECTS))
def test_numbers_of_a_schema_survive_to_the_digit(dialect: Dialect) -> None:
    schema = b'{"type":"object","properties":{"n":{"maximum":12345678901234567890123,"multipleOf":1.0,"x":1e3}}}'
    tool = ir.Tool("t", "", msgspec.Raw(schema))
    request = ir.ChatRequest("m", (_message(ir.Role.USER, ir.Text("x")),), tools=(tool,), max_output_tokens=5)
    body = codec(dialect).encode_request(request).body
    assert schema in body
    assert bytes(decode_request(dialect, body).tools[0].parameters) == schema
    assert json.loads(body)

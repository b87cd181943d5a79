"""What only OpenAI's Responses, completions and embeddings do: turns, seals, calls side by side, hostile trees."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.errors import ATPError, InvalidRequest
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import ir, seals
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS, codec, decode_request
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.sse import events
from tests.support.wire_cases_responses import ask, call, message, result, said, text, thought

RESPONSES = Dialect.OPENAI_RESPONSES


def _body(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_items_of_the_assistant_in_a_row_are_one_turn_and_two_messages_are_two() -> None:
    items = [
        said("Hi"),
        thought("Hm", "gAAA"),
        message(text("One")),
        message(text("Two")),
        call("a", "f", "{}"),
        message(text("Three")),
        call("b", "f", "{}"),
        result("a", "x"),
        result("b", "y"),
    ]
    turns = decode_request(RESPONSES, _body(ask(items))).messages
    kinds = [[type(part).__name__ for part in turn.parts] for turn in turns]
    assert kinds == [
        ["Text"],
        ["Reasoning", "Text"],
        ["Text", "ToolCall", "Text", "ToolCall"],
        ["ToolResult"],
        ["ToolResult"],
    ]


@pytest.mark.parametrize("client", list(CHAT_DIALECTS))
def test_openais_seal_survives_any_client_that_can_carry_it_and_goes_back_whole(client: Dialect) -> None:
    answer = ir.ChatResult(
        "resp_1", "m", (ir.Reasoning("Hm", seals.marked(seals.OPENAI, "rs_7:gAAA=")), ir.Text("Yes")),
        ir.FinishReason.STOP, TokenUsage(3, 4),
    )  # fmt: skip
    told = codec(client).decode_reply(codec(client).encode_reply(answer))
    sealed = next((part for part in told.parts if isinstance(part, ir.Reasoning) and part.signature), None)
    if client in (Dialect.OPENAI_CHAT, Dialect.OLLAMA):
        assert sealed is None  # these have no place for a seal
        return
    assert sealed is not None
    back = ir.ChatRequest(
        "gpt-5.5", (ir.Message(ir.Role.USER, (ir.Text("Hi"),)), ir.Message(ir.Role.ASSISTANT, told.parts))
    )
    sent = json.loads(codec(RESPONSES).encode_request(back).body)
    items = [item for item in sent["input"] if item.get("type") == "reasoning"]
    assert [item["encrypted_content"] for item in items] == ["gAAA="]
    if client is not RESPONSES:  # there the item has an id of ours
        assert items[0]["id"] == "rs_7"


def test_thinking_that_another_vendor_sealed_is_never_shown_to_one_that_would_refuse_it() -> None:
    history = (
        ir.Message(ir.Role.USER, (ir.Text("Hi"),)),
        ir.Message(ir.Role.ASSISTANT, (ir.Reasoning("Hm", "c2ln"), ir.Text("Yes"))),
        ir.Message(ir.Role.ASSISTANT, (ir.Reasoning("Hm", seals.marked(seals.OPENAI, "rs:x")), ir.Text("Yes"))),
    )
    for upstream, seal in ((RESPONSES, b"c2ln"), (Dialect.ANTHROPIC, b"rs:x")):
        written = codec(upstream).encode_request(ir.ChatRequest("m", history, max_output_tokens=9))
        assert seal not in written.body
        assert written.dropped_fields == ("reasoning",)
    items = [said("Hi"), thought("Hm", "atp:anthropic:c2ln"), thought("Hm", "gAAA"), said("So?")]
    body = _body(ask(items))
    same = json.loads(bridge(RESPONSES, RESPONSES).request(body, read_facts(RESPONSES, body), "m").body)
    assert [item.get("encrypted_content") for item in same["input"]] == [None, "gAAA", None]


def test_fragments_of_several_calls_may_come_mixed() -> None:
    encoder = codec(RESPONSES).stream_encoder(wants_usage=True)
    found: list[ir.StreamEvent] = [
        ir.Started("x", "m"),
        ir.ToolCallStarted(0, "a", "f"),
        ir.ToolCallStarted(1, "b", "g"),
    ]
    found += [
        ir.ToolCallDelta(1, '{"b":'),
        ir.ToolCallDelta(0, '{"a":'),
        ir.ToolCallDelta(1, "2}"),
        ir.ToolCallDelta(0, "1}"),
    ]
    found += [ir.Stopped(ir.FinishReason.TOOL_CALLS), ir.Ended()]
    told = [json.loads(event.data or b"") for event in events(b"".join(encoder.encode(one) for one in found))]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    output = told[-1]["response"]["output"]
    assert [(item["call_id"], item["arguments"]) for item in output] == [("a", '{"a":1}'), ("b", '{"b":2}')]


WORDS = st.sampled_from(
    ["message", "function_call", "function_call_output", "reasoning", "input_text", "output_text", "input_image",
     "input_file", "refusal", "user", "assistant", "system", "json_schema", "function", "auto", "", "x"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["type", "role", "content", "output", "call_id", "name", "arguments", "summary", "encrypted_content", "text",
     "image_url", "file_data", "id", "format", "schema", "tools", "mode"]
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | WORDS | st.text(max_size=6)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
TOP = st.sampled_from(["tools", "tool_choice", "text", "reasoning", "instructions", "metadata", "include", "stream"])


@settings(max_examples=30, deadline=None)
@given(TREES, st.lists(st.dictionaries(KEYS, TREES, max_size=5), max_size=3), st.dictionaries(TOP, TREES, max_size=2))
def test_no_tree_makes_reading_a_responses_call_fail_otherwise(
    tree: Any, items: list[Any], more: dict[str, Any]
) -> None:
    for value in (tree, items):
        body = _body({"model": "m", "input": value, **more})
        for upstream in CHAT_DIALECTS:
            try:
                bridge(RESPONSES, upstream).request(body, read_facts(RESPONSES, body), "m")
            except ATPError as error:
                assert error.http_status == 400
                assert error.public_message.isprintable()


@settings(max_examples=30, deadline=None)
@given(TREES)
def test_no_tree_makes_reading_prompts_and_inputs_fail_otherwise(tree: Any) -> None:
    for dialect, field in ((Dialect.OPENAI_COMPLETIONS, "prompt"), (Dialect.OPENAI_EMBEDDINGS, "input")):
        body = _body({"model": "m", field: tree})
        try:
            facts = read_facts(dialect, body)
            upstream = dialect if facts.is_embedding else Dialect.OPENAI_CHAT
            bridge(dialect, upstream).request(body, facts, "m")
        except InvalidRequest as error:
            assert error.param == field


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([RESPONSES, Dialect.OPENAI_COMPLETIONS, Dialect.OPENAI_EMBEDDINGS]), st.binary(max_size=120))
def test_no_bytes_of_a_vendor_make_a_tap_or_a_reply_fail_otherwise(dialect: Dialect, noise: bytes) -> None:
    for client in [dialect, Dialect.OPENAI_CHAT] if dialect is RESPONSES else [dialect]:
        pair = bridge(client, dialect)
        with pytest.raises(ATPError):
            pair.reply(noise)
        body = {"model": "m", "input": "x", "prompt": "x", "messages": [said("x")], "stream": True}
        tap = pair.tap(read_facts(client, _body(body)), "req_1")
        tap.feed(b"data: " + noise + b"\n\n")
        tap.finish()
        assert tap.error is not None
        assert not tap.is_complete

"""Codex's tools over vendors that know functions only: what they are called there, and what they are called again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from atp_engine.core.types import Dialect
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS, codec, decode_request
from atp_engine.dialects.facts import read_facts
from atp_engine.dialects.openai_responses_tools import custom_input, flat_name
from atp_engine.dialects.sse import events

RESPONSES = Dialect.OPENAI_RESPONSES
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: BEGIN"}
SCHEMA = {"type": "object", "properties": {}}
TOOLS = [
    {"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": GRAMMAR},
    {
        "type": "namespace", "name": "mcp__files", "description": "", "tools": [
            {"type": "function", "name": "read", "parameters": SCHEMA}, {"type": "custom", "name": "note"},
        ],
    },
    {"type": "function", "name": "shell", "parameters": SCHEMA},
    {"type": "web_search"},
]  # fmt: skip
PATCH = '*** Begin Patch\n+ "é" 🌍\n'
CALLS = (
    ir.ToolCall("c1", "apply_patch", json.dumps({"input": PATCH})),
    ir.ToolCall("c2", "mcp__files__read", '{"path":"a"}'),
    ir.ToolCall("c3", "mcp__files__note", '{"text":"hi"}'),
    ir.ToolCall("c4", "shell", '{"cmd":"ls"}'),
)
TOLD = [
    ("custom_tool_call", "c1", "apply_patch", None, PATCH),
    ("function_call", "c2", "read", "mcp__files", '{"path":"a"}'),
    ("custom_tool_call", "c3", "note", "mcp__files", "hi"),
    ("function_call", "c4", "shell", None, '{"cmd":"ls"}'),
]
HISTORY = [
    {"role": "user", "content": "Go"},
    {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": PATCH},
    {"type": "function_call", "call_id": "c2", "name": "read", "namespace": "mcp__files", "arguments": "{}"},
    {"type": "local_shell_call", "call_id": "c5", "action": {"type": "exec", "command": ["ls"]}},
    {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
    {"type": "function_call_output", "call_id": "c2", "output": "text"},
    {"type": "local_shell_call_output", "call_id": "c5", "output": "a b"},
]


def _ask(**more: Any) -> bytes:
    return json.dumps({"model": "m", "input": HISTORY, "tools": TOOLS, **more}).encode()


def test_tools_go_up_as_functions_and_the_history_calls_them_by_the_same_names() -> None:
    request = decode_request(RESPONSES, _ask(tool_choice={"type": "custom", "name": "apply_patch"}))
    assert [tool.name for tool in request.tools] == ["apply_patch", "mcp__files__read", "mcp__files__note", "shell"]
    assert "start: BEGIN" in request.tools[0].description
    assert request.tool_choice == ir.ToolChoice("named", "apply_patch")
    calls = [part for turn in request.messages for part in turn.parts if isinstance(part, ir.ToolCall)]
    assert [(call.id, call.name) for call in calls] == [
        ("c1", "apply_patch"), ("c2", "mcp__files__read"), ("c5", "local_shell"),
    ]  # fmt: skip
    assert custom_input(calls[0].arguments) == PATCH
    results = [part for turn in request.messages for part in turn.parts if isinstance(part, ir.ToolResult)]
    assert [result.call_id for result in results] == ["c1", "c2", "c5"]
    assert request.dropped_fields == ("tools[].format", "tools[].web_search")


@pytest.mark.parametrize("upstream", [one for one in CHAT_DIALECTS if one is not RESPONSES])
def test_answers_call_them_by_their_own_names(upstream: Dialect) -> None:
    pair, body = bridge(RESPONSES, upstream), _ask()
    facts = read_facts(RESPONSES, body)
    assert pair.request(body, facts, "gpt-5.2").body
    answer = ir.ChatResult("x", "m", CALLS, ir.FinishReason.TOOL_CALLS, None)
    whole = pair.reply(codec(upstream).encode_reply(answer), facts=facts, request_id="req_1").body
    output = [one.to_dict() for one in Response.model_validate_json(whole).output]
    assert [(one["type"], one["name"]) for one in output] == [(kind, name) for kind, _, name, _, _ in TOLD]
    assert [one.get("namespace") for one in output] == [space for *_, space, _ in TOLD]
    assert output[0]["input"] == PATCH
    tap = pair.tap(read_facts(RESPONSES, _ask(stream=True)), "req_1", created=5)
    encoder = codec(upstream).stream_encoder(wants_usage=True)
    events: list[ir.StreamEvent] = [ir.Started("x", "m", 5), ir.TextDelta("On it.")]
    for place, call in enumerate(CALLS):
        middle = len(call.arguments) // 2
        events += [ir.ToolCallStarted(place, call.id, call.name)]
        events += [ir.ToolCallDelta(place, call.arguments[:middle]), ir.ToolCallDelta(place, call.arguments[middle:])]
    events += [ir.Stopped(ir.FinishReason.TOOL_CALLS), ir.Ended()]
    _check_stream(tap.feed(b"".join(encoder.encode(event) for event in events)) + tap.finish())


def _check_stream(written: bytes) -> None:
    """Every event is one of the SDK's; each call has its own events in their order."""
    told = [json.loads(event.data or b"") for event in events(written)]
    adapter: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in told:
        adapter.validate_python(event)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    for place, (kind, call_id, name, space, said) in enumerate(TOLD, start=1):
        own = [event for event in told if event.get("output_index") == place]
        field = "input" if kind == "custom_tool_call" else "arguments"
        words = f"response.{'custom_tool_call_input' if field == 'input' else 'function_call_arguments'}"
        kinds = list(dict.fromkeys(event["type"] for event in own))
        assert kinds == ["response.output_item.added", f"{words}.delta", f"{words}.done", "response.output_item.done"]
        assert (own[0]["item"]["name"], own[0]["item"]["type"], own[0]["item"][field]) == (name, kind, "")
        assert json_equal("".join(event["delta"] for event in own if event["type"] == f"{words}.delta"), said)
        item = own[-1]["item"]
        assert (item["call_id"], item["name"], item.get("namespace")) == (call_id, name, space)
        assert json_equal(item[field], said)
        assert told[-1]["response"]["output"][place] == item


def json_equal(one: str, other: str) -> bool:
    """Texts that are the same, or the same JSON: a vendor that has objects writes them its own way."""
    return one == other or (one.startswith("{") and json.loads(one) == json.loads(other))


def test_names_stay_short_and_inputs_are_found_where_models_put_them() -> None:
    long = flat_name("b" * 60, "a" * 30)
    assert len(long) == 64
    assert long == flat_name("b" * 60, "a" * 30) != flat_name("b" * 59 + "c", "a" * 30)
    assert flat_name("read", "mcp__files__") == "mcp__files__read"
    assert custom_input("plain text") == "plain text"
    assert custom_input('{"patch": "x"}') == "x"
    assert custom_input('{"input": 1}') == '{"input": 1}'

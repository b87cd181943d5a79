"""Stored bodies made readable, hostile ones included."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_console import bodies
from atp_console.paint import Line


def _text(lines: list[Line]) -> str:
    return "\n".join("".join(text for text, _ in line) for line in lines)


def test_a_conversation_is_shown_turn_by_turn() -> None:
    body = {
        "model": "auto",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Hi\nthere"},
            {"role": "assistant", "content": [{"type": "tool_use", "name": "shell", "input": {"cmd": "ls"}}]},
            {"role": "user", "content": [{"type": "tool_result", "content": "a.txt"}, {"type": "image"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "read", "arguments": "{}"}}]},
        ],
        "tools": [{"name": f"tool{number}"} for number in range(10)],
        "temperature": 0.2,
    }
    text = _text(bodies.readable(json.dumps(body)))
    for words in (
        "system\n  Be brief.",
        "user\n  Hi\n  there",
        'calls shell {"cmd": "ls"}',
        "tool result\n  a.txt",
        "[image]",
    ):
        assert words in text
    assert "calls read {}" in text
    assert "10 tools tool0, tool1" in text
    assert "and 2 more" in text
    assert "temperature 0.2" in text


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"role": "assistant", "content": "Hello."}}]},
        {"type": "message", "content": [{"type": "text", "text": "Hello."}]},
    ],
)
def test_an_answer_is_its_text(body: object) -> None:
    assert _text(bodies.readable(json.dumps(body))) == "Hello."


def test_streams_of_both_dialects_add_up_to_their_text() -> None:
    frames = [json.dumps({"choices": [{"delta": {"content": piece}}]}) for piece in ("Hel", "lo")]
    chat = "".join(f"data: {frame}\n\n" for frame in frames) + "data: [DONE]\n\n"
    assert bodies.plain(chat) == "Hello"
    anthropic = (
        "event: content_block_delta\n"
        'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"Hello"}}\n\n'
        'data: {"type":"content_block_start","content_block":{"type":"tool_use","name":"ls"}}\n\n'
        'data: {"delta":{"partial_json":"{}"}}\n\n'
        'data: {"type":"error","error":{"message":"overloaded"}}\n\n'
    )
    assert bodies.plain(anthropic) == "Hello\ncalls ls {}\n[error] overloaded"


def test_as_sent_indents_json_and_keeps_the_rest() -> None:
    assert _text(bodies.as_sent('{"a":[1,"x",null]}')) == '{\n  "a": [\n    1,\n    "x",\n    null\n  ]\n}'
    assert _text(bodies.as_sent("plain\ntext")) == "plain\ntext"
    roles = dict(bodies.as_sent('{"a": 1}')[1])
    assert roles['"a"'] == "accent"
    assert roles["1"] == "hit"


def test_no_control_character_of_a_body_survives() -> None:
    evil = "\x1b]52;c;aGk=\x07\x1b[31mred\u202e"
    for body in (
        evil,
        json.dumps({"messages": [{"role": evil, "content": evil}], evil: evil}),
        f'data: {{"delta":{{"text":"{evil}"}}}}',
    ):
        for read in (bodies.readable, bodies.as_sent):
            assert not set("\x1b\x07\u202e") & set(_text(read(body)))


_WORDS = ["messages", "content", "choices", "delta", "message", "role", "tools", "type", "text"]
_SHOWN = st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp")), max_size=10)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _SHOWN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=4),
    max_leaves=20,
)


@given(_JSON)
@settings(max_examples=200, deadline=None)
def test_any_json_can_be_read(value: object) -> None:
    body = json.dumps(value)
    assert isinstance(bodies.readable(body), list)
    assert isinstance(bodies.readable(f"data: {body}\n\n"), list)
    if isinstance(value, (dict, list)):
        assert _text(bodies.as_sent(body)) == json.dumps(value, indent=2, ensure_ascii=False)

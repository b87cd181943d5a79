"""Requests that a codec must refuse, by the name of the field, and the finer points of reading one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.errors import ATPError, InvalidRequest, UnsupportedFeature
from atp_engine.core.types import Dialect
from atp_engine.dialects import ir
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import codec, decode_request
from atp_engine.dialects.facts import read_facts
from tests.support.dialects import SSE_DIALECTS

OPENAI, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC
HI = [{"role": "user", "content": "Hi"}]


def _body(messages: Any = None, **more: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": messages or HI, **more}).encode()


def _turn(role: str, content: Any, **more: Any) -> list[dict[str, Any]]:
    return [{"role": role, "content": content, **more}]


REFUSED: list[tuple[Dialect, bytes, str]] = [
    (OPENAI, _body(_turn("user", None)), "messages[0].content"),
    (OPENAI, _body(_turn("user", 5)), "messages[0].content"),
    (OPENAI, _body(_turn("user", [{"type": "text"}])), "messages[0].content[0].text"),
    (OPENAI, _body(_turn("user", [{"text": "x"}])), "messages[0].content[0].type"),
    (OPENAI, _body(_turn("user", ["x"])), "messages[0].content[0]"),
    (OPENAI, _body(_turn("user", [{"type": "image_url", "image_url": {}}])), "messages[0].content[0].image_url.url"),
    (
        OPENAI,
        _body(_turn("user", [{"type": "image_url", "image_url": {"url": "data:,x"}}])),
        "messages[0].content[0].image_url.url",
    ),
    (OPENAI, _body(_turn("user", [{"type": "image_url", "image_url": "ftp://x"}])), "messages[0].content[0].image_url"),
    (OPENAI, _body(_turn("tool", "x")), "messages[0].tool_call_id"),
    (OPENAI, _body(_turn("robot", "x")), "messages[0].role"),
    (
        OPENAI,
        _body(_turn("assistant", None, tool_calls=[{"type": "function", "function": {}}])),
        "messages[0].tool_calls[0].function.name",
    ),
    (OPENAI, _body(_turn("assistant", None, tool_calls={})), "messages[0].tool_calls"),
    (OPENAI, _body(tools=[{"type": "function"}]), "tools[0].function"),
    (OPENAI, _body(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    (OPENAI, _body(tools=["x"]), "tools[0]"),
    (OPENAI, _body(tool_choice="maybe"), "tool_choice"),
    (OPENAI, _body(tool_choice={"type": "function", "function": {}}), "tool_choice.function.name"),
    (OPENAI, _body(response_format={"type": "json_schema"}), "response_format.json_schema"),
    (OPENAI, _body(stop=[1]), "stop"),
    (OPENAI, _body(seed="x"), "seed"),
    (ANTHROPIC, _body(_turn("user", None)), "messages[0].content"),
    (ANTHROPIC, _body(_turn("tool", "x")), "messages[0].role"),
    (ANTHROPIC, _body(_turn("user", [{"type": "image"}])), "messages[0].content[0].source"),
    (
        ANTHROPIC,
        _body(_turn("user", [{"type": "image", "source": {"type": "url", "url": "file:///x"}}])),
        "messages[0].content[0].source.url",
    ),
    (ANTHROPIC, _body(_turn("user", [{"type": "tool_result"}])), "messages[0].content[0].tool_use_id"),
    (
        ANTHROPIC,
        _body(_turn("assistant", [{"type": "tool_use", "id": "t", "name": "n", "input": []}])),
        "messages[0].content[0].input",
    ),
    (
        ANTHROPIC,
        _body(_turn("assistant", [{"type": "tool_use", "id": "t", "name": "n"}])),
        "messages[0].content[0].input",
    ),
    (ANTHROPIC, _body(system=[{"type": "image", "source": {"type": "url", "url": "https://x"}}]), "system[0].type"),
    (ANTHROPIC, _body(tools=[{"name": "t"}]), "tools[0].input_schema"),
    (ANTHROPIC, _body(tools=[{"name": "t", "input_schema": {}}], tool_choice={"type": "maybe"}), "tool_choice.type"),
    (ANTHROPIC, _body(tools=[{"name": "t", "input_schema": {}}], tool_choice={"type": "tool"}), "tool_choice.name"),
    (ANTHROPIC, _body(thinking={"budget_tokens": 5}), "thinking.type"),
    (ANTHROPIC, _body(stop_sequences="x"), "stop_sequences"),
    (ANTHROPIC, _body(metadata={"user_id": 5}), "metadata.user_id"),
    (ANTHROPIC, b'{"model":"m","messages":[{"role":"user","content":"x"}]}', "max_tokens"),
]


@pytest.mark.parametrize(("dialect", "body", "param"), REFUSED, ids=range(len(REFUSED)))
def test_a_wrong_field_is_refused_by_name(dialect: Dialect, body: bytes, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        decode_request(dialect, body)
    assert caught.value.param == param
    assert not isinstance(caught.value, UnsupportedFeature)


@pytest.mark.parametrize(
    ("dialect", "content", "word"),
    [
        (OPENAI, [{"type": "input_audio", "input_audio": {}}], "input_audio"),
        (OPENAI, [{"type": "file", "file": {"file_id": "f"}}], "file"),
        (OPENAI, [{"type": "\u001b[31mnew"}], "new"),
        (ANTHROPIC, [{"type": "document", "source": {"type": "file"}}], "file"),
        (ANTHROPIC, [{"type": "container_upload", "file_id": "f"}], "container_upload"),
        (ANTHROPIC, [{"type": "search_result"}], "search_result"),
        (
            ANTHROPIC,
            [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "browser_state"}]}],
            "browser_state",
        ),
    ],
)
def test_content_that_cannot_be_carried_is_named(dialect: Dialect, content: Any, word: str) -> None:
    with pytest.raises(UnsupportedFeature) as caught:
        decode_request(dialect, _body(_turn("user", content)))
    assert word in caught.value.public_message
    assert "\u001b" not in caught.value.public_message
    assert caught.value.param


def test_a_picture_by_the_assistant_cannot_go_to_anthropic() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    body = _body([*HI, *_turn("assistant", [image])])
    with pytest.raises(UnsupportedFeature):
        bridge(OPENAI, ANTHROPIC).request(body, read_facts(OPENAI, body), "m")


def test_a_custom_tool_call_in_the_history_is_named() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    with pytest.raises(UnsupportedFeature, match="custom"):
        decode_request(OPENAI, _body(_turn("assistant", None, tool_calls=[call])))


def test_names_of_dropped_fields_are_few_short_and_harmless() -> None:
    body = _body(**{f"field {place} \u001b[31m" + "x" * 500: 1 for place in range(500)})
    dropped = decode_request(OPENAI, body).dropped_fields
    assert len(dropped) == 64
    assert all(len(name) <= 80 and name.isprintable() for name in dropped)


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    said = b'[{"role":"user","content":"a\\ud83c"}]'
    body = b'{"model":"m","max_tokens":1,"messages":%b,"input":%b}' % (said, said)
    for dialect in SSE_DIALECTS:
        assert decode_request(dialect, body).messages[0].parts == (ir.Text("a\ufffd"),)


def test_half_an_emoji_inside_arguments_does_not_spoil_them() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "t", "arguments": '{"a":"\\ud83c"}'}}
    body = _body([*HI, *_turn("assistant", None, tool_calls=[call])])
    sent = bridge(OPENAI, ANTHROPIC).request(body, read_facts(OPENAI, body), "m")
    assert json.loads(sent.body)["messages"][1]["content"][0]["input"] == {"a": "\ufffd"}
    assert sent.dropped_fields == ()


def test_ids_that_anthropic_refuses_stay_equal_for_call_and_result() -> None:
    turns = [
        *HI,
        *_turn("assistant", None, tool_calls=[{"id": "fn:1/ü", "function": {"name": "t", "arguments": "{}"}}]),
        *_turn("tool", "ok", tool_call_id="fn:1/ü"),
    ]
    sent = bridge(OPENAI, ANTHROPIC).request(_body(turns), read_facts(OPENAI, _body(turns)), "m")
    messages = json.loads(sent.body)["messages"]
    assert messages[1]["content"][0]["id"] == messages[2]["content"][0]["tool_use_id"]
    assert messages[1]["content"][0]["id"].startswith("toolu_")


def test_every_dialect_has_the_words_of_every_finish() -> None:
    for dialect in SSE_DIALECTS:
        assert set(codec(dialect).FINISH) == set(ir.FinishReason)


KEYS = st.sampled_from(
    [
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "source",
        "tool_calls",
        "function",
        "name",
        "arguments",
        "input",
    ]
)
ROLES = st.sampled_from(["user", "assistant", "system", "tool"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["text", "image", "tool_use", "thinking"])
)
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=15
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(SSE_DIALECTS)),
    ROLES,
    TREES,
    st.dictionaries(KEYS | st.sampled_from(["tools", "tool_choice"]), TREES, max_size=3),
)
def test_no_tree_makes_reading_fail_otherwise(dialect: Dialect, role: str, content: Any, more: dict[str, Any]) -> None:
    body = json.dumps(
        {"model": "m", "max_tokens": 5, "messages": [{"role": role, "content": content, **more}], **more}
    ).encode()
    for other in SSE_DIALECTS:
        try:
            bridge(dialect, other).request(body, read_facts(dialect, body), "m")
        except ATPError as error:
            assert error.http_status == 400
            assert error.public_message.isprintable()


@settings(deadline=None)
@given(st.sampled_from(list(SSE_DIALECTS)), st.binary(max_size=200))
def test_no_bytes_make_reading_fail_otherwise(dialect: Dialect, body: bytes) -> None:
    for read in (decode_request, read_facts):
        with pytest.raises(InvalidRequest):
            read(dialect, body)

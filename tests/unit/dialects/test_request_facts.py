"""What one light read of a request tells, and every way a body can be refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects.estimate import IMAGE_TOKENS
from atp_engine.dialects.facts import read_facts

OPENAI, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC
HI = [{"role": "user", "content": "Hi"}]
PNG = "A" * 40_000


def _openai(messages: Any = None, **more: Any) -> RequestFacts:
    return read_facts(OPENAI, json.dumps({"model": "m", "messages": messages or HI, **more}).encode())


def _anthropic(messages: Any = None, **more: Any) -> RequestFacts:
    body = {"model": "m", "max_tokens": 9, "messages": messages or HI, **more}
    return read_facts(ANTHROPIC, json.dumps(body).encode())


def _refusal(dialect: Dialect, body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        read_facts(dialect, body)
    return caught.value


def test_a_small_openai_request_is_read() -> None:
    facts = _openai(stream=True, stream_options={"include_usage": True}, max_tokens=5, tools=[{"type": "function"}])
    assert (facts.model, facts.is_stream, facts.wants_usage, facts.has_tools) == ("m", True, True, True)
    assert (facts.max_output_tokens, facts.message_count) == (5, 1)
    assert not (facts.has_images or facts.wants_json or facts.wants_reasoning or facts.session_hint)
    assert facts.prompt_tokens_estimate == -(-facts.prompt_bytes // 4)


def test_null_fields_count_as_missing() -> None:
    names = ("stream", "stream_options", "tools", "max_tokens", "temperature", "n", "response_format", "metadata")
    facts = _openai(**dict.fromkeys(names))
    assert not (facts.is_stream or facts.has_tools or facts.max_output_tokens)


def test_max_completion_tokens_goes_before_max_tokens() -> None:
    assert _openai(max_tokens=5, max_completion_tokens=7).max_output_tokens == 7


@pytest.mark.parametrize(
    ("more", "wants"),
    [
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": {"type": "json_schema"}}, True),
        ({"response_format": {"type": "text"}}, False),
    ],
)
def test_a_json_format_is_seen(more: dict[str, Any], wants: bool) -> None:
    assert _openai(**more).wants_json is wants


def test_reasoning_is_seen_in_both_dialects() -> None:
    assert _openai(reasoning_effort="low").wants_reasoning
    assert not _openai(reasoning_effort="none").wants_reasoning
    assert _anthropic(thinking={"type": "adaptive"}).wants_reasoning
    assert not _anthropic(thinking={"type": "disabled"}).wants_reasoning
    assert not _anthropic(output_config={"effort": "high"}).wants_reasoning


def test_anthropic_json_formats_are_seen_in_both_places() -> None:
    form = {"type": "json_schema", "schema": {}}
    assert _anthropic(output_config={"format": form}).wants_json
    assert _anthropic(output_format=form).wants_json


def test_empty_tool_lists_are_no_tools() -> None:
    assert not _openai(tools=[]).has_tools
    assert not _anthropic(tools=[]).has_tools
    assert _openai(functions=[{"name": "f"}]).has_tools


def test_a_picture_is_seen_and_its_base64_does_not_swell_the_estimate() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    facts = _openai([{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}])
    assert facts.has_images
    assert facts.prompt_bytes < 400
    assert IMAGE_TOKENS < facts.prompt_tokens_estimate < IMAGE_TOKENS + 100


def test_the_word_image_url_alone_is_no_picture() -> None:
    assert not _openai([{"role": "user", "content": 'Explain {"type": "image_url"} to me'}]).has_images


def test_a_picture_inside_a_tool_result_is_seen() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source}]}
    facts = _anthropic([{"role": "user", "content": [result]}])
    assert facts.has_images
    assert facts.prompt_tokens_estimate < IMAGE_TOKENS + 100


def test_half_an_emoji_beside_a_picture_is_no_trouble() -> None:
    image = '{"type":"image_url","image_url":{"url":"https://x/\\ud83c"}}'
    body = '{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\\ud83c"},' + image + "]}]}"
    assert read_facts(OPENAI, body.encode()).has_images


def test_files_count_by_a_fraction_of_their_size() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": PNG, "format": "wav"}}
    facts = _openai([{"role": "user", "content": [audio]}])
    assert not facts.has_images
    assert 1_000 < facts.prompt_tokens_estimate < 2_000


def test_odd_parts_beside_a_picture_do_not_disturb_the_count() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    odd = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "odd", "content": [[image], 5, None]}]}
    assert _anthropic([{"role": "user", "content": [image, odd]}]).has_images


def test_unsigned_thinking_is_seen() -> None:
    def facts(signature: str) -> RequestFacts:
        block = {"type": "thinking", "thinking": "Hm", "signature": signature}
        return _anthropic([*HI, {"role": "assistant", "content": [block]}])

    assert facts("").has_unsigned_thinking
    assert not facts("c2ln").has_unsigned_thinking


def test_the_estimate_follows_the_learned_ratio() -> None:
    body = json.dumps({"model": "m", "messages": HI}).encode()
    assert read_facts(OPENAI, body, bytes_per_token=2.0).prompt_tokens_estimate == -(-len(body) // 2)


def test_claude_code_tells_its_session_inside_the_user_id() -> None:
    user_id = json.dumps({"device_id": "d" * 64, "account_uuid": "", "session_id": "5a4b"})
    assert _anthropic(metadata={"user_id": user_id}).session_hint == "5a4b"


def test_older_claude_code_tells_its_session_at_the_end_of_the_user_id() -> None:
    user_id = "user_" + "a" * 64 + "_account__session_0f1e2d3c-aaaa-bbbb-cccc-001122334455"
    assert _anthropic(metadata={"user_id": user_id}).session_hint == "0f1e2d3c-aaaa-bbbb-cccc-001122334455"


@pytest.mark.parametrize("user_id", ["someone", "{not json", '{"session_id": 5}', '["session_id"]', ""])
def test_a_plain_user_id_is_a_person_and_no_session(user_id: str) -> None:
    assert _anthropic(metadata={"user_id": user_id}).session_hint == ""


def test_openai_bodies_tell_a_session_by_metadata_or_cache_key() -> None:
    assert _openai(metadata={"session_id": "s1"}, prompt_cache_key="k").session_hint == "s1"
    assert _openai(prompt_cache_key="k").session_hint == "k"
    assert _openai(user="ann", safety_identifier="bob").session_hint == ""


def test_a_strange_session_id_becomes_a_digest() -> None:
    for strange in ("x" * 500, "a\u001b[31m", "né"):
        hint = _openai(prompt_cache_key=strange).session_hint
        assert len(hint) == 32
        assert hint.isalnum()


def test_the_prefix_is_the_system_prompt_and_the_first_user_message() -> None:
    turns = [{"role": "system", "content": "Be brief."}, *HI, {"role": "user", "content": "Later"}]
    assert _openai(turns).prefix_seed == b"Be brief.\0Hi"
    assert _anthropic(HI, system="Be brief.").prefix_seed == b"Be brief.\0Hi"


def test_the_prefix_is_the_same_for_a_string_and_for_cached_parts() -> None:
    parts = [{"type": "text", "text": 'Say "é"\n', "cache_control": {"type": "ephemeral"}}]
    as_parts = _anthropic([{"role": "user", "content": parts}], system=[{"type": "text", "text": "S"}])
    assert as_parts.prefix_seed == _anthropic([{"role": "user", "content": 'Say "é"\n'}], system="S").prefix_seed


def test_the_prefix_is_at_most_4_kib_and_sees_the_end_of_a_long_first_message() -> None:
    def seed(question: str) -> bytes:
        return _openai(
            [{"role": "system", "content": "é" * 9_000}, {"role": "user", "content": "pre " * 5_000 + question}]
        ).prefix_seed

    assert len(seed("one")) <= 4096
    assert seed("one") != seed("two")


def test_lone_surrogates_in_a_prompt_are_no_reason_to_refuse() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"cut \\ud83c here \\ud83c\\udf0d"}]}'
    assert read_facts(OPENAI, body).prefix_seed == "\0cut \ufffd here 🌍".encode()


def test_of_a_key_that_is_there_twice_the_last_counts() -> None:
    body = b'{"model":"a","messages":[{"role":"user","content":"x"}],"mod\\u0065l":"b"}'
    assert read_facts(OPENAI, body).model == "b"


BROKEN_BODIES: list[tuple[bytes, str | None]] = [
    (b"", None),
    (b"   ", None),
    (b"nope", None),
    (b"null", None),
    (b"[]", None),
    (b'"text"', None),
    (b"1e5", None),
    (b"\xef\xbb\xbf" + json.dumps({"model": "m", "max_tokens": 1, "messages": HI}).encode(), None),
    (json.dumps({"model": "m", "max_tokens": 1, "messages": HI}).encode("utf-16"), None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"\xff"}]}', None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"other":"\xff"}', None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]', None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]} x', None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"temperature":NaN}', None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"temperature":-Infinity}', None),
    (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"x":'
        + b"[" * 100_000
        + b"]" * 100_000
        + b"}",
        None,
    ),
    (b'{"model":"m","max_tokens":1,"messages":' + b'[{"role":"user","content":' * 50_000, None),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"x":"\x00"}', None),
    (b"{}", "model"),
    (b'{"model":null,"max_tokens":1,"messages":[{"role":"user"}]}', "model"),
    (b'{"model":"","max_tokens":1,"messages":[{"role":"user","content":"x"}]}', "model"),
    (b'{"model":5,"max_tokens":1,"messages":[{"role":"user","content":"x"}]}', "model"),
    (b'{"model":["m"],"max_tokens":1,"messages":[{"role":"user","content":"x"}]}', "model"),
    (b'{"model":"' + b"m" * 5_000 + b'","max_tokens":1,"messages":[{"role":"user","content":"x"}]}', "model"),
    (b'{"model":"m","max_tokens":1}', "messages"),
    (b'{"model":"m","max_tokens":1,"messages":null}', "messages"),
    (b'{"model":"m","max_tokens":1,"messages":[]}', "messages"),
    (b'{"model":"m","max_tokens":1,"messages":{}}', "messages"),
    (b'{"model":"m","max_tokens":1,"messages":"hi"}', "messages"),
    (b'{"model":"m","max_tokens":1,"messages":["hi"]}', "messages[0]"),
    (b'{"model":"m","max_tokens":1,"messages":[null]}', "messages[0]"),
    (b'{"model":"m","max_tokens":1,"messages":[{"content":"x"}]}', "messages[0].role"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"wizard","content":"x"}]}', "messages[0].role"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":7,"content":"x"}]}', "messages[0].role"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":5}]}', "messages[0].content"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":["x"]}]}', "messages[0].content[0]"),
    (
        b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":1}]}]}',
        "messages[0].content[0].type",
    ),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"stream":"yes"}', "stream"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"stream":1}', "stream"),
    (b'{"model":"m","max_tokens":"1","messages":[{"role":"user","content":"x"}]}', "max_tokens"),
    (b'{"model":"m","max_tokens":-1,"messages":[{"role":"user","content":"x"}]}', "max_tokens"),
    (b'{"model":"m","max_tokens":1.5,"messages":[{"role":"user","content":"x"}]}', "max_tokens"),
    (b'{"model":"m","max_tokens":99999999999999999999999,"messages":[{"role":"user","content":"x"}]}', "max_tokens"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"temperature":"hot"}', "temperature"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"temperature":1e999}', "temperature"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"top_p":[]}', "top_p"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":{}}', "tools"),
    (b'{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"metadata":[]}', "metadata"),
]


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize(("body", "param"), BROKEN_BODIES, ids=range(len(BROKEN_BODIES)))
def test_a_broken_body_is_refused_by_name(dialect: Dialect, body: bytes, param: str | None) -> None:
    error = _refusal(dialect, body)
    assert error.param == param
    assert error.http_status == 400
    assert len(error.public_message) < 300
    assert error.public_message.isprintable()


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": "2"}, "n"),
        ({"stream_options": []}, "stream_options"),
        ({"response_format": "json"}, "response_format"),
        ({"reasoning_effort": 3}, "reasoning_effort"),
        ({"prompt_cache_key": {}}, "prompt_cache_key"),
    ],
)
def test_openai_fields_of_the_wrong_type_are_refused(more: dict[str, Any], param: str) -> None:
    body = json.dumps({"model": "m", "messages": HI, **more}).encode()
    assert _refusal(OPENAI, body).param == param


def test_anthropic_needs_max_tokens_as_the_vendor_does() -> None:
    assert _refusal(ANTHROPIC, json.dumps({"model": "m", "messages": HI}).encode()).param == "max_tokens"


@pytest.mark.parametrize("role", ["tool", "developer", "function"])
def test_openai_roles_are_not_anthropic_roles(role: str) -> None:
    assert _openai([{"role": role, "content": "x"}]).message_count == 1
    body = json.dumps({"model": "m", "max_tokens": 1, "messages": [{"role": role, "content": "x"}]}).encode()
    assert _refusal(ANTHROPIC, body).param == "messages[0].role"


def test_claude_codes_system_role_in_messages_is_read() -> None:
    turns = [*HI, {"role": "system", "content": "Note"}]
    assert _anthropic(turns).message_count == 2


def test_blocks_whose_content_is_an_object_are_read() -> None:
    failed = {"type": "web_search_tool_result", "tool_use_id": "s", "content": {"type": "web_search_tool_result_error"}}
    assert _anthropic([{"role": "assistant", "content": [failed]}]).message_count == 1


def test_a_complaint_repeats_the_clients_text_harmlessly() -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "\u001b[31m" + "x" * 900, "content": "x"}]}).encode()
    assert "\u001b" not in _refusal(OPENAI, body).public_message

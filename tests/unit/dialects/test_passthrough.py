"""Within one dialect only the model's name changes on the way up, and nothing on the way down."""

from __future__ import annotations

import json

import pytest

from atp_engine.core.errors import BadUpstreamReply, InvalidRequest, UpstreamRateLimited
from atp_engine.core.types import Dialect
from atp_engine.dialects.bridges import bridge
from atp_engine.dialects.codecs import CHAT_DIALECTS
from atp_engine.dialects.facts import read_facts

OPENAI, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC


def _request(body: bytes, dialect: Dialect = OPENAI, model: str = "real") -> bytes:
    return bridge(dialect, dialect).request(body, read_facts(dialect, body), model).body


def test_bridges_are_shared_per_pair() -> None:
    assert bridge(OPENAI, OPENAI) is bridge(OPENAI, OPENAI)
    assert (
        len({id(bridge(client, upstream)) for client in CHAT_DIALECTS for upstream in CHAT_DIALECTS})
        == len(CHAT_DIALECTS) ** 2
    )


def test_values_keep_their_bytes() -> None:
    body = b'{"model":"m","messages":[ {"role":"user",  "content":"\\u00e9"} ],"seed":1.0,"x":12345678901234567890123}'
    assert _request(body) == body.replace(b'"m"', b'"real"')


def test_half_an_emoji_goes_up_as_a_replacement_character() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"a\\ud83c"}]}'
    assert json.loads(_request(body))["messages"][0]["content"] == "a\ufffd"


def test_of_two_models_only_the_checked_one_goes_up() -> None:
    body = b'{"model":"cheap","messages":[{"role":"user","content":"x"}],"model":"dear","mod\\u0065l":"dearer"}'
    assert read_facts(OPENAI, body).model == "dearer"
    sent = _request(body, model="real")
    assert sent.count(b"model") == 1
    assert json.loads(sent)["model"] == "real"


def test_a_name_with_quotes_stays_one_string() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}]}'
    assert json.loads(_request(body, model='a"b\\c'))["model"] == 'a"b\\c'


def test_a_stream_of_openai_asks_for_usage_once() -> None:
    def options(sent: str) -> object:
        body = b'{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true%s}' % sent.encode()
        return json.loads(_request(body))["stream_options"]

    assert options("") == {"include_usage": True}
    assert options(',"stream_options":null') == {"include_usage": True}
    assert options(',"stream_options":{"include_usage":false,"x":[1]}') == {"include_usage": True, "x": [1]}
    assert options(',"stream_options":{"include_usage":true}') == {"include_usage": True}


def test_a_plain_call_gets_no_stream_options() -> None:
    assert b"stream_options" not in _request(b'{"model":"m","messages":[{"role":"user","content":"x"}]}')


def test_an_anthropic_request_goes_up_as_it_came() -> None:
    body = b'{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"stream":true,"thinking":{"x":1}}'
    assert _request(body, ANTHROPIC) == body.replace(b'"m"', b'"real"')


def test_a_body_that_is_no_object_is_refused_here_too() -> None:
    facts = read_facts(OPENAI, b'{"model":"m","messages":[{"role":"user","content":"x"}]}')
    for body in (b"[]", b"{", b'{"a":' * 5_000):
        with pytest.raises(InvalidRequest):
            bridge(OPENAI, OPENAI).request(body, facts, "real")


def test_an_answer_keeps_its_bytes() -> None:
    body = b'{ "choices":[{"index":0,"message":{"content":"caf\\u00e9 \\ud83c"},"finish_reason":"stop"}]\n}'
    reply = bridge(OPENAI, OPENAI).reply(body)
    assert reply.body is body
    assert (reply.text, reply.finish_reason, reply.usage, reply.output_chars) == ("café \ufffd", "stop", None, 6)


def test_a_long_answer_is_previewed_and_counted_whole() -> None:
    body = json.dumps({"choices": [{"message": {"content": "x" * 10_000}}]}).encode()
    reply = bridge(OPENAI, OPENAI).reply(body)
    assert (len(reply.text), reply.output_chars) == (4096, 10_000)


def test_an_answer_of_calls_counts_their_characters() -> None:
    call = {"type": "tool_use", "id": "t", "name": "time", "input": {}}
    body = json.dumps(
        {"content": [{"type": "thinking", "thinking": "Hm"}, call, {"type": "text", "text": "Hi"}]}
    ).encode()
    reply = bridge(ANTHROPIC, ANTHROPIC).reply(body)
    assert (reply.text, reply.output_chars) == ("Hi", len("Hm") + len("time{}") + len("Hi"))


def test_an_openai_message_that_only_reasoned_is_an_answer() -> None:
    body = b'{"choices":[{"message":{"role":"assistant","content":null},"finish_reason":"length"}]}'
    assert bridge(OPENAI, OPENAI).reply(body).finish_reason == "length"


BAD_ANSWERS = [
    b"",
    b"OK",
    b"<html></html>",
    b"null",
    b"[]",
    b"{}",
    b'"done"',
    b'{"choices":null}',
    b'{"choices":[]}',
    b'{"choices":[{}]}',
    b'{"choices":[{"message":null}]}',
    b'{"choices":[{"message":"hi"}]}',
    b'{"choices":{"0":1}}',
    b'{"content":"hi"}',
    b'{"content":null}',
    b'{"content":[{"type":"text","text":5}]}',
    b'{"choices":[{"message":{"content":"x"}}],"usage":"free","content":[5]}',
    b'{"choices":[{"message":{"content":"\xff"}}],"content":[{"type":"text","text":"\xff"}]}',
    b'{"a":' * 50_000,
]


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("body", BAD_ANSWERS, ids=range(len(BAD_ANSWERS)))
def test_what_is_no_answer_is_told_as_a_bad_one(dialect: Dialect, body: bytes) -> None:
    other = ANTHROPIC if dialect is OPENAI else OPENAI
    for client in (dialect, other):
        with pytest.raises(BadUpstreamReply) as caught:
            bridge(client, dialect).reply(body)
        assert caught.value.http_status == 502


def test_an_error_inside_a_200_is_classified() -> None:
    for dialect, body in (
        (OPENAI, b'{"error":{"code":"rate_limit_exceeded","message":"slow"}}'),
        (ANTHROPIC, b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}'),
    ):
        with pytest.raises(UpstreamRateLimited):
            bridge(dialect, dialect).reply(body)


def test_counts_that_lie_are_made_safe() -> None:
    usage = '{"prompt_tokens":-5,"completion_tokens":1e300,"prompt_tokens_details":{"cached_tokens":99}}'
    body = ('{"choices":[{"message":{"content":"x"}}],"usage":' + usage + "}").encode()
    told = bridge(OPENAI, OPENAI).reply(body).usage
    assert told is not None
    assert (told.input_tokens, told.cache_read_tokens, told.output_tokens) == (0, 0, 2**40)


def test_deepseeks_cache_hits_are_counted() -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 2, "prompt_cache_hit_tokens": 64}
    body = {"choices": [{"message": {"content": "x"}}], "usage": usage}
    told = bridge(OPENAI, OPENAI).reply(json.dumps(body).encode()).usage
    assert told is not None
    assert (told.input_tokens, told.cache_read_tokens, told.prompt_tokens) == (36, 64, 100)

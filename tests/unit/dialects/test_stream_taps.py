"""A tap tells the truth about a stream: content, usage, the end, and whatever went wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.errors import BadUpstreamReply, StreamBroken
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects import sse
from atp_engine.dialects.bridge import StreamTap
from atp_engine.dialects.bridges import bridge
from tests.support.wire_cases import DONE, ROLE, block, chunk, event, fragment, start, stop, text_block

OPENAI, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC
PAIRS = [(client, upstream) for client in (OPENAI, ANTHROPIC) for upstream in (OPENAI, ANTHROPIC)]


def _facts(*, wants_usage: bool = True) -> RequestFacts:
    return RequestFacts("m", True, False, False, False, wants_usage, False, 0, 40, 10, 1, "", b"")


def _tap(client: Dialect = OPENAI, upstream: Dialect = OPENAI, *, wants_usage: bool = True) -> StreamTap:
    return bridge(client, upstream).tap(_facts(wants_usage=wants_usage), "req_1")


def _feed(tap: StreamTap, *texts: str) -> str:
    return b"".join(tap.feed(text.encode()) for text in texts).decode()


def _content(upstream: Dialect, text: str) -> str:
    if upstream is OPENAI:
        return chunk({"content": text})
    return event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


def _beginning(upstream: Dialect) -> str:
    if upstream is OPENAI:
        return ROLE
    return start() + event("content_block_start", index=0, content_block={"type": "text", "text": ""})


def _ending(upstream: Dialect) -> str:
    return chunk({}, "stop") + DONE if upstream is OPENAI else stop()


def test_the_usual_chunk_comes_back_as_the_same_object() -> None:
    for upstream in (OPENAI, ANTHROPIC):
        tap = _tap(upstream, upstream)
        _feed(tap, _beginning(upstream))
        piece = _content(upstream, "Hi").encode()
        assert tap.feed(piece) is piece


@given(st.lists(st.text(max_size=8) | st.sampled_from(["plain", 'a"b', "a\\\\", "\\n", '","x":"', "}]}", "ü"])))
@settings(max_examples=40, deadline=None)
def test_a_chunk_like_the_one_before_means_what_it_means_alone(texts: list[str]) -> None:
    for upstream in (OPENAI, ANTHROPIC):
        events = [_beginning(upstream), _content(upstream, "word"), *(_content(upstream, text) for text in texts)]
        one_by_one, at_once = _tap(upstream, upstream), _tap(upstream, upstream)
        assert _feed(one_by_one, *events, _ending(upstream)) == _feed(at_once, "".join(events) + _ending(upstream))
        for tap in (one_by_one, at_once):
            assert tap.error is None
            assert tap.is_complete
            assert tap.tail() == ("word" + "".join(texts)).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        assert one_by_one.content_events == at_once.content_events == 1 + sum(1 for text in texts if text)
        assert one_by_one.output_chars == at_once.output_chars


def test_a_chunk_that_is_cut_or_of_another_candidate_is_not_taken_for_the_one_before() -> None:
    tap = _tap()
    _feed(tap, ROLE, chunk({"content": "one"}), chunk({"content": "two"}))
    piece = chunk({"content": "three"})
    assert _feed(tap, piece[:40], piece[40:]) == piece
    other = chunk({"content": "four"}, "stop")
    assert _feed(tap, other, DONE, chunk({"content": "late"})) == other + chunk(
        usage={"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14,
               "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
               "completion_tokens_details": {"reasoning_tokens": 0}}).replace(", ", ",").replace(": ", ":").replace(
        "data:{", "data: {") + DONE  # fmt: skip
    assert (tap.tail(), tap.content_events, tap.finish_reason) == ("onetwothreefour", 4, "stop")


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_first_content_is_the_commit_point(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    _feed(tap, _beginning(upstream))
    assert not tap.has_content
    _feed(tap, _content(upstream, ""))
    assert not tap.has_content
    _feed(tap, _content(upstream, "Hi"))
    assert (tap.has_content, tap.content_events, tap.output_chars, tap.tail()) == (True, 1, 2, "Hi")


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_only_the_terminal_event_completes(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    ending = _ending(upstream)
    _feed(tap, _beginning(upstream), _content(upstream, "Hi"), ending[:-2])
    assert not tap.is_complete
    _feed(tap, ending[-2:])
    assert (tap.is_complete, tap.error) == (True, None)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_nothing_after_the_end_is_handed_on(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    whole = _feed(tap, _beginning(upstream) + _content(upstream, "Hi") + _ending(upstream) + _content(upstream, "more"))
    assert tap.is_complete
    assert "more" not in whole
    assert _feed(tap, _content(upstream, "more")) == ""
    assert tap.finish() == b""
    assert tap.output_chars == 2


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_cut_stream_gets_no_success_marker(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    written = _feed(tap, _beginning(upstream) + _content(upstream, "Hi")) + tap.finish().decode()
    assert isinstance(tap.error, StreamBroken)
    assert not tap.is_complete
    for marker in ("[DONE]", "message_stop", "message_delta", '"finish_reason": "stop"', '"finish_reason":"stop"'):
        assert marker not in written


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_a_half_event_is_never_handed_on(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    half = _content(upstream, "secret half")[:-9]
    written = _feed(tap, _beginning(upstream) + half) + tap.finish().decode()
    assert "secret" not in written
    assert isinstance(tap.error, StreamBroken)


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
@pytest.mark.parametrize(
    "bad",
    [
        b"data: {oops}\n\n",
        b"data: [1]\n\n",
        b"data: 5\n\n",
        b'data: "text"\n\n',
        b"data: \xff\xfe\n\n",
        b"data: <html>\n\n",
        b'data: {"choices":5,"type":5}\n\n',
        b'data: {"choices":[{"delta":{"content":"\xff"}}],"type":"x"}\n\n',
        b'data: {"x":"\xff","type":"x"}\n\n',
        b"data: " + b'{"choices":' * 3_000 + b"\n\n",
        b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":7}}\n\n',
    ],
)
def test_a_malformed_event_ends_in_an_error(client: Dialect, upstream: Dialect, bad: bytes) -> None:
    if upstream is OPENAI and b"content_block_delta" in bad:
        bad = b'data: {"choices":[{"delta":{"content":7}}]}\n\n'
    tap = _tap(client, upstream)
    _feed(tap, _beginning(upstream))
    assert tap.feed(bad + _content(upstream, "after").encode()) == b""
    assert isinstance(tap.error, BadUpstreamReply)
    assert tap.feed(_ending(upstream).encode()) == b""
    assert tap.finish() == b""
    assert not tap.is_complete


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_events_before_the_error_in_the_same_piece_are_kept(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    written = _feed(
        tap, _beginning(upstream) + _content(upstream, "before") + "data: {oops}\n\n" + _content(upstream, "after")
    )
    assert "before" in written
    assert "after" not in written


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_the_vendors_error_event_is_classified_and_not_handed_on(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    error = {"type": "overloaded_error", "message": "at https://10.0.0.1/v1 with sk-secret-000000"}
    sent = f"data: {json.dumps({'error': error})}\n\n" if upstream is OPENAI else event("error", error=error)
    written = _feed(tap, _beginning(upstream) + sent + _ending(upstream))
    assert type(tap.error).__name__ == "UpstreamOverloaded"
    assert "sk-secret" not in written + str(tap.error)
    assert "10.0.0.1" not in str(tap.error)


def test_an_openai_event_named_error_is_one_whatever_it_holds() -> None:
    for data in ('{"message":"no"}', "busy", "{oops}"):
        tap = _tap()
        assert _feed(tap, f"event: error\ndata: {data}\n\n") == ""
        assert tap.error is not None


@pytest.mark.parametrize(("client", "upstream"), PAIRS)
def test_an_event_over_the_cap_breaks_the_stream(client: Dialect, upstream: Dialect) -> None:
    tap = _tap(client, upstream)
    _feed(tap, _beginning(upstream))
    piece = b"data: " + b"x" * (1024 * 1024)
    for _ in range(sse.EVENT_CAP_BYTES // len(piece) + 1):
        assert tap.feed(piece) == b""
    assert isinstance(tap.error, BadUpstreamReply)


def test_an_event_of_four_mib_passes() -> None:
    tap = _tap()
    big = chunk({"content": "x" * (4 * 1024 * 1024)}).encode()
    written = b"".join(tap.feed(big[place : place + 65_536]) for place in range(0, len(big), 65_536))
    assert written == big
    assert len(tap.tail()) == 4096


def test_the_tail_keeps_the_last_4096_characters() -> None:
    tap = _tap()
    for place in range(3_000):
        _feed(tap, chunk({"content": f"{place:04d} "}))
    assert len(tap.tail()) == 4096
    assert tap.tail().endswith("2998 2999 ")
    assert tap.content_events == 3_000
    assert tap.output_chars == 15_000


@pytest.mark.parametrize(
    "delta",
    [
        {"reasoning_content": "Hm"},
        {"reasoning": "Hm"},
        {"refusal": "No"},
        fragment(0, "", "call_1", "time"),
        {"function_call": {"name": "time", "arguments": ""}},
        {"audio": {"data": "AA=="}},
        {"content": [{"type": "text", "text": "Hi"}]},
        {"content": [{"type": "thinking", "thinking": []}]},
    ],
)
def test_other_openai_content_counts_as_content(delta: dict[str, Any]) -> None:
    tap = _tap()
    _feed(tap, chunk(delta))
    assert tap.has_content


@pytest.mark.parametrize(
    "delta", [{}, {"role": "assistant"}, {"content": ""}, {"content": None}, {"tool_calls": None}, {"reasoning": ""}]
)
def test_empty_openai_deltas_are_no_content(delta: dict[str, Any]) -> None:
    tap = _tap()
    assert _feed(tap, chunk(delta)) == chunk(delta)
    assert not tap.has_content


@pytest.mark.parametrize(
    ("sent", "is_content"),
    [
        (event("content_block_start", index=0, content_block={"type": "text", "text": ""}), False),
        (event("content_block_start", index=0, content_block={"type": "text", "text": "Hi"}), True),
        (event("content_block_start", index=0, content_block={"type": "thinking", "thinking": ""}), False),
        (
            event(
                "content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "n", "input": {}}
            ),
            True,
        ),
        (event("content_block_start", index=0, content_block={"type": "redacted_thinking", "data": "x"}), True),
        (event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Hm"}), True),
        (event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": ""}), False),
        (event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "s"}), True),
        (event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": ""}), False),
        (event("content_block_delta", index=0, delta={"type": "citations_delta", "citation": {}}), True),
        (event("content_block_stop", index=0), False),
        (event("ping"), False),
        (event("surprise"), False),
        (": comment\n\n", False),
        ("event: content_block_delta\n\n", False),
    ],
)
def test_what_counts_as_anthropic_content(sent: str, is_content: bool) -> None:
    tap = _tap(ANTHROPIC, ANTHROPIC)
    assert _feed(tap, sent) == sent
    assert tap.has_content is is_content


def test_several_candidates_are_whole_when_each_has_finished() -> None:
    def candidate(index: int, finish: str | None) -> str:
        choice = {"index": index, "delta": {"content": "x"}, "finish_reason": finish}
        return f"data: {json.dumps({'choices': [choice]})}\n\n"

    tap = _tap()
    _feed(tap, candidate(0, None), candidate(1, None), candidate(0, "stop"))
    tap.finish()
    assert isinstance(tap.error, StreamBroken)
    tap = _tap()
    _feed(
        tap, candidate(0, None), candidate(1, None), candidate(0, "stop"), candidate(1, "stop"), candidate(10**9, None)
    )
    assert tap.finish().endswith(b"data: [DONE]\n\n")
    assert tap.is_complete


def test_the_usage_chunk_reaches_only_clients_that_asked() -> None:
    usage = chunk(usage={"prompt_tokens": 3, "completion_tokens": 4})
    for wants in (True, False):
        tap = _tap(wants_usage=wants)
        written = _feed(tap, ROLE, chunk({"content": "Hi"}), chunk({}, "stop"), usage, DONE)
        assert (usage in written) is wants
        assert tap.usage is not None
        assert (tap.usage.input_tokens, tap.usage.output_tokens, tap.usage.is_estimated) == (3, 4, False)


def test_usage_that_was_asked_for_but_never_sent_is_made_up_and_marked() -> None:
    tap = _tap()
    written = _feed(tap, ROLE, chunk({"content": "Hello you"}), chunk({}, "stop"), DONE)
    made_up = json.loads(written.split("\n\n")[-3].removeprefix("data: "))
    assert made_up["id"] == "chatcmpl-1"
    assert made_up["choices"] == []
    assert (made_up["usage"]["prompt_tokens"], made_up["usage"]["completion_tokens"]) == (10, 3)
    assert tap.usage is not None
    assert tap.usage.is_estimated


def test_usage_repeated_in_every_chunk_counts_once() -> None:
    tap = _tap()
    for tokens in (1, 2, 3):
        _feed(tap, chunk({"content": "x"}, usage={"prompt_tokens": 5, "completion_tokens": tokens}))
    assert tap.usage is not None
    assert tap.usage.output_tokens == 3


def test_anthropic_usage_joins_start_and_cumulative_delta() -> None:
    tap = _tap(ANTHROPIC, ANTHROPIC)
    _feed(tap, start(cache_read_input_tokens=100, cache_creation_input_tokens=20))
    assert tap.usage is not None
    assert (tap.usage.input_tokens, tap.usage.prompt_tokens) == (12, 132)
    thinking = {"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}}
    _feed(tap, text_block(0, "Hi"), event("message_delta", delta={"stop_reason": "end_turn"}, usage=thinking))
    assert (tap.usage.input_tokens, tap.usage.output_tokens, tap.usage.reasoning_tokens) == (12, 50, 30)


def test_a_stream_without_any_answer_is_not_complete() -> None:
    for client, upstream, sent in (
        (OPENAI, OPENAI, DONE),
        (OPENAI, OPENAI, chunk(usage={"prompt_tokens": 1, "completion_tokens": 1}) + DONE),
        (ANTHROPIC, ANTHROPIC, event("message_stop")),
        (ANTHROPIC, ANTHROPIC, start() + event("message_stop")),
        (ANTHROPIC, OPENAI, DONE),
        (OPENAI, ANTHROPIC, event("message_stop")),
    ):
        tap = _tap(client, upstream)
        _feed(tap, sent)
        assert not tap.is_complete
        assert isinstance(tap.error, BadUpstreamReply), sent


def test_the_model_is_the_one_the_vendor_names() -> None:
    for client, upstream in PAIRS:
        tap = _tap(client, upstream)
        _feed(tap, _beginning(upstream))
        assert tap.model == ("m-1" if upstream is OPENAI else "claude-x")


def test_pings_never_reach_an_openai_client() -> None:
    for upstream in (OPENAI, ANTHROPIC):
        tap = _tap(OPENAI, upstream)
        assert _feed(tap, "event: ping\ndata: {}\n\n") == ""
        assert tap.error is None


def test_redacted_thinking_keeps_its_place_between_blocks() -> None:
    tap = _tap(ANTHROPIC, ANTHROPIC)
    sent = start() + block(0, {"type": "redacted_thinking", "data": "x"}) + text_block(1, "A") + stop()
    assert _feed(tap, sent) == sent
    assert tap.is_complete


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PAIRS), st.lists(st.binary(max_size=60), max_size=12))
def test_no_bytes_make_a_tap_raise(pair: tuple[Dialect, Dialect], pieces: list[bytes]) -> None:
    tap = _tap(*pair)
    for piece in pieces:
        tap.feed(piece)
    tap.finish()
    assert tap.error is not None
    assert not tap.is_complete


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "type",
        "choices",
        "delta",
        "content",
        "tool_calls",
        "function",
        "usage",
        "error",
        "message",
        "content_block",
        "text",
    ]
)
SHAPES = st.recursive(
    JSON, lambda inner: st.dictionaries(KEYS, inner, max_size=4) | st.lists(inner, max_size=2), max_leaves=20
)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(PAIRS),
    st.lists(SHAPES, max_size=4),
    st.sampled_from(["", "event: message_delta\n", "event: error\n"]),
)
def test_no_json_makes_a_tap_raise(pair: tuple[Dialect, Dialect], shapes: list[Any], name: str) -> None:
    tap = _tap(*pair)
    _feed(tap, _beginning(pair[1]))
    for shape in shapes:
        tap.feed(f"{name}data: {json.dumps(shape)}\n\n".encode())
    tap.finish()
    assert tap.is_complete or tap.error is not None

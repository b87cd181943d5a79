from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from atp_engine.config.models import ProviderConfig
from atp_engine.core.errors import (
    BadUpstreamReply,
    ContentBlocked,
    ContextTooLong,
    StreamBroken,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from atp_engine.core.pricing import usd_to_nusd
from atp_engine.dialects.estimate import estimate_tokens
from atp_engine.providers.simulated_models import BUILT_IN, FAULTS, simulated_prices
from tests.support.simulated import Bench, chat_text, sse_json

BOTH = pytest.mark.parametrize("dialect", ["openai_chat", "anthropic"])
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city", "days"],
}


def chat_tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "description": "", "parameters": WEATHER}}


async def test_an_answer_is_readable_names_the_topic_and_reports_its_usage() -> None:
    answer = await Bench().json("Tell me about lighthouse keepers")
    text = answer["choices"][0]["message"]["content"]
    assert "lighthouse" in text.lower() or "keepers" in text.lower()
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == estimate_tokens(len(text.encode()))
    assert answer["usage"]["prompt_tokens"] > 5
    assert answer["model"] == "sim-fast"


async def test_the_same_seed_model_and_body_give_the_same_bytes() -> None:
    one, two, other = Bench(), Bench(), Bench(seed=99)
    bodies = [await (await bench.open()).read_all(10**6) for bench in (one, one, two, other)]
    texts = [msgspec.json.decode(body)["choices"][0]["message"]["content"] for body in bodies]
    assert texts[0] == texts[1] == texts[2]
    assert texts[3] != texts[0]
    assert (await one.json("Tell me about submarine cables"))["choices"][0]["message"]["content"] != texts[0]


async def test_a_stream_is_paced_and_ends_in_its_terminal_event() -> None:
    bench = Bench()
    began = bench.clock.at
    response = await bench.open(model="sim-balanced", stream=True, stream_options={"include_usage": True})
    assert bench.clock.at - began == pytest.approx(0.175, rel=0.3)
    pieces, times = [], []
    while piece := await response.read():
        pieces.append(piece)
        times.append(bench.clock.at - began)
    events = sse_json(b"".join(pieces))
    assert pieces[-1].endswith(b"data: [DONE]\n\n")
    usage = events[-1]["usage"]
    assert usage["completion_tokens"] == estimate_tokens(len(chat_text(events).encode()))
    assert times[1] == pytest.approx(0.35, rel=0.3)
    assert times[-1] - times[1] == pytest.approx(usage["completion_tokens"] / 75, rel=0.15)
    assert min(after - before for before, after in pairwise(times)) > 0.009


@BOTH
async def test_a_stream_and_a_whole_answer_use_the_shape_of_the_dialect(dialect: str) -> None:
    bench = Bench(dialect)
    whole = await bench.json()
    events = await bench.events()
    if dialect == "anthropic":
        assert (whole["type"], whole["stop_reason"]) == ("message", "end_turn")
        assert [event["type"] for event in events][:2] == ["message_start", "content_block_start"]
        assert events[-1]["type"] == "message_stop"
        assert events[0]["message"]["usage"]["input_tokens"] > 0
        assert next(event for event in events if event["type"] == "message_delta")["usage"]["output_tokens"] > 0
    else:
        assert whole["object"] == "chat.completion"
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        assert [c["finish_reason"] for event in events for c in event["choices"]][-1] == "stop"


@BOTH
async def test_max_tokens_cuts_the_answer_and_says_so(dialect: str) -> None:
    answer = await Bench(dialect).json(max_tokens=5)
    if dialect == "anthropic":
        assert (answer["stop_reason"], answer["usage"]["output_tokens"]) == ("max_tokens", 5)
    else:
        assert (answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]) == ("length", 5)


async def test_a_stop_sequence_ends_the_text_before_it() -> None:
    free = (await Bench("anthropic").json())["content"][0]["text"]
    word = free.split()[4]
    answer = await Bench("anthropic").json(stop_sequences=[word, "zzz"], seed=1)
    assert word not in answer["content"][0]["text"]
    assert answer["stop_reason"] in ("stop_sequence", "end_turn")
    if answer["stop_reason"] == "stop_sequence":
        assert answer["stop_sequence"] == word


async def test_a_required_or_named_tool_is_called_with_arguments_that_fit() -> None:
    tools = [chat_tool("send_mail"), chat_tool("get_weather")]
    for choice in ("required", {"type": "function", "function": {"name": "send_mail"}}):
        answer = (await Bench().json(tools=tools, tool_choice=choice))["choices"][0]
        assert answer["finish_reason"] == "tool_calls"
        calls = answer["message"]["tool_calls"]
        assert 1 <= len(calls) <= 2
        for call in calls:
            arguments = msgspec.json.decode(call["function"]["arguments"])
            assert isinstance(arguments["city"], str)
            assert 1 <= arguments["days"] <= 7
        if choice != "required":
            assert {call["function"]["name"] for call in calls} == {"send_mail"}


async def test_a_streamed_tool_call_adds_up_to_valid_json() -> None:
    events = await Bench("anthropic").events(
        tools=[{"name": "get_weather", "input_schema": WEATHER}], tool_choice={"type": "tool", "name": "get_weather"}
    )
    first = next(event["index"] for event in events if event.get("content_block", {}).get("type") == "tool_use")
    parts = [
        event["delta"]["partial_json"]
        for event in events
        if event["type"] == "content_block_delta" and event["index"] == first
    ]
    assert set(msgspec.json.decode("".join(parts))) == {"city", "days"}
    assert next(event for event in events if event["type"] == "message_delta")["delta"]["stop_reason"] == "tool_use"


async def test_left_to_itself_a_model_calls_only_harmless_tools() -> None:
    bench = Bench()
    names = ["Bash", "write_file", "delete_record", "get_weather", "read_and_delete", "Task"]
    called = set()
    for number in range(60):
        answer = await bench.json(f"What is the weather on day {number}", tools=[chat_tool(name) for name in names])
        called |= {call["function"]["name"] for call in answer["choices"][0]["message"].get("tool_calls") or ()}
    assert called == {"get_weather"}


async def test_no_tool_is_called_when_none_may_be_or_after_a_result() -> None:
    bench = Bench()
    for number in range(20):
        answer = await bench.json(f"weather {number}", tools=[chat_tool("get_weather")], tool_choice="none")
        assert answer["choices"][0]["message"]["content"]
    conversation = [
        {"role": "user", "content": "weather in Oslo"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "rain"},
    ]
    for number in range(20):
        answer = await bench.json(tools=[chat_tool("get_weather")], messages=conversation, seed=number)
        assert answer["choices"][0]["finish_reason"] == "stop"


async def test_structured_output_is_json_of_the_schema() -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "score": {"type": "number"}},
        "required": ["name", "score"],
        "additionalProperties": False,
    }
    answer = await Bench().json(
        response_format={"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    )
    value = msgspec.json.decode(answer["choices"][0]["message"]["content"])
    assert set(value) == {"name", "score"}
    loose = await Bench().json(response_format={"type": "json_object"})
    assert "answer" in msgspec.json.decode(loose["choices"][0]["message"]["content"])


async def test_a_thinking_model_thinks_first_and_its_thoughts_are_counted() -> None:
    events = await Bench("anthropic").events(model="sim-thinking")
    kinds = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert kinds == ["thinking", "text"]
    answer = await Bench().json(model="sim-thinking")
    details = answer["usage"]["completion_tokens_details"]
    assert 0 < details["reasoning_tokens"] < answer["usage"]["completion_tokens"]


async def test_a_long_conversation_reads_its_earlier_part_from_the_cache() -> None:
    turns = [
        {"role": "user", "content": "lorem " * 2_000},
        {"role": "assistant", "content": "ok"},
        {"role": "user", "content": "and now"},
    ]
    usage = (await Bench().json(messages=turns))["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] >= 2_048
    assert usage["prompt_tokens_details"]["cached_tokens"] % 128 == 0
    assert usage["prompt_tokens"] > usage["prompt_tokens_details"]["cached_tokens"]


STATUSES: dict[str, tuple[int, type[UpstreamError]]] = {
    "400": (400, UpstreamRejected),
    "401": (401, UpstreamAuthFailed),
    "403": (403, UpstreamAuthFailed),
    "404": (404, UpstreamRejected),
    "429": (429, UpstreamRateLimited),
    "500": (500, UpstreamOverloaded),
    "502": (502, UpstreamOverloaded),
    "503": (503, UpstreamOverloaded),
    "529": (529, UpstreamOverloaded),
    "context": (400, ContextTooLong),
    "filter": (400, ContentBlocked),
}


@BOTH
@pytest.mark.parametrize("fault", STATUSES)
@pytest.mark.parametrize("is_suffix", [True, False])
async def test_a_refusal_can_be_asked_for_and_is_classified_like_a_vendors(
    dialect: str, fault: str, is_suffix: bool
) -> None:
    bench = Bench(dialect)
    model = f"sim-fast:{fault}" if is_suffix else "sim-fast"
    response = await bench.open("hello" if is_suffix else f"hello [[sim:{fault}]]", model)
    status, kind = STATUSES[fault]
    body = await response.read_all(10_000)
    assert response.status == status
    error = bench.provider.classify(response.status, response.headers, body)
    assert type(error) is kind
    assert "Simulated" in error.public_message
    assert (error.retry_after_s is not None) == (fault == "429")


async def test_a_rate_limit_says_when_to_come_back() -> None:
    bench = Bench()
    response = await bench.open("[[sim:429 retry=2.5]]")
    assert response.header(b"retry-after") == b"3"
    assert bench.provider.classify(429, response.headers, await response.read_all(10_000)).retry_after_s == 3.0


async def test_a_directive_can_be_meant_for_one_model_so_that_a_fallback_is_seen() -> None:
    bench = Bench()
    assert (await bench.open("[[sim:500 on=sim-fast]]", "sim-fast")).status == 500
    assert (await bench.open("[[sim:500 on=sim-fast]]", "sim-large")).status == 200


@pytest.mark.parametrize(
    "prompt", ["[[sim:nonsense]]", "[[sim:]]", "[[sim:500", "[[sim:429 retry=soon on=x]]", "[[sim:" * 9_999]
)
async def test_a_directive_that_means_nothing_changes_nothing(prompt: str) -> None:
    assert (await Bench().open(prompt)).status == 200


async def test_only_the_last_thing_the_user_said_can_direct() -> None:
    turns = [
        {"role": "user", "content": "[[sim:500]]"},
        {"role": "assistant", "content": "oh"},
        {"role": "user", "content": "go on"},
    ]
    assert (await Bench().open(messages=turns)).status == 200


@BOTH
async def test_a_cut_stream_breaks_and_never_shows_a_terminal_event(dialect: str) -> None:
    response = await Bench(dialect).open("[[sim:cut after=3]]", stream=True)
    seen = b""
    with pytest.raises(StreamBroken):
        while True:
            seen += await response.read()
    assert seen
    assert b"[DONE]" not in seen
    assert b"message_stop" not in seen
    assert b'finish_reason":"stop' not in seen


@BOTH
async def test_a_short_stream_ends_in_good_order_without_a_terminal_event(dialect: str) -> None:
    response = await Bench(dialect).open("[[sim:short]]", stream=True)
    body = await response.read_all(10**6)
    assert body
    assert b"[DONE]" not in body
    assert b"message_stop" not in body


@BOTH
async def test_an_error_event_comes_in_the_middle_of_a_stream(dialect: str) -> None:
    response = await Bench(dialect).open("[[sim:error]]", stream=True)
    events = sse_json(await response.read_all(10**6))
    assert "error" in events[-1]
    assert len(events) > 3


async def test_a_whole_answer_can_be_cut_too() -> None:
    response = await Bench().open("[[sim:cut]]")
    with pytest.raises(StreamBroken):
        await response.read_all(10**6)


async def test_nothing_answers_and_html_can_be_asked_for() -> None:
    with pytest.raises(UpstreamUnreachable):
        await Bench().open("[[sim:down]]")
    response = await Bench().open("[[sim:html]]")
    assert (response.status, response.header(b"content-type")) == (200, b"text/html")


async def test_a_hanging_call_and_a_stalled_stream_end_at_the_deadline_by_its_name() -> None:
    bench = Bench()
    began = bench.clock.at
    with pytest.raises(UpstreamTimeout) as hung:
        await bench.open("[[sim:hang]]", limit_s=2.0)
    assert (hung.value.limit, bench.clock.at - began) == ("ttft", 2.0)
    response = await bench.open("[[sim:stall after=2]]", stream=True)
    with pytest.raises(UpstreamTimeout) as stalled:
        while True:
            response.set_deadline(bench.clock.at + 3.0, "idle")
            assert await response.read()
    assert stalled.value.limit == "idle"


async def test_slow_takes_ten_times_as_long_and_a_deadline_before_the_headers_holds() -> None:
    bench = Bench()
    began = bench.clock.at
    await bench.open("[[sim:slow]]", stream=True)
    assert 0.4 < bench.clock.at - began < 0.8
    with pytest.raises(UpstreamTimeout):
        await bench.open("[[sim:slow]]", limit_s=0.3)


async def test_the_flaky_model_fails_at_its_stated_rates() -> None:
    bench = Bench()
    statuses = [(await bench.open(f"question {number}", "sim-flaky")).status for number in range(400)]
    assert 0.03 < statuses.count(429) / 400 < 0.15
    assert 0.03 < statuses.count(500) / 400 < 0.15


async def test_configured_profiles_replace_the_built_in_models() -> None:
    bench = Bench(profiles={"mine": {"ttft_ms": 5, "tokens_per_s": 1_000, "output_tokens": 10}})
    assert (await bench.open(model="mine")).status == 200
    missing = await bench.open(model="sim-fast")
    assert missing.status == 404
    assert isinstance(bench.provider.classify(404, [], await missing.read_all(10_000)), UpstreamRejected)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{", b'{"messages":7}', b"\xff\xfe", b"[" * 100_000])
@BOTH
async def test_a_body_that_makes_no_sense_is_refused_in_the_dialects_shape(dialect: str, body: bytes) -> None:
    bench = Bench(dialect)
    response = await bench.provider.open(bench.call(body, "sim-fast"))
    assert response.status == 400
    error = bench.provider.classify(400, response.headers, await response.read_all(10_000))
    assert isinstance(error, UpstreamRejected)


async def test_reading_everything_stops_at_the_cap() -> None:
    response = await Bench().open(model="sim-large")
    with pytest.raises(BadUpstreamReply):
        await response.read_all(50)


async def test_a_closed_answer_and_a_closed_provider_serve_nothing() -> None:
    bench = Bench()
    response = await bench.open(stream=True)
    await response.read()
    response.close()
    response.close()
    with pytest.raises(StreamBroken):
        await response.read()
    await bench.provider.aclose()
    with pytest.raises(UpstreamUnreachable):
        await bench.open()


async def test_cancelling_a_wait_is_exact_and_leaves_the_answer_closable() -> None:
    bench = Bench()
    reached, never = asyncio.Event(), asyncio.Event()
    response = await bench.open(stream=True)
    await response.read()

    async def stuck(seconds: float) -> None:
        reached.set()
        await never.wait()

    bench.clock.on_sleep = stuck
    reading = asyncio.ensure_future(response.read())
    await asyncio.wait_for(reached.wait(), 5)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    response.close()
    assert len(asyncio.all_tasks()) == 1


async def test_the_instant_model_answers_without_waiting() -> None:
    bench = Bench()
    began = bench.clock.at
    response = await bench.open(model="sim-instant", stream=True)
    body = await response.read()
    assert body.endswith(b"data: [DONE]\n\n")
    assert await response.read() == b""
    assert bench.clock.at == began


async def test_streams_move_on_a_common_grid_so_that_many_wake_up_together() -> None:
    bench = Bench()
    response = await bench.open(model="sim-fast", stream=True)
    await response.read()
    while await response.read():
        on_grid = bench.clock.at / 0.01
        assert abs(on_grid - round(on_grid)) < 1e-6


def test_every_fault_and_every_built_in_model_is_described() -> None:
    assert set(STATUSES) < set(FAULTS)
    assert all(FAULTS.values())
    chats = {"sim-fast", "sim-balanced", "sim-large", "sim-local", "sim-instant", "sim-flaky", "sim-thinking"}
    assert chats | {"sim-embed"} == set(BUILT_IN)


def test_stated_prices_cover_suffixed_names_and_a_model_without_one_is_free() -> None:
    prices = simulated_prices(ProviderConfig(kind="simulated"))
    assert prices["sim-large"].output_nusd == usd_to_nusd(15)
    assert prices["sim-large:429"] == prices["sim-large"]
    assert prices["sim-local"].output_nusd == 0
    mine = simulated_prices(
        ProviderConfig.model_validate({"kind": "simulated", "profiles": {"mine": {}, "sim-fast": {}}})
    )
    assert mine["mine"].input_nusd == 0
    assert mine["sim-fast"] == prices["sim-fast"]


async def test_two_hundred_parallel_streams_stay_cheap() -> None:
    bench = Bench()
    started = time.process_time()

    async def drink(number: int) -> int:
        response = await bench.open(f"topic {number}", "sim-fast", stream=True)
        size = 0
        while piece := await response.read():
            size += len(piece)
        return size

    sizes = await asyncio.gather(*(drink(number) for number in range(200)))
    assert min(sizes) > 500
    assert time.process_time() - started < 5.0

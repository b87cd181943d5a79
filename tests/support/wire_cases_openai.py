"""Cases whose client speaks OpenAI chat: to Anthropic, and straight through."""

from __future__ import annotations

from typing import Any

from tests.support.wire_cases import (
    ANTHROPIC,
    DONE,
    OPENAI,
    OPENAI_TIME,
    OPENAI_TOOL,
    PIXEL,
    ROLE,
    USAGE,
    USAGE_CHUNK,
    WEATHER,
    Case,
    Json,
    assistant,
    block,
    call_block,
    chunk,
    event,
    fragment,
    openai_call,
    start,
    stop,
    text_block,
    user,
)

HELLO = [user("Say hello")]
TWO_CALLS = assistant(
    None, tool_calls=[openai_call("call_a", "weather", '{"city": "Oslo"}'), openai_call("call_b", "time", "")]
)


def _ask(name: str, messages: list[Json] | None = None, model: str = "claude-sonnet-5", **more: Any) -> Case:
    return Case(OPENAI, ANTHROPIC, "request", name, {"model": "alias", "messages": messages or HELLO, **more}, model)


REQUESTS = [
    _ask("text"),
    _ask(
        "system_prompts_first_and_later",
        [
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
            user("Hi"),
            {"role": "system", "content": "Now in French."},
        ],
    ),
    _ask("turns_in_a_row", [user("One"), user([{"type": "text", "text": "Two"}]), assistant("Ok"), user("Three")]),
    _ask(
        "empty_texts", [user("Hi"), assistant(""), user([{"type": "text", "text": ""}, {"type": "text", "text": "Go"}])]
    ),
    _ask(
        "images",
        [
            user(
                [
                    {"type": "text", "text": "Compare"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}", "detail": "high"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
                ]
            )
        ],
    ),
    _ask(
        "tool_loop",
        [
            user("Weather and time?"),
            TWO_CALLS,
            {"role": "tool", "tool_call_id": "call_a", "content": "Snow"},
            {"role": "tool", "tool_call_id": "call_b", "content": [{"type": "text", "text": "Noon"}]},
            user("Thanks, now sum up"),
        ],
        tools=[OPENAI_TOOL, OPENAI_TIME],
        tool_choice="auto",
    ),
    _ask("tool_choice_required", tools=[OPENAI_TOOL], tool_choice="required", parallel_tool_calls=False),
    _ask(
        "tool_choice_named",
        tools=[OPENAI_TOOL, OPENAI_TIME],
        tool_choice={"type": "function", "function": {"name": "time"}},
    ),
    _ask("tool_choice_none", tools=[OPENAI_TOOL], tool_choice="none", parallel_tool_calls=True),
    _ask("one_call_at_a_time", tools=[OPENAI_TOOL], parallel_tool_calls=False),
    _ask(
        "allowed_tools",
        tools=[OPENAI_TOOL, OPENAI_TIME],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]},
        },
    ),
    _ask("custom_tool", tools=[{"type": "custom", "custom": {"name": "shell"}}, OPENAI_TOOL]),
    _ask(
        "broken_arguments_and_odd_ids",
        [
            user("Go"),
            assistant(None, tool_calls=[openai_call("functions.weather:0", "weather", '{"city": "Os')]),
            {"role": "tool", "tool_call_id": "functions.weather:0", "content": "bad arguments"},
        ],
        tools=[OPENAI_TOOL],
    ),
    _ask(
        "legacy_functions",
        [
            user("Go"),
            assistant(None, function_call={"name": "weather", "arguments": "{}"}),
            {"role": "function", "name": "weather", "content": "Snow"},
        ],
        functions=[{"name": "weather", "parameters": WEATHER}],
        function_call="auto",
    ),
    _ask(
        "sampling",
        stop=["END", " "],
        temperature=1.4,
        top_p=0.9,
        max_completion_tokens=77,
        max_tokens=5,
        user="someone",
        stream=True,
        stream_options={"include_usage": True},
    ),
    _ask("sampling_top_p", stop="END", top_p=0.5, top_k=40),
    _ask("thinking_adaptive", reasoning_effort="high", temperature=0.2),
    _ask("thinking_budget", reasoning_effort="medium", model="claude-sonnet-4-5", max_tokens=4000),
    _ask("thinking_budget_without_limit", reasoning_effort="minimal", model="claude-haiku-4-5-20251001"),
    _ask("thinking_too_small", reasoning_effort="low", model="claude-opus-4-1", max_tokens=500),
    _ask("thinking_off", reasoning_effort="none"),
    _ask("thinking_unknown_to_model", reasoning_effort="low", model="claude-3-5-haiku-latest"),
    _ask("thinking_and_forced_tool", reasoning_effort="low", tools=[OPENAI_TOOL], tool_choice="required"),
    _ask(
        "thinking_inside_a_tool_loop",
        [user("Go"), TWO_CALLS, {"role": "tool", "tool_call_id": "call_a", "content": "Snow"}],
        reasoning_effort="low",
        tools=[OPENAI_TOOL],
    ),
    _ask(
        "json_schema",
        response_format={"type": "json_schema", "json_schema": {"name": "w", "schema": WEATHER, "strict": True}},
    ),
    _ask("json_mode", response_format={"type": "json_object"}),
    _ask(
        "knobs_dropped",
        [user("Hi") | {"name": "ann"}, assistant("Hm", reasoning_content="I think")],
        n=2,
        seed=1,
        logprobs=True,
        frequency_penalty=0.5,
        presence_penalty=0.5,
        logit_bias={"1": 2},
        metadata={"a": "b"},
        prompt_cache_key="k",
        service_tier="flex",
        store=False,
        odd={"x-\u001b[31mred": 1},
    ),
    _ask("audio_refused", [user([{"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}])]),
    _ask("file_refused", [user([{"type": "file", "file": {"file_id": "f"}}])]),
    _ask("image_scheme_refused", [user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])]),
    _ask("nothing_said", [assistant("")]),
]


def _reply(name: str, content: list[Json], reason: str = "end_turn", **more: Any) -> Case:
    body = {"id": "msg_9", "type": "message", "role": "assistant", "model": "claude-x", "content": content}
    usage = {"input_tokens": 5, "output_tokens": 6}
    return Case(
        OPENAI, ANTHROPIC, "reply", name, {**body, "stop_reason": reason, "stop_sequence": None, "usage": usage, **more}
    )


def _refused(name: str, sent: Any) -> Case:
    return Case(OPENAI, ANTHROPIC, "reply", name, sent)


HI = {"type": "text", "text": "Hi"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo", "n": 1.0}}
REPLIES = [
    _reply("text", [HI, {"type": "text", "text": " there"}]),
    _reply("tool_calls", [HI, CALL, {"type": "tool_use", "id": "toolu_2", "name": "time", "input": {}}], "tool_use"),
    _reply("thinking", [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}, HI]),
    _reply("redacted_thinking", [{"type": "redacted_thinking", "data": "blob"}, HI]),
    _reply("max_tokens", [HI], "max_tokens"),
    _reply("stop_sequence", [HI], "stop_sequence", stop_sequence="END"),
    _reply("refusal", [HI], "refusal"),
    _reply("context_full", [HI], "model_context_window_exceeded"),
    _reply("empty", []),
    _reply(
        "usage_with_caches",
        [HI],
        usage={
            "input_tokens": 5,
            "cache_read_input_tokens": 100,
            "cache_creation_input_tokens": 20,
            "output_tokens": 30,
            "output_tokens_details": {"thinking_tokens": 10},
        },
    ),
    _reply("server_tool", [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, HI]),
    _reply("usage_all_zero", [HI], usage={"input_tokens": 0, "output_tokens": 0}),
    _refused("error_in_a_200", {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    _refused("html", "<html><body>Bad gateway</body></html>"),
    _refused("not_a_message", {"ok": True}),
]


def _stream(name: str, sent: str, *, wants_usage: bool = True) -> Case:
    asked = {"model": "a", "messages": HELLO, "stream": True, "stream_options": {"include_usage": wants_usage}}
    return Case(OPENAI, ANTHROPIC, "stream", name, sent, asked=asked)


PING = event("ping")
THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "Let me "},
    {"type": "thinking_delta", "thinking": "see."},
    {"type": "signature_delta", "signature": "c2ln"},
)
STREAMS = [
    _stream("text", start() + PING + text_block(0, "Hel", "lo é ✓") + stop()),
    _stream("text_without_usage", start() + text_block(0, "Hi") + stop(), wants_usage=False),
    _stream(
        "usage_with_caches",
        start(cache_read_input_tokens=50, cache_creation_input_tokens=7) + text_block(0, "Hi") + stop(input_tokens=13),
    ),
    _stream(
        "parallel_tool_calls",
        start()
        + text_block(0, "Looking")
        + call_block(1, "toolu_1", "weather", "", '{"city":', '"Oslo"}')
        + call_block(2, "toolu_2", "time")
        + stop("tool_use"),
    ),
    _stream("thinking", start() + THINKING + text_block(1, "Yes") + stop()),
    _stream(
        "redacted_thinking",
        start() + block(0, {"type": "redacted_thinking", "data": "x"}) + text_block(1, "A") + stop(),
    ),
    _stream(
        "unknown_blocks",
        start() + block(0, {"type": "server_tool_use", "id": "s", "name": "web_search"}) + text_block(1, "A") + stop(),
    ),
    _stream("max_tokens", start() + text_block(0, "Long") + stop("max_tokens")),
    _stream("refusal", start() + text_block(0, "I") + stop("refusal")),
    _stream("lone_surrogates", start() + text_block(0, "a\ud83c", "\udf0d b") + stop()),
    _stream("crlf", (start() + text_block(0, "Hi") + stop()).replace("\n", "\r\n")),
    _stream("no_terminal_event", start() + text_block(0, "Hi") + stop().rpartition("event: message_stop")[0]),
    _stream("terminal_event_without_blank_line", (start() + text_block(0, "Hi") + stop()).rstrip()),
    _stream("cut_after_content", start() + text_block(0, "Hi")),
    _stream("cut_inside_an_event", (start() + text_block(0, "Hi"))[:-40]),
    _stream(
        "error_event",
        start() + text_block(0, "Hi") + event("error", error={"type": "overloaded_error", "message": "Busy"}),
    ),
    _stream("malformed_event", start() + text_block(0, "Hi") + "event: content_block_delta\ndata: {oops}\n\n" + stop()),
    _stream("no_message_start", text_block(0, "Hi") + stop()),
    _stream("empty", ""),
]


def _through_request(name: str, **more: Any) -> Case:
    return Case(OPENAI, OPENAI, "request", name, {"model": "alias", "messages": HELLO, **more}, "gpt-x")


def _through(name: str, sent: str, *, wants_usage: bool = True) -> Case:
    return _stream(name, sent, wants_usage=wants_usage)._replace(upstream=OPENAI)


def _through_reply(name: str, sent: Any) -> Case:
    return Case(OPENAI, OPENAI, "reply", name, sent)


def _completion(message: Json, finish: str = "stop", **more: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-2", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], **more}


PASSTHROUGH = [
    _through_request("unknown_fields_survive", x={"deep": [1, 2.0, None]}, temperature=0),
    _through_request("stream_asks_for_usage", stream=True),
    _through_request("stream_options_survive", stream=True, stream_options={"include_obfuscation": False}),
    _through_request("usage_asked_already", stream=True, stream_options={"include_usage": True, "x": 1}),
    _through_reply("text", _completion({"content": "Hi"}, usage=USAGE, system_fingerprint="fp")),
    _through_reply(
        "parts", _completion({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Hi"}]})
    ),
    _through_reply("no_choices", {"id": "x", "object": "chat.completion", "choices": []}),
    _through_reply("error_in_a_200", {"error": {"message": "The model is overloaded", "code": 503}}),
    _through("text", ROLE + chunk({"content": "Hi"}) + chunk({}, "stop") + USAGE_CHUNK + DONE),
    _through(
        "usage_chunk_kept_back",
        ROLE + chunk({"content": "Hi"}) + chunk({}, "stop") + USAGE_CHUNK + DONE,
        wants_usage=False,
    ),
    _through("usage_made_up", ROLE + chunk({"content": "Hi there"}) + chunk({}, "stop") + DONE),
    _through(
        "azure_first_chunk",
        chunk(prompt_filter_results=[]) + chunk({"content": "Hi"}, "stop") + DONE,
        wants_usage=False,
    ),
    _through("comments", ": PROCESSING\n\n" + chunk({"content": "Hi"}, "stop") + ": bye\n\n" + DONE),
    _through(
        "no_space_and_crlf", (chunk({"content": "Hi"}, "stop") + DONE).replace("data: ", "data:").replace("\n", "\r\n")
    ),
    _through(
        "tool_calls",
        ROLE + chunk(fragment(0, "", "call_1", "w")) + chunk(fragment(0, "{}")) + chunk({}, "tool_calls") + DONE,
    ),
    _through(
        "reasoning", ROLE + chunk({"reasoning_content": "Hm"}) + chunk({"content": "Hi"}) + chunk({}, "stop") + DONE
    ),
    _through(
        "lone_surrogates", chunk({"content": "a\ud83c"}) + chunk({"content": "\udf0d"}) + chunk({}, "stop") + DONE
    ),
    _through("no_done", ROLE + chunk({"content": "Hi"}) + chunk({}, "stop")),
    _through("done_without_blank_line", ROLE + chunk({"content": "Hi"}) + chunk({}, "stop") + "data: [DONE]"),
    _through("cut", ROLE + chunk({"content": "Hi"})),
    _through("cut_inside_an_event", ROLE + chunk({"content": "Hi"}) + chunk({}, "stop")[:60]),
    _through(
        "error_chunk",
        ROLE + chunk({"content": "Hi"}) + 'data: {"error":{"message":"No memory","type":"server_error"}}\n\n' + DONE,
    ),
    _through("error_finish", ROLE + chunk({"content": "Hi"}) + chunk({}, "error") + DONE),
    _through("malformed", ROLE + chunk({"content": "Hi"}) + "data: {oops}\n\n" + DONE),
    _through("done_alone", DONE),
]

CASES = REQUESTS + REPLIES + STREAMS + PASSTHROUGH

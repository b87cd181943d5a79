"""Cases whose client speaks Anthropic: to OpenAI chat, and straight through."""

from __future__ import annotations

import json
from typing import Any

from tests.support.wire_cases import (
    ANTHROPIC,
    ANTHROPIC_TIME,
    ANTHROPIC_TOOL,
    DONE,
    OPENAI,
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
CLAUDE_CODE_USER = json.dumps(
    {"device_id": "d" * 64, "account_uuid": "", "session_id": "0f0f0f0f-aaaa-bbbb-cccc-000000000001"}
)


def _text(text: str, **more: Any) -> Json:
    return {"type": "text", "text": text, **more}


def _call(id: str, name: str, input: Json) -> Json:
    return {"type": "tool_use", "id": id, "name": name, "input": input}


def _result(id: str, content: Any, **more: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": id, "content": content, **more}


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
CALLED = assistant([_call("toolu_1", "weather", {}), _call("toolu_2", "time", {})])
LINKED = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}}


def _ask(name: str, messages: list[Json] | None = None, model: str = "gpt-4o", **more: Any) -> Case:
    body = {"model": "alias", "max_tokens": 64, "messages": messages or HELLO, **more}
    return Case(ANTHROPIC, OPENAI, "request", name, body, model)


REQUESTS = [
    _ask("text"),
    _ask(
        "claude_code",
        [
            user([_text("<context>"), _text("Fix it", cache_control={"type": "ephemeral"})]),
            {"role": "system", "content": "Be quick."},
        ],
        system=[
            _text("x-anthropic-billing-header: cc"),
            _text("You are an agent", cache_control={"type": "ephemeral"}),
        ],
        tools=[ANTHROPIC_TOOL | {"defer_loading": True}, {"type": "web_search_20260318", "name": "web_search"}],
        thinking={"type": "adaptive", "display": "omitted"},
        output_config={"effort": "high"},
        context_management={"edits": []},
        metadata={"user_id": CLAUDE_CODE_USER},
        stream=True,
        max_tokens=32000,
        model="gpt-6",
    ),
    _ask("effort_unknown_to_model", output_config={"effort": "low"}, model="mistral-large"),
    _ask("thinking_budget", thinking={"type": "enabled", "budget_tokens": 8000}, max_tokens=9000, model="o3"),
    _ask("thinking_small_budget", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=9000, model="o3"),
    _ask("thinking_disabled", thinking={"type": "disabled"}, model="gpt-5.1"),
    _ask("system_string", system="Be brief."),
    _ask("images", [user([_text("Compare"), IMAGE, LINKED])]),
    _ask(
        "tool_loop",
        [
            user("Weather and time?"),
            assistant(
                [
                    {"type": "thinking", "thinking": "Hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "blob"},
                    _text("Looking."),
                    _call("toolu_1", "weather", {"city": "Oslo", "n": 18446744073709551615}),
                    _call("toolu_2", "time", {}),
                ]
            ),
            user(
                [
                    _result("toolu_1", "Snow"),
                    _result("toolu_2", [_text("No"), _text("clock")], is_error=True),
                    _text("So?"),
                ]
            ),
        ],
        tools=[ANTHROPIC_TOOL, ANTHROPIC_TIME],
    ),
    _ask(
        "tool_result_with_image",
        [CALLED, user([_result("toolu_1", [IMAGE]), _result("toolu_2", [_text("Two"), LINKED])])],
    ),
    _ask("tool_result_empty", [CALLED, user([{"type": "tool_result", "tool_use_id": "toolu_1"}])]),
    _ask("tool_reference", [CALLED, user([_result("toolu_1", [{"type": "tool_reference", "tool_name": "weather"}])])]),
    _ask("tool_choice_any", tools=[ANTHROPIC_TOOL], tool_choice={"type": "any", "disable_parallel_tool_use": True}),
    _ask("tool_choice_tool", tools=[ANTHROPIC_TOOL], tool_choice={"type": "tool", "name": "weather"}),
    _ask("tool_choice_none", tools=[ANTHROPIC_TOOL], tool_choice={"type": "none"}),
    _ask(
        "tool_choice_of_a_server_tool",
        tools=[{"type": "web_search_20260318", "name": "web_search"}],
        tool_choice={"type": "tool", "name": "web_search"},
    ),
    _ask("strict_tool", tools=[ANTHROPIC_TOOL | {"strict": True, "type": "custom"}], tool_choice={"type": "auto"}),
    _ask("json_schema", output_config={"format": {"type": "json_schema", "schema": WEATHER}}),
    _ask(
        "sampling",
        temperature=0.3,
        top_p=0.9,
        top_k=5,
        stop_sequences=["a", "b", "c", "d", "e"],
        metadata={"user_id": "u1"},
    ),
    _ask("max_tokens_of_new_models", model="o4-mini"),
    _ask("max_tokens_of_open_models", model="openai/gpt-oss-120b", output_config={"effort": "low"}),
    _ask("prefill", [user("JSON please"), assistant("{")]),
    _ask(
        "text_document",
        [
            user(
                [
                    {
                        "type": "document",
                        "title": "Notes",
                        "source": {"type": "text", "media_type": "text/plain", "data": "abc"},
                    }
                ]
            )
        ],
    ),
    _ask("unknown_knobs", service_tier="auto", container="c", mcp_servers=[], inference_geo=None),
    _ask(
        "pdf",
        [user([{"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AA=="}}])],
    ),
    _ask("file_image_refused", [user([{"type": "image", "source": {"type": "file", "file_id": "f"}}])]),
    _ask(
        "server_tool_result_refused",
        [assistant([{"type": "web_search_tool_result", "tool_use_id": "s", "content": []}])],
    ),
]


def _completion(message: Json, finish: str = "stop", **more: Any) -> Json:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-2", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice], **more}


def _reply(name: str, sent: Any) -> Case:
    return Case(ANTHROPIC, OPENAI, "reply", name, sent)


REPLIES = [
    _reply("text", _completion({"content": "Hi", "refusal": None}, usage=USAGE)),
    _reply(
        "tool_calls",
        _completion(
            {
                "content": None,
                "tool_calls": [openai_call("call_1", "weather", '{"city": "Oslo"}'), openai_call("call_2", "time", "")],
            },
            "tool_calls",
        ),
    ),
    _reply(
        "tool_calls_told_as_stop",
        _completion({"content": "", "tool_calls": [openai_call("call_1", "time", "{}")]}, "stop"),
    ),
    _reply(
        "broken_arguments",
        _completion({"content": None, "tool_calls": [openai_call("call_1", "time", '{"a": ')]}, "length"),
    ),
    _reply(
        "arguments_as_object",
        _completion({"tool_calls": [{"function": {"name": "time", "arguments": {"a": 1}}}]}, "tool_calls"),
    ),
    _reply(
        "legacy_function_call",
        _completion({"content": None, "function_call": {"name": "time", "arguments": "{}"}}, "function_call"),
    ),
    _reply("reasoning", _completion({"content": "Hi", "reasoning_content": "Hm"})),
    _reply("refusal", _completion({"content": None, "refusal": "I will not."})),
    _reply("length", _completion({"content": "Long"}, "length")),
    _reply("content_filter", _completion({"content": ""}, "content_filter")),
    _reply("usage_reasoning_beside", _completion({"content": "Hi"}, usage=USAGE | {"total_tokens": 49})),
    _reply(
        "usage_cache_written",
        _completion(
            {"content": "Hi"},
            usage={
                "prompt_tokens": 50,
                "completion_tokens": 1,
                "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 30},
            },
        ),
    ),
    _reply("no_usage", _completion({"content": "Hi"})),
    _reply(
        "second_choice",
        _completion({"content": "Hi"}) | {"choices": [{"index": i, "message": {"content": "Hi"}} for i in range(2)]},
    ),
    _reply(
        "error_in_a_200", {"error": {"message": "context_length_exceeded: too long", "code": "context_length_exceeded"}}
    ),
    _reply("html", "<!doctype html><p>Sign in"),
    _reply("no_choices", {"choices": []}),
]


def _stream(name: str, sent: str) -> Case:
    asked = {"model": "a", "max_tokens": 9, "messages": HELLO, "stream": True}
    return Case(ANTHROPIC, OPENAI, "stream", name, sent, asked=asked)


STREAMS = [
    _stream(
        "text", ROLE + chunk({"content": "Hel"}) + chunk({"content": "lo é ✓"}) + chunk({}, "stop") + USAGE_CHUNK + DONE
    ),
    _stream("no_usage", ROLE + chunk({"content": "Hello"}) + chunk({}, "stop") + DONE),
    _stream("usage_in_last_chunk", ROLE + chunk({"content": "Hi"}) + chunk({}, "stop", usage=USAGE) + DONE),
    _stream(
        "parallel_tool_calls",
        ROLE
        + chunk({"content": "Looking"})
        + chunk(fragment(0, "", "call_1", "weather"))
        + chunk(fragment(0, '{"city":'))
        + chunk(fragment(0, '"Oslo"}'))
        + chunk(fragment(1, "{}", "call_2", "time"))
        + chunk({}, "tool_calls")
        + DONE,
    ),
    _stream(
        "name_in_every_fragment",
        chunk(fragment(0, "{", "call_1", "time"))
        + chunk(fragment(0, "}", "call_1", "time"))
        + chunk({}, "tool_calls")
        + DONE,
    ),
    _stream(
        "one_index_for_two_calls",
        chunk(fragment(0, "{}", "call_1", "time"))
        + chunk(fragment(0, "{}", "call_2", "time"))
        + chunk({}, "stop")
        + DONE,
    ),
    _stream(
        "no_index_no_id",
        chunk(fragment(None, "{", None, "time")) + chunk(fragment(None, "}")) + chunk({}, "stop") + DONE,
    ),
    _stream(
        "id_before_name",
        chunk({"tool_calls": [{"index": 0, "id": "call_1"}]})
        + chunk(fragment(0, "{}", None, "time"))
        + chunk({}, "tool_calls")
        + DONE,
    ),
    _stream(
        "legacy_function_call",
        chunk({"function_call": {"name": "time", "arguments": ""}})
        + chunk({"function_call": {"arguments": "{}"}})
        + chunk({}, "function_call")
        + DONE,
    ),
    _stream(
        "mixed_fragments",
        chunk(fragment(0, "{", "call_1", "time"))
        + chunk(fragment(1, "{", "call_2", "time"))
        + chunk(fragment(0, "}"))
        + DONE,
    ),
    _stream(
        "reasoning",
        ROLE + chunk({"reasoning_content": "Hm"}) + chunk({"reasoning": "…"}) + chunk({"content": "Hi"}, "stop") + DONE,
    ),
    _stream("refusal", ROLE + chunk({"refusal": "No."}) + chunk({}, "stop") + DONE),
    _stream("length", ROLE + chunk({"content": "Long"}) + chunk({}, "length") + DONE),
    _stream("content_filter", ROLE + chunk({}, "content_filter") + DONE),
    _stream("content_as_parts", chunk({"content": [{"type": "text", "text": "Hi"}]}) + chunk({}, "stop") + DONE),
    _stream("lone_surrogates", chunk({"content": "a\ud83c"}) + chunk({"content": "\udf0d"}) + chunk({}, "stop") + DONE),
    _stream("comments_and_empty_data", ": hi\n\ndata:\n\n" + chunk({"content": "Hi"}, "stop") + DONE),
    _stream("no_done", ROLE + chunk({"content": "Hi"}) + chunk({}, "stop")),
    _stream("done_without_reason", ROLE + chunk({"content": "Hi"}) + DONE),
    _stream("cut", ROLE + chunk({"content": "Hi"})),
    _stream("cut_inside_an_event", ROLE + chunk({"content": "Hi"})[:-30]),
    _stream("error_chunk", ROLE + chunk({"content": "Hi"}) + 'data: {"error":{"message":"slow down","code":429}}\n\n'),
    _stream("malformed", ROLE + "data: [1]\n\n" + chunk({"content": "Hi"}) + DONE),
    _stream("done_alone", DONE),
]


def _through(name: str, sent: str) -> Case:
    return _stream(name, sent)._replace(upstream=ANTHROPIC)


def _through_request(name: str, messages: list[Json] | None = None, **more: Any) -> Case:
    return _ask(name, messages, "claude-y", **more)._replace(upstream=ANTHROPIC)


PASSTHROUGH = [
    _through_request("unknown_fields_survive", context_management={"edits": [{"type": "x"}]}, stream=True),
    _through_request(
        "unsigned_thinking_taken_out",
        [
            user("Hi"),
            assistant([{"type": "thinking", "thinking": "Hm", "signature": ""}]),
            assistant([{"type": "thinking", "thinking": "Hm", "signature": "sig"}, _text("Ok", x=1)]),
            user([_text("Go")]),
        ],
    ),
    Case(
        ANTHROPIC,
        ANTHROPIC,
        "reply",
        "text",
        {
            "type": "message",
            "content": [_text("Hi")],
            "model": "c",
            "stop_reason": "end_turn",
            "usage": {"input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5},
        },
    ),
    Case(ANTHROPIC, ANTHROPIC, "reply", "not_a_message", {"object": "chat.completion", "choices": []}),
    _through("text", start() + event("ping") + text_block(0, "Hi", " you") + stop()),
    _through(
        "tool_call",
        start() + call_block(0, "toolu_1", "time", "{}") + stop("tool_use", input_tokens=15, cache_read_input_tokens=4),
    ),
    _through(
        "thinking",
        start()
        + block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "signature_delta", "signature": "s"})
        + text_block(1, "Hi")
        + stop(),
    ),
    _through("unknown_events", start() + event("surprise", x=1) + text_block(0, "Hi") + stop()),
    _through("bad_ping", start() + "event: ping\ndata: {oops}\n\n" + text_block(0, "Hi") + stop()),
    _through("lone_surrogates", start() + text_block(0, "a\ud83c", "\udf0d") + stop()),
    _through("crlf", (start() + text_block(0, "Hi") + stop()).replace("\n", "\r\n")),
    _through("no_message_stop", start() + text_block(0, "Hi") + stop().rpartition("event: message_stop")[0]),
    _through("cut", start() + text_block(0, "Hi")),
    _through(
        "error_event",
        start() + text_block(0, "Hi") + event("error", error={"type": "api_error", "message": "Oops"}) + stop(),
    ),
    _through("malformed", start() + "event: content_block_delta\ndata: {\n\n" + stop()),
    _through("usage_all_zero", start(input_tokens=0, output_tokens=0) + text_block(0, "Hi") + stop(output_tokens=0)),
]

CASES = REQUESTS + REPLIES + STREAMS + PASSTHROUGH

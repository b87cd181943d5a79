"""What clients and servers of Ollama's dialect send; `wire_cases_crossed` pairs it with the other dialects."""

from __future__ import annotations

import json
from typing import Any

from tests.support.wire_cases import PIXEL, WEATHER, Json

TOOL: Json = {"type": "function", "function": {"name": "weather", "description": "Looks", "parameters": WEATHER}}


def turn(role: str, content: str | None = None, **more: Any) -> Json:
    """A message."""
    return {"role": role, **({"content": content} if content is not None else {}), **more}


def call(name: str, arguments: Json | None = None, **more: Any) -> Json:
    """A tool call."""
    return {"function": {"name": name, **({} if arguments is None else {"arguments": arguments})}, **more}


def _ask(*messages: Json, **more: Any) -> Json:
    return {"model": "alias", "messages": list(messages) or [turn("user", "Say hello")], "stream": False, **more}


_LOOP = (turn("user", "Weather?"), turn("assistant", "", tool_calls=[call("weather", {"city": "Oslo"})]))

REQUESTS: dict[str, Json] = {
    "text": _ask(),
    "stream_unsaid": {"model": "alias", "messages": [turn("user", "Hi")]},
    "system_and_turns": _ask(turn("system", "Be brief."), turn("user", "A"), turn("assistant", "B"), turn("user", "C")),
    "empty_texts": _ask(turn("user", ""), turn("assistant", ""), turn("user", "Go")),
    "unicode": _ask(turn("user", "Grüße, 世界 🌍 \u2028")),
    "images": _ask(turn("user", "Which?", images=[PIXEL, "/9j/4AAQ"])),
    "image_alone": _ask(turn("user", images=[PIXEL])),
    "data_url_image": _ask(turn("user", "Which?", images=[f"data:image/png;base64,{PIXEL}"])),
    "no_image": _ask(turn("user", "Which?", images=["aGVsbG8="])),
    "tool": _ask(tools=[TOOL]),
    "tool_loop": _ask(*_LOOP, turn("tool", "Sunny", tool_name="weather"), tools=[TOOL]),
    "tool_loop_by_place": _ask(*_LOOP, turn("tool", "Sunny"), tools=[TOOL]),
    "tool_loop_parallel": _ask(
        turn("user", "Both?"),
        turn("assistant", tool_calls=[call("weather", {"city": "Oslo"}, id="c1"), call("time", id="c2")]),
        turn("tool", "12:00", tool_call_id="c2"),
        turn("tool", "Sunny", tool_call_id="c1"),
    ),
    "tool_answers_with_image": _ask(*_LOOP, turn("tool", "map", tool_name="weather", images=[PIXEL])),
    "result_without_call": _ask(turn("tool", "Sunny", tool_name="weather")),
    "thinking_history": _ask(turn("user", "A"), turn("assistant", "B", thinking="Hm."), turn("user", "C")),
    "json_mode": _ask(format="json"),
    "json_schema": _ask(format=WEATHER),
    "format_unset": _ask(format=""),
    "wrong_format": _ask(format="xml"),
    "sampling": _ask(
        options={
            "num_predict": 50,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "seed": 7,
            "stop": ["END", "STOP"],
            "presence_penalty": 0.5,
        }
    ),
    "one_stop": _ask(options={"stop": "END", "num_predict": -1}),
    "server_knobs": _ask(options={"num_ctx": 8192, "mirostat": 1}, keep_alive="5m", truncate=True),
    "think": _ask(think=True),
    "think_level": _ask(think="low"),
    "think_off": _ask(think=False),
}

COUNTS: Json = {"prompt_eval_count": 30, "eval_count": 12, "total_duration": 5191566416}
_HEAD: Json = {"model": "qwen3:8b", "created_at": "2026-11-24T10:00:00.123456789Z"}


def answer(content: str = "Hello", *, reason: str = "stop", **more: Any) -> Json:
    """A whole answer."""
    message = {"role": "assistant", "content": content, **more}
    return {**_HEAD, "message": message, "done": True, "done_reason": reason, **COUNTS}


REPLIES: dict[str, Any] = {
    "text": answer(),
    "thinking": answer(thinking="Hm."),
    "tool_call": answer("", tool_calls=[call("weather", {"city": "Oslo"})]),
    "tool_calls_parallel": answer("Look.", tool_calls=[call("weather", {"city": "Oslo"}, id="c1"), call("time", {})]),
    "arguments_as_text": answer("", tool_calls=[{"function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}]),
    "length": answer("Hel", reason="length"),
    "empty": answer(""),
    "unicode": answer("世界 🌍"),
    "no_counts": {**_HEAD, "message": turn("assistant", "Hi"), "done": True, "done_reason": "stop"},
    "not_done": {**_HEAD, "message": turn("assistant", "Hi"), "done": False},
    "no_message": {**_HEAD, "done": True},
    "error_in_a_200": {"error": "model runner has unexpectedly stopped"},
    "html": "<html>",
}


def line(content: str = "", **more: Any) -> str:
    """A line of a stream."""
    return json.dumps({**_HEAD, "message": {"role": "assistant", "content": content, **more}, "done": False}) + "\n"


def end(reason: str = "stop", **counts: Any) -> str:
    """The line that ends a stream."""
    message = {"role": "assistant", "content": ""}
    return json.dumps({**_HEAD, "message": message, "done": True, "done_reason": reason, **(counts or COUNTS)}) + "\n"


STREAMS: dict[str, str] = {
    "text": line("Hel") + line("lo 🌍") + end(),
    "short": '{"message":{"content":"Hé"}}\n{"done":true,"done_reason":"stop"}\n',
    "thinking": line(thinking="Hm") + line(thinking=".") + line("Hi") + end(),
    "tool_calls": line("Look.")
    + line(tool_calls=[call("weather", {"city": "Oslo"}, id="c1")])
    + line(tool_calls=[call("time", {})])
    + end(),
    "long_arguments": line(tool_calls=[call("write", {"text": "ab" * 200, "deep": {"a": [1, None]}})]) + end(),
    "max_tokens": line("Hel") + end("length"),
    "lone_surrogates": line("Hi").replace("Hi", "Hi \\ud83c") + end(),
    "crlf_and_blank_lines": "\r\n" + line("Hi").replace("\n", "\r\n\r\n") + end(),
    "no_counts": line("Hi") + end(note="none"),
    "no_newline_at_the_end": line("Hi") + end().rstrip(),
    "cut_after_content": line("Hel") + line("lo"),
    "cut_inside_a_line": line("Hel") + end()[:30],
    "error_line": line("Hi") + '{"error":"an error was encountered while running the model"}\n',
    "error_first": '{"error":"model \\"x\\" not found"}\n',
    "malformed_line": line("Hi") + "{oops}\n",
    "nothing_said": end(),
    "empty": "",
}

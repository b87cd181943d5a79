"""What clients and vendors that speak OpenAI Responses send; `wire_cases_crossed` makes the pairs of it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.wire_cases import PIXEL, WEATHER, Json

TOOL: Json = {
    "type": "function",
    "name": "weather",
    "description": "Looks outside",
    "parameters": WEATHER,
    "strict": True,
}
TIME: Json = {"type": "function", "name": "time", "parameters": {"type": "object", "properties": {}}, "strict": False}
PDF = "data:application/pdf;base64,JVBERi0xLjQ="


def said(text: str) -> Json:
    """A user's message."""
    return {"role": "user", "content": text}


def call(call_id: str, name: str, arguments: str, **more: Any) -> Json:
    """A call of a function."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments, **more}


def result(call_id: str, output: Any) -> Json:
    """What a function gave back."""
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def message(*content: Json, **more: Any) -> Json:
    """A message of the model."""
    return {"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [*content], **more}


def text(words: str) -> Json:
    """A text of the model."""
    return {"type": "output_text", "text": words, "annotations": []}


def thought(words: str, sealed: str | None = None) -> Json:
    """Thinking of the model."""
    summary = [{"type": "summary_text", "text": words}] if words else []
    return {"id": "rs_1", "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def ask(input: Any = "Say hello", **more: Any) -> Json:
    """A request."""
    return {"model": "alias", "input": input, **more}


REQUESTS: Json = {
    "text": ask(),
    "stream_with_instructions": ask([said("Hi")], instructions="Be brief.", stream=True, store=False),
    "unknown_knobs": ask(
        truncation="auto",
        service_tier="flex",
        include=["reasoning.encrypted_content", "file_search_call.results"],
        prompt_cache_key="thread",
        max_tool_calls=3,
        top_logprobs=2,
        metadata={"a": "b"},
        safety_identifier="u-1",
    ),
    "system_prompts_first_and_later": ask(
        [
            {"role": "system", "content": "Be kind."},
            said("Hi"),
            {"role": "developer", "content": [{"type": "input_text", "text": "Now in French."}]},
            said("And?"),
        ],
        instructions="Be brief.",
    ),
    "unicode": ask([said("Grüße, 世界 \U0001f30d\u0000\u2028 end"), message(text("né\u0301 \ud83c")), said("ok")]),
    "empty_texts": ask(
        [said("Hi"), message(text("")), {"role": "user", "content": [{"type": "input_text", "text": "Go"}]}]
    ),
    "images": ask(
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Compare"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}", "detail": "high"},
                    {"type": "input_image", "image_url": "https://example.com/a.jpg"},
                ],
            }
        ]
    ),
    "uploaded_image_refused": ask([{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]),
    "pdf": ask(
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "filename": "a.pdf", "file_data": PDF},
                    {"type": "input_text", "text": "Read"},
                ],
            }
        ]
    ),
    "file_by_url": ask(
        [{"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]}]
    ),
    "tool_loop": ask(
        [
            said("Weather and time?"),
            thought("Both.", "gAAAA"),
            message(text("Let me look.")),
            call("call_a", "weather", '{"city": "Oslo"}', id="fc_1", status="completed"),
            call("call_b", "time", "{}", id="fc_2", status="completed"),
            result("call_a", "Snow"),
            result("call_b", [{"type": "input_text", "text": "Noon"}]),
            said("Thanks, now sum up"),
        ],
        tools=[TOOL, TIME],
        tool_choice="auto",
    ),
    "tool_result_with_image": ask(
        [
            said("Look"),
            call("call_a", "weather", "{}"),
            result("call_a", [{"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"}]),
        ],
        tools=[TOOL],
    ),
    "broken_arguments_and_odd_ids": ask(
        [said("Go"), call("functions.weather:0", "weather", '{"city": "Os'), result("functions.weather:0", "bad")],
        tools=[TOOL],
    ),
    "long_arguments": ask(
        [said("Go"), call("c", "weather", json.dumps({"city": "x" * 9000})), result("c", "y" * 9000)], tools=[TOOL]
    ),
    "tool_choice_required": ask(tools=[TOOL], tool_choice="required", parallel_tool_calls=False),
    "tool_choice_none": ask(tools=[TOOL], tool_choice="none"),
    "tool_choice_named": ask(tools=[TOOL, TIME], tool_choice={"type": "function", "name": "time"}),
    "allowed_tools": ask(
        tools=[TOOL, TIME],
        tool_choice={"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]},
    ),
    "codex_tools": ask(
        [said("Go")],
        tools=[
            TIME,
            {"type": "web_search"},
            {"type": "namespace", "name": "mcp", "tools": []},
            {"type": "custom", "name": "patch"},
        ],
    ),
    "web_search_in_the_history": ask(
        [
            said("News?"),
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            message(text("None.")),
            said("Sure?"),
        ]
    ),
    "custom_call": ask([said("Go"), {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "x"}]),
    "item_reference_refused": ask([{"type": "item_reference", "id": "msg_9"}]),
    "json_schema": ask(
        text={"format": {"type": "json_schema", "name": "w", "schema": WEATHER, "strict": True}, "verbosity": "low"}
    ),
    "json_object": ask(text={"format": {"type": "json_object"}}),
    "effort": ask(reasoning={"effort": "low", "summary": "auto"}, max_output_tokens=2000),
    "no_thinking": ask(reasoning={"effort": "none"}),
    "sampling": ask(temperature=1.5, top_p=0.9, max_output_tokens=64, user="u" * 70),
    "refusal_in_the_history": ask([said("Hi"), message({"type": "refusal", "refusal": "I will not."}), said("Why?")]),
    "foreign_seals": ask(
        [
            said("Hi"),
            thought("Hm", "atp:anthropic:c2ln"),
            message(text("Yes")),
            thought("", "atp:anthropic-redacted:cmVk"),
            said("So?"),
        ]
    ),
    "previous_answer_unknown": ask(previous_response_id="resp_nothing"),
    "background_refused": ask(background=True),
    "unknown_role": ask([{"role": "robot", "content": "Hi"}]),
    "no_input": {"model": "alias"},
}
USAGE: Json = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 4},
    "output_tokens": 12,
    "output_tokens_details": {"reasoning_tokens": 7},
    "total_tokens": 42,
}


def answer(*output: Json, **more: Any) -> Json:
    """A response object."""
    head: Json = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1761000000,
        "model": "gpt-x",
        "status": "completed",
    }
    return {**head, "error": None, "incomplete_details": None, "output": [*output], "usage": USAGE, **more}


CUT: Json = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FILTERED: Json = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
REPLIES: Json = {
    "text": answer(message(text("Hello \U0001f30d"))),
    "thinking": answer(thought("Hm.\n\nYes.", "gAAAA"), message(text("Hello"))),
    "thinking_of_open_models": answer(
        {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm"}]},
        message(text("Hello")),
    ),
    "tool_calls": answer(
        message(text("Let me see.")),
        call("call_a", "weather", '{"city": "Oslo"}', id="fc_1"),
        call("call_b", "time", "{}", id="fc_2"),
    ),
    "broken_arguments": answer(call("call_a", "weather", '{"city": "Os', id="fc_1"), **CUT),
    "refusal": answer(message({"type": "refusal", "refusal": "I will not."})),
    "length": answer(message(text("Hel")), **CUT),
    "content_filter": answer(message(text("")), **FILTERED),
    "web_search": answer({"type": "web_search_call", "id": "ws_1", "status": "completed"}, message(text("None."))),
    "empty": answer(),
    "no_usage": answer(message(text("Hello")), usage=None),
    "failed": answer(status="failed", error={"code": "rate_limit_exceeded", "message": "Slow down, try again in 2s."}),
    "html": "<html>502</html>",
    "no_output": {"id": "resp_1", "object": "response"},
}


class _Written:
    """Events with rising numbers."""

    def __init__(self) -> None:
        self.text = ""
        self._number = 0

    def add(self, kind: str, **members: Any) -> _Written:
        """One event."""
        body = {"type": kind, "sequence_number": self._number, **members}
        self._number += 1
        self.text += f"event: {kind}\ndata: {json.dumps(body)}\n\n"
        return self

    def said(self, place: int, *pieces: str, kind: str = "output_text") -> _Written:
        """A message in pieces."""
        at: Json = {"item_id": f"msg_{place}", "output_index": place}
        part = {"type": kind, "text" if kind == "output_text" else "refusal": ""}
        self.add(
            "response.output_item.added", output_index=place, item=message(id=f"msg_{place}", status="in_progress")
        )
        self.add("response.content_part.added", **at, content_index=0, part=part)
        for piece in pieces:
            self.add(f"response.{kind}.delta", **at, content_index=0, delta=piece)
        whole = "".join(pieces)
        done = text(whole) if kind == "output_text" else {"type": "refusal", "refusal": whole}
        self.add(f"response.{kind}.done", **at, content_index=0, text=whole)
        self.add("response.content_part.done", **at, content_index=0, part=done)
        return self.add("response.output_item.done", output_index=place, item=message(done, id=f"msg_{place}"))

    def called(self, place: int, call_id: str, name: str, *pieces: str) -> _Written:
        """A call in pieces."""
        at: Json = {"item_id": f"fc_{place}", "output_index": place}
        self.add("response.output_item.added", output_index=place, item=call(call_id, name, "", id=f"fc_{place}"))
        for piece in pieces:
            self.add("response.function_call_arguments.delta", **at, delta=piece)
        whole = "".join(pieces)
        self.add("response.function_call_arguments.done", **at, arguments=whole)
        return self.add(
            "response.output_item.done", output_index=place, item=call(call_id, name, whole, id=f"fc_{place}")
        )

    def thought(self, place: int, *parts: str, sealed: str | None = None) -> _Written:
        """A summary in parts."""
        self.add("response.output_item.added", output_index=place, item=thought(""))
        for number, part in enumerate(parts):
            at: Json = {"item_id": "rs_1", "output_index": place, "summary_index": number}
            self.add("response.reasoning_summary_part.added", **at, part={"type": "summary_text", "text": ""})
            self.add("response.reasoning_summary_text.delta", **at, delta=part)
            self.add("response.reasoning_summary_text.done", **at, text=part)
        item = {**thought("", sealed), "summary": [{"type": "summary_text", "text": part} for part in parts]}
        return self.add("response.output_item.done", output_index=place, item=item)

    def ended(self, *output: Json, **more: Any) -> str:
        """The stream with its end."""
        whole = answer(*output, **more)
        return self.add(f"response.{whole['status']}", response=whole).text


def begun() -> _Written:
    """A stream that has begun."""
    empty = answer(status="in_progress", usage=None)
    return _Written().add("response.created", response=empty).add("response.in_progress", response=empty)


_HELLO = begun().said(0, "Hel", "lo \U0001f30d").ended(message(text("Hello \U0001f30d")))
_SMALL = (
    'event: response.created\ndata: {"type":"response.created","response":{"id":"resp_1","model":"g"}}\n\n'
    "event: response.output_text.delta\n"
    'data: {"type":"response.output_text.delta","delta":"\\u00e9\\ud83c\\udf0d\u4e16"}\n\n'
)
_SMALL_END = (
    'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1","status":"completed"}}\n\n'
)
STREAMS: Json = {
    "text": _HELLO,
    "crlf": _HELLO.replace("\n", "\r\n"),
    "small": _SMALL + _SMALL_END,
    "small_without_the_last_blank_line": (_SMALL + _SMALL_END)[:-1],
    "comments_retries_and_data_in_lines": ": hi\n\nretry: 5\n\n" + (_SMALL + _SMALL_END).replace(',"', ',\ndata: "', 1),
    "thinking": begun().thought(0, "Hm.", "Yes.", sealed="gAAAA").said(1, "Hello").ended(),
    "sealed_thinking_alone": begun().thought(0, sealed="gAAAA").said(1, "Hello").ended(),
    "tool_calls": begun()
    .said(0, "Wait")
    .called(1, "call_a", "weather", '{"ci', 'ty": "Oslo"}')
    .called(2, "call_b", "time", "{}")
    .ended(),
    "call_without_arguments": begun().called(0, "call_a", "time").ended(),
    "arguments_only_when_done": begun()
    .add("response.output_item.added", output_index=0, item=call("call_a", "weather", "", id="fc_0"))
    .add("response.function_call_arguments.done", item_id="fc_0", output_index=0, arguments='{"city": "Oslo"}')
    .ended(),
    "no_output_index": begun()
    .add("response.output_item.added", item=call("call_a", "weather", "", id="fc_0"))
    .add("response.function_call_arguments.delta", item_id="fc_0", delta="{}")
    .add("response.output_item.done", item=call("call_a", "weather", "{}", id="fc_0"))
    .ended(),
    "told_at_the_end_only": begun().ended(message(text("Hello")), call("call_a", "time", "{}")),
    "refusal": begun().said(0, "I will ", "not.", kind="refusal").ended(),
    "length": begun().said(0, "Hel").ended(**CUT),
    "content_filter": begun().said(0, "Hel").ended(**FILTERED),
    "unknown_events": begun()
    .add("response.web_search_call.searching", item_id="ws_1", output_index=0)
    .said(1, "Hello")
    .ended(),
    "no_usage": begun().said(0, "Hello").ended(usage=None),
    "failed": begun()
    .said(0, "Hel")
    .add("response.failed", response=answer(status="failed", error={"code": "server_error", "message": "Broke off."}))
    .text,
    "error_event": begun().add("error", code="rate_limit_exceeded", message="Slow down.", param=None).text,
    "fragment_of_no_call": begun().add("response.function_call_arguments.delta", output_index=3, delta="{}").ended(),
    "malformed": begun().text + "data: {oops\n\n",
    "cut": begun().said(0, "Hel", "lo").text,
    "cut_inside_an_event": _HELLO[:-40],
}

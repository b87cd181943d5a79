"""What clients and servers of Gemini's dialect send; `wire_cases_crossed` pairs it with the other dialects."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

from tests.support.wire_cases import PIXEL, WEATHER, Json

SEAL = "CiQB0aQ="
"""A signature of Gemini's own."""
FOREIGN_SEAL = b64encode(b"atp:anthropic:EqQBCkgIBh").decode()
"""Anthropic's, as a client of Gemini keeps it."""
HELLO = [{"role": "user", "parts": [{"text": "Say hello"}]}]


def said(*parts: Json | str, role: str = "user") -> Json:
    """A content; texts stand for their parts."""
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def call(name: str, args: Json | None = None, **more: Any) -> Json:
    """A part with a function call."""
    inner = {"name": name} if args is None else {"name": name, "args": args}
    return {"functionCall": {**inner, **{key: more.pop(key) for key in ("id",) if key in more}}, **more}


def response(name: str, answer: Json, **more: Any) -> Json:
    """A part with a function's response."""
    return {"functionResponse": {"name": name, "response": answer, **more}}


def _ask(contents: Any = None, **more: Any) -> Json:
    return {"model": "alias", "stream": False, "contents": HELLO if contents is None else contents, **more}


_TOOLS = [{"functionDeclarations": [{"name": "weather", "description": "Looks", "parametersJsonSchema": WEATHER}]}]
_OPEN_API: Json = {
    "type": "OBJECT",
    "properties": {
        "city": {"type": "STRING", "nullable": True, "enum": ["Oslo", "Rome"]},
        "days": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1", "maxItems": 7},
        "unit": {"any_of": [{"type": "STRING"}, {"type": "NUMBER"}]},
    },
    "required": ["city"],
    "propertyOrdering": ["city", "days"],
}
_LOOP = [said("Weather?"), said(call("weather", {"city": "Oslo"}), role="model")]

REQUESTS: dict[str, Json] = {
    "text": _ask(),
    "single_objects": _ask({"parts": {"text": "Hi"}}, system_instruction={"parts": {"text": "You are a cat."}}),
    "system_and_turns": _ask(
        [said("One"), said("Two", role="model"), said("Three", "Four")],
        systemInstruction={"role": "system", "parts": [{"text": "Be brief."}, {"text": "Be kind."}]},
    ),
    "empty_texts": _ask([said(""), said("", role="model"), said("Go")]),
    "unicode": _ask([said("Grüße, 世界 🌍 \u0000 \u2028")]),
    "images": _ask(
        [
            said(
                "Which?",
                {"inlineData": {"mimeType": "image/png", "data": PIXEL}},
                {"inline_data": {"mime_type": "image/webp", "data": "UklGRg=="}},
            )
        ]
    ),
    "linked_image": _ask([said({"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}})]),
    "document": _ask(
        [said({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0=", "displayName": "a.pdf"}})]
    ),
    "stored_file_refused": _ask(
        [said({"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/x1"}})]
    ),
    "audio_refused": _ask([said({"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}})]),
    "code_execution_refused": _ask([said({"executableCode": {"language": "PYTHON", "code": "1"}}, role="model")]),
    "tool": _ask(tools=_TOOLS),
    "tool_in_open_api": _ask(tools={"function_declarations": [{"name": "weather", "parameters": _OPEN_API}]}),
    "tool_forced": _ask(
        tools=_TOOLS,
        toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}},
    ),
    "tool_forbidden": _ask(tools=_TOOLS, toolConfig={"functionCallingConfig": {"mode": "NONE"}}),
    "search_tool_dropped": _ask(tools=[{"googleSearch": {}}, {"urlContext": {}}]),
    "tool_loop": _ask([*_LOOP, said(response("weather", {"result": "Sunny"}))], tools=_TOOLS),
    "tool_loop_parallel": _ask(
        [
            said("Both?"),
            said(call("weather", {"city": "Oslo"}, id="c1"), call("weather", {"city": "Rome"}, id="c2"), role="model"),
            said(response("weather", {"rain": 1}, id="c2"), response("weather", {"output": "dry"}, id="c1")),
        ],
        tools=_TOOLS,
    ),
    "tool_loop_without_arguments": _ask([said("Time?"), said(call("time"), role="model"), said(response("time", {}))]),
    "tool_failed": _ask([*_LOOP, said(response("weather", {"error": "no such city"}))], tools=_TOOLS),
    "tool_answers_with_image": _ask(
        [
            *_LOOP,
            said(
                response("weather", {"output": "map"}, parts=[{"inlineData": {"mimeType": "image/png", "data": PIXEL}}])
            ),
        ]
    ),
    "result_without_call": _ask([said(response("weather", {"result": "Sunny"}))]),
    "own_signatures": _ask(
        [
            said("Weather?"),
            said(
                {"text": "Think", "thought": True},
                call("weather", {"city": "Oslo"}, thoughtSignature=SEAL),
                role="model",
            ),
            said(response("weather", {"result": "Sunny"})),
            said("It is sunny.", {"text": "", "thoughtSignature": SEAL}, role="model"),
            said("Thanks"),
        ],
        tools=_TOOLS,
    ),
    "foreign_signatures": _ask(
        [
            said("Weather?"),
            said(
                {"text": "Think", "thought": True},
                call("weather", {"city": "Oslo"}, thoughtSignature=FOREIGN_SEAL),
                role="model",
            ),
            said(response("weather", {"result": "Sunny"})),
        ],
        tools=_TOOLS,
    ),
    "sampling": _ask(
        generationConfig={
            "maxOutputTokens": 50,
            "temperature": 0.5,
            "topP": 0.9,
            "topK": 40.0,
            "seed": 7,
            "stopSequences": ["END", "STOP"],
            "frequencyPenalty": 0.5,
            "candidateCount": 1,
        }
    ),
    "unknown_knobs": _ask(
        generation_config={"max_output_tokens": 9, "responseLogprobs": True, "speechConfig": {"a": 1}},
        safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        cachedContent="cachedContents/1",
    ),
    "json_mode": _ask(generationConfig={"responseMimeType": "application/json"}),
    "json_schema": _ask(generationConfig={"responseMimeType": "application/json", "responseJsonSchema": WEATHER}),
    "json_schema_in_open_api": _ask(
        generationConfig={"responseMimeType": "application/json", "responseSchema": _OPEN_API}
    ),
    "thinking_budget": _ask(generationConfig={"thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": True}}),
    "thinking_level": _ask(generationConfig={"thinkingConfig": {"thinkingLevel": "HIGH"}}),
    "thinking_off": _ask(generationConfig={"thinkingConfig": {"thinkingBudget": 0}}),
}

USAGE: Json = {
    "promptTokenCount": 30,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "cachedContentTokenCount": 20,
    "totalTokenCount": 42,
}


def answer(*parts: Json | str, finish: str = "STOP", usage: Json | None = USAGE, **more: Any) -> Json:
    """A whole answer or a chunk of one; `finish` may be empty."""
    candidate: Json = {"content": said(*parts, role="model"), "index": 0}
    if finish:
        candidate["finishReason"] = finish
    body: Json = {"candidates": [candidate], "modelVersion": "gemini-2.5-flash", "responseId": "rId-1"}
    return {**body, **({"usageMetadata": usage} if usage else {}), **more}


REPLIES: dict[str, Any] = {
    "text": answer("Hello", " there"),
    "thinking": answer({"text": "Hm.", "thought": True}, {"text": "Hello", "thoughtSignature": SEAL}),
    "tool_call": answer(call("weather", {"city": "Oslo"}, thoughtSignature=SEAL)),
    "tool_calls_parallel": answer("Let me look.", call("weather", {"city": "Oslo"}, id="c1"), call("time")),
    "foreign_signature": answer({"text": "Hello", "thoughtSignature": FOREIGN_SEAL}),
    "length": answer("Hel", finish="MAX_TOKENS"),
    "safety": answer(finish="SAFETY"),
    "recitation": answer("To be", finish="RECITATION"),
    "blocked_prompt": {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 4},
    },
    "malformed_call": answer(finish="MALFORMED_FUNCTION_CALL"),
    "no_usage": answer("Hello", usage=None),
    "tool_use_prompt": answer(
        "Hi", usage={"promptTokenCount": 3, "toolUsePromptTokenCount": 4, "candidatesTokenCount": 2}
    ),
    "second_candidate": {
        **answer("A"),
        "candidates": [answer("A")["candidates"][0], {**answer("B")["candidates"][0], "index": 1}],
    },
    "inline_image": answer("Look:", {"inlineData": {"mimeType": "image/png", "data": PIXEL}}),
    "no_content": {**answer(), "candidates": [{"finishReason": "STOP", "index": 0}]},
    "no_candidates": {"usageMetadata": USAGE},
    "error_in_a_200": {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}},
    "html": "<html>",
}


def chunk(*parts: Json | str, finish: str = "", usage: Json | None = None, **more: Any) -> str:
    """A chunk of a stream."""
    return f"data: {json.dumps(answer(*parts, finish=finish, usage=usage, **more))}\r\n\r\n"


_END = chunk("", finish="STOP", usage=USAGE)
STREAMS: dict[str, str] = {
    "text": chunk("Hel", usage={"promptTokenCount": 30}) + chunk("lo 🌍") + _END,
    "short": 'data: {"candidates":[{"content":{"parts":[{"text":"Hé"}]},"finishReason":"STOP"}]}\n\n',
    "thinking": chunk({"text": "Hm.", "thought": True}) + chunk({"text": "Hi", "thoughtSignature": SEAL}) + _END,
    "sealed_at_the_end": chunk("Hi") + chunk({"text": "", "thoughtSignature": SEAL}, finish="STOP", usage=USAGE),
    "tool_calls": chunk("Look.")
    + chunk(call("weather", {"city": "Oslo"}, thoughtSignature=SEAL), call("time"))
    + chunk(finish="STOP", usage=USAGE),
    "long_arguments": chunk(
        call("write", {"text": "ab" * 200, "deep": {"a": [1, {"b": None}]}}), finish="STOP", usage=USAGE
    ),
    "max_tokens": chunk("Hel", finish="MAX_TOKENS", usage=USAGE),
    "safety_after_text": chunk("How") + chunk(finish="SAFETY", usage=USAGE),
    "blocked_prompt": 'data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}\n\n',
    "malformed_call": chunk("Hi") + chunk(finish="MALFORMED_FUNCTION_CALL", usage=USAGE),
    "lf_and_comments": ": hi\n\n" + (chunk("Hi") + _END).replace("\r\n", "\n"),
    "lone_surrogates": chunk("Hi").replace("Hi", "Hi \\ud83c") + _END,
    "no_usage": chunk("Hi", finish="STOP"),
    "cut_after_content": chunk("Hel") + chunk("lo"),
    "cut_inside_an_event": chunk("Hel") + _END[:40],
    "no_blank_line_at_the_end": chunk("Hi") + _END.rstrip(),
    "error_event": chunk("Hi")
    + 'data: {"error":{"code":429,"message":"Slow down.","status":"RESOURCE_EXHAUSTED"}}\n\n',
    "malformed_event": chunk("Hi") + "data: {oops}\n\n",
    "empty": "",
}

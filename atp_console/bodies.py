"""Stored bodies made readable: a conversation as its turns, a stream as its text, JSON with indents.

Pure, and tolerant of anything: what is not understood is shown as it was sent. All text passes
`safe_text`. Large bodies are formatted off the loop by the caller.
"""

from __future__ import annotations

import json
import re
from typing import Any

from atp_console.paint import Line
from atp_engine.core.text import safe_text

_TEXT_CAP = 400_000
_LINE_CAP = 20_000
_JSON_PART = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d[\d.eE+-]*|true|false|null)|([^"\d\-tfn]+|.)')
_TOOL_NAMES_SHOWN = 8


def readable(body: str) -> list[Line]:
    """The body for reading: turns of a request, text of an answer, else as `as_sent`."""
    parsed = _json(body)
    if isinstance(parsed, dict):
        if isinstance(parsed.get("contents"), list):
            parsed = _as_messages(parsed)
        if isinstance(parsed.get("messages"), list):
            return _conversation(parsed)
        answer = _answer_of(parsed)
        if answer:
            return _paragraphs(answer)
        return as_sent(body)
    streamed = _streamed_text(body) if parsed is None else _chunks_text(parsed)
    return _paragraphs(streamed) if streamed else as_sent(body)


def as_sent(body: str) -> list[Line]:
    """JSON with indents and roles, anything else line by line."""
    parsed = _json(body)
    if isinstance(parsed, (dict, list)):
        text = json.dumps(parsed, indent=2, ensure_ascii=False)
        return [_json_line(line) for line in _safe(text).split("\n")[:_LINE_CAP]]
    return _paragraphs(body)


def plain(body: str) -> str:
    """The body's readable text without roles, for the clipboard."""
    return "\n".join("".join(text for text, _ in line) for line in readable(body))


def _json(body: str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _safe(text: str) -> str:
    return safe_text(text, limit=_TEXT_CAP, is_line=False)


def _paragraphs(text: str, role: str = "text", indent: str = "") -> list[Line]:
    return [[(indent + line, role)] for line in _safe(text).split("\n")[:_LINE_CAP]]


def _json_line(line: str) -> Line:
    spans: Line = []
    for text, colon, scalar, other in _JSON_PART.findall(line):
        if text:
            spans.append((text, "accent" if colon else "text"))
            if colon:
                spans.append((colon, "muted"))
        elif scalar:
            spans.append((scalar, "hit"))
        else:
            spans.append((other, "muted"))
    return spans


def _conversation(parsed: dict[str, Any]) -> list[Line]:
    lines: list[Line] = []
    system = parsed.get("system")
    if system:
        lines += _turn("system", system)
    for message in parsed["messages"]:
        if isinstance(message, dict):
            lines += _turn(str(message.get("role", "?")), message.get("content"), message.get("tool_calls"))
    rest = [(key, value) for key, value in parsed.items() if key not in ("messages", "system", "tools")]
    lines.append([("parameters", "title")])
    for key, value in rest:
        shown = json.dumps(value, ensure_ascii=False)
        lines.append([(f"  {safe_text(str(key), limit=60)} ", "muted"), (safe_text(shown, limit=400), "text")])
    tools = parsed.get("tools")
    if isinstance(tools, list) and tools:
        names = [safe_text(_tool_name(tool), limit=40) for tool in tools[:_TOOL_NAMES_SHOWN]]
        more = f" and {len(tools) - len(names)} more" if len(tools) > len(names) else ""
        lines.append([(f"  {len(tools)} tools ", "muted"), (", ".join(names) + more, "text")])
    return lines


def _tool_name(tool: Any) -> str:
    if not isinstance(tool, dict):
        return "?"
    function = tool.get("function")
    inner = function.get("name") if isinstance(function, dict) else None
    return str(tool.get("name") or inner or tool.get("type") or "?")


def _turn(role: str, content: Any, tool_calls: Any = None) -> list[Line]:
    lines: list[Line] = [[(safe_text(role, limit=40), "title")]]
    lines += _content(content)
    if isinstance(tool_calls, list):
        for call in tool_calls:
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict):
                lines += _call(str(function.get("name")), str(function.get("arguments")))
    lines.append([])
    return lines


def _call(tool: str, arguments: str) -> list[Line]:
    return [
        [
            ("  calls ", "muted"),
            (safe_text(tool, limit=80), "accent"),
            (" " + safe_text(arguments, limit=4_000), "text"),
        ]
    ]


def _content(content: Any) -> list[Line]:
    if isinstance(content, str):
        return _paragraphs(content, indent="  ")
    if not isinstance(content, list):
        return [] if content is None else _paragraphs(json.dumps(content, ensure_ascii=False), indent="  ")
    lines: list[Line] = []
    for part in content:
        if not isinstance(part, dict):
            lines += _paragraphs(str(part), indent="  ")
        elif isinstance(part.get("text"), str):
            lines += _paragraphs(part["text"], indent="  ")
        elif part.get("type") == "tool_use":
            lines += _call(str(part.get("name")), json.dumps(part.get("input"), ensure_ascii=False))
        elif part.get("type") == "tool_result":
            lines.append([("  tool result", "muted")])
            lines += _content(part.get("content"))
        else:
            lines.append([(f"  [{safe_text(str(part.get('type', 'part')), limit=40)}]", "muted")])
    return lines


def _as_messages(parsed: dict[str, Any]) -> dict[str, Any]:
    """A request of Gemini's dialect with its turns as messages."""
    rest = {key: value for key, value in parsed.items() if key not in ("contents", "systemInstruction")}
    system = parsed.get("systemInstruction")
    turns = [turn for turn in parsed["contents"] if isinstance(turn, dict)]
    messages = [{"role": turn.get("role", "user"), "content": _parts_of(turn)} for turn in turns]
    return {**rest, "messages": messages, "system": _parts_of(system) if isinstance(system, dict) else None}


def _parts_of(turn: dict[str, Any]) -> list[Any]:
    """The parts of a turn of Gemini's dialect as blocks that `_content` reads."""
    parts = turn.get("parts")
    blocks: list[Any] = []
    for part in parts if isinstance(parts, list) else [parts]:
        call = part.get("functionCall") if isinstance(part, dict) else None
        answer = part.get("functionResponse") if isinstance(part, dict) else None
        if isinstance(call, dict):
            blocks.append({"type": "tool_use", "name": call.get("name"), "input": call.get("args")})
        elif isinstance(answer, dict):
            said = json.dumps(answer.get("response"), ensure_ascii=False)
            blocks.append({"type": "tool_result", "content": said})
        elif isinstance(part, dict) and not isinstance(part.get("text"), str):
            blocks.append({"type": next(iter(part), "part")})
        else:
            blocks.append(part)
    return blocks


def _gemini_text(parsed: dict[str, Any]) -> str:
    """What the first candidate of an answer or chunk of Gemini's dialect says."""
    candidates = parsed.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    content = first.get("content") if isinstance(first, dict) else None
    return _message_text({"content": _parts_of(content)}) if isinstance(content, dict) else ""


def _chunks_text(parsed: Any) -> str:
    """The text of a stream that was asked for as one JSON array, else nothing."""
    return "".join(_delta_text(one) for one in parsed if isinstance(one, dict)) if isinstance(parsed, list) else ""


def _answer_of(parsed: dict[str, Any]) -> str:
    """The text of an OpenAI, Anthropic, Gemini or Ollama answer, empty when it is none."""
    if "candidates" in parsed:
        return _gemini_text(parsed)
    if isinstance(parsed.get("message"), dict):
        return _message_text(parsed["message"])
    if isinstance(parsed.get("response"), str):
        return str(parsed["response"])
    choices = parsed.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        message = choices[0].get("message")
        return _message_text(message) if isinstance(message, dict) else ""
    if parsed.get("type") == "message":
        return _message_text(parsed)
    return ""


def _message_text(message: dict[str, Any]) -> str:
    lines = _content(message.get("content"))
    calls = _turn("", None, message.get("tool_calls"))[1:-1]
    return "\n".join("".join(text for text, _ in line).removeprefix("  ") for line in [*lines, *calls])


def _streamed_text(body: str) -> str:
    """What the deltas of a stored answer add up to, of events or of JSON lines; empty when it is none."""
    if not body.lstrip().startswith(("data:", "event:", ":", "{")):
        return ""
    pieces: list[str] = []
    for line in body.split("\n"):
        if line.startswith(("data:", "{")):
            frame = _json(line.removeprefix("data:").strip())
            if isinstance(frame, dict):
                pieces.append(_delta_text(frame))
    return "".join(pieces)


def _delta_text(frame: dict[str, Any]) -> str:
    if "candidates" in frame:
        return _gemini_text(frame)
    if isinstance(frame.get("response"), str):
        return str(frame["response"])
    if isinstance(frame.get("message"), dict) and "done" in frame:
        return _message_text(frame["message"])
    choices = frame.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        delta = choices[0].get("delta")
        content = delta.get("content") if isinstance(delta, dict) else None
        return content if isinstance(content, str) else ""
    delta = frame.get("delta")
    if isinstance(delta, dict):
        for key in ("text", "partial_json"):
            if isinstance(delta.get(key), str):
                return str(delta[key])
    block = frame.get("content_block")
    if isinstance(block, dict) and block.get("type") == "tool_use":
        return f"\ncalls {block.get('name')} "
    error = frame.get("error")
    if isinstance(error, dict):
        return f"\n[error] {error.get('message', '')}"
    return ""

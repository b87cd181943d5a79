"""The model behind the clients' runs: an OpenAI-compatible server that does what the prompt asks for.

`TOOLPLEASE` in the latest prompt makes it call the caller's own shell (or weather) tool once and repeat what
that said; `AGENTPLEASE` makes it start a subagent. Anything else is greeted.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from tests.support.upstream import SeenRequest, Wire, head

GREETING = "hello from the stand-in"
TOOL_WORD = "TOOLPLEASE"
AGENT_WORD = "AGENTPLEASE"
TOOL_OUTPUT = "atp-42"
_SHELLS = ("Bash", "bash", "run_shell_command", "exec_command", "shell_command", "shell", "local_shell", "get_weather")
_AGENTS = ("Agent", "Task", "task", "agent")
_WORDS = {
    "command": "printf 'atp-%d' 42",
    "cmd": "printf 'atp-%d' 42",
    "city": "Paris",
    "description": "say it",
    "prompt": "Just say hello.",
    "subagent_type": "general-purpose",
}


async def script(wire: Wire, seen: SeenRequest) -> None:
    """Answers one chat call."""
    call = json.loads(seen.body)
    text, tool_call = _decide(call)
    if call.get("stream"):
        body = b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in _chunks(call, text, tool_call))
        body += b"data: [DONE]\n\n"
        kind = "content-type: text/event-stream"
    else:
        body = json.dumps(_whole(call, text, tool_call)).encode()
        kind = "content-type: application/json"
    await wire.send(head(200, f"content-length: {len(body)}", kind) + body)


def _decide(call: dict[str, Any]) -> tuple[str, dict[str, Any] | None]:
    messages = _this_turn(call["messages"])
    asked = next((text for text in map(_asked, messages) if text), "")
    said = [message for message in messages if message["role"] == "tool"]
    if said and asked:
        return f"it said: {_text(said[-1])}", None
    if not asked:
        return GREETING, None
    forced = call.get("tool_choice")
    named = (forced["function"]["name"],) if isinstance(forced, dict) else ()
    wanted = named or (_SHELLS if TOOL_WORD in asked else _AGENTS)
    tools = {tool["function"]["name"]: tool["function"] for tool in call.get("tools", ())}
    name = next((name for name in wanted if name in tools), "")
    if not name:
        return GREETING, None
    return "", {"name": name, "arguments": json.dumps(_arguments(tools[name].get("parameters") or {}))}


def _this_turn(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What came after the last answer that was an end."""
    ends = [place for place, one in enumerate(messages) if one["role"] == "assistant" and not one.get("tool_calls")]
    return messages[ends[-1] + 1 :] if ends else messages


def _asked(message: dict[str, Any]) -> str:
    """A prompt that asks for something, else nothing."""
    text = _text(message) if message["role"] == "user" else ""
    return text if TOOL_WORD in text or AGENT_WORD in text else ""


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """What the tool requires, with our words where we have some."""
    properties = schema.get("properties", {})
    return {name: _value(name, properties.get(name, {})) for name in schema.get("required", ())}


def _value(name: str, schema: dict[str, Any]) -> Any:
    kind = schema.get("type")
    if kind == "array":
        return ["bash", "-c", _WORDS["command"]]
    if kind == "boolean":
        return False
    if kind in ("number", "integer"):
        return 1000
    if "enum" in schema:
        return schema["enum"][0]
    if name == "subagent_type" and "general-purpose" not in json.dumps(schema):
        return "general"
    return _WORDS.get(name, "x")


def _text(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def _usage(call: dict[str, Any], text: str) -> dict[str, int]:
    prompt, completion = len(json.dumps(call)) // 4, max(1, len(text) // 4)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _tool_calls(tool_call: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"index": 0, "id": f"call_{uuid.uuid4().hex[:20]}", "type": "function", "function": tool_call}]


def _whole(call: dict[str, Any], text: str, tool_call: dict[str, Any] | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": text or None}
    if tool_call:
        message["tool_calls"] = [{k: v for k, v in one.items() if k != "index"} for one in _tool_calls(tool_call)]
    finish = "tool_calls" if tool_call else "stop"
    return {
        **_shared(call, "chat.completion"),
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": _usage(call, text),
    }


def _chunks(call: dict[str, Any], text: str, tool_call: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    shared = _shared(call, "chat.completion.chunk")

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        return {**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

    yield chunk({"role": "assistant", "content": ""})
    for word in text.split(" ") if text else ():
        yield chunk({"content": word + " "})
    if tool_call:
        yield chunk({"tool_calls": _tool_calls(tool_call)})
    yield chunk({}, "tool_calls" if tool_call else "stop")
    if (call.get("stream_options") or {}).get("include_usage"):
        yield {**shared, "choices": [], "usage": _usage(call, text)}


def _shared(call: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": 1_790_000_000, "model": call["model"]}

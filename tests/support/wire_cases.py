"""The cases of the wire goldens: what a client or a vendor sends, per pair of dialects.

`tests/wire` runs each through its bridge and holds the outcome against `snapshots/wire/<pair>/`.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from atp_engine.core.types import Dialect

OPENAI, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC
Json = dict[str, Any]


class Case(NamedTuple):
    """One exchange; `kind` is request, reply or stream."""

    client: Dialect
    upstream: Dialect
    kind: str
    name: str
    sent: Any
    """The client's body, the vendor's answer (JSON or text), or the vendor's stream as text."""
    model: str = ""
    """The deployment's model for requests."""
    asked: Json | None = None
    """The client's body behind a reply or stream, where it matters."""

    @property
    def id(self) -> str:
        """Pair and name, as the golden's path."""
        return f"{self.client}-{self.upstream}/{self.kind}_{self.name}"


PIXEL = "iVBORw0KGgoAAAANSUhEUg=="
WEATHER: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "maximum": 18446744073709551615}},
    "required": ["city"],
}
OPENAI_TOOL: Json = {
    "type": "function",
    "function": {"name": "weather", "description": "Looks outside", "parameters": WEATHER, "strict": True},
}
OPENAI_TIME: Json = {"type": "function", "function": {"name": "time"}}
ANTHROPIC_TOOL: Json = {"name": "weather", "description": "Looks outside", "input_schema": WEATHER}
ANTHROPIC_TIME: Json = {"name": "time", "input_schema": {"type": "object"}}


def openai_call(id: str, name: str, arguments: str) -> Json:
    """A tool call of an assistant message."""
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def user(content: Any) -> Json:
    """A user message."""
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> Json:
    """An assistant message."""
    return {"role": "assistant", "content": content, **more}


def chunk(delta: Json | None = None, finish: str | None = None, **more: Any) -> str:
    """One chunk of an OpenAI stream; `delta` None leaves the choices empty."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1761000000, "model": "m-1"}
    return f"data: {json.dumps({**body, 'choices': choices, **more})}\n\n"


def fragment(index: int | None, arguments: str, id: str | None = None, name: str | None = None) -> Json:
    """A delta with one fragment of a tool call."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    call: Json = {"function": function}
    if index is not None:
        call["index"] = index
    if id is not None:
        call |= {"id": id, "type": "function"}
    return {"tool_calls": [call]}


def event(type: str, **members: Any) -> str:
    """One event of an Anthropic stream."""
    return f"event: {type}\ndata: {json.dumps({'type': type, **members})}\n\n"


def start(**usage: int) -> str:
    """The event that begins an Anthropic stream."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": []}
    counts = {"input_tokens": 12, "output_tokens": 1, **usage}
    return event("message_start", message={**message, "stop_reason": None, "stop_sequence": None, "usage": counts})


def block(index: int, content: Json, *deltas: Json) -> str:
    """A whole content block of an Anthropic stream."""
    opened = event("content_block_start", index=index, content_block=content)
    changes = "".join(event("content_block_delta", index=index, delta=delta) for delta in deltas)
    return opened + changes + event("content_block_stop", index=index)


def text_block(index: int, *texts: str) -> str:
    """A text block in pieces."""
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": text} for text in texts))


def call_block(index: int, id: str, name: str, *pieces: str) -> str:
    """A tool call in pieces."""
    opened = {"type": "tool_use", "id": id, "name": name, "input": {}}
    return block(index, opened, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def stop(reason: str = "end_turn", output_tokens: int = 9, **usage: int) -> str:
    """The end of an Anthropic stream."""
    changed = event(
        "message_delta",
        delta={"stop_reason": reason, "stop_sequence": None},
        usage={"output_tokens": output_tokens, **usage},
    )
    return changed + event("message_stop")


DONE = "data: [DONE]\n\n"
ROLE = chunk({"role": "assistant", "content": ""})
USAGE: Json = {
    "prompt_tokens": 30,
    "completion_tokens": 12,
    "total_tokens": 42,
    "prompt_tokens_details": {"cached_tokens": 20},
    "completion_tokens_details": {"reasoning_tokens": 7},
}
USAGE_CHUNK = chunk(usage=USAGE)

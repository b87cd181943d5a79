"""`ir` requests written for Ollama's `/api/chat`.

What the server lacks is named: it has no choice of tools and fetches no pictures. It answers 400 to a
wish to think for a model that cannot, so the wish goes up for families that are known to think
(ollama.com/search?c=thinking, November 2026); not to think may be asked of any.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from atp_engine.core.errors import InvalidRequest, UnsupportedFeature
from atp_engine.dialects import ir
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.fields import Dropped, compact
from atp_engine.dialects.openai_knobs import drop_knobs
from atp_engine.dialects.whole_calls import arguments_object

_THINKS = re.compile(r"gpt-oss|qwen3|qwq|deepseek-(?:r|v3\.[1-9]|v4)|magistral|glm-[4-9]|kimi-k2|nemotron|thinking")
_HAS_LEVELS = re.compile(r"gpt-oss")
_LEVELS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')


def encode_request(request: ir.ChatRequest) -> UpstreamBody:
    """The body. Dropped fields go by their names in `ir`. Raises UnsupportedFeature for a picture behind a URL,
    InvalidRequest when nothing is said.

    A tool's name goes with its result; a failed tool's text begins with `Error:`, since there is no flag for it.
    """
    dropped = Dropped()
    messages = _Messages(dropped).write(request.messages)
    if not messages:
        raise InvalidRequest("`messages` hold no content.", param="messages")
    form = request.json_format
    options = compact(
        num_predict=request.max_output_tokens or None,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        stop=list(request.stop) or None,
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
    )
    body = compact(
        model=request.model,
        messages=messages,
        tools=_tools(request, dropped) or None,
        format=None if form is None else (form.schema if bytes(form.schema) else "json"),
        options=options or None,
        think=_think(request, dropped),
        logprobs=request.logprobs is not None or None,
        top_logprobs=request.logprobs or None,
        stream=request.is_stream,
    )
    for name, is_dropped in (
        ("candidates", request.candidates > 1),
        ("user", bool(request.user)),
        ("parallel_tool_calls", request.has_parallel_calls is False and bool(request.tools)),
        ("verbosity", bool(request.verbosity)),
    ):
        if is_dropped:
            dropped.add(name)
    drop_knobs(request, dropped)
    return UpstreamBody(msgspec.json.encode(body), dropped.paths())


def _think(request: ir.ChatRequest, dropped: Dropped) -> bool | str | None:
    wish, model = request.thinking, request.model.lower()
    if wish is None:
        return None
    if not wish.is_enabled:
        return False
    if not _THINKS.search(model):
        dropped.add("thinking")
        return None
    return _LEVELS.get(wish.effort, "medium") if _HAS_LEVELS.search(model) else True


def _tools(request: ir.ChatRequest, dropped: Dropped) -> list[dict[str, Any]]:
    """All tools, none or the one that was chosen: the nearest to a choice that there is."""
    choice, tools = request.tool_choice, request.tools
    if choice is not None and tools:
        if choice.mode == "none":
            return []
        if choice.mode == "named":
            tools = tuple(tool for tool in tools if tool.name == choice.name)
        if choice.mode != "auto":
            dropped.add("tool_choice")
    if any(tool.is_strict for tool in tools):
        dropped.add("tools[].strict")
    return [_tool(tool) for tool in tools]


def _tool(tool: ir.Tool) -> dict[str, Any]:
    function = compact(
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters if bytes(tool.parameters) else _NO_PARAMETERS,
    )
    return {"type": "function", "function": function}


class _Messages:
    """A user's turn is one message with its pictures; each tool result is one of its own before it."""

    def __init__(self, dropped: Dropped) -> None:
        self._dropped = dropped
        self._names: dict[str, str] = {}

    def write(self, messages: tuple[ir.Message, ...]) -> list[dict[str, Any]]:
        """The `messages`."""
        written: list[dict[str, Any]] = []
        for message in messages:
            if message.role is ir.Role.SYSTEM:
                written.append({"role": "system", "content": _joined(message.parts, "\n\n")})
            elif message.role is ir.Role.ASSISTANT:
                written.append(self._assistant(message.parts))
            else:
                written += self._user(message.parts)
        return written

    def _assistant(self, parts: tuple[ir.Part, ...]) -> dict[str, Any]:
        thoughts = [part.text for part in parts if isinstance(part, ir.Reasoning) and part.text and not part.signature]
        if any(isinstance(part, ir.Reasoning) and (part.signature or part.is_redacted) for part in parts):
            self._dropped.add("reasoning")
        calls: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, ir.ToolCall):
                self._names[part.id] = part.name
                arguments, is_whole = arguments_object(part.arguments)
                if not is_whole:
                    self._dropped.add("arguments")
                calls.append({"id": part.id, "function": {"name": part.name, "arguments": arguments}})
        return compact(
            role="assistant",
            content=_joined(parts, ""),
            thinking="".join(thoughts) or None,
            images=_images(parts) or None,
            tool_calls=calls or None,
        )

    def _user(self, parts: tuple[ir.Part, ...]) -> list[dict[str, Any]]:
        results = [self._result(part) for part in parts if isinstance(part, ir.ToolResult)]
        said = [part for part in parts if not isinstance(part, ir.ToolResult)]
        if said or not results:
            images = _images(said) or None
            results.append(compact(role="user", content=_joined(said, "\n\n"), images=images))
        return results

    def _result(self, result: ir.ToolResult) -> dict[str, Any]:
        text = _joined(result.parts, "\n")
        if result.is_error and not text.lower().startswith("error"):
            text = f"Error: {text}"
        return compact(
            role="tool",
            tool_call_id=result.call_id,
            tool_name=self._names.get(result.call_id),
            content=text,
            images=_images(result.parts) or None,
        )


def _joined(parts: Any, between: str) -> str:
    return between.join(part.text for part in parts if isinstance(part, ir.Text | ir.Refusal) and part.text)


def _images(parts: Any) -> list[str]:
    images = [part for part in parts if isinstance(part, ir.Image)]
    if any(isinstance(part, ir.Document) for part in parts):
        raise UnsupportedFeature("A document cannot be carried to the chosen deployment.")
    if any(image.url for image in images):
        raise UnsupportedFeature("A picture behind a URL cannot be carried to the chosen deployment; send its data.")
    return [image.base64 for image in images]

"""`ir` requests written as Anthropic messages.

The vendor needs `max_tokens`: when the client says nothing it is 4096, on top of a thinking budget.
Which way of thinking and which formats a Claude takes is told by its name (models of November 2026).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import InvalidRequest, UnsupportedFeature
from atp_engine.dialects import ir, json_text
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.fields import Dropped, compact
from atp_engine.dialects.openai_knobs import drop_knobs
from atp_engine.dialects.seals import is_marked

DEFAULT_MAX_TOKENS = 4096
_SMALLEST_BUDGET = 1024

_NO_THINKING = re.compile(r"claude-(?:2|3(?!-7)|instant)")
_BUDGET_THINKING = re.compile(r"claude-3-7|claude-(?:opus|sonnet|haiku)-4(?!-[6-9])")
_NO_SCHEMA = re.compile(r"claude-(?:2|3|instant)|claude-(?:opus|sonnet)-4(?:-0|-\d{8}|@|$)")
_BUDGETS: Mapping[str, int] = MappingProxyType(
    {"minimal": 1_024, "low": 2_048, "medium": 8_192, "high": 16_384, "xhigh": 24_576, "max": 32_000}
)
_TIERS: Mapping[str, str] = MappingProxyType({"auto": "auto", "standard": "standard_only"})
_EFFORTS: Mapping[str, str] = MappingProxyType({"minimal": "low"})
_CHOICES: Mapping[str, str] = MappingProxyType({"auto": "auto", "required": "any", "none": "none", "named": "tool"})
_ID = re.compile(r"^[a-zA-Z0-9_-]{1,64}$")
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode_request(request: ir.ChatRequest) -> UpstreamBody:
    """The body. Dropped fields go by their names in `ir`. Raises InvalidRequest when nothing is said,
    UnsupportedFeature for a picture by the assistant."""
    dropped = Dropped()
    system, turns = _split(request.messages)
    thinking = _thinking(request, dropped)
    config = compact(effort=thinking.effort, format=_format(request, dropped))
    temperature, top_p = _sampling(request, thinking, dropped)
    stop = [text for text in request.stop if text.strip()]
    body = compact(
        model=request.model,
        max_tokens=thinking.max_tokens,
        system=system or None,
        messages=_messages(turns, dropped),
        tools=[_tool(tool) for tool in request.tools] or None,
        tool_choice=_choice(request),
        temperature=temperature,
        top_p=top_p,
        top_k=request.top_k,
        stop_sequences=stop or None,
        thinking=thinking.field,
        output_config=config or None,
        metadata={"user_id": request.user} if request.user else None,
        service_tier=_TIERS.get(request.service_tier),
        stream=request.is_stream or None,
    )
    for name, is_dropped in (
        ("stop", len(stop) < len(request.stop)),
        ("candidates", request.candidates > 1),
        ("seed", request.seed is not None),
        ("frequency_penalty", bool(request.frequency_penalty)),
        ("presence_penalty", bool(request.presence_penalty)),
        ("verbosity", bool(request.verbosity)),
        ("logprobs", request.logprobs is not None),
    ):
        if is_dropped:
            dropped.add(name)
    has_tier = request.service_tier in _TIERS
    drop_knobs(msgspec.structs.replace(request, service_tier="") if has_tier else request, dropped)
    return UpstreamBody(msgspec.json.encode(body), dropped.paths())


class _Thinking(msgspec.Struct, frozen=True):
    """How the wish to think is written, and the `max_tokens` that leaves room for it."""

    max_tokens: int
    field: dict[str, Any] | None = None
    effort: str | None = None


def _thinking(request: ir.ChatRequest, dropped: Dropped) -> _Thinking:
    wish, limit = request.thinking, request.max_output_tokens
    plain = _Thinking(limit or DEFAULT_MAX_TOKENS)
    if wish is None:
        return plain
    is_forced = request.tool_choice is not None and request.tool_choice.mode in ("required", "named")
    if _NO_THINKING.search(request.model) or (
        wish.is_enabled and (is_forced or _is_in_unsealed_loop(request.messages))
    ):
        dropped.add("thinking")
        return plain
    has_budgets = "claude" not in request.model or _BUDGET_THINKING.search(request.model) is not None
    if not wish.is_enabled:
        return plain if has_budgets else _Thinking(plain.max_tokens, {"type": "disabled"})
    effort = _EFFORTS.get(wish.effort, wish.effort) or None
    if not has_budgets:
        return _Thinking(plain.max_tokens, {"type": "adaptive"}, effort)
    budget = wish.budget_tokens or _BUDGETS.get(wish.effort, _BUDGETS["medium"])
    if limit:
        budget = min(budget, limit - _SMALLEST_BUDGET)
    if budget < _SMALLEST_BUDGET:
        dropped.add("thinking")
        return plain
    return _Thinking(limit or budget + DEFAULT_MAX_TOKENS, {"type": "enabled", "budget_tokens": budget})


def _is_in_unsealed_loop(messages: tuple[ir.Message, ...]) -> bool:
    """True when tool results answer a turn whose thinking is not here with its signature: the vendor
    refuses to think on from there."""
    if not any(isinstance(part, ir.ToolResult) for part in messages[-1].parts):
        return False
    turns = (message for message in reversed(messages) if message.role is ir.Role.ASSISTANT)
    last = next(turns, None)
    return last is None or not any(
        isinstance(part, ir.Reasoning) and part.signature and not is_marked(part.signature) for part in last.parts
    )


def _sampling(request: ir.ChatRequest, thinking: _Thinking, dropped: Dropped) -> tuple[float | None, float | None]:
    """Temperature and top_p: at most 1, not while thinking, and not both at once."""
    temperature, top_p = request.temperature, request.top_p
    if thinking.field is not None and thinking.field["type"] != "disabled":
        for name, value in (("temperature", temperature), ("top_p", top_p)):
            if value is not None:
                dropped.add(name)
        return None, None
    if temperature is not None and temperature > 1.0:
        dropped.add("temperature")
        temperature = 1.0
    if temperature is not None and top_p is not None:
        dropped.add("top_p")
        top_p = None
    return temperature, top_p


def _format(request: ir.ChatRequest, dropped: Dropped) -> dict[str, Any] | None:
    form = request.json_format
    if form is None:
        return None
    if not bytes(form.schema) or _NO_SCHEMA.search(request.model):
        dropped.add("json_format")
        return None
    return {"type": "json_schema", "schema": form.schema}


def _split(messages: tuple[ir.Message, ...]) -> tuple[str, tuple[ir.Message, ...]]:
    """The leading system messages as the system prompt, and the rest."""
    lead = 0
    while lead < len(messages) and messages[lead].role is ir.Role.SYSTEM:
        lead += 1
    texts = [part.text for message in messages[:lead] for part in message.parts if isinstance(part, ir.Text)]
    return "\n\n".join(text for text in texts if text), messages[lead:]


def _messages(turns: tuple[ir.Message, ...], dropped: Dropped) -> list[dict[str, Any]]:
    """Turns of one speaker in a row become one, as results must stand in the turn after their calls."""
    written: list[dict[str, Any]] = []
    for turn in turns:
        blocks = _blocks(turn, dropped)
        if not blocks:
            continue
        if written and written[-1]["role"] == turn.role.value:
            written[-1]["content"] += blocks
        else:
            written.append({"role": turn.role.value, "content": blocks})
    if not written:
        raise InvalidRequest("`messages` hold no content.", param="messages")
    for message in written:
        message["content"].sort(key=lambda block: block["type"] != "tool_result")
        if len(message["content"]) == 1 and message["content"][0]["type"] == "text":
            message["content"] = message["content"][0]["text"]
    return written


def _blocks(turn: ir.Message, dropped: Dropped) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, ir.Text | ir.Refusal):
            if part.text:
                blocks.append({"type": "text", "text": part.text})
        elif isinstance(part, ir.Image | ir.Document):
            if turn.role is not ir.Role.USER:
                raise UnsupportedFeature("A picture by the assistant cannot be carried to the chosen deployment.")
            blocks.append(_media(part))
        elif isinstance(part, ir.ToolCall):
            arguments = _arguments(part.arguments, dropped)
            blocks.append({"type": "tool_use", "id": _id(part.id), "name": part.name, "input": arguments})
        elif isinstance(part, ir.ToolResult):
            blocks.append(_result(part))
        elif is_marked(part.signature):
            dropped.add("reasoning")
        elif part.is_redacted:
            blocks.append({"type": "redacted_thinking", "data": part.signature})
        elif part.signature:
            blocks.append({"type": "thinking", "thinking": part.text, "signature": part.signature})
        else:
            dropped.add("reasoning")
    return blocks


def _arguments(text: str, dropped: Dropped) -> dict[str, Any] | msgspec.Raw:
    """The arguments as an object. A model's broken JSON is carried as text and named, so that one bad
    call does not end the conversation."""
    if not text.strip():
        return {}
    encoded = text.encode()
    try:
        json_text.decode(_OBJECT, encoded)
    except ValueError:
        dropped.add("arguments")
        return {"invalid_json": text}
    return msgspec.Raw(json_text.without_lone_surrogates(encoded))


def _id(call_id: str) -> str:
    """The call's id when the vendor takes it, else one made from it, equal for call and result."""
    if _ID.match(call_id):
        return call_id
    return "toolu_" + hashlib.sha256(call_id.encode("utf-8", "replace")).hexdigest()[:24]


def _result(result: ir.ToolResult) -> dict[str, Any]:
    content: str | list[dict[str, Any]]
    if len(result.parts) == 1 and isinstance(result.parts[0], ir.Text):
        content = result.parts[0].text
    else:
        content = [
            {"type": "text", "text": part.text} if isinstance(part, ir.Text) else _media(part)
            for part in result.parts
            if not isinstance(part, ir.Text) or part.text
        ]
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": _id(result.call_id), "content": content}
    if result.is_error:
        block["is_error"] = True
    return block


def _media(part: ir.Image | ir.Document) -> dict[str, Any]:
    """A picture or a document; the vendor reads PDFs, and plain text as text."""
    kind = "image" if isinstance(part, ir.Image) else "document"
    block: dict[str, Any] = {"type": kind, "source": {"type": "url", "url": part.url}}
    if not part.url:
        block["source"] = {"type": "base64", "media_type": part.media_type, "data": part.base64}
    if isinstance(part, ir.Document):
        if part.base64 and part.media_type.startswith("text/"):
            text = _decoded(part.base64)
            block["source"] = {"type": "text", "media_type": "text/plain", "data": text}
        elif part.base64 and part.media_type != "application/pdf":
            raise UnsupportedFeature(
                f"A file of type {part.media_type[:80]} cannot be carried to the chosen deployment."
            )
        if part.name:
            block["title"] = part.name
    return block


def _decoded(base64: str) -> str:
    try:
        return b64decode(base64, validate=True).decode("utf-8", "replace")
    except ValueError:
        raise InvalidRequest("A file's content is not valid base64.") from None


def _tool(tool: ir.Tool) -> dict[str, Any]:
    return compact(
        name=tool.name,
        description=tool.description or None,
        input_schema=tool.parameters if bytes(tool.parameters) else _NO_PARAMETERS,
        strict=tool.is_strict or None,
    )


def _choice(request: ir.ChatRequest) -> dict[str, Any] | None:
    if not request.tools:
        return None
    choice = request.tool_choice or ir.ToolChoice("auto")
    is_single = request.has_parallel_calls is False and choice.mode != "none"
    if request.tool_choice is None and not is_single:
        return None
    return compact(
        type=_CHOICES[choice.mode],
        name=choice.name or None,
        disable_parallel_tool_use=True if is_single else None,
    )

"""`ir` requests written for Gemini's generateContent.

The model and whether it streams stand in the path, not in the body. Which way of thinking a model takes
is told by its name (models of November 2026; ai.google.dev/gemini-api/docs/thinking): levels since
Gemini 3, a budget of tokens in 2.5, none before.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.text import safe_text
from atp_engine.dialects import ir, json_text
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.fields import Dropped, compact
from atp_engine.dialects.gemini_parts import model_parts
from atp_engine.dialects.gemini_seals import for_gemini
from atp_engine.dialects.openai_knobs import drop_knobs

SKIP_CHECK = "skip_thought_signature_validator"
"""Stands for the signature of a call that another model made: without one Gemini 3 refuses the request
(ai.google.dev/gemini-api/docs/thought-signatures, November 2026)."""
_BUDGET_THINKING = re.compile(r"gemini-2\.5|gemini-robotics")
_NO_THINKING = re.compile(r"gemini-(?:1|2\.0|pro$|pro-vision)|gemma|learnlm")
_NEEDS_SEALS = re.compile(r"gemini-(?:[3-9]|\d\d|pro-latest|flash-latest|flash-lite-latest)")
_BUDGETS: Mapping[str, int] = MappingProxyType(
    {"minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576, "xhigh": 24_576, "max": 24_576}
)
_LEVELS: Mapping[str, str] = MappingProxyType(
    {"minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
)
_LEAST_OF_PRO = 128
"""2.5 Pro cannot be told not to think."""
_LOW_BUDGET, _MEDIUM_BUDGET = 4_096, 16_384
_MODES: Mapping[str, str] = MappingProxyType({"auto": "AUTO", "required": "ANY", "none": "NONE", "named": "ANY"})
_TIERS = frozenset({"standard", "flex", "priority"})
_MOST_STOPS = 5
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TYPES: Mapping[str, str] = MappingProxyType(
    {"png": "image/png", "webp": "image/webp", "gif": "image/gif", "heic": "image/heic", "heif": "image/heif"}
)


def encode_request(request: ir.ChatRequest) -> UpstreamBody:
    """The body. Dropped fields go by their names in `ir`. Raises InvalidRequest when nothing is said, or when
    a tool result answers no call: the vendor wants its function's name.

    A tool's pictures and files follow its result in the same turn.
    """
    dropped = Dropped()
    system, turns = _split(request.messages)
    tier = request.service_tier if request.service_tier in _TIERS else None
    body = compact(
        systemInstruction={"parts": [{"text": system}]} if system else None,
        contents=_Contents(request, dropped).write(turns),
        tools=[{"functionDeclarations": [_tool(tool, dropped) for tool in request.tools]}] if request.tools else None,
        toolConfig=_choice(request),
        generationConfig=_config(request, dropped) or None,
        serviceTier=tier,
    )
    for name, is_dropped in (
        ("stop", len(request.stop) > _MOST_STOPS),
        ("candidates", request.candidates > 1),
        ("user", bool(request.user)),
        ("parallel_tool_calls", request.has_parallel_calls is False and bool(request.tools)),
        ("verbosity", bool(request.verbosity)),
    ):
        if is_dropped:
            dropped.add(name)
    drop_knobs(request if tier is None else msgspec.structs.replace(request, service_tier=""), dropped)
    return UpstreamBody(msgspec.json.encode(body), dropped.paths())


def _config(request: ir.ChatRequest, dropped: Dropped) -> dict[str, Any]:
    form = request.json_format
    return compact(
        maxOutputTokens=request.max_output_tokens or None,
        temperature=request.temperature,
        topP=request.top_p,
        topK=request.top_k,
        stopSequences=list(request.stop[:_MOST_STOPS]) or None,
        seed=request.seed,
        frequencyPenalty=request.frequency_penalty,
        presencePenalty=request.presence_penalty,
        responseLogprobs=request.logprobs is not None or None,
        logprobs=request.logprobs or None,
        responseMimeType="application/json" if form is not None else None,
        responseJsonSchema=form.schema if form is not None and bytes(form.schema) else None,
        thinkingConfig=_thinking(request, dropped),
    )


def _thinking(request: ir.ChatRequest, dropped: Dropped) -> dict[str, Any] | None:
    wish, model = request.thinking, request.model.lower()
    if wish is None:
        return None
    if _NO_THINKING.search(model):
        if wish.is_enabled:
            dropped.add("thinking")
        return None
    if _BUDGET_THINKING.search(model):
        if not wish.is_enabled:
            return {"thinkingBudget": _LEAST_OF_PRO if "pro" in model else 0}
        return {"includeThoughts": True, "thinkingBudget": wish.budget_tokens or _BUDGETS.get(wish.effort, -1)}
    if not wish.is_enabled:
        return {"thinkingLevel": "low" if "pro" in model else "minimal"}
    level = _LEVELS.get(wish.effort) or _level_of(wish.budget_tokens)
    return compact(includeThoughts=True, thinkingLevel=level)


def _level_of(budget: int) -> str | None:
    if not budget:
        return None
    if budget < _LOW_BUDGET:
        return "low"
    return "medium" if budget < _MEDIUM_BUDGET else "high"


def _split(messages: tuple[ir.Message, ...]) -> tuple[str, tuple[ir.Message, ...]]:
    """The leading system messages as the system instruction, and the rest."""
    lead = 0
    while lead < len(messages) and messages[lead].role is ir.Role.SYSTEM:
        lead += 1
    texts = [part.text for message in messages[:lead] for part in message.parts if isinstance(part, ir.Text)]
    return "\n\n".join(text for text in texts if text), messages[lead:]


class _Contents:
    """Turns of one speaker in a row become one, results first, as they must follow their calls at once. A later
    system message is said by the user: there is no other place for it."""

    def __init__(self, request: ir.ChatRequest, dropped: Dropped) -> None:
        self._needs_seals = _NEEDS_SEALS.search(request.model.lower()) is not None
        self._dropped = dropped
        self._names: dict[str, str] = {}

    def write(self, turns: tuple[ir.Message, ...]) -> list[dict[str, Any]]:
        """The `contents`."""
        written: list[dict[str, Any]] = []
        for turn in turns:
            role = "model" if turn.role is ir.Role.ASSISTANT else "user"
            parts = self._model(turn) if role == "model" else self._user(turn)
            if not parts:
                continue
            if written and written[-1]["role"] == role:
                written[-1]["parts"] += parts
            else:
                written.append({"role": role, "parts": parts})
        if not written:
            raise InvalidRequest("`messages` hold no content.", param="messages")
        for content in written:
            content["parts"].sort(key=lambda part: "functionResponse" not in part)
        return written

    def _model(self, turn: ir.Message) -> list[dict[str, Any]]:
        self._names.update({part.id: part.name for part in turn.parts if isinstance(part, ir.ToolCall)})
        parts = model_parts(turn.parts, for_gemini, self._dropped.add, has_thoughts=False)
        calls = [part for part in parts if "functionCall" in part]
        if self._needs_seals and calls and not any("thoughtSignature" in part for part in calls):
            calls[0]["thoughtSignature"] = SKIP_CHECK
        return parts

    def _user(self, turn: ir.Message) -> list[dict[str, Any]]:
        parts: list[dict[str, Any]] = []
        for part in turn.parts:
            if isinstance(part, ir.ToolResult):
                parts += self._result(part)
            elif isinstance(part, ir.Image | ir.Document):
                parts.append(_media(part))
            elif isinstance(part, ir.Text) and part.text:
                parts.append({"text": part.text})
        return parts

    def _result(self, result: ir.ToolResult) -> list[dict[str, Any]]:
        name = self._names.get(result.call_id)
        if name is None:
            shown = safe_text(result.call_id, limit=64)
            raise InvalidRequest(f"`messages`: the tool result for {shown!r} answers no call.", param="messages")
        text = "\n".join(part.text for part in result.parts if isinstance(part, ir.Text))
        response = {"id": result.call_id, "name": name, "response": _response(text, result.is_error)}
        media = [_media(part) for part in result.parts if isinstance(part, ir.Image | ir.Document)]
        if not media:
            return [{"functionResponse": response}]
        return [{"functionResponse": response}, {"text": f"From the result of {name}:"}, *media]


def _response(text: str, is_error: bool) -> Any:
    """The result as the object that the vendor wants: JSON objects as they are, text under a name."""
    if is_error:
        return {"error": text}
    encoded = text.encode("utf-8", "replace")
    try:
        given = json_text.decode(_OBJECT, encoded)
    except ValueError:
        return {"output": text}
    if not given or given.keys() & {"error", "output", "result"}:
        return {"output": text}
    return msgspec.Raw(json_text.without_lone_surrogates(encoded))


def _media(media: ir.Image | ir.Document) -> dict[str, Any]:
    if not media.url:
        return {"inlineData": {"mimeType": media.media_type, "data": media.base64}}
    ending = media.url.partition("?")[0].rpartition(".")[2].lower()
    usual = "image/jpeg" if isinstance(media, ir.Image) else "application/pdf"
    return {"fileData": {"mimeType": media.media_type or _TYPES.get(ending, usual), "fileUri": media.url}}


def _tool(tool: ir.Tool, dropped: Dropped) -> dict[str, Any]:
    if tool.is_strict:
        dropped.add("tools[].strict")
    return compact(
        name=tool.name,
        description=tool.description or None,
        parametersJsonSchema=tool.parameters if bytes(tool.parameters) else None,
    )


def _choice(request: ir.ChatRequest) -> dict[str, Any] | None:
    choice = request.tool_choice
    if choice is None or not request.tools:
        return None
    names = [choice.name] if choice.name else None
    return {"functionCallingConfig": compact(mode=_MODES[choice.mode], allowedFunctionNames=names)}

"""Gemini requests read into `ir`, whole and checked; called for translations and simulations.

The body is the vendor's `GenerateContentRequest` with the path's facts as members: `model` and `stream`
(`api/gemini` adds them). Names in snake case count too, single objects stand for lists of one: the
vendor's own examples use both. Shapes: ai.google.dev/api/generate-content and google-genai 3.6.1, November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.dialects import ir
from atp_engine.dialects.fields import BOOL, COUNT, FLOAT, INT, ITEMS, RAW, STR, STRINGS, Fields
from atp_engine.dialects.gemini_schema import json_schema
from atp_engine.dialects.gemini_seals import from_gemini
from atp_engine.dialects.images import image_from_url

T = TypeVar("T")

_ROLES: Mapping[str, ir.Role] = MappingProxyType(
    {"": ir.Role.USER, "user": ir.Role.USER, "function": ir.Role.USER, "tool": ir.Role.USER, "model": ir.Role.ASSISTANT}
)
_MODES: Mapping[str, str] = MappingProxyType(
    {"": "auto", "MODE_UNSPECIFIED": "auto", "AUTO": "auto", "VALIDATED": "auto", "ANY": "required", "NONE": "none"}
)
_WORD = re.compile(r"[A-Z]")
_BRACE = ord("{")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SAID = ("result", "output")
"""The member that holds a function's result when it is the only one; SDKs write the first, the API reference the
second."""


def decode_request(body: bytes) -> ir.ChatRequest:
    """The request as `ir`. Raises InvalidRequest naming the field, UnsupportedFeature for files of the
    vendor's own store and for code execution."""
    top = Fields.of_body(body)
    messages = _system(top) + _Turns().read(top)
    tools, choice = _tools(top)
    config = _child(top, "generationConfig") or Fields({}, "generationConfig", top.dropped)
    stop = _take(config, "stopSequences", STRINGS)
    request = ir.ChatRequest(
        model=top.take("model", STR) or "",
        messages=messages,
        is_stream=top.take("stream", BOOL) or False,
        wants_usage=True,
        tools=tools,
        tool_choice=choice,
        max_output_tokens=_take(config, "maxOutputTokens", COUNT) or 0,
        temperature=config.take("temperature", FLOAT),
        top_p=_take(config, "topP", FLOAT),
        top_k=_top_k(config),
        stop=tuple(stop or ()),
        seed=config.take("seed", INT),
        frequency_penalty=_take(config, "frequencyPenalty", FLOAT),
        presence_penalty=_take(config, "presencePenalty", FLOAT),
        candidates=_take(config, "candidateCount", COUNT) or 1,
        json_format=_json_format(config),
        service_tier=_tier(top),
        logprobs=_logprobs(config),
        thinking=_thinking(config),
    )
    config.close()
    top.close()
    return msgspec.structs.replace(request, dropped_fields=top.dropped.paths())


def _tier(top: Fields) -> str:
    word = (_take(top, "serviceTier", STR) or "").lower().removeprefix("service_tier_")
    return "" if word == "unspecified" else word


def _logprobs(config: Fields) -> int | None:
    most = config.take("logprobs", COUNT) or 0
    return most if _take(config, "responseLogprobs", BOOL) else None


def _snake(name: str) -> str:
    return _WORD.sub(lambda found: "_" + found.group().lower(), name)


def _take(fields: Fields, name: str, decoder: msgspec.json.Decoder[T]) -> T | None:
    """A member by either spelling of its name."""
    value = fields.take(name, decoder)
    return fields.take(_snake(name), decoder) if value is None else value


def _child(fields: Fields, name: str) -> Fields | None:
    return fields.child(name) or fields.child(_snake(name))


def _list(fields: Fields, name: str) -> list[Fields]:
    """A member as objects; a single object is a list of one."""
    raw = _take(fields, name, RAW)
    if raw is None:
        return []
    if memoryview(raw)[0] == _BRACE:
        return fields.elements(name, [raw])
    return fields.elements(name, _items(fields, name, raw))


def _items(fields: Fields, name: str, raw: msgspec.Raw) -> list[msgspec.Raw]:
    try:
        return ITEMS.decode(raw)
    except (ValueError, RecursionError):
        raise fields.wrong(name, "must be an array of objects") from None


def _top_k(config: Fields) -> int | None:
    """A whole number, which some SDKs write as a float."""
    value = _take(config, "topK", FLOAT)
    if value is None:
        return None
    if not -(2**31) < value < 2**31:
        raise config.wrong("topK", "is out of range")
    return int(value)


def _system(top: Fields) -> tuple[ir.Message, ...]:
    fields = _child(top, "systemInstruction")
    if fields is None:
        return ()
    fields.skip("role")
    texts: list[ir.Part] = []
    for part in _list(fields, "parts"):
        text = part.take("text", STR)
        if text is None:
            raise part.wrong("text", "is required; a system instruction holds text only")
        texts.append(ir.Text(text))
        part.close()
    fields.close()
    return (ir.Message(ir.Role.SYSTEM, tuple(texts)),) if texts else ()


class _Turns:
    """The turns of a conversation; gives calls without an id one, and finds the call of each response."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[ir.ToolCall] = []
        self._answered: set[str] = set()
        self._is_repeated = False
        """The content holds the answer of a function that was answered already."""

    def read(self, top: Fields) -> tuple[ir.Message, ...]:
        messages: list[ir.Message] = []
        for fields in _list(top, "contents"):
            role = _ROLES.get(fields.take("role", STR) or "")
            if role is None:
                raise fields.wrong("role", "must be user or model")
            parts: list[ir.Part] = []
            self._is_repeated = False
            for part in _list(fields, "parts"):
                self._part(part, parts)
                part.close()
            fields.close()
            if parts or not self._is_repeated:
                messages.append(ir.Message(role, tuple(parts)))
        if not messages:
            raise top.wrong("contents", "must hold at least one content")
        return tuple(messages)

    def _part(self, part: Fields, parts: list[ir.Part]) -> None:
        is_thought = part.take("thought", BOOL) or False
        signature = _take(part, "thoughtSignature", STR)
        text = part.take("text", STR)
        if is_thought:
            parts.append(ir.Reasoning(text or ""))
        if signature:
            seal(parts, signature)
        if is_thought or (text == "" and signature):
            return
        if text is not None:
            parts.append(ir.Text(text))
        elif (call := _child(part, "functionCall")) is not None:
            parts.append(self._call(call))
        elif (response := _child(part, "functionResponse")) is not None:
            answered = self._response(response)
            if answered is not None:
                parts.append(answered)
        elif (data := _child(part, "inlineData")) is not None:
            parts.append(_inline(data))
        elif (link := _child(part, "fileData")) is not None:
            parts.append(_file(link))
        else:
            kinds = [name for name in ("executableCode", "codeExecutionResult") if _child(part, name) is not None]
            if kinds:
                raise part.unsupported(f"a part with {kinds[0]}")
            raise part.wrong("text", "is required when the part holds no data and no function call")

    def _call(self, fields: Fields) -> ir.ToolCall:
        name, given = fields.need("name", STR), fields.take("id", STR)
        raw = fields.take("args", RAW)
        if raw is not None and not bytes(raw).startswith(b"{"):
            raise fields.wrong("args", "must be an object")
        fields.close()
        self._count += 1
        call = ir.ToolCall(given or f"call_{self._count}", name, bytes(raw).decode() if raw is not None else "{}")
        self._open.append(call)
        return call

    def _response(self, fields: Fields) -> ir.ToolResult | None:
        """What a function gave back; None when its call, known by its id, has been answered already, which
        Gemini CLI's resumed sessions do."""
        name, given = fields.need("name", STR), fields.take("id", STR)
        found = next((call for call in self._open if (call.id == given if given else call.name == name)), None)
        if found is None and given in self._answered:
            fields.dropped.add(fields.path)
            self._is_repeated = True
            return None
        if found is None:
            raise fields.wrong("name", "answers no function call of this conversation")
        self._open.remove(found)
        self._answered.add(found.id)
        raw = fields.take("response", RAW) or msgspec.Raw(b"{}")
        text, is_error = _said(fields, raw)
        parts: list[ir.Text | ir.Image | ir.Document] = [ir.Text(text)] if text else []
        for inner in _list(fields, "parts"):
            data, link = _child(inner, "inlineData"), _child(inner, "fileData")
            if data is None and link is None:
                raise inner.wrong("inlineData", "is required")
            parts.append(_inline(data) if data is not None else _file(link or inner))
            inner.close()
        fields.close()
        return ir.ToolResult(found.id, tuple(parts), is_error)


def seal(parts: list[ir.Part], signature: str) -> None:
    """Puts a signature in front of the part it came with: into the thought before it, or alone."""
    sealed = from_gemini(signature)
    last = parts[-1] if parts else None
    if isinstance(last, ir.Reasoning) and not last.signature and not sealed.is_redacted:
        parts[-1] = ir.Reasoning(last.text, sealed.signature)
    elif isinstance(last, ir.Reasoning) and not last.text and not last.signature:
        parts[-1] = sealed
    else:
        parts.append(sealed)


def _said(fields: Fields, raw: msgspec.Raw) -> tuple[str, bool]:
    """A function's response as text, and whether it failed."""
    try:
        response = _OBJECT.decode(raw)
    except (ValueError, RecursionError):
        raise fields.wrong("response", "must be an object") from None
    if len(response) == 1:
        name, value = next(iter(response.items()))
        is_error = name == "error"
        if is_error or name in _SAID:
            try:
                return STR.decode(value), is_error
            except ValueError:
                return bytes(value).decode(), is_error
    return bytes(raw).decode() if response else "", False


def _inline(fields: Fields) -> ir.Image | ir.Document:
    kind = _take(fields, "mimeType", STR)
    data, name = fields.need("data", STR), _take(fields, "displayName", STR) or ""
    fields.close()
    if not kind:
        raise fields.wrong("mimeType", "is required")
    if kind.startswith("image/"):
        return ir.Image(media_type=kind, base64=data)
    if kind.startswith(("audio/", "video/")):
        raise fields.unsupported(f"data of type {kind}")
    return ir.Document(media_type=kind, base64=data, name=name)


def _file(fields: Fields) -> ir.Image | ir.Document:
    kind, uri = _take(fields, "mimeType", STR) or "", _take(fields, "fileUri", STR)
    name = _take(fields, "displayName", STR) or ""
    if not uri:
        raise fields.wrong("fileUri", "is required")
    fields.close()
    image = image_from_url(uri)
    is_stored = "generativelanguage.googleapis.com" in uri or image is None or not image.url
    if is_stored or kind.startswith(("audio/", "video/")):
        raise fields.unsupported(f"a file of type {kind or 'unknown'}")
    if kind.startswith("image/") or not kind:
        return ir.Image(media_type=kind, url=uri)
    return ir.Document(media_type=kind, url=uri, name=name)


def _tools(top: Fields) -> tuple[tuple[ir.Tool, ...], ir.ToolChoice | None]:
    tools: list[ir.Tool] = []
    for fields in _list(top, "tools"):
        for declared in _list(fields, "functionDeclarations"):
            tools.append(_tool(declared))
            declared.close()
        fields.close()
    config = _child(top, "toolConfig")
    calling = _child(config, "functionCallingConfig") if config else None
    if config is not None:
        config.close()
    if calling is None:
        return tuple(tools), None
    word = (calling.take("mode", STR) or "").upper()
    allowed = _take(calling, "allowedFunctionNames", STRINGS)
    if word not in _MODES:
        raise calling.wrong("mode", "must be AUTO, ANY, NONE or VALIDATED")
    calling.close()
    if allowed:
        tools = [tool for tool in tools if tool.name in allowed]
    if not tools:
        if _MODES[word] == "required":
            top.dropped.add("toolConfig")
        return (), None
    if allowed and len(tools) == 1 and _MODES[word] == "required":
        return tuple(tools), ir.ToolChoice("named", tools[0].name)
    return tuple(tools), ir.ToolChoice(_MODES[word])


def _tool(fields: Fields) -> ir.Tool:
    older, newer = fields.take("parameters", RAW), _take(fields, "parametersJsonSchema", RAW)
    return ir.Tool(
        name=fields.need("name", STR),
        description=fields.take("description", STR) or "",
        parameters=newer or (_schema(fields, "parameters", older) if older is not None else msgspec.Raw(b"")),
    )


def _schema(fields: Fields, name: str, raw: msgspec.Raw) -> msgspec.Raw:
    try:
        return json_schema(raw)
    except ValueError:
        raise fields.wrong(name, "must be a schema object") from None


def _json_format(config: Fields) -> ir.JsonFormat | None:
    kind = _take(config, "responseMimeType", STR) or ""
    newer, older = _take(config, "responseJsonSchema", RAW), _take(config, "responseSchema", RAW)
    if newer is not None:
        return ir.JsonFormat(newer)
    if older is not None:
        return ir.JsonFormat(_schema(config, "responseSchema", older))
    if kind in ("", "text/plain"):
        return None
    if kind != "application/json":
        config.dropped.add(f"generationConfig.responseMimeType.{kind}")
        return None
    return ir.JsonFormat()


def _thinking(config: Fields) -> ir.Thinking | None:
    """A level, a budget (-1 leaves it to the model, 0 is none), or the mere wish to see thoughts."""
    fields = _child(config, "thinkingConfig")
    if fields is None:
        return None
    level = (_take(fields, "thinkingLevel", STR) or "").lower().removeprefix("thinking_level_")
    budget, shows = _take(fields, "thinkingBudget", INT), _take(fields, "includeThoughts", BOOL)
    fields.close()
    if budget is not None and not -1 <= budget < 2**31:
        raise InvalidRequest(
            "`generationConfig.thinkingConfig.thinkingBudget`: is out of range.",
            param="generationConfig.thinkingConfig.thinkingBudget",
        )
    if budget == 0:
        return ir.Thinking("none", is_enabled=False)
    if level in ("", "unspecified") and budget is None and not shows:
        return None
    return ir.Thinking("" if level == "unspecified" else level, max(budget or 0, 0))

"""Ollama chat requests read into `ir`, whole and checked; called for translations and simulations.

Pictures come as bare base64 without a type, which their first bytes tell. Shapes: docs.ollama.com/api/chat
and the SDK ollama 0.6.3, November 2026.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from atp_engine.dialects import ir
from atp_engine.dialects.fields import (
    BOOL,
    COUNT,
    FLOAT,
    INT,
    ITEMS,
    RAW,
    STR,
    STR_OR_OBJECT,
    STR_OR_STRINGS,
    STRINGS,
    Fields,
)

_STARTS: Mapping[str, str] = MappingProxyType(
    {"iVBORw0KGgo": "image/png", "/9j/": "image/jpeg", "R0lGOD": "image/gif", "UklGR": "image/webp", "Qk": "image/bmp"}
)
"""How pictures begin in base64."""
_EFFORTS = frozenset({"low", "medium", "high", "max"})
_BOOL_OR_STR: msgspec.json.Decoder[bool | str] = msgspec.json.Decoder(bool | str)


def decode_request(body: bytes) -> ir.ChatRequest:
    """The request as `ir`; it streams unless told not to. Raises InvalidRequest naming the field."""
    top = Fields.of_body(body)
    model = top.need("model", STR)
    stream = top.take("stream", _BOOL_OR_STR)
    if isinstance(stream, str):
        raise top.wrong("stream", "must be true or false")
    messages = _Turns().read(top)
    options = top.child("options") or Fields({}, "options", top.dropped)
    stop = options.take("stop", STR_OR_STRINGS)
    most = options.take("num_predict", INT) or 0
    request = ir.ChatRequest(
        model=model,
        messages=messages,
        is_stream=stream is not False,
        wants_usage=True,
        tools=_tools(top),
        max_output_tokens=most if 0 < most < 2**31 else 0,
        temperature=options.take("temperature", FLOAT),
        top_p=options.take("top_p", FLOAT),
        top_k=options.take("top_k", INT),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        seed=options.take("seed", INT),
        frequency_penalty=options.take("frequency_penalty", FLOAT),
        presence_penalty=options.take("presence_penalty", FLOAT),
        json_format=_format(top),
        thinking=_thinking(top),
        logprobs=_logprobs(top),
    )
    options.close()
    top.close()
    return msgspec.structs.replace(request, dropped_fields=top.dropped.paths())


def _logprobs(top: Fields) -> int | None:
    most = top.take("top_logprobs", COUNT) or 0
    return most if top.take("logprobs", BOOL) else None


class _Turns:
    """The turns; finds the call that a tool's message answers, by its id, its tool's name or its place."""

    def __init__(self) -> None:
        self._count = 0
        self._open: list[ir.ToolCall] = []

    def read(self, top: Fields) -> tuple[ir.Message, ...]:
        items = top.need("messages", ITEMS)
        if not items:
            raise top.wrong("messages", "must hold at least one message")
        messages: list[ir.Message] = []
        for fields in top.elements("messages", items):
            role = fields.need("role", STR)
            if role == "system":
                messages.append(ir.Message(ir.Role.SYSTEM, (ir.Text(fields.take("content", STR) or ""),)))
            elif role == "user":
                messages.append(ir.Message(ir.Role.USER, self._said(fields)))
            elif role == "assistant":
                messages.append(ir.Message(ir.Role.ASSISTANT, self._spoken(fields)))
            elif role == "tool":
                messages.append(ir.Message(ir.Role.USER, (self._result(fields),)))
            else:
                raise fields.wrong("role", "must be system, user, assistant or tool")
            fields.close()
        return tuple(messages)

    def _said(self, fields: Fields) -> tuple[ir.Text | ir.Image, ...]:
        text, images = fields.take("content", STR), _images(fields)
        return (*((ir.Text(text),) if text or not images else ()), *images) if text is not None else tuple(images)

    def _spoken(self, fields: Fields) -> tuple[ir.Part, ...]:
        parts: list[ir.Part] = []
        if thought := fields.take("thinking", STR):
            parts.append(ir.Reasoning(thought))
        text, calls = fields.take("content", STR), fields.children("tool_calls")
        if text or not calls:
            parts.append(ir.Text(text or ""))
        parts += _images(fields)
        for call in calls:
            parts.append(self._call(call))
            call.close()
        return tuple(parts)

    def _call(self, fields: Fields) -> ir.ToolCall:
        function = fields.child("function")
        if function is None:
            raise fields.wrong("function", "is required")
        self._count += 1
        fields.skip("type")
        function.skip("index")
        name, arguments = function.need("name", STR), bytes(function.take("arguments", RAW) or b"{}")
        if not arguments.startswith((b"{", b'"')):
            raise function.wrong("arguments", "must be an object")
        function.close()
        text = STR.decode(arguments) if arguments.startswith(b'"') else arguments.decode()
        call = ir.ToolCall(fields.take("id", STR) or f"call_{self._count}", name, text)
        self._open.append(call)
        return call

    def _result(self, fields: Fields) -> ir.ToolResult:
        given, name = fields.take("tool_call_id", STR), fields.take("tool_name", STR) or fields.take("name", STR)
        matches = (call for call in self._open if (call.id == given if given else not name or call.name == name))
        found = next(matches, None)
        if found is None:
            raise fields.wrong("tool_name", "answers no tool call of this conversation")
        self._open.remove(found)
        text = fields.take("content", STR)
        return ir.ToolResult(found.id, (*((ir.Text(text),) if text else ()), *_images(fields)))


def _images(fields: Fields) -> list[ir.Image]:
    images: list[ir.Image] = []
    given = fields.take("images", STRINGS)
    for place, text in enumerate(given or ()):
        head, mark, _ = text[:64].partition(";base64,")
        if mark and head.startswith("data:"):
            images.append(ir.Image(media_type=head[5:], base64=text[len(head) + len(mark) :]))
            continue
        kind = next((kind for start, kind in _STARTS.items() if text.startswith(start)), "")
        if not kind:
            raise fields.wrong(f"images[{place}]", "is not the base64 text of a PNG, JPEG, GIF, WebP or BMP picture")
        images.append(ir.Image(media_type=kind, base64=text))
    return images


def _tools(top: Fields) -> tuple[ir.Tool, ...]:
    tools: list[ir.Tool] = []
    for fields in top.children("tools"):
        fields.skip("type")
        function = fields.child("function")
        if function is None:
            raise fields.wrong("function", "is required")
        tools.append(
            ir.Tool(
                name=function.need("name", STR),
                description=function.take("description", STR) or "",
                parameters=function.take("parameters", RAW) or msgspec.Raw(b""),
            )
        )
        function.close()
        fields.close()
    return tuple(tools)


def _format(top: Fields) -> ir.JsonFormat | None:
    form = top.take("format", STR_OR_OBJECT)
    if form is None or form == "":
        return None
    if isinstance(form, str):
        if form != "json":
            raise top.wrong("format", "must be json or a JSON schema")
        return ir.JsonFormat()
    return ir.JsonFormat(msgspec.Raw(msgspec.json.encode(form)))


def _thinking(top: Fields) -> ir.Thinking | None:
    think = top.take("think", _BOOL_OR_STR)
    if think is None:
        return None
    if isinstance(think, str):
        if think not in _EFFORTS:
            raise top.wrong("think", "must be true, false, low, medium, high or max")
        return ir.Thinking(think)
    return ir.Thinking("" if think else "none", is_enabled=think)

"""OpenAI chat requests read into `ir`, whole and checked; called for translations and simulations.

`developer` reads as system, a tool's result becomes part of a user's turn, the legacy `functions`
and `function_call` read as tools.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.dialects import ir
from atp_engine.dialects.fields import (
    BOOL,
    CONTENT,
    COUNT,
    FLOAT,
    INT,
    ITEMS,
    RAW,
    STR,
    STR_OR_OBJECT,
    STR_OR_STRINGS,
    Fields,
)
from atp_engine.dialects.images import document_from_url, image_from_url
from atp_engine.dialects.openai_knobs import take_shared, take_tier, take_user

_LEGACY_ID = "call_function_{}"


def decode_request(body: bytes) -> ir.ChatRequest:
    """The request as `ir`. Raises InvalidRequest naming the field, UnsupportedFeature for audio,
    uploaded files and custom tool calls."""
    top = Fields.of_body(body)
    model = top.need("model", STR)
    messages = _messages(top)
    tools, choice = _tools(top)
    options = top.child("stream_options")
    thinking = top.take("reasoning_effort", STR)
    stop = top.take("stop", STR_OR_STRINGS)
    request = ir.ChatRequest(
        model=model,
        messages=messages,
        is_stream=top.take("stream", BOOL) or False,
        wants_usage=(options.take("include_usage", BOOL) if options else None) or False,
        tools=tools,
        tool_choice=choice,
        has_parallel_calls=top.take("parallel_tool_calls", BOOL),
        max_output_tokens=_max_tokens(top),
        temperature=top.take("temperature", FLOAT),
        top_p=top.take("top_p", FLOAT),
        top_k=top.take("top_k", INT),
        stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
        seed=top.take("seed", INT),
        frequency_penalty=top.take("frequency_penalty", FLOAT),
        presence_penalty=top.take("presence_penalty", FLOAT),
        candidates=top.take("n", COUNT) or 1,
        json_format=_json_format(top),
        thinking=ir.Thinking(effort=thinking, is_enabled=thinking != "none") if thinking else None,
        user=take_user(top),
        service_tier=take_tier(top),
        verbosity=top.take("verbosity", STR) or "",
        logprobs=_logprobs(top),
        shared=take_shared(top, "metadata"),
    )
    if options:
        options.close()
    top.close()
    return msgspec.structs.replace(request, dropped_fields=top.dropped.paths())


def _max_tokens(top: Fields) -> int:
    newer, older = top.take("max_completion_tokens", COUNT), top.take("max_tokens", COUNT)
    return newer or older or 0


def _logprobs(top: Fields) -> int | None:
    most = top.take("top_logprobs", COUNT)
    return (most or 0) if top.take("logprobs", BOOL) else None


def _messages(top: Fields) -> tuple[ir.Message, ...]:
    items = top.need("messages", ITEMS)
    if not items:
        raise top.wrong("messages", "must hold at least one message")
    messages: list[ir.Message] = []
    legacy_calls = 0
    for fields in top.elements("messages", items):
        role = fields.need("role", STR)
        if role in ("system", "developer"):
            parts: list[ir.Part] = list(_text_parts(fields))
            message = ir.Message(ir.Role.SYSTEM, tuple(parts))
        elif role == "user":
            message = ir.Message(ir.Role.USER, _content(fields))
        elif role == "assistant":
            if (legacy := fields.child("function_call")) is not None:
                legacy_calls += 1
            message = _assistant(fields, legacy, legacy_calls)
        elif role == "tool":
            message = _result(fields, fields.need("tool_call_id", STR))
        elif role == "function":
            fields.skip("name")
            message = _result(fields, _LEGACY_ID.format(legacy_calls))
        else:
            raise fields.wrong("role", "must be system, developer, user, assistant, tool or function")
        fields.close()
        messages.append(message)
    return tuple(messages)


def _assistant(fields: Fields, legacy: Fields | None, legacy_number: int) -> ir.Message:
    parts: list[ir.Part] = []
    newer, older = fields.take("reasoning_content", STR), fields.take("reasoning", STR)
    if newer or older:
        parts.append(ir.Reasoning(newer or older or ""))
    parts += _content(fields, is_required=False)
    if refusal := fields.take("refusal", STR):
        parts.append(ir.Refusal(refusal))
    if fields.child("audio") is not None:
        raise fields.unsupported("audio")
    for call in fields.children("tool_calls"):
        parts.append(_call(call))
        call.close()
    if legacy is not None:
        arguments = legacy.take("arguments", STR) or ""
        parts.append(ir.ToolCall(_LEGACY_ID.format(legacy_number), legacy.need("name", STR), arguments))
    return ir.Message(ir.Role.ASSISTANT, tuple(parts))


def _call(fields: Fields) -> ir.ToolCall:
    kind = fields.take("type", STR) or "function"
    function = fields.child("function")
    if kind != "function" or function is None:
        raise fields.unsupported(f"a tool call of type {kind}")
    fields.skip("index")
    name, arguments = function.need("name", STR), function.take("arguments", STR) or ""
    function.close()
    return ir.ToolCall(fields.take("id", STR) or "", name, arguments)


def _result(fields: Fields, call_id: str) -> ir.Message:
    parts = tuple(
        part for part in _content(fields, is_required=False) if isinstance(part, ir.Text | ir.Image | ir.Document)
    )
    return ir.Message(ir.Role.USER, (ir.ToolResult(call_id, parts),))


def _text_parts(fields: Fields) -> list[ir.Text]:
    texts: list[ir.Text] = []
    for part in _content(fields):
        if not isinstance(part, ir.Text):
            raise fields.unsupported("a picture in a system message")
        texts.append(part)
    return texts


def _content(fields: Fields, *, is_required: bool = True) -> tuple[ir.Part, ...]:
    content = fields.need("content", CONTENT) if is_required else fields.take("content", CONTENT)
    if content is None:
        return ()
    if isinstance(content, str):
        return (ir.Text(content),)
    parts: list[ir.Part] = []
    for part in fields.elements("content", content):
        parts.append(_part(part))
        part.close()
    return tuple(parts)


def _part(part: Fields) -> ir.Part:
    kind = part.need("type", STR)
    if kind == "text":
        return ir.Text(part.need("text", STR))
    if kind == "refusal":
        return ir.Refusal(part.need("refusal", STR))
    if kind == "image_url":
        source = part.need("image_url", STR_OR_OBJECT)
        if isinstance(source, str):
            url, place = source, part.at("image_url")
        else:
            inner = Fields(source, part.at("image_url"), part.dropped)
            url, place = inner.need("url", STR), inner.at("url")
            inner.close()
        image = image_from_url(url)
        if image is None:
            raise InvalidRequest(f"`{place}`: must be an http(s) URL or base64 image data.", param=place)
        return image
    if kind == "file" and (file := part.child("file")) is not None:
        return _file(file)
    raise part.unsupported(f"content of type {kind}")


def _file(fields: Fields) -> ir.Document:
    """A file in the body; one that was uploaded before is known to its vendor alone."""
    if fields.take("file_id", STR):
        raise fields.unsupported("an uploaded file")
    document = document_from_url(fields.need("file_data", STR), fields.take("filename", STR) or "")
    if document is None:
        raise fields.wrong("file_data", "must be base64 data with its media type")
    fields.close()
    return document


def _tools(top: Fields) -> tuple[tuple[ir.Tool, ...], ir.ToolChoice | None]:
    tools: list[ir.Tool] = []
    for fields in top.children("tools"):
        kind = fields.take("type", STR) or "function"
        function = fields.child("function")
        if kind != "function":
            top.dropped.add(f"tools[].{kind}")
            continue
        if function is None:
            raise fields.wrong("function", "is required")
        tools.append(_tool(function))
        fields.close()
    tools += [_tool(function) for function in top.children("functions")]
    choice, allowed = _choice(top)
    if allowed is not None:
        tools = [tool for tool in tools if tool.name in allowed]
    return tuple(tools), possible_choice(tools, choice, top)


def _tool(function: Fields) -> ir.Tool:
    tool = ir.Tool(
        name=function.need("name", STR),
        description=function.take("description", STR) or "",
        parameters=function.take("parameters", RAW) or msgspec.Raw(b""),
        is_strict=function.take("strict", BOOL) or False,
    )
    function.close()
    return tool


def _choice(top: Fields) -> tuple[ir.ToolChoice | None, set[str] | None]:
    """The tool choice, and the names it is limited to (`allowed_tools`)."""
    newer, older = top.take("tool_choice", STR_OR_OBJECT), top.take("function_call", STR_OR_OBJECT)
    value = newer if newer is not None else older
    if value is None:
        return None, None
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            raise top.wrong("tool_choice", "must be none, auto, required or an object")
        return ir.ToolChoice(value), None
    fields = Fields(value, top.at("tool_choice" if newer is not None else "function_call"), top.dropped)
    kind = fields.take("type", STR) or "function"
    if kind == "allowed_tools":
        allowed = fields.child("allowed_tools") or fields
        names = {(tool.child("function") or tool).take("name", STR) or "" for tool in allowed.children("tools")}
        return ir.ToolChoice(allowed.take("mode", STR) or "auto"), names
    function = fields.child("function") or fields
    if kind != "function":
        top.dropped.add("tool_choice")
        return None, None
    return ir.ToolChoice("named", function.need("name", STR)), None


def possible_choice(tools: list[ir.Tool], choice: ir.ToolChoice | None, top: Fields) -> ir.ToolChoice | None:
    """The choice if the tools allow it; one that asks for a call is named as dropped otherwise."""
    if choice is None or (tools and (choice.mode != "named" or any(tool.name == choice.name for tool in tools))):
        return choice
    if choice.mode in ("required", "named"):
        top.dropped.add("tool_choice")
    return None


def _json_format(top: Fields) -> ir.JsonFormat | None:
    fields = top.child("response_format")
    if fields is None:
        return None
    kind = fields.need("type", STR)
    schema = fields.child("json_schema")
    fields.close()
    if kind == "json_object":
        return ir.JsonFormat()
    if kind != "json_schema":
        if kind != "text":
            top.dropped.add(f"response_format.{kind}")
        return None
    if schema is None:
        raise fields.wrong("json_schema", "is required")
    form = ir.JsonFormat(
        schema=schema.take("schema", RAW) or msgspec.Raw(b"{}"),
        name=schema.take("name", STR) or "",
        is_strict=schema.take("strict", BOOL) or False,
    )
    schema.close()
    return form

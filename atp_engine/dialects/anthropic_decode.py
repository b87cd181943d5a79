"""Anthropic messages requests read into `ir`, whole and checked; called for translations and simulations.

Role `system` inside `messages` keeps its place. Server tools (web search and the like) are named as
dropped: other vendors have none of them.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.dialects import ir
from atp_engine.dialects.fields import BOOL, CONTENT, COUNT, FLOAT, INT, ITEMS, RAW, STR, STRINGS, Fields
from atp_engine.dialects.images import image_from_url

_ROLES = {"user": ir.Role.USER, "assistant": ir.Role.ASSISTANT, "system": ir.Role.SYSTEM}
_BILLING = "x-anthropic-billing-header"
_TIERS = {"standard_only": "standard"}
_MODES = {"auto": "auto", "any": "required", "none": "none", "tool": "named"}


def decode_request(body: bytes) -> ir.ChatRequest:
    """The request as `ir`. Raises InvalidRequest naming the field, UnsupportedFeature for uploaded
    files and the results of server tools."""
    top = Fields.of_body(body)
    model = top.need("model", STR)
    max_tokens = top.need("max_tokens", COUNT)
    messages = _system(top) + _messages(top)
    tools = _tools(top)
    choice, has_parallel_calls = _choice(top, tools)
    thinking, form = _thinking(top)
    tier = top.take("service_tier", STR) or ""
    metadata, stop = top.child("metadata"), top.take("stop_sequences", STRINGS)
    request = ir.ChatRequest(
        model=model,
        messages=messages,
        is_stream=top.take("stream", BOOL) or False,
        wants_usage=True,
        tools=tools,
        tool_choice=choice,
        has_parallel_calls=has_parallel_calls,
        max_output_tokens=max_tokens,
        temperature=top.take("temperature", FLOAT),
        top_p=top.take("top_p", FLOAT),
        top_k=top.take("top_k", INT),
        stop=tuple(stop or ()),
        json_format=form,
        thinking=thinking,
        user=(metadata.take("user_id", STR) if metadata else None) or "",
        service_tier=_TIERS.get(tier, tier),
    )
    if metadata:
        metadata.close()
    top.close()
    return msgspec.structs.replace(request, dropped_fields=top.dropped.paths())


def _system(top: Fields) -> tuple[ir.Message, ...]:
    """The system prompt without Claude Code's billing line, which changes with every request and so
    would keep any other vendor from caching what follows it."""
    parts = _parts(top, "system", ir.Role.SYSTEM)
    kept = tuple(part for part in parts if not (isinstance(part, ir.Text) and part.text.startswith(_BILLING)))
    if len(kept) < len(parts):
        top.dropped.add(f"system[].{_BILLING}")
    return (ir.Message(ir.Role.SYSTEM, kept),) if kept else ()


def _messages(top: Fields) -> tuple[ir.Message, ...]:
    items = top.need("messages", ITEMS)
    if not items:
        raise top.wrong("messages", "must hold at least one message")
    messages: list[ir.Message] = []
    for fields in top.elements("messages", items):
        role = _ROLES.get(fields.need("role", STR))
        if role is None:
            raise fields.wrong("role", "must be user, assistant or system")
        messages.append(ir.Message(role, _parts(fields, "content", role, is_required=True)))
        fields.close()
    return tuple(messages)


def _parts(fields: Fields, name: str, role: ir.Role, *, is_required: bool = False) -> tuple[ir.Part, ...]:
    content = fields.need(name, CONTENT) if is_required else fields.take(name, CONTENT)
    if content is None:
        return ()
    if isinstance(content, str):
        return (ir.Text(content),)
    parts: list[ir.Part] = []
    for block in fields.elements(name, content):
        part = _part(block)
        if role is ir.Role.SYSTEM and not isinstance(part, ir.Text):
            raise block.wrong("type", "must be text")
        block.close()
        parts.append(part)
    return tuple(parts)


def _part(block: Fields) -> ir.Part:
    kind = block.need("type", STR)
    if kind == "text":
        return ir.Text(block.need("text", STR))
    if kind == "image":
        return _image(block)
    if kind == "tool_use":
        return ir.ToolCall(block.need("id", STR), block.need("name", STR), _input(block))
    if kind == "tool_result":
        return _result(block)
    if kind == "thinking":
        return ir.Reasoning(block.need("thinking", STR), block.take("signature", STR) or "")
    if kind == "redacted_thinking":
        return ir.Reasoning("", block.need("data", STR), is_redacted=True)
    if kind == "document":
        return _document(block)
    raise block.unsupported(f"content of type {kind}")


def _input(block: Fields) -> str:
    raw = bytes(block.need("input", RAW))
    if not raw.startswith(b"{"):
        raise block.wrong("input", "must be an object")
    return raw.decode()


def _image(block: Fields) -> ir.Image:
    source = block.child("source")
    if source is None:
        raise block.wrong("source", "is required")
    kind = source.need("type", STR)
    if kind == "base64":
        return ir.Image(media_type=source.need("media_type", STR), base64=source.need("data", STR))
    if kind != "url":
        raise block.unsupported(f"a picture from source {kind}")
    image = image_from_url(source.need("url", STR))
    if image is None:
        raise InvalidRequest(f"`{source.at('url')}`: must be an http(s) URL.", param=source.at("url"))
    return image


def _document(block: Fields) -> ir.Text | ir.Document:
    """A document; one of plain text is text with its title."""
    source = block.child("source")
    if source is None:
        raise block.wrong("source", "is required")
    kind, title = source.need("type", STR), block.take("title", STR) or ""
    if kind == "text":
        text = source.need("data", STR)
        return ir.Text(f"{title}\n\n{text}" if title else text)
    if kind == "base64":
        return ir.Document(source.need("media_type", STR), source.need("data", STR), name=title)
    if kind == "url":
        return ir.Document(url=source.need("url", STR), name=title)
    raise block.unsupported(f"a document from source {kind}")


def _result(block: Fields) -> ir.ToolResult:
    call_id, is_error = block.need("tool_use_id", STR), block.take("is_error", BOOL) or False
    content = block.take("content", CONTENT)
    if content is None or isinstance(content, str):
        return ir.ToolResult(call_id, (ir.Text(content),) if content else (), is_error)
    parts: list[ir.Text | ir.Image | ir.Document] = []
    for inner in block.elements("content", content):
        kind = inner.need("type", STR)
        if kind == "tool_reference":  # a tool search found it; all tools are loaded at once elsewhere
            parts.append(ir.Text(f"The tool {inner.need('tool_name', STR)} is available."))
        elif kind == "image":
            parts.append(_image(inner))
        elif kind == "document":
            parts.append(_document(inner))
        elif kind == "text":
            parts.append(ir.Text(inner.need("text", STR)))
        else:
            raise inner.unsupported(f"content of type {kind}")
        inner.close()
    return ir.ToolResult(call_id, tuple(parts), is_error)


def _tools(top: Fields) -> tuple[ir.Tool, ...]:
    tools: list[ir.Tool] = []
    for fields in top.children("tools"):
        kind = fields.take("type", STR) or "custom"
        if kind != "custom":
            top.dropped.add(f"tools[].{kind}")
            continue
        tools.append(
            ir.Tool(
                name=fields.need("name", STR),
                description=fields.take("description", STR) or "",
                parameters=fields.need("input_schema", RAW),
                is_strict=fields.take("strict", BOOL) or False,
            )
        )
        fields.close()
    return tuple(tools)


def _choice(top: Fields, tools: tuple[ir.Tool, ...]) -> tuple[ir.ToolChoice | None, bool | None]:
    """The tool choice, and whether several calls at once are allowed (None when unsaid)."""
    fields = top.child("tool_choice")
    if fields is None:
        return None, None
    kind = fields.need("type", STR)
    mode = _MODES.get(kind)
    if mode is None:
        raise fields.wrong("type", "must be auto, any, none or tool")
    is_single = fields.take("disable_parallel_tool_use", BOOL)
    name = fields.need("name", STR) if mode == "named" else ""
    fields.close()
    if not tools or (name and all(tool.name != name for tool in tools)):
        top.dropped.add("tool_choice")
        return None, None
    return ir.ToolChoice(mode, name), None if is_single is None else not is_single


def _thinking(top: Fields) -> tuple[ir.Thinking | None, ir.JsonFormat | None]:
    """`thinking` with the effort of `output_config`, and the JSON format of either place it may stand."""
    config, thinking = top.child("output_config"), top.child("thinking")
    effort = (config.take("effort", STR) if config else None) or ""
    beta = _format(top, "output_format")
    form = (_format(config, "format") if config else None) or beta
    if config:
        config.close()
    if thinking is None:
        return (ir.Thinking(effort) if effort else None), form
    kind = thinking.need("type", STR)
    budget = thinking.take("budget_tokens", COUNT) or 0
    thinking.close()
    return ir.Thinking(effort, budget, is_enabled=kind != "disabled"), form


def _format(fields: Fields, name: str) -> ir.JsonFormat | None:
    inner = fields.child(name)
    if inner is None:
        return None
    kind = inner.need("type", STR)
    if kind != "json_schema":
        fields.dropped.add(fields.at(name))
        return None
    form = ir.JsonFormat(schema=inner.need("schema", RAW), is_strict=True)
    inner.close()
    return form

"""The tools of OpenAI Responses, in `ir` and back: functions, those of namespaces, and free-form tools.

`ir` knows functions only. A tool of a namespace gets a name of both (`files__read`), a free-form ("custom") tool takes
one string. Answers call them by their own names again, which the request that an answer repeats tells. Hosted tools
(web search, local shell and the like) are named as dropped: other vendors have none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from atp_engine.dialects import ir, json_text
from atp_engine.dialects.fields import BOOL, RAW, STR, STR_OR_OBJECT, Fields
from atp_engine.dialects.openai_chat_decode import possible_choice

CUSTOM_INPUT = "input"
_LONGEST_NAME = 64
_PARAMETERS = msgspec.Raw(
    b'{"type":"object","properties":{"input":{"type":"string","description":"The whole input, as plain text."}},'
    b'"required":["input"],"additionalProperties":false}'
)
_DECLARED = frozenset({"function", "custom"})


class Own(msgspec.Struct, frozen=True):
    """How the client knows a tool."""

    name: str
    namespace: str = ""
    is_custom: bool = False


class _Tool(msgspec.Struct, gc=False):
    type: str = ""
    name: str = ""
    tools: list[_Tool] | None = None


_TOOLS = msgspec.json.Decoder(list[_Tool])
_ARGUMENTS = msgspec.json.Decoder(dict[str, Any])


def flat_name(name: str, namespace: str) -> str:
    """A tool's name for vendors without namespaces; at most 64 characters, the same each time."""
    if not namespace:
        return name
    whole = f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"
    if len(whole) <= _LONGEST_NAME:
        return whole
    return f"{whole[: _LONGEST_NAME - 9]}_{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:8]}"


def own_names(echo: Mapping[str, msgspec.Raw]) -> dict[str, Own]:
    """The tools of the request that an answer repeats which `ir` knows otherwise, by their names in `ir`."""
    raw = bytes(echo.get("tools", b""))
    if b'"custom"' not in raw and b'"namespace"' not in raw:
        return {}
    names: dict[str, Own] = {}
    try:
        tools = json_text.decode(_TOOLS, raw)
    except ValueError:
        return {}
    for tool in tools:
        inner, space = (tool.tools or [], tool.name) if tool.type == "namespace" else ([tool], "")
        for one in inner:
            if space or one.type == "custom":
                names[flat_name(one.name, space)] = Own(one.name, space, one.type == "custom")
    return names


def custom_arguments(text: str) -> str:
    """A free-form call's input as a function's arguments."""
    return msgspec.json.encode({CUSTOM_INPUT: text}).decode()


def custom_input(arguments: str) -> str:
    """The reverse; what is no such object was meant as the input itself."""
    try:
        given = json_text.decode(_ARGUMENTS, arguments.encode("utf-8", "replace"))
    except ValueError:
        return arguments
    values = [given[CUSTOM_INPUT]] if CUSTOM_INPUT in given else list(given.values())
    return values[0] if len(values) == 1 and isinstance(values[0], str) else arguments


def read_tools(top: Fields) -> tuple[tuple[ir.Tool, ...], ir.ToolChoice | None]:
    """The tools, and the choice among them where it is possible."""
    tools: list[ir.Tool] = []
    for fields in top.children("tools"):
        kind = fields.need("type", STR)
        if kind in _DECLARED:
            tools.append(_tool(fields, kind, ""))
            fields.close()
        elif kind == "namespace":
            tools += _namespace(fields)
        else:
            top.dropped.add(f"tools[].{kind}")
    choice, allowed = _choice(top)
    if allowed is not None:
        tools = [tool for tool in tools if tool.name in allowed]
    return tuple(tools), possible_choice(tools, choice, top)


def _namespace(fields: Fields) -> list[ir.Tool]:
    name = fields.need("name", STR)
    if fields.take("description", STR):
        fields.dropped.add(fields.at("description"))
    tools: list[ir.Tool] = []
    for inner in fields.children("tools"):
        kind = inner.need("type", STR)
        if kind in _DECLARED:
            tools.append(_tool(inner, kind, name))
            inner.close()
        else:
            fields.dropped.add(f"tools[].tools[].{kind}")
    fields.close()
    return tools


def _tool(fields: Fields, kind: str, namespace: str) -> ir.Tool:
    name, description = flat_name(fields.need("name", STR), namespace), fields.take("description", STR) or ""
    if kind == "custom":
        return ir.Tool(name, description + _grammar(fields), _PARAMETERS)
    return ir.Tool(
        name=name,
        description=description,
        parameters=fields.take("parameters", RAW) or msgspec.Raw(b""),
        is_strict=fields.take("strict", BOOL) or False,
    )


def _grammar(fields: Fields) -> str:
    """The grammar of a free-form tool's input, for the model to read: nobody else can hold it to one."""
    form = fields.child("format")
    if form is None or form.need("type", STR) != "grammar":
        return ""
    fields.dropped.add(fields.at("format"))
    return f"\n\nThe input must follow this {form.need('syntax', STR)} grammar:\n{form.need('definition', STR)}"


def _choice(top: Fields) -> tuple[ir.ToolChoice | None, set[str] | None]:
    """The tool choice, and the names it is limited to (`allowed_tools`)."""
    value = top.take("tool_choice", STR_OR_OBJECT)
    if value is None:
        return None, None
    if isinstance(value, str):
        if value not in ("auto", "none", "required"):
            raise top.wrong("tool_choice", "must be none, auto, required or an object")
        return ir.ToolChoice(value), None
    fields = Fields(value, top.at("tool_choice"), top.dropped)
    kind = fields.need("type", STR)
    if kind == "allowed_tools":
        return ir.ToolChoice(fields.take("mode", STR) or "auto"), {_named(tool) for tool in fields.children("tools")}
    if kind not in _DECLARED:
        top.dropped.add("tool_choice")
        return None, None
    return ir.ToolChoice("named", flat_name(fields.need("name", STR), fields.take("namespace", STR) or "")), None


def _named(tool: Fields) -> str:
    return flat_name(tool.take("name", STR) or "", tool.take("namespace", STR) or "")


def call_lead(own: Own | None) -> str:
    """How the id of a call begins."""
    return "ctc" if own is not None and own.is_custom else "fc"


def call_item(id: str, call_id: str, name: str, arguments: str, own: Own | None, status: str) -> dict[str, Any]:
    """A call as the client knows its tool; `arguments` are empty while they are still to come."""
    if own is None:
        return {
            "id": id, "type": "function_call", "status": status, "arguments": arguments, "call_id": call_id,
            "name": name,
        }  # fmt: skip
    space = {"namespace": own.namespace} if own.namespace else {}
    if own.is_custom:
        said = custom_input(arguments) if arguments else ""
        item = {"id": id, "type": "custom_tool_call", "status": status, "call_id": call_id, "name": own.name}
        return {**item, **space, "input": said}
    item = {"id": id, "type": "function_call", "status": status, "arguments": arguments, "call_id": call_id}
    return {**item, "name": own.name, **space}

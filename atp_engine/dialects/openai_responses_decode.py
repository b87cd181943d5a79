"""OpenAI Responses requests read into `ir`, whole and checked; called for translations and simulations.

Items of the assistant in a row (reasoning, a message, its calls) are one turn. What hosted tools (web search and
the like) did is named as dropped: other vendors have none of them.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.dialects import ir
from atp_engine.dialects.fields import BOOL, CONTENT, COUNT, FLOAT, ITEMS, RAW, STR, STRINGS, Fields
from atp_engine.dialects.images import document_from_url, image_from_url
from atp_engine.dialects.openai_knobs import take_shared, take_tier, take_user
from atp_engine.dialects.openai_responses_answers import BUILT_UPON, thinking_of
from atp_engine.dialects.openai_responses_tools import custom_arguments, flat_name, read_tools
from atp_engine.dialects.reading import NULL

_ROLES = {
    "user": ir.Role.USER,
    "assistant": ir.Role.ASSISTANT,
    "system": ir.Role.SYSTEM,
    "developer": ir.Role.SYSTEM,
}
_FINISHED_WORK = frozenset({"web_search_call", "file_search_call", "code_interpreter_call", "image_generation_call"})
"""Items that tell what the vendor's own tools did; the answer built on them is a message of its own."""
_CALLS = {
    "function_call": "arguments",
    "custom_tool_call": "input",
    "local_shell_call": "action",
    "shell_call": "action",
    "apply_patch_call": "operation",
}
"""Items that are calls, and where each says what is wanted."""
SEALED = "reasoning.encrypted_content"
PROBED = "message.output_text.logprobs"
"""What `include` holds when the tokens' probabilities are wanted."""


def decode_request(body: bytes) -> ir.ChatRequest:
    """The request as `ir`. Raises InvalidRequest naming the field, UnsupportedFeature for uploaded files,
    references to stored items and the calls of custom and hosted tools."""
    top = Fields.of_body(body)
    model = top.need("model", STR)
    _refuse_state(top)
    messages = _instructions(top) + _input(top)
    tools, choice = read_tools(top)
    form, verbosity = _text(top)
    thinking = _thinking(top)
    request = ir.ChatRequest(
        model=model,
        messages=messages,
        is_stream=top.take("stream", BOOL) or False,
        wants_usage=True,
        tools=tools,
        tool_choice=choice,
        has_parallel_calls=top.take("parallel_tool_calls", BOOL),
        max_output_tokens=top.take("max_output_tokens", COUNT) or 0,
        temperature=top.take("temperature", FLOAT),
        top_p=top.take("top_p", FLOAT),
        json_format=form,
        thinking=thinking,
        user=take_user(top),
        service_tier=take_tier(top),
        verbosity=verbosity,
        logprobs=_logprobs(top),
        shared=take_shared(top),
    )
    _skip_ours(top)
    top.close()
    return msgspec.structs.replace(request, dropped_fields=top.dropped.paths())


def _refuse_state(top: Fields) -> None:
    """What names something that only one vendor or nobody keeps."""
    if top.take("previous_response_id", STR):
        raise InvalidRequest(
            "`previous_response_id`: no response with this id is stored.", param="previous_response_id"
        )
    if top.take("background", BOOL):
        raise InvalidRequest("`background`: answers in the background are not served.", param="background")
    for name in ("conversation", "prompt"):
        raw = top.take(name, RAW)
        if raw is not None and raw != NULL:
            raise InvalidRequest(f"`{name}`: cannot be carried to the chosen deployment.", param=name)


def _skip_ours(top: Fields) -> None:
    """What the router itself keeps or repeats, and what asks for nothing."""
    top.skip("store", "metadata", "stream_options", BUILT_UPON)
    if top.take("truncation", STR) not in (None, "disabled"):
        top.dropped.add("truncation")


def _logprobs(top: Fields) -> int | None:
    """How many alternatives are wanted; also reads the rest of `include`."""
    is_probed = False
    for name in top.take("include", STRINGS) or ():
        if name == PROBED:
            is_probed = True
        elif name != SEALED:
            top.dropped.add(f"include.{name}")
    most = top.take("top_logprobs", COUNT) or 0
    return most if is_probed or most else None


def _instructions(top: Fields) -> tuple[ir.Message, ...]:
    value = top.take("instructions", CONTENT)
    if not value:
        return ()
    if isinstance(value, str):
        return (ir.Message(ir.Role.SYSTEM, (ir.Text(value),)),)
    return _items(top, "instructions", value)


def _input(top: Fields) -> tuple[ir.Message, ...]:
    value = top.need("input", CONTENT)
    if isinstance(value, str):
        return (ir.Message(ir.Role.USER, (ir.Text(value),)),)
    if not value:
        raise top.wrong("input", "must hold at least one item")
    return _items(top, "input", value)


def _items(top: Fields, name: str, items: list[msgspec.Raw]) -> tuple[ir.Message, ...]:
    messages: list[ir.Message] = []
    for fields in top.elements(name, items):
        kind = fields.take("type", STR) or "message"
        if kind in _FINISHED_WORK:
            top.dropped.add(f"{name}[].{kind}")
            continue
        role, parts = _item(fields, kind)
        fields.skip("id", "status", "phase")
        fields.close()
        last = messages[-1] if messages else None
        if role is ir.Role.ASSISTANT and last is not None and last.role is role and _is_one_turn(last, kind):
            messages[-1] = ir.Message(role, last.parts + parts)
        elif parts or kind == "message":
            messages.append(ir.Message(role, parts))
    return tuple(messages)


def _is_one_turn(turn: ir.Message, kind: str) -> bool:
    """Whether an item goes on with a turn of the assistant: a second message alone begins a new one."""
    has_calls = any(isinstance(part, ir.ToolCall) for part in turn.parts)
    return kind != "message" or has_calls or not any(isinstance(part, ir.Text) for part in turn.parts)


def _item(fields: Fields, kind: str) -> tuple[ir.Role, tuple[ir.Part, ...]]:
    if kind == "message":
        role = _ROLES.get(fields.need("role", STR))
        if role is None:
            raise fields.wrong("role", "must be user, assistant, system or developer")
        return role, _content(fields, role)
    if kind in _CALLS:
        return ir.Role.ASSISTANT, (_call(fields, kind),)
    if kind.removesuffix("_output") in _CALLS and kind != kind.removesuffix("_output"):
        fields.skip("name")
        return ir.Role.USER, (_result(fields, is_shell=kind == "shell_call_output"),)
    if kind == "reasoning":
        return ir.Role.ASSISTANT, _reasoning(fields)
    raise fields.unsupported(f"an item of type {kind}")


def _call(fields: Fields, kind: str) -> ir.ToolCall:
    """A call of any kind of tool; those of the vendor's own kinds count as calls of a function of that name."""
    call_id, member = fields.need("call_id", STR), _CALLS[kind]
    if kind in ("function_call", "custom_tool_call"):
        name = flat_name(fields.need("name", STR), fields.take("namespace", STR) or "")
        said = fields.need(member, STR)
        return ir.ToolCall(call_id, name, said if kind == "function_call" else custom_arguments(said))
    return ir.ToolCall(call_id, kind.removesuffix("_call"), bytes(fields.need(member, RAW)).decode())


def _content(fields: Fields, role: ir.Role) -> tuple[ir.Part, ...]:
    content = fields.need("content", CONTENT)
    if isinstance(content, str):
        return (ir.Text(content),)
    parts: list[ir.Part] = []
    for part in fields.elements("content", content):
        found = _part(part)
        if role is ir.Role.SYSTEM and not isinstance(found, ir.Text):
            raise part.wrong("type", "must be input_text")
        part.close()
        parts.append(found)
    return tuple(parts)


def _part(part: Fields) -> ir.Text | ir.Image | ir.Document | ir.Refusal:
    kind = part.need("type", STR)
    if kind in ("input_text", "output_text", "text"):
        text = part.need("text", STR)
        if part.take("annotations", ITEMS):
            part.dropped.add(part.at("annotations"))
        part.skip("logprobs")
        return ir.Text(text)
    if kind == "refusal":
        return ir.Refusal(part.need("refusal", STR))
    if kind == "input_image":
        return _image(part)
    if kind == "input_file":
        return _file(part)
    raise part.unsupported(f"content of type {kind}")


def _image(part: Fields) -> ir.Image:
    if part.take("file_id", STR):
        raise part.unsupported("an uploaded file")
    image = image_from_url(part.need("image_url", STR))
    if image is None:
        raise part.wrong("image_url", "must be an http(s) URL or base64 image data")
    if part.take("detail", STR) not in (None, "auto"):
        part.dropped.add(part.at("detail"))
    return image


def _file(part: Fields) -> ir.Document:
    if part.take("file_id", STR):
        raise part.unsupported("an uploaded file")
    name = part.take("filename", STR) or ""
    content, url = part.take("file_data", STR), part.take("file_url", STR)
    field = "file_data" if content else "file_url"
    document = document_from_url(content or url or "", name)
    if document is None:
        raise part.wrong(field, "must be base64 data with its media type, or an http(s) URL")
    return document


def _result(fields: Fields, *, is_shell: bool = False) -> ir.ToolResult:
    call_id = fields.need("call_id", STR)
    output = fields.need("output", CONTENT)
    if is_shell:
        output = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    if isinstance(output, str):
        return ir.ToolResult(call_id, (ir.Text(output),) if output else ())
    parts: list[ir.Text | ir.Image | ir.Document] = []
    for inner in fields.elements("output", output):
        part = _part(inner)
        if isinstance(part, ir.Refusal):
            raise inner.wrong("type", "must be input_text, input_image or input_file")
        inner.close()
        parts.append(part)
    return ir.ToolResult(call_id, tuple(parts))


def _reasoning(fields: Fields) -> tuple[ir.Part, ...]:
    """The thinking with its seal as `ir` holds it; the item's id is part of OpenAI's own."""
    texts = [part.need("text", STR) for name in ("content", "summary") for part in fields.children(name)]
    sealed, item_id = fields.take("encrypted_content", STR) or "", fields.take("id", STR) or ""
    text = "\n\n".join(dict.fromkeys(texts))
    part = thinking_of(sealed, item_id, text)
    return (part,) if part.text or part.signature else ()


def _text(top: Fields) -> tuple[ir.JsonFormat | None, str]:
    """How the text shall be shaped, and the verbosity."""
    text = top.child("text")
    if text is None:
        return None, ""
    verbosity = text.take("verbosity", STR) or ""
    form = _json_format(text.child("format"), top)
    text.close()
    return form, verbosity


def _json_format(form: Fields | None, top: Fields) -> ir.JsonFormat | None:
    kind = form.need("type", STR) if form is not None else "text"
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return ir.JsonFormat()
    if kind != "json_schema":
        top.dropped.add("text.format")
        return None
    wanted = ir.JsonFormat(
        schema=form.need("schema", RAW),
        name=form.take("name", STR) or "",
        is_strict=form.take("strict", BOOL) or False,
    )
    form.close()
    return wanted


def _thinking(top: Fields) -> ir.Thinking | None:
    """The effort; how closely the thinking is summed up is the vendor's own matter."""
    fields = top.child("reasoning")
    effort = fields.take("effort", STR) if fields is not None else None
    if fields is not None:
        for name in ("summary", "generate_summary"):
            if fields.take(name, STR) not in (None, "auto", "none"):
                fields.dropped.add(fields.at(name))
        fields.close()
    return ir.Thinking(effort=effort, is_enabled=effort != "none") if effort else None

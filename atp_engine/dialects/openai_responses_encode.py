"""`ir` requests written as OpenAI Responses.

Nothing is kept at the vendor: `store` is off, and a reasoning model gives its thinking encrypted, so
that a later turn can send it back.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import InvalidRequest, UnsupportedFeature
from atp_engine.dialects import ir, seals
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.fields import Dropped, compact
from atp_engine.dialects.images import url_of_document, url_of_image
from atp_engine.dialects.openai_chat_encode import LONGEST_USER, effort_of, takes_effort
from atp_engine.dialects.openai_knobs import knobs, verbosity
from atp_engine.dialects.openai_responses_decode import PROBED, SEALED

_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')


def encode_request(request: ir.ChatRequest) -> UpstreamBody:
    """The body. Dropped fields go by their names in `ir`. Raises InvalidRequest when nothing is said,
    UnsupportedFeature for a picture by the assistant."""
    dropped = Dropped()
    lead = 0
    while lead < len(request.messages) and request.messages[lead].role is ir.Role.SYSTEM:
        lead += 1
    instructions = "\n\n".join(text for message in request.messages[:lead] if (text := _text(message)))
    items = [item for message in request.messages[lead:] for item in _items(message, dropped)]
    if not items:
        raise InvalidRequest("the request holds nothing but a system prompt.", param="messages")
    effort = effort_of(request, dropped)
    has_tools = bool(request.tools)
    form = _format(request.json_format)
    body = compact(
        model=request.model,
        instructions=instructions or None,
        input=items,
        tools=[_tool(tool) for tool in request.tools] or None,
        tool_choice=_choice(request.tool_choice) if has_tools else None,
        parallel_tool_calls=request.has_parallel_calls if has_tools else None,
        max_output_tokens=request.max_output_tokens or None,
        temperature=request.temperature,
        top_p=request.top_p,
        text=compact(format=form, verbosity=verbosity(request, dropped)) or None,
        reasoning={"effort": effort} if effort else None,
        include=_include(request) or None,
        top_logprobs=request.logprobs or None,
        user=request.user if 0 < len(request.user) <= LONGEST_USER else None,
        stream=request.is_stream or None,
        store=False,
        **knobs(request, dropped),
    )
    for name, is_dropped in (
        ("top_k", request.top_k is not None),
        ("stop", bool(request.stop)),
        ("seed", request.seed is not None),
        ("frequency_penalty", bool(request.frequency_penalty)),
        ("presence_penalty", bool(request.presence_penalty)),
        ("candidates", request.candidates > 1),
        ("user", len(request.user) > LONGEST_USER),
    ):
        if is_dropped:
            dropped.add(name)
    return UpstreamBody(msgspec.json.encode(body), dropped.paths())


def _include(request: ir.ChatRequest) -> list[str]:
    """What the answer shall hold beside the usual."""
    sealed = [SEALED] if takes_effort(request.model) else []
    return sealed + ([PROBED] if request.logprobs is not None else [])


def _text(message: ir.Message) -> str:
    return "\n\n".join(part.text for part in message.parts if isinstance(part, ir.Text) and part.text)


def _items(message: ir.Message, dropped: Dropped) -> list[dict[str, Any]]:
    if message.role is ir.Role.SYSTEM:
        text = _text(message)
        return [{"role": "developer", "content": text}] if text else []
    if message.role is ir.Role.USER:
        return _user(message.parts)
    return _assistant(message.parts, dropped)


def _user(parts: tuple[ir.Part, ...]) -> list[dict[str, Any]]:
    """Tool results, each an item, then what the user says."""
    items = [_result(part) for part in parts if isinstance(part, ir.ToolResult)]
    said = [_content(part) for part in parts if isinstance(part, ir.Text | ir.Image | ir.Document)]
    said = [part for part in said if part.get("text") != ""]
    if len(said) == 1 and said[0]["type"] == "input_text":
        items.append({"role": "user", "content": said[0]["text"]})
    elif said:
        items.append({"role": "user", "content": said})
    return items


def _assistant(parts: tuple[ir.Part, ...], dropped: Dropped) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ir.Text | ir.Refusal):
            if part.text:
                _add_said(items, part)
        elif isinstance(part, ir.ToolCall):
            items.append(
                {
                    "type": "function_call",
                    "call_id": part.id,
                    "name": part.name,
                    "arguments": part.arguments or "{}",
                }
            )
        elif isinstance(part, ir.Reasoning):
            item = _reasoning(part)
            if item is None:
                dropped.add("reasoning")
            else:
                items.append(item)
        else:
            raise UnsupportedFeature("A picture or file by the assistant cannot be carried to the chosen deployment.")
    return items


def _add_said(items: list[dict[str, Any]], part: ir.Text | ir.Refusal) -> None:
    """Text and refusals in a row are parts of one message."""
    said: dict[str, Any] = {"type": "output_text", "text": part.text, "annotations": []}
    if isinstance(part, ir.Refusal):
        said = {"type": "refusal", "refusal": part.text}
    if items and items[-1].get("role") == "assistant":
        items[-1]["content"].append(said)
    else:
        items.append({"type": "message", "role": "assistant", "status": "completed", "content": [said]})


def _reasoning(part: ir.Reasoning) -> dict[str, Any] | None:
    """The thinking as OpenAI sealed it; None for thinking without its seal, which the vendor refuses."""
    seal = seals.own_seal(seals.OPENAI, part)
    if not seal:
        return None
    item_id, _, sealed = seal.partition(":")
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    return compact(type="reasoning", id=item_id or None, summary=summary, encrypted_content=sealed)


def _content(part: ir.Text | ir.Image | ir.Document) -> dict[str, Any]:
    if isinstance(part, ir.Text):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ir.Image):
        return {"type": "input_image", "image_url": url_of_image(part), "detail": "auto"}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    return {"type": "input_file", "filename": part.name or "document", "file_data": url_of_document(part)}


def _result(result: ir.ToolResult) -> dict[str, Any]:
    texts = [part.text for part in result.parts if isinstance(part, ir.Text)]
    output: str | list[dict[str, Any]] = "\n".join(texts)
    if len(texts) < len(result.parts):
        output = [_content(part) for part in result.parts]
    if result.is_error:
        if isinstance(output, list):
            output.insert(0, {"type": "input_text", "text": "Error:"})
        elif not output.lower().startswith("error"):
            output = f"Error: {output}"
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _tool(tool: ir.Tool) -> dict[str, Any]:
    """A function; `strict` is always said, since it is on by default here."""
    return compact(
        type="function",
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters if bytes(tool.parameters) else _NO_PARAMETERS,
        strict=tool.is_strict,
    )


def _choice(choice: ir.ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None or choice.mode != "named":
        return choice.mode if choice else None
    return {"type": "function", "name": choice.name}


def _format(form: ir.JsonFormat | None) -> dict[str, Any] | None:
    if form is None:
        return None
    if not bytes(form.schema):
        return {"type": "json_object"}
    return compact(type="json_schema", name=form.name or "answer", schema=form.schema, strict=form.is_strict or None)

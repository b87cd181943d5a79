"""`ir` requests written as OpenAI chat, for OpenAI itself and for compatible servers.

What compatible servers differ in is settled by the model's name: OpenAI's reasoning models want
`max_completion_tokens` and take `reasoning_effort`; most others know `max_tokens` only and refuse
fields they do not know.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from atp_engine.core.errors import UnsupportedFeature
from atp_engine.dialects import ir
from atp_engine.dialects.bridge import UpstreamBody
from atp_engine.dialects.fields import Dropped, compact
from atp_engine.dialects.images import url_of_document, url_of_image
from atp_engine.dialects.openai_knobs import knobs, verbosity

_NEW_OPENAI = re.compile(r"^(?:openai/)?(?:o\d|gpt-(?!3|4|oss))")
_TAKES_EFFORT = re.compile(r"^(?:.*/)?(?:o\d|gpt-(?!3|4))")
_MOST_STOPS = 4
LONGEST_USER = 64
_LOW_BUDGET, _MEDIUM_BUDGET = 4_096, 16_384
"""Token budgets below which an effort counts as low or medium."""
_NO_PARAMETERS = msgspec.Raw(b'{"type":"object","properties":{}}')


def encode_request(request: ir.ChatRequest) -> UpstreamBody:
    """The body; a stream always asks for usage. Dropped fields go by their names in `ir`; further candidates are
    among them, since nobody would read what they cost.

    A tool's pictures follow in a user message of their own, since tool messages hold text only; a
    failed tool's text begins with `Error:`, since there is no flag for it.
    """
    dropped = Dropped()
    effort = effort_of(request, dropped)
    is_probed = request.logprobs is not None
    has_tools = bool(request.tools)
    body = compact(
        model=request.model,
        messages=_messages(request.messages, dropped),
        tools=[_tool(tool) for tool in request.tools] or None,
        tool_choice=_choice(request.tool_choice) if has_tools else None,
        parallel_tool_calls=request.has_parallel_calls if has_tools else None,
        temperature=request.temperature,
        top_p=request.top_p,
        stop=list(request.stop[:_MOST_STOPS]) or None,
        seed=request.seed,
        frequency_penalty=request.frequency_penalty,
        presence_penalty=request.presence_penalty,
        response_format=_response_format(request.json_format),
        reasoning_effort=effort,
        user=request.user if 0 < len(request.user) <= LONGEST_USER else None,
        verbosity=verbosity(request, dropped),
        logprobs=is_probed or None,
        top_logprobs=request.logprobs or None,
        stream=request.is_stream or None,
        stream_options={"include_usage": True} if request.is_stream else None,
        **knobs(request, dropped),
    )
    if request.max_output_tokens:
        is_new = _NEW_OPENAI.match(request.model) is not None
        body["max_completion_tokens" if is_new else "max_tokens"] = request.max_output_tokens
    if request.top_k is not None:
        dropped.add("top_k")
    if len(request.stop) > _MOST_STOPS:
        dropped.add("stop")
    if len(request.user) > LONGEST_USER:
        dropped.add("user")
    if request.candidates > 1:
        dropped.add("candidates")
    return UpstreamBody(msgspec.json.encode(body), dropped.paths())


def takes_effort(model: str) -> bool:
    """True for OpenAI's reasoning models, and for open ones that know `reasoning_effort`."""
    return _TAKES_EFFORT.match(model) is not None


def effort_of(request: ir.ChatRequest, dropped: Dropped) -> str | None:
    """The wish to think as OpenAI's word for it; None when there is none or the model has no such knob."""
    thinking = request.thinking
    if thinking is None:
        return None
    if not takes_effort(request.model):
        dropped.add("thinking")
        return None
    if thinking.effort:
        return thinking.effort
    if not thinking.is_enabled:
        if _NEW_OPENAI.match(request.model):
            return "none"
        dropped.add("thinking")
        return None
    if not thinking.budget_tokens:
        return "medium"
    if thinking.budget_tokens < _LOW_BUDGET:
        return "low"
    return "medium" if thinking.budget_tokens < _MEDIUM_BUDGET else "high"


def _messages(messages: tuple[ir.Message, ...], dropped: Dropped) -> list[dict[str, Any]]:
    written: list[dict[str, Any]] = []
    for message in messages:
        if message.role is ir.Role.SYSTEM:
            written.append({"role": "system", "content": _joined(message.parts)})
        elif message.role is ir.Role.ASSISTANT:
            written.append(_assistant(message.parts, dropped))
        else:
            written += _user(message.parts)
    return written


def _joined(parts: tuple[ir.Part, ...]) -> str:
    return "\n\n".join(part.text for part in parts if isinstance(part, ir.Text) and part.text)


def _assistant(parts: tuple[ir.Part, ...], dropped: Dropped) -> dict[str, Any]:
    text, refusal = "", ""
    calls: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ir.Text):
            text += part.text
        elif isinstance(part, ir.Refusal):
            refusal += part.text
        elif isinstance(part, ir.ToolCall):
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            calls.append({"id": part.id, "type": "function", "function": function})
        elif isinstance(part, ir.Reasoning):
            dropped.add("reasoning")
    message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls or refusal else "")}
    if refusal:
        message["refusal"] = refusal
    if calls:
        message["tool_calls"] = calls
    return message


def _user(parts: tuple[ir.Part, ...]) -> list[dict[str, Any]]:
    """Tool results first, each a message, as they must follow their calls; then what the user says."""
    written: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, ir.ToolResult):
            written.append({"role": "tool", "tool_call_id": part.call_id, "content": _result_text(part)})
            media = [inner for inner in part.parts if not isinstance(inner, ir.Text)]
            if media:
                what = "Images" if all(isinstance(inner, ir.Image) for inner in media) else "Files"
                said.append({"type": "text", "text": f"{what} from the result of tool call {part.call_id}:"})
                said += [_media(inner) for inner in media]
        elif isinstance(part, ir.Text):
            said.append({"type": "text", "text": part.text})
        elif isinstance(part, ir.Image | ir.Document):
            said.append(_media(part))
    if len(said) == 1 and said[0]["type"] == "text":
        written.append({"role": "user", "content": said[0]["text"]})
    elif said or not written:
        written.append({"role": "user", "content": said or ""})
    return written


def _result_text(result: ir.ToolResult) -> str:
    text = "\n".join(part.text for part in result.parts if isinstance(part, ir.Text))
    if not text and result.parts:
        text = "(see the images below)" if isinstance(result.parts[0], ir.Image) else "(see the files below)"
    if result.is_error and not text.lower().startswith("error"):
        text = f"Error: {text}"
    return text


def _media(part: ir.Image | ir.Document) -> dict[str, Any]:
    """A picture or a file; a file that only a URL tells has no place here."""
    if isinstance(part, ir.Image):
        return {"type": "image_url", "image_url": {"url": url_of_image(part)}}
    if part.url:
        raise UnsupportedFeature("A file by its URL cannot be carried to the chosen deployment.")
    file = {"filename": part.name or "document", "file_data": url_of_document(part)}
    return {"type": "file", "file": file}


def _tool(tool: ir.Tool) -> dict[str, Any]:
    function = compact(
        name=tool.name,
        description=tool.description or None,
        parameters=tool.parameters if bytes(tool.parameters) else _NO_PARAMETERS,
        strict=tool.is_strict or None,
    )
    return {"type": "function", "function": function}


def _choice(choice: ir.ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None or choice.mode != "named":
        return choice.mode if choice else None
    return {"type": "function", "function": {"name": choice.name}}


def _response_format(form: ir.JsonFormat | None) -> dict[str, Any] | None:
    if form is None:
        return None
    if not bytes(form.schema):
        return {"type": "json_object"}
    schema = compact(name=form.name or "answer", schema=form.schema, strict=form.is_strict or None)
    return {"type": "json_schema", "json_schema": schema}

"""Whole OpenAI Responses answers to and from `ir`; `openai_responses_stream` builds on the same items.

A response repeats much of its request; what the client's body does not give stands at the vendor's
default, since strict clients refuse objects that lack a field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.types import NO_USAGE, TokenUsage
from atp_engine.dialects import ir, seals, text_marks
from atp_engine.dialects.openai_responses_tools import call_item, call_lead, own_names
from atp_engine.dialects.openai_responses_wire import (
    Answer,
    Item,
    arguments_of,
    decode_answer,
    thought_of,
    usage_fields,
    usage_of,
)

FINISH: Mapping[ir.FinishReason, str] = MappingProxyType(
    {
        ir.FinishReason.STOP: "completed",
        ir.FinishReason.STOP_SEQUENCE: "completed",
        ir.FinishReason.LENGTH: "max_output_tokens",
        ir.FinishReason.CONTEXT_FULL: "max_output_tokens",
        ir.FinishReason.TOOL_CALLS: "completed",
        ir.FinishReason.CONTENT_FILTER: "content_filter",
        ir.FinishReason.REFUSAL: "completed",
        ir.FinishReason.PAUSE: "completed",
    }
)
_LEAD = "resp_"
_DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "background": False,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
    }
)
ECHOED = frozenset(_DEFAULTS) | {"prompt_cache_key", "safety_identifier"}
"""Fields of a request that its answer repeats."""
BUILT_UPON = "atp_previous_response_id"
"""In a body that was made whole here, the id of the answer that it builds upon: repeated, never sent up."""


def decode_reply(body: bytes) -> ir.ChatResult:
    """A whole answer. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer = decode_answer(body)
    parts: list[ir.Part] = []
    dropped: dict[str, None] = {}
    for place, item in enumerate(answer.output or ()):
        if item.type == "message":
            parts += _message_parts(item, dropped)
        elif item.type == "reasoning":
            parts.append(thinking_of(item.encrypted_content or "", item.id or "", thought_of(item)))
        elif item.type == "function_call":
            call_id = item.call_id or item.id or f"call_{answer.id or 'answer'}_{place}"
            parts.append(ir.ToolCall(call_id, item.name or "", arguments_of(item.arguments)))
        else:
            dropped[f"output[].{item.type}"[:80]] = None
    return ir.ChatResult(
        id=answer.id or "",
        model=answer.model or "",
        parts=tuple(parts),
        finish_reason=reason_of(answer, parts),
        usage=usage_of(answer.usage, answer.service_tier),
        created=int(answer.created_at or 0),
        dropped_fields=tuple(dropped),
    )


def _message_parts(item: Item, dropped: dict[str, None]) -> list[ir.Part]:
    parts: list[ir.Part] = []
    for part in item.content or ():
        if part.type == "refusal":
            parts.append(ir.Refusal(part.refusal or ""))
        elif part.text:
            found = [text_marks.citation(raw) for raw in part.annotations or ()]
            citations = tuple(cited for cited in found if cited is not None)
            if len(citations) < len(found):
                dropped["output[].content[].annotations"] = None
            parts.append(ir.Text(part.text, tuple(part.logprobs or ()), citations))
    return parts


def thinking_of(sealed: str, id: str, text: str) -> ir.Reasoning:
    """A reasoning item as `ir` holds it: OpenAI's own seal counts with the item's id."""
    if sealed and not seals.is_marked(sealed):
        sealed = f"{id}:{sealed}"
    return seals.from_wire(seals.OPENAI, sealed, text)


def reason_of(answer: Answer, parts: list[ir.Part]) -> ir.FinishReason:
    """Why an answer ended, which the dialect tells only when it is not whole."""
    if answer.status == "incomplete":
        reason = answer.incomplete_details.reason if answer.incomplete_details is not None else ""
        return ir.FinishReason.CONTENT_FILTER if reason == "content_filter" else ir.FinishReason.LENGTH
    if any(isinstance(part, ir.ToolCall) for part in parts):
        return ir.FinishReason.TOOL_CALLS
    has_refusal = any(isinstance(part, ir.Refusal) for part in parts)
    return ir.FinishReason.REFUSAL if has_refusal else ir.FinishReason.STOP


def encode_reply(result: ir.ChatResult) -> bytes:
    """The answer as a response object; text and refusals in a row make one message."""
    suffix = suffix_of(result.id)
    names = own_names(result.echo)
    output: list[dict[str, Any]] = []
    for part in result.parts:
        number = len(output)
        if isinstance(part, ir.Text | ir.Refusal):
            said = refusal_part(part.text) if isinstance(part, ir.Refusal) else _text_part(part)
            if output and output[-1]["type"] == "message":
                output[-1]["content"].append(said)
            else:
                output.append(message_item(f"msg_{suffix}_{number}", [said]))
        elif isinstance(part, ir.Reasoning):
            output.append(reasoning_item(f"rs_{suffix}_{number}", part.text, sealed_content(part)))
        elif isinstance(part, ir.ToolCall):
            own = names.get(part.name)
            item_id = f"{call_lead(own)}_{suffix}_{number}"
            output.append(call_item(item_id, part.id, part.name, part.arguments or "{}", own, "completed"))
    status = status_of(result.finish_reason)
    if status == "incomplete" and output and output[-1]["type"] != "reasoning":
        output[-1]["status"] = status
    head = response_head(result.id, result.model, result.created, result.echo)
    return msgspec.json.encode(finished(head, output, result.finish_reason, result.usage or NO_USAGE))


def suffix_of(id: str) -> str:
    """The answer's id without its lead, to make the ids of its items from."""
    return id.removeprefix(_LEAD).removeprefix("req_")


def response_head(id: str, model: str, created: int, echo: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """A response that has just begun."""
    return {
        "id": id if id.startswith(_LEAD) else _LEAD + suffix_of(id),
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "usage": None,
        **_DEFAULTS,
        **echo,
    }


def finished(
    head: dict[str, Any], output: list[dict[str, Any]], reason: ir.FinishReason, usage: TokenUsage
) -> dict[str, Any]:
    """The response once it is complete or incomplete; missing usage is told as zero."""
    status = status_of(reason)
    why = {"reason": FINISH[reason]} if status == "incomplete" else None
    return {
        **head,
        "status": status,
        "completed_at": head["created_at"] if status == "completed" else None,
        "incomplete_details": why,
        "output": output,
        "usage": usage_fields(usage),
    }


def status_of(reason: ir.FinishReason) -> str:
    """`completed` or `incomplete`."""
    return "completed" if FINISH[reason] == "completed" else "incomplete"


def sealed_content(part: ir.Reasoning) -> str | None:
    """What stands in `encrypted_content` for a seal of `ir`."""
    if own := seals.own_seal(seals.OPENAI, part):
        return own.partition(":")[2]
    return seals.for_client(seals.OPENAI, part) or None


def _text_part(part: ir.Text) -> dict[str, Any]:
    annotations = [text_marks.annotation(cited, is_nested=False) for cited in part.citations]
    return text_part(part.text, annotations, part.logprobs)


def text_part(
    text: str, annotations: Sequence[dict[str, Any]] = (), logprobs: Sequence[msgspec.Raw] = ()
) -> dict[str, Any]:
    """A text of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def refusal_part(text: str) -> dict[str, Any]:
    """A refusal of a message."""
    return {"type": "refusal", "refusal": text}


def message_item(id: str, content: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """A message."""
    return {"id": id, "type": "message", "status": status, "role": "assistant", "content": content}


def reasoning_item(id: str, text: str, sealed: str | None) -> dict[str, Any]:
    """A reasoning item."""
    summary = [{"type": "summary_text", "text": text}] if text else []
    item: dict[str, Any] = {"id": id, "type": "reasoning", "summary": summary}
    return {**item, "encrypted_content": sealed} if sealed else item

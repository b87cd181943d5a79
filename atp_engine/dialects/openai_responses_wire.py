"""The shapes of OpenAI Responses answers, whole and streamed, as far as anybody reads them.

Shared by the pass-through tap and the codec. Item, part and event types that are not known are
carried, never refused. Fields are those of OpenAI's API description of August 2026.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, UpstreamError
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.counts import Number, count, tier_of
from atp_engine.dialects.faults import fault_from_event

NULL = msgspec.Raw(b"null")
_NO_ERROR = (b"null", b"{}", b'""')


class InputDetails(msgspec.Struct, gc=False):
    """Parts of `input_tokens`."""

    cached_tokens: Number = 0
    cache_write_tokens: Number = 0


class OutputDetails(msgspec.Struct, gc=False):
    """Parts of `output_tokens`."""

    reasoning_tokens: Number = 0


class Usage(msgspec.Struct, gc=False):
    """`usage` of an answer."""

    input_tokens: Number = 0
    output_tokens: Number = 0
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None


class Part(msgspec.Struct, gc=False):
    """A part of a message, or of a reasoning item's summary or content."""

    type: str = ""
    text: str | None = ""
    refusal: str | None = ""
    annotations: list[msgspec.Raw] | None = None
    logprobs: list[msgspec.Raw] | None = None


class Item(msgspec.Struct, gc=False):
    """An output item, whole or as it starts."""

    type: str = ""
    id: str | None = ""
    call_id: str | None = ""
    name: str | None = ""
    arguments: Any = None
    content: list[Part] | None = None
    summary: list[Part] | None = None
    encrypted_content: str | None = ""


class Incomplete(msgspec.Struct, gc=False):
    """Why an answer is not whole."""

    reason: str | None = ""


class Answer(msgspec.Struct, gc=False):
    """A response object."""

    id: str | None = ""
    object: str | None = ""
    model: str | None = ""
    created_at: Number = 0
    status: str | None = ""
    output: list[Item] | None = None
    usage: Usage | None = None
    incomplete_details: Incomplete | None = None
    error: msgspec.Raw = NULL
    service_tier: str | None = None


class Event(msgspec.Struct, gc=False):
    """Any event of a stream."""

    type: str
    delta: Any = None
    output_index: int | None = None
    summary_index: int | None = None
    item_id: str | None = None
    arguments: Any = None
    response: Answer | None = None
    item: Item | None = None
    error: msgspec.Raw = NULL
    annotation: msgspec.Raw = NULL
    logprobs: list[msgspec.Raw] | None = None


_ANSWER = msgspec.json.Decoder(Answer)
_EVENT = msgspec.json.Decoder(Event)
_INNER = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_event(payload: bytes) -> Event:
    """One event. Raises ValueError for anything that is not one."""
    return json_text.decode(_EVENT, payload)


def decode_answer(body: bytes) -> Answer:
    """A whole response. Raises BadUpstreamReply when it is none, or the error that a 200 holds."""
    try:
        answer = json_text.decode(_ANSWER, body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not a response.") from None
    if bytes(answer.error) not in _NO_ERROR:
        raise fault_from_event(Dialect.OPENAI_RESPONSES, body)
    if answer.output is None:
        raise BadUpstreamReply("The provider's answer holds no output.")
    if answer.status in ("failed", "cancelled"):
        raise BadUpstreamReply("The provider reported a failed answer without a reason.")
    return answer


def fault_of(event: Event, payload: bytes) -> UpstreamError:
    """The error that an `error` or `response.failed` event tells."""
    if event.response is not None:
        inner = {"error": event.response.error}
        return fault_from_event(Dialect.OPENAI_RESPONSES, msgspec.json.encode(inner))
    if bytes(event.error) in _NO_ERROR:
        inner = {name: raw for name, raw in json_text.decode(_INNER, payload).items() if name != "type"}
        payload = msgspec.json.encode({"error": inner})
    return fault_from_event(Dialect.OPENAI_RESPONSES, payload)


def usage_of(usage: Usage | None, tier: str | None = None) -> TokenUsage | None:
    """The usage in our terms, at the tier that the answer names; None when it is missing or all zero, for an answer
    costs something.

    Cached and written tokens are counted inside `input_tokens`, reasoning inside `output_tokens`.
    """
    if usage is None:
        return None
    prompt, output = count(usage.input_tokens), count(usage.output_tokens)
    if not prompt and not output:
        return None
    cached = written = reasoning = 0
    if usage.input_tokens_details is not None:
        cached = min(count(usage.input_tokens_details.cached_tokens), prompt)
        written = min(count(usage.input_tokens_details.cache_write_tokens), prompt - cached)
    if usage.output_tokens_details is not None:
        reasoning = min(count(usage.output_tokens_details.reasoning_tokens), output)
    return TokenUsage(prompt - cached - written, output, cached, written, reasoning, tier=tier_of(tier) if tier else "")


def usage_fields(usage: TokenUsage) -> dict[str, Any]:
    """The usage in the dialect's terms, the reverse of `usage_of`."""
    prompt = usage.prompt_tokens
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": prompt + usage.output_tokens,
    }


def arguments_of(arguments: Any) -> str:
    """A call's arguments as JSON text."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return msgspec.json.encode(arguments).decode()


def thought_of(item: Item) -> str:
    """What a reasoning item tells of the thinking: its content where the model is open, else its summary."""
    return "\n\n".join(part.text for part in item.content or item.summary or () if part.text)

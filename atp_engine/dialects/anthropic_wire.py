"""The shapes of Anthropic messages, whole and streamed, as far as anybody reads them.

Shared by the pass-through tap and the codec. Block and event types that are not known are carried,
never refused.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import json_text
from atp_engine.dialects.counts import Number, count, tier_of
from atp_engine.dialects.faults import fault_from_event

NULL = msgspec.Raw(b"null")


class OutputDetails(msgspec.Struct, gc=False):
    """Parts of `output_tokens`."""

    thinking_tokens: Number = 0


class CacheCreation(msgspec.Struct, gc=False):
    """Parts of `cache_creation_input_tokens`, by how long they are kept."""

    ephemeral_1h_input_tokens: Number = 0


class Usage(msgspec.Struct, gc=False):
    """`usage` of a message; in `message_delta` cumulative, fields that did not change may be missing."""

    input_tokens: Number = None
    output_tokens: Number = None
    cache_read_input_tokens: Number = None
    cache_creation_input_tokens: Number = None
    output_tokens_details: OutputDetails | None = None
    cache_creation: CacheCreation | None = None
    service_tier: str | None = None


class Block(msgspec.Struct, gc=False):
    """A content block, whole or as it starts."""

    type: str = ""
    text: str | None = ""
    thinking: str | None = ""
    signature: str | None = ""
    data: str | None = ""
    id: str | None = ""
    name: str | None = ""
    input: msgspec.Raw = NULL
    citations: list[msgspec.Raw] | None = None


class Delta(msgspec.Struct, gc=False):
    """The change in a `content_block_delta` or `message_delta`."""

    type: str = ""
    text: str | None = ""
    thinking: str | None = ""
    partial_json: str | None = ""
    signature: str | None = ""
    stop_reason: str | None = None
    stop_sequence: str | None = None
    citation: msgspec.Raw = NULL


class Message(msgspec.Struct, gc=False):
    """A whole message, or the empty one that starts a stream."""

    type: str = ""
    id: str | None = ""
    model: str | None = ""
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Usage | None = None
    error: msgspec.Raw = NULL


class Event(msgspec.Struct, gc=False):
    """Any event of a stream."""

    type: str
    index: int = 0
    delta: Delta | None = None
    content_block: Block | None = None
    message: Message | None = None
    usage: Usage | None = None


_EVENT = msgspec.json.Decoder(Event)
_MESSAGE = msgspec.json.Decoder(Message)


def decode_event(payload: bytes) -> Event:
    """One event. Raises ValueError for anything that is not one."""
    return json_text.decode(_EVENT, payload)


def decode_reply(body: bytes) -> Message:
    """A whole message. Raises BadUpstreamReply when it is none, or the error that a 200 holds."""
    try:
        message = json_text.decode(_MESSAGE, body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not a message.") from None
    if message.type == "error" or message.error is not NULL:
        raise fault_from_event(Dialect.ANTHROPIC, body)
    if message.content is None:
        raise BadUpstreamReply("The provider's answer holds no content.")
    return message


def merged(older: Usage | None, newer: Usage | None) -> Usage | None:
    """The usage after a cumulative update: what the newer one leaves out stays."""
    if older is None or newer is None:
        return newer or older
    return Usage(
        _either(newer.input_tokens, older.input_tokens),
        _either(newer.output_tokens, older.output_tokens),
        _either(newer.cache_read_input_tokens, older.cache_read_input_tokens),
        _either(newer.cache_creation_input_tokens, older.cache_creation_input_tokens),
        newer.output_tokens_details or older.output_tokens_details,
        newer.cache_creation or older.cache_creation,
        newer.service_tier or older.service_tier,
    )


def _either(newer: Number, older: Number) -> Number:
    return older if newer is None else newer


def usage_of(usage: Usage | None) -> TokenUsage | None:
    """The usage in our terms; None when it is missing or all zero, for an answer costs something.

    Anthropic counts cache reads and writes outside `input_tokens`, what is kept an hour inside the writes
    (platform.claude.com/docs, prompt caching; as known in 2026-11), thinking inside `output_tokens`.
    """
    if usage is None:
        return None
    read, written = count(usage.cache_read_input_tokens), count(usage.cache_creation_input_tokens)
    fresh, output = count(usage.input_tokens), count(usage.output_tokens)
    if not (fresh or output or read or written):
        return None
    details = usage.output_tokens_details
    thinking = count(details.thinking_tokens) if details is not None else 0
    for_an_hour = count(usage.cache_creation.ephemeral_1h_input_tokens) if usage.cache_creation is not None else 0
    return TokenUsage(
        fresh,
        output,
        read,
        written,
        min(thinking, output),
        cache_write_1h_tokens=min(for_an_hour, written),
        tier=tier_of(usage.service_tier) if usage.service_tier else "",
    )


def usage_fields(usage: TokenUsage) -> dict[str, Any]:
    """The usage in Anthropic's terms, the reverse of `usage_of`."""
    fields: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        fields["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return fields

"""Pass-through of Anthropic messages: the client's body with our model, the vendor's bytes back untouched.

`Tap.feed` runs once per piece of every stream: the usual piece - one named event - is decoded into
one struct and handed on as the same object.
"""

from __future__ import annotations

import re

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects import json_text
from atp_engine.dialects.anthropic_wire import Block, Delta, Event, Usage, decode_event, decode_reply, merged, usage_of
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.seals import is_marked
from atp_engine.dialects.sse import SseEvent, events, frame
from atp_engine.dialects.text_tail import TAIL_CHARS


class _Seal(msgspec.Struct, gc=False):
    type: str = ""
    signature: str | None = None


_Turn = dict[str, msgspec.Raw]
_TURNS = msgspec.json.Decoder(list[_Turn])
_BLOCKS = msgspec.json.Decoder(list[msgspec.Raw])
_SEAL = msgspec.json.Decoder(_Seal)
_ARRAY = ord("[")
_BLOCK = msgspec.json.Decoder(dict[str, msgspec.Raw])
_UNSEALED = re.compile(rb'"encrypted_index"\s*:\s*""')
_DELTA = b"event: content_block_delta"
_STOP_EVENT = frame(b'{"type":"message_stop"}', b"message_stop")


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Takes out thinking blocks without Anthropic's signature, and citations without its seal: another vendor's
    answers are in the history, and Anthropic refuses the whole request for them. Else nothing."""
    if _UNSEALED.search(fields["messages"]) is not None:
        _take_out_citations(fields)
    if not facts.has_unsigned_thinking:
        return
    kept: list[_Turn] = []
    for turn in _TURNS.decode(fields["messages"]):
        content = turn["content"]
        if memoryview(content)[0] == _ARRAY:
            blocks = [block for block in _BLOCKS.decode(content) if not _is_unsigned(block)]
            if not blocks:
                continue
            kept.append({**turn, "content": msgspec.Raw(msgspec.json.encode(blocks))})
        else:
            kept.append(turn)
    fields["messages"] = msgspec.Raw(msgspec.json.encode(kept))


def _take_out_citations(fields: dict[str, msgspec.Raw]) -> None:
    """Other vendors' citations have no seal of Anthropic's search, and it would refuse the request for them."""
    turns = json_text.decode(_TURNS, bytes(fields["messages"]))
    for turn in turns:
        content = turn["content"]
        if memoryview(content)[0] != _ARRAY:
            continue
        blocks = [json_text.decode(_BLOCK, bytes(block)) for block in _BLOCKS.decode(content)]
        for block in blocks:
            cited = block.get("citations")
            if cited is not None and memoryview(cited)[0] == _ARRAY:
                kept = [one for one in _BLOCKS.decode(cited) if _UNSEALED.search(one) is None]
                block["citations"] = msgspec.Raw(msgspec.json.encode(kept or None))
        turn["content"] = msgspec.Raw(msgspec.json.encode(blocks))
    fields["messages"] = msgspec.Raw(msgspec.json.encode(turns))


def _is_unsigned(block: msgspec.Raw) -> bool:
    seal = json_text.decode(_SEAL, bytes(block))
    return seal.type == "thinking" and (not seal.signature or is_marked(seal.signature))


def read_reply(body: bytes) -> Reply:
    """A whole message, its bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    message = decode_reply(body)
    text, other = "", 0
    for block in message.content or ():
        if block.type == "text":
            text += block.text or ""
        elif block.type == "tool_use":
            other += len(block.name or "") + len(bytes(block.input))
        else:
            other += len(block.thinking or "")
    return Reply(
        body=body,
        usage=usage_of(message.usage),
        finish_reason=message.stop_reason or "",
        model=message.model or "",
        text=text[:TAIL_CHARS],
        output_chars=len(text) + other,
    )


def tap(facts: RequestFacts) -> StreamTap:
    """A fresh tap for one stream."""
    return _Tap(facts)


class _Tap(EventTap):
    """`usage` is the prompt's share from `message_start` on and the whole once `message_delta` came."""

    __slots__ = ("_has_started", "_usage")

    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts)
        self._usage: Usage | None = None
        self._has_started = False

    def _block(self, block: bytes) -> bytes:
        if block[:7] == b"event: " and block[7:11] != b"ping":
            line = block.find(b"\n")
            if block[line : line + 8] == b"\ndata: {" and block.find(b"\n", line + 7) == len(block) - 2:
                events_before = self.content_events
                if not self._read(block[line + 7 : -2]):
                    return b""
                if self._lessons and self.content_events > events_before and block.isascii():
                    self._learn_from(block, line + 7)
                return block
        return self._events(events(block))

    def _take(self, event: SseEvent) -> bytes:
        if not event.data or event.name == b"ping" or self._read(event.data):
            return event.raw
        return b""

    def _last(self) -> bytes:
        return _STOP_EVENT

    def _read(self, payload: bytes) -> bool:
        """Takes in one event's data; true when the client gets it."""
        try:
            event = decode_event(payload)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not one of Anthropic's.")
            return False
        kind, delta = event.type, event.delta
        if kind == "content_block_delta":
            if delta is not None:
                if delta.text:
                    self._tail.add(delta.text)
                    self._count(len(delta.text))
                else:
                    self._count_other(delta)
        elif kind == "error":
            self.error = fault_from_event(Dialect.ANTHROPIC, payload)
            return False
        elif kind == "content_block_start":
            self._open(event.content_block)
        elif kind in ("message_start", "message_delta"):
            self._take_message(event)
        elif kind == "message_stop":
            self._end()
        return self.error is None

    def _learn_from(self, block: bytes, start: int) -> None:
        """Learns a delta of a text."""
        delta = decode_event(block[start:-2]).delta if block.startswith(_DELTA) and b"\\" not in block else None
        if delta is not None and delta.type == "text_delta" and delta.text and not delta.stop_reason:
            self._learn(block, b'"text"', delta.text)

    def _count_other(self, delta: Delta) -> None:
        """Thinking, its signature, a tool's input, citations; an empty fragment is no content."""
        chars = len(delta.thinking or "") + len(delta.partial_json or "")
        if chars or delta.signature or delta.type not in ("text_delta", "thinking_delta", "input_json_delta"):
            self._count(chars)

    def _open(self, block: Block | None) -> None:
        """The start of a tool call or of a server's own result is content; that of a text is not yet."""
        if block is None:
            return
        chars = len(block.text or "") + len(block.thinking or "") + len(block.name or "")
        if chars or block.type not in ("text", "thinking"):
            self._tail.add(block.text or "")
            self._count(chars)

    def _take_message(self, event: Event) -> None:
        if event.message is not None:
            self._has_started = True
            self.model = event.message.model or self.model
            self._usage = merged(self._usage, event.message.usage)
        if event.delta is not None and event.delta.stop_reason:
            self.finish_reason = event.delta.stop_reason
        self._usage = merged(self._usage, event.usage)
        self.usage = usage_of(self._usage)

    def _end(self) -> None:
        if self._has_started and (self.has_content or self.finish_reason):
            self.is_complete = True
        else:
            self.error = BadUpstreamReply("The provider's stream ended without an answer.")

"""Anthropic answers to and from `ir`, whole and streamed.

The encoder writes the event order that the SDKs build a message from: `message_start`, then for each
block in turn start, deltas and stop, then `message_delta` with reason and usage, then `message_stop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError
from atp_engine.core.types import NO_USAGE, Dialect, TokenUsage
from atp_engine.dialects import ir, json_text, text_marks
from atp_engine.dialects.anthropic_wire import (
    NULL,
    Block,
    Delta,
    Event,
    Usage,
    decode_event,
    merged,
    usage_fields,
    usage_of,
)
from atp_engine.dialects.anthropic_wire import decode_reply as decode_wire
from atp_engine.dialects.codec import StreamDecoder, StreamEncoder
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.sse import SseEvent, frame

FINISH: Mapping[ir.FinishReason, str] = MappingProxyType(
    {
        ir.FinishReason.STOP: "end_turn",
        ir.FinishReason.STOP_SEQUENCE: "stop_sequence",
        ir.FinishReason.LENGTH: "max_tokens",
        ir.FinishReason.CONTEXT_FULL: "model_context_window_exceeded",
        ir.FinishReason.TOOL_CALLS: "tool_use",
        ir.FinishReason.CONTENT_FILTER: "refusal",
        ir.FinishReason.REFUSAL: "refusal",
        ir.FinishReason.PAUSE: "pause_turn",
    }
)
_REASONS: Mapping[str, ir.FinishReason] = MappingProxyType(
    {word: reason for reason, word in FINISH.items() if reason is not ir.FinishReason.CONTENT_FILTER}
)
_ID_LEAD = "msg_"
_EMPTY_INPUT = b"{}"
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode_reply(body: bytes) -> ir.ChatResult:
    """A whole message. Raises BadUpstreamReply, or the error that a 200 holds."""
    message = decode_wire(body)
    parts: list[ir.Part] = []
    dropped: dict[str, None] = {}
    chars = 0
    for block in message.content or ():
        if block.type == "text":
            parts.append(_text(block, chars, dropped))
            chars += len(block.text or "")
        elif block.type == "thinking":
            parts.append(ir.Reasoning(block.thinking or "", block.signature or ""))
        elif block.type == "redacted_thinking":
            parts.append(ir.Reasoning("", block.data or "", is_redacted=True))
        elif block.type == "tool_use":
            parts.append(ir.ToolCall(block.id or "", block.name or "", _input(block).decode()))
        else:
            dropped[f"content[].{block.type}"[:80]] = None
    return ir.ChatResult(
        id=message.id or "",
        model=message.model or "",
        parts=tuple(parts),
        finish_reason=_REASONS.get(message.stop_reason or "", ir.FinishReason.STOP),
        usage=usage_of(message.usage),
        stop_sequence=message.stop_sequence or "",
        dropped_fields=tuple(dropped),
    )


def _text(block: Block, start: int, dropped: dict[str, None]) -> ir.Text:
    """A text block with its citations, which count for the whole of it; `start` is its place in the answer."""
    text = block.text or ""
    found = [text_marks.citation(raw) for raw in block.citations or ()]
    cited = [msgspec.structs.replace(one, start=start, end=start + len(text)) for one in found if one is not None]
    if len(cited) < len(found):
        dropped["content[].citations"] = None
    return ir.Text(text, citations=tuple(cited))


def _input(block: Block) -> bytes:
    raw = bytes(block.input)
    return _EMPTY_INPUT if raw == b"null" else raw


def _message(id: str, model: str, usage: TokenUsage) -> dict[str, Any]:
    return {
        "id": id if id.startswith(_ID_LEAD) else _ID_LEAD + id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage_fields(usage),
    }


def encode_reply(result: ir.ChatResult) -> bytes:
    """The answer as a message; missing usage is told as zero, as the field must be there."""
    message = _message(result.id, result.model, result.usage or NO_USAGE)
    message["content"] = [block for part in result.parts for block in _blocks(part)]
    message["stop_reason"] = FINISH[result.finish_reason]
    message["stop_sequence"] = result.stop_sequence or None
    return msgspec.json.encode(message)


def _blocks(part: ir.Part) -> list[dict[str, Any]]:
    match part:
        case ir.Text(text, _, citations) if citations:
            told = [text_marks.anthropic_citation(cited) for cited in citations]
            return [{"type": "text", "text": text, "citations": told}]
        case ir.Text(text) | ir.Refusal(text):
            return [{"type": "text", "text": text}] if text else []
        case ir.Reasoning(text, signature, is_redacted):
            if is_redacted:
                return [{"type": "redacted_thinking", "data": signature}]
            return [{"type": "thinking", "thinking": text, "signature": signature}]
        case ir.ToolCall(id, name, arguments):
            return [{"type": "tool_use", "id": id, "name": name, "input": _arguments(arguments)}]
    return []


def _arguments(text: str) -> msgspec.Raw | dict[str, str]:
    """A call's arguments as an object; a model's broken JSON is told as `invalid_json`."""
    encoded = text.strip().encode() or _EMPTY_INPUT
    try:
        json_text.decode(_OBJECT, encoded)
    except ValueError:
        return {"invalid_json": text}
    return msgspec.Raw(json_text.without_lone_surrogates(encoded))


def stream_encoder(*, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of events; the dialect always tells usage."""
    return _Encoder()


class _Encoder:
    """One block is open at a time: a fragment for an older tool call has no place any more."""

    __slots__ = ("_call", "_index", "_kind", "_reason", "_stop_sequence", "_usage")

    def __init__(self) -> None:
        self._index = -1
        self._kind = ""
        self._call = -1
        self._usage = NO_USAGE
        self._reason = ir.FinishReason.STOP
        self._stop_sequence = ""

    def encode(self, event: ir.StreamEvent) -> bytes:
        """See `StreamEncoder.encode`. Raises BadUpstreamReply when fragments of two calls are mixed."""
        match event:
            case ir.TextDelta(text) | ir.RefusalDelta(text):
                return self._in("text", {"type": "text", "text": ""}) + self._delta(
                    {"type": "text_delta", "text": text}
                )
            case ir.Cited(citation):
                told = text_marks.anthropic_citation(citation)
                opened = self._in("text", {"type": "text", "text": ""})
                return opened + self._delta({"type": "citations_delta", "citation": told})
            case ir.ReasoningDelta(text, signature, is_redacted):
                return self._reasoning(text, signature, is_redacted)
            case ir.ToolCallStarted(index, id, name):
                self._call = index
                return self._close() + self._open("tool_use", {"type": "tool_use", "id": id, "name": name, "input": {}})
            case ir.ToolCallDelta(index, arguments):
                if index != self._call or self._kind != "tool_use":
                    raise BadUpstreamReply("The provider's stream mixes fragments of two tool calls.")
                return self._delta({"type": "input_json_delta", "partial_json": arguments})
            case ir.Started(id, model, _, usage):
                self._usage = usage or NO_USAGE
                return _frame({"type": "message_start", "message": _message(id, model, self._usage)})
            case ir.UsageReported(usage):
                self._usage = usage
                return b""
            case ir.Stopped(reason, stop_sequence):
                self._reason, self._stop_sequence = reason, stop_sequence
                return self._close()
            case ir.Ended():
                return self._end()

    def _reasoning(self, text: str, signature: str, is_redacted: bool) -> bytes:
        if is_redacted:
            return self._close() + self._open("", {"type": "redacted_thinking", "data": signature}) + self._close()
        written = self._in("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        if text:
            written += self._delta({"type": "thinking_delta", "thinking": text})
        if signature:
            written += self._delta({"type": "signature_delta", "signature": signature})
        return written

    def _in(self, kind: str, block: dict[str, Any]) -> bytes:
        """Makes a block of `kind` the open one."""
        return b"" if self._kind == kind else self._close() + self._open(kind, block)

    def _open(self, kind: str, block: dict[str, Any]) -> bytes:
        self._kind = kind or str(block["type"])
        self._index += 1
        return _frame({"type": "content_block_start", "index": self._index, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _frame({"type": "content_block_delta", "index": self._index, "delta": delta})

    def _close(self) -> bytes:
        if not self._kind:
            return b""
        self._kind = ""
        return _frame({"type": "content_block_stop", "index": self._index})

    def _end(self) -> bytes:
        delta = {"stop_reason": FINISH[self._reason], "stop_sequence": self._stop_sequence or None}
        changed = {"type": "message_delta", "delta": delta, "usage": usage_fields(self._usage)}
        return self._close() + _frame(changed) + _frame({"type": "message_stop"})


def _frame(event: dict[str, Any]) -> bytes:
    return frame(msgspec.json.encode(event), str(event["type"]).encode())


def stream_decoder(request_id: str) -> StreamDecoder:
    """A fresh reader of events; `request_id` stands in for a missing message id."""
    return _Decoder(request_id)


class _Decoder:
    __slots__ = (
        "_calls",
        "_chars",
        "_empty",
        "_has_started",
        "_has_stopped",
        "_request_id",
        "_start",
        "_usage",
        "error",
        "is_ended",
    )

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._has_started = False
        self._has_stopped = False
        self._usage: Usage | None = None
        self._calls: dict[int, int] = {}
        self._empty: set[int] = set()
        self._chars = 0
        self._start = 0
        self.error: UpstreamError | None = None
        self.is_ended = False

    def decode(self, event: SseEvent) -> list[ir.StreamEvent]:
        """See `StreamDecoder.decode`."""
        if not event.data or event.name == b"ping":
            return []
        try:
            change = decode_event(event.data)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not one of Anthropic's.")
            return []
        if not self._has_started and change.type.startswith("content_block"):
            self.error = BadUpstreamReply("The provider's stream holds content before its message began.")
            return []
        match change.type:
            case "content_block_delta":
                return self._delta(change.index, change.delta or Delta())
            case "content_block_start":
                return self._open(change.index, change.content_block or Block())
            case "content_block_stop":
                return self._close(change.index)
            case "message_start" | "message_delta":
                return self._take_message(change)
            case "message_stop":
                return self._end()
            case "error":
                self.error = fault_from_event(Dialect.ANTHROPIC, event.data)
        return []

    def finish(self) -> list[ir.StreamEvent]:
        """See `StreamDecoder.finish`."""
        if self._has_stopped:
            return self._end()
        self.error = StreamBroken("The provider's stream ended before the answer was complete.")
        return []

    def _end(self) -> list[ir.StreamEvent]:
        if not self._has_started:
            self.error = BadUpstreamReply("The provider's stream ended without an answer.")
            return []
        self.is_ended = True
        return [ir.Ended()] if self._has_stopped else [ir.Stopped(ir.FinishReason.STOP), ir.Ended()]

    def _take_message(self, change: Event) -> list[ir.StreamEvent]:
        found: list[ir.StreamEvent] = []
        if change.message is not None:
            self._has_started = True
            self._usage = merged(self._usage, change.message.usage)
            message_id = change.message.id or self._request_id
            found.append(ir.Started(message_id, change.message.model or "", usage=usage_of(self._usage)))
        if change.usage is not None:
            self._usage = merged(self._usage, change.usage)
            if (usage := usage_of(self._usage)) is not None:
                found.append(ir.UsageReported(usage))
        if change.delta is not None and change.delta.stop_reason and not self._has_stopped:
            self._has_stopped = True
            reason = _REASONS.get(change.delta.stop_reason, ir.FinishReason.STOP)
            found.append(ir.Stopped(reason, change.delta.stop_sequence or ""))
        return found

    def _open(self, index: int, block: Block) -> list[ir.StreamEvent]:
        match block.type:
            case "text":
                self._start = self._chars
                self._chars += len(block.text or "")
                return [ir.TextDelta(block.text)] if block.text else []
            case "thinking":
                return [ir.ReasoningDelta(block.thinking)] if block.thinking else []
            case "redacted_thinking":
                return [ir.ReasoningDelta(signature=block.data or "", is_redacted=True)]
            case "tool_use":
                place = len(self._calls)
                self._calls[index] = place
                started = ir.ToolCallStarted(place, block.id or f"toolu_{self._request_id}_{place}", block.name or "")
                whole = _input(block)
                if whole != _EMPTY_INPUT:
                    return [started, ir.ToolCallDelta(place, whole.decode())]
                self._empty.add(index)
                return [started]
        return []

    def _delta(self, index: int, delta: Delta) -> list[ir.StreamEvent]:
        if delta.text:
            self._chars += len(delta.text)
            return [ir.TextDelta(delta.text)]
        if delta.citation is not NULL:
            cited = text_marks.citation(delta.citation)
            whole = msgspec.structs.replace(cited, start=self._start, end=self._chars) if cited is not None else None
            return [] if whole is None else [ir.Cited(whole)]
        if delta.thinking or delta.signature:
            return [ir.ReasoningDelta(delta.thinking or "", delta.signature or "")]
        place = self._calls.get(index)
        if delta.partial_json and place is not None:
            self._empty.discard(index)
            return [ir.ToolCallDelta(place, delta.partial_json)]
        return []

    def _close(self, index: int) -> list[ir.StreamEvent]:
        """A call that ends without any input has the empty object, which other dialects write out."""
        if index not in self._empty:
            return []
        self._empty.discard(index)
        return [ir.ToolCallDelta(self._calls[index], "{}")]

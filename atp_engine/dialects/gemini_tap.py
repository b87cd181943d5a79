"""Pass-through of Gemini: the client's body without our members, the vendor's bytes back untouched.

A stream has no terminal event: it is whole when every candidate has its `finishReason` and the body
ended in an orderly way.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.gemini_encode import SKIP_CHECK
from atp_engine.dialects.gemini_seals import is_foreign_to_gemini
from atp_engine.dialects.gemini_wire import (
    Answer,
    Candidate,
    decode_answer,
    decode_reply,
    has_error,
    is_content,
    part_chars,
    usage_of,
)
from atp_engine.dialects.sse import SseEvent
from atp_engine.dialects.text_tail import TAIL_CHARS

_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_SIGNATURES = ("thoughtSignature", "thought_signature")
_CALLS = ("functionCall", "function_call")
_MOST_CANDIDATES = 128


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Takes out what stands in the path, and signatures of other vendors' thoughts from earlier turns."""
    fields.pop("model", None)
    fields.pop("stream", None)
    if facts.has_unsigned_thinking:
        contents = _ANY.decode(fields["contents"])
        for content in contents if isinstance(contents, list) else [contents]:
            parts = content.get("parts")
            for part in parts if isinstance(parts, list) else [parts]:
                if isinstance(part, dict):
                    _unsign(part)
        fields["contents"] = msgspec.Raw(msgspec.json.encode(contents))


def _unsign(part: dict[str, Any]) -> None:
    for name in _SIGNATURES:
        signature = part.get(name)
        if isinstance(signature, str) and is_foreign_to_gemini(signature):
            del part[name]
            if any(call in part for call in _CALLS):
                part["thoughtSignature"] = SKIP_CHECK


def read_reply(body: bytes) -> Reply:
    """A whole answer, its bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer = decode_reply(body)
    candidate = answer.candidates[0] if answer.candidates else Candidate(finish_reason=answer.block_reason)
    parts = (candidate.content.parts if candidate.content else None) or ()
    return Reply(
        body=body,
        usage=usage_of(answer.usage_metadata),
        finish_reason=candidate.finish_reason or "",
        model=answer.model_version or "",
        text="".join(part.text or "" for part in parts if not part.thought)[:TAIL_CHARS],
        output_chars=sum(part_chars(part) for part in parts),
    )


def tap(facts: RequestFacts) -> StreamTap:
    """A fresh tap for one stream."""
    return _Tap(facts)


class _Tap(EventTap):
    __slots__ = ("_open",)

    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts)
        self._open: set[int] = set()

    def _take(self, event: SseEvent) -> bytes:
        if event.data is None or not event.data.strip():
            return event.raw
        try:
            answer = decode_answer(event.data)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not one of Gemini's.")
            return b""
        if has_error(answer):
            self.error = fault_from_event(Dialect.GEMINI, event.data)
            return b""
        self._read(answer)
        return event.raw

    def _read(self, answer: Answer) -> None:
        self.model = self.model or answer.model_version or ""
        self.usage = usage_of(answer.usage_metadata) or self.usage
        self.finish_reason = answer.block_reason or self.finish_reason
        for candidate in answer.candidates or ():
            index = candidate.index or 0
            if candidate.finish_reason:
                self._open.discard(index)
                if not index or not self.finish_reason:
                    self.finish_reason = candidate.finish_reason
            elif 0 <= index < _MOST_CANDIDATES:
                self._open.add(index)
            for part in (candidate.content.parts if candidate.content else None) or ():
                if is_content(part):
                    self._count(part_chars(part))
                    if part.text and not part.thought:
                        self._tail.add(part.text)

    def _has_stopped(self) -> bool:
        return bool(self.finish_reason) and not self._open

    def _last(self) -> bytes:
        return b""

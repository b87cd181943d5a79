"""Pass-through of Ollama's chat: the client's body with our model, the server's lines back untouched."""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.framing import NDJSON
from atp_engine.dialects.ollama_wire import decode_answer, decode_reply, has_error, message_chars, usage_of
from atp_engine.dialects.sse import SseEvent
from atp_engine.dialects.text_tail import TAIL_CHARS


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Nothing: every answer reports its usage."""


def read_reply(body: bytes) -> Reply:
    """A whole answer, its bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer, message = decode_reply(body)
    return Reply(
        body=body,
        usage=usage_of(answer),
        finish_reason=answer.done_reason or "",
        model=answer.model or "",
        text=(message.content or "")[:TAIL_CHARS],
        output_chars=message_chars(message),
    )


def tap(facts: RequestFacts) -> StreamTap:
    """A fresh tap for one stream."""
    return _Tap(facts)


class _Tap(EventTap):
    __slots__ = ()

    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts, NDJSON)

    def _take(self, event: SseEvent) -> bytes:
        if event.data is None:
            return b""
        try:
            answer = decode_answer(event.data)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds a line that is not one of Ollama's.")
            return b""
        if has_error(answer):
            self.error = fault_from_event(Dialect.OLLAMA, event.data)
            return b""
        self.model = self.model or answer.model or ""
        message = answer.message
        if message is not None and (message.content or message.thinking or message.tool_calls):
            self._count(message_chars(message))
            if message.content:
                self._tail.add(message.content)
        if answer.done:
            self.usage = usage_of(answer)
            self.finish_reason = answer.done_reason or "stop"
            self.is_complete = True
        return event.raw

    def _last(self) -> bytes:
        return b""

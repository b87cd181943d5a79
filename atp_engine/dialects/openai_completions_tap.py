"""Pass-through of legacy completions: the client's body with our model, the vendor's bytes back untouched."""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import BadUpstreamReply, UpstreamError
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects import json_text, openai_chat_tap
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.openai_chat_wire import Usage, usage_of
from atp_engine.dialects.sse import SseEvent
from atp_engine.dialects.text_tail import TAIL_CHARS

_NULL = msgspec.Raw(b"null")
_DONE_EVENT = b"data: [DONE]\n\n"


class _Choice(msgspec.Struct, gc=False):
    text: str | None = ""
    finish_reason: str | None = None


class _Answer(msgspec.Struct, gc=False):
    choices: list[_Choice] | None = None
    model: str | None = ""
    usage: Usage | None = None
    error: msgspec.Raw = _NULL
    service_tier: str | None = None


_ANSWER = msgspec.json.Decoder(_Answer)


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Makes a stream report its usage, as in a chat."""
    openai_chat_tap.adjust(fields, facts)


def read_reply(body: bytes) -> Reply:
    """A whole answer, its bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer = _read(body)
    if not answer.choices:
        raise BadUpstreamReply("The provider's answer holds no choice.")
    text = "".join([choice.text or "" for choice in answer.choices])
    return Reply(
        body=body,
        usage=usage_of(answer.usage, answer.service_tier),
        finish_reason=answer.choices[0].finish_reason or "",
        model=answer.model or "",
        text=text[:TAIL_CHARS],
        output_chars=len(text),
    )


def _read(body: bytes) -> _Answer:
    try:
        answer = json_text.decode(_ANSWER, body)
    except ValueError:
        raise BadUpstreamReply("The provider's answer is not a text completion.") from None
    if bytes(answer.error) not in (b"null", b"{}", b'""'):
        raise fault_from_event(Dialect.OPENAI_COMPLETIONS, body)
    return answer


def tap(facts: RequestFacts) -> StreamTap:
    """A fresh tap for one stream."""
    return _Tap(facts)


class _Tap(EventTap):
    __slots__ = ()

    def _take(self, event: SseEvent) -> bytes:
        if event.data is None:
            return event.raw
        payload = event.data.strip()
        if payload == b"[DONE]":
            if not self.has_content and not self.finish_reason:
                self.error = BadUpstreamReply("The provider's stream ended without an answer.")
                return b""
            self.is_complete = True
            return event.raw
        if event.name == b"error":
            self.error = fault_from_event(Dialect.OPENAI_COMPLETIONS, payload)
            return b""
        return event.raw if payload and self._chunk(payload) else b""

    def _chunk(self, payload: bytes) -> bool:
        """Takes in one chunk; true when the client gets it."""
        try:
            answer = _read(payload)
        except UpstreamError as error:
            self.error = error
            return False
        self.model = self.model or answer.model or ""
        if answer.usage is not None:
            self.usage = usage_of(answer.usage, answer.service_tier) or self.usage
        if not answer.choices:
            return answer.usage is None or self._facts.wants_usage
        for choice in answer.choices:
            self.finish_reason = choice.finish_reason or self.finish_reason
            if choice.text:
                self._tail.add(choice.text)
                self._count(len(choice.text))
        return True

    def _last(self) -> bytes:
        return _DONE_EVENT

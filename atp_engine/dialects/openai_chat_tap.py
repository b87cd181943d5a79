"""Pass-through of OpenAI chat: the client's body with our model, the vendor's bytes back untouched.

`Tap.feed` runs once per piece of every stream: the usual piece - one `data:` event - is decoded into
one struct and handed on as the same object.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import BadUpstreamReply, StreamBroken
from atp_engine.core.types import Dialect, RequestFacts
from atp_engine.dialects import json_text
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.openai_chat_wire import (
    ANSWER,
    NULL,
    Answer,
    Message,
    content_chars,
    decode_answer,
    decode_reply,
    has_error,
    text_of,
    usage_fields,
    usage_of,
)
from atp_engine.dialects.sse import SseEvent, events, frame
from atp_engine.dialects.text_tail import TAIL_CHARS

_decode = ANSWER.decode
_DONE = b"[DONE]"
_NO_CONTENT = frozenset({b"ping", b"heartbeat", b"keepalive"})
"""Events of that name carry nothing, and OpenAI's SDKs would take them for chunks: not handed on."""
_DONE_EVENT = b"data: [DONE]\n\n"
_WITH_USAGE = msgspec.Raw(b'{"include_usage":true}')
_TRUE = msgspec.Raw(b"true")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Makes a stream report its usage; the client's other stream options stay."""
    if not facts.is_stream or facts.wants_usage:
        return
    options = fields.get("stream_options", NULL)
    if bytes(options) == b"null":
        fields["stream_options"] = _WITH_USAGE
        return
    inner = _FIELDS.decode(options)
    inner["include_usage"] = _TRUE
    fields["stream_options"] = msgspec.Raw(msgspec.json.encode(inner))


def read_reply(body: bytes) -> Reply:
    """A whole answer, its bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer, choice, message = decode_reply(body)
    text = text_of(message.content)
    return Reply(
        body,
        usage_of(answer.usage, answer.service_tier),
        choice.finish_reason or "",
        answer.model or "",
        (text or message.refusal or "")[:TAIL_CHARS],
        (),
        content_chars(message, text),
    )


def tap(facts: RequestFacts) -> StreamTap:
    """A fresh tap for one stream."""
    return _Tap(facts)


class _Tap(EventTap):
    __slots__ = ("_newest", "_open")

    def __init__(self, facts: RequestFacts) -> None:
        super().__init__(facts)
        self._newest = b""
        self._open: set[int] = set()

    def _block(self, block: bytes) -> bytes:
        if block[:7] == b"data: {" and block.find(b"\n") == len(block) - 2:
            events_before = self.content_events
            if not self._read(block[6:-2]):
                return b""
            if self._lessons and self.content_events > events_before:
                self._learn_from(block)
            return block
        return self._events(events(block))

    def _take(self, event: SseEvent) -> bytes:
        if event.data is None:
            return event.raw
        payload = event.data.strip()
        if payload == _DONE:
            return self._end(event.raw)
        if event.name == b"error":
            self.error = fault_from_event(Dialect.OPENAI_CHAT, payload)
            return b""
        return event.raw if payload and event.name not in _NO_CONTENT and self._read(payload) else b""

    def _read(self, payload: bytes) -> bool:
        """Takes in one chunk; true when the client gets it."""
        try:
            answer: Answer | None = _decode(payload) if payload.isascii() else decode_answer(payload)
        except (ValueError, RecursionError):
            answer = self._read_odd(payload)
        if answer is None:
            return False
        if answer.error is not NULL and has_error(answer):
            self.error = fault_from_event(Dialect.OPENAI_CHAT, payload)
            return False
        if not self.model and answer.model:
            self.model = answer.model
        if answer.usage is not None:
            self.usage = usage_of(answer.usage, answer.service_tier) or self.usage
        choices = answer.choices
        if not choices:
            return answer.usage is None or self._facts.wants_usage
        self._newest = payload
        for choice in choices:
            if choice.index:
                self._follow(choice.index, choice.finish_reason is not None)
            if choice.finish_reason:
                self._stop(choice.finish_reason)
            delta = choice.delta
            if delta is None:
                continue
            text = delta.content
            if type(text) is str and text:
                self._tail.add(text)
                self.has_content = True
                self.content_events += 1
                self.output_chars += len(text)
            else:
                self._count_other(delta)
        return self.error is None

    def _learn_from(self, block: bytes) -> None:
        """Learns a chunk that holds the text of one candidate and nothing else."""
        answer = _decode(block[6:-2]) if block.isascii() and b"\\" not in block else Answer()
        choice = answer.choices[0] if answer.choices and len(answer.choices) == 1 else None
        delta = choice.delta if choice is not None else None
        if choice is None or delta is None or choice.index or choice.finish_reason or answer.usage is not None:
            return
        text = text_of(delta.content)
        if text and content_chars(delta, text) == len(text) and bytes(delta.audio) == b"null":
            self._learn(block, b'"content"', text)

    def _read_odd(self, payload: bytes) -> Answer | None:
        """The second, careful reading of a chunk; None, and the error set, when that fails too."""
        try:
            return decode_answer(payload)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not a chat completion chunk.")
            return None

    def _count_other(self, delta: Message) -> None:
        """Content that is not plain text: reasoning, refusals, tool calls, audio, lists of parts."""
        text = text_of(delta.content)
        chars = content_chars(delta, text)
        if text or delta.refusal:
            self._tail.add(text or delta.refusal or "")
        if chars or delta.tool_calls or delta.function_call or delta.content or bytes(delta.audio) != b"null":
            self._count(chars)

    def _follow(self, index: int, is_finished: bool) -> None:
        """Further candidates (`n` > 1): the answer is whole when each one that began has finished."""
        if is_finished:
            self._open.discard(index)
        elif 0 <= index < 128:
            self._open.add(index)

    def _stop(self, reason: str) -> None:
        if reason == "error":  # OpenRouter, when the model behind it broke off
            self.error = StreamBroken("The provider's answer broke off.")
        self.finish_reason = reason

    def _end(self, raw: bytes) -> bytes:
        if not self.has_content and not self.finish_reason:
            self.error = BadUpstreamReply("The provider's stream ended without an answer.")
            return b""
        self.is_complete = True
        return self._made_up_usage() + raw

    def _has_stopped(self) -> bool:
        return bool(self.finish_reason) and not self._open

    def _last(self) -> bytes:
        return self._made_up_usage() + _DONE_EVENT

    def _made_up_usage(self) -> bytes:
        """The usage chunk that the client asked for and the vendor never sent, estimated."""
        if self.usage is not None or not self._facts.wants_usage:
            return b""
        self.usage = self._estimated()
        chunk = json_text.decode(_FIELDS, self._newest) if self._newest else {}
        chunk["choices"] = msgspec.Raw(b"[]")
        chunk["usage"] = msgspec.Raw(msgspec.json.encode(usage_fields(self.usage)))
        return frame(msgspec.json.encode(chunk))

"""Pass-through of OpenAI Responses: the client's body with our model, the vendor's bytes back untouched.

`Tap.feed` runs once per piece of every stream: the usual piece - one named event - is decoded into
one struct and handed on as the same object.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import BadUpstreamReply
from atp_engine.core.types import RequestFacts
from atp_engine.dialects import json_text
from atp_engine.dialects.bridge import Reply, StreamTap
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.openai_responses_answers import BUILT_UPON
from atp_engine.dialects.openai_responses_wire import (
    Event,
    arguments_of,
    decode_answer,
    decode_event,
    fault_of,
    thought_of,
    usage_of,
)
from atp_engine.dialects.seals import is_marked
from atp_engine.dialects.sse import SseEvent, events
from atp_engine.dialects.text_tail import TAIL_CHARS


class _Seal(msgspec.Struct, gc=False):
    type: str = ""
    encrypted_content: str | None = None


_ITEMS = msgspec.json.Decoder(list[msgspec.Raw])
_SEAL = msgspec.json.Decoder(_Seal)
_TEXTS = frozenset({"response.output_text.delta", "response.refusal.delta"})
_OTHERS = frozenset(
    {
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
    }
)


def adjust(fields: dict[str, msgspec.Raw], facts: RequestFacts) -> None:
    """Takes out reasoning that another vendor sealed, for which this one refuses the whole request."""
    fields.pop(BUILT_UPON, None)
    if facts.has_unsigned_thinking:
        kept = [item for item in _ITEMS.decode(fields["input"]) if not _is_foreign(item)]
        fields["input"] = msgspec.Raw(msgspec.json.encode(kept))


def _is_foreign(item: msgspec.Raw) -> bool:
    seal = json_text.decode(_SEAL, bytes(item))
    return seal.type == "reasoning" and is_marked(seal.encrypted_content or "")


def read_reply(body: bytes) -> Reply:
    """A whole response, its bytes kept. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer = decode_answer(body)
    text, other = "", 0
    for item in answer.output or ():
        if item.type == "message":
            text += "".join([part.text or part.refusal or "" for part in item.content or ()])
        elif item.type == "reasoning":
            other += len(thought_of(item))
        else:
            other += len(item.name or "") + len(arguments_of(item.arguments))
    return Reply(
        body=body,
        usage=usage_of(answer.usage, answer.service_tier),
        finish_reason=(answer.incomplete_details.reason if answer.incomplete_details else "") or answer.status or "",
        model=answer.model or "",
        text=text[:TAIL_CHARS],
        output_chars=len(text) + other,
    )


def tap(facts: RequestFacts) -> StreamTap:
    """A fresh tap for one stream."""
    return _Tap(facts)


class _Tap(EventTap):
    __slots__ = ()

    def _block(self, block: bytes) -> bytes:
        if block[:7] == b"event: ":
            line = block.find(b"\n")
            if block[line : line + 8] == b"\ndata: {" and block.find(b"\n", line + 7) == len(block) - 2:
                return block if self._read(block[line + 7 : -2]) else b""
        return self._events(events(block))

    def _take(self, event: SseEvent) -> bytes:
        if not event.data or event.name == b"ping":
            return event.raw
        payload = event.data.strip()
        return event.raw if not payload or payload == b"[DONE]" or self._read(payload) else b""

    def _last(self) -> bytes:
        return b""

    def _has_stopped(self) -> bool:
        """Only the terminal event tells that an answer is whole."""
        return False

    def _read(self, payload: bytes) -> bool:
        """Takes in one event's data; true when the client gets it."""
        try:
            event = decode_event(payload)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not one of Responses.")
            return False
        kind = event.type
        if kind in _TEXTS:
            if isinstance(event.delta, str) and event.delta:
                self._tail.add(event.delta)
                self._count(len(event.delta))
        elif kind in _OTHERS:
            if isinstance(event.delta, str) and event.delta:
                self._count(len(event.delta))
        elif kind == "response.output_item.added":
            item = event.item
            if item is not None and item.type not in ("message", "reasoning"):
                self._count(len(item.name or ""))
        elif kind in ("error", "response.failed", "response.cancelled"):
            self.error = fault_of(event, payload)
            return False
        else:
            self._follow(kind, event)
        return True

    def _follow(self, kind: str, event: Event) -> None:
        """The events that hold the response: its model as it begins, its usage at its end."""
        answer = event.response
        if answer is None:
            return
        self.model = answer.model or self.model
        if kind in ("response.completed", "response.incomplete"):
            self.usage = usage_of(answer.usage, answer.service_tier)
            reason = answer.incomplete_details.reason if answer.incomplete_details else ""
            self.finish_reason = reason or answer.status or kind.removeprefix("response.")
            self.is_complete = True

"""OpenAI Responses streams to and from `ir`.

The encoder writes the event order that the SDKs build a response from: `response.created`,
`response.in_progress`, for each item added, its parts and deltas, done, then `response.completed` or
`response.incomplete` with the whole response; `sequence_number` counts all of them from 0. Several
calls may be open at once, as each fragment names its item.
"""

from __future__ import annotations

from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError
from atp_engine.core.types import NO_USAGE
from atp_engine.dialects import ir, text_marks
from atp_engine.dialects.codec import StreamDecoder, StreamEncoder
from atp_engine.dialects.openai_responses_answers import (
    finished,
    message_item,
    reason_of,
    reasoning_item,
    refusal_part,
    response_head,
    sealed_content,
    status_of,
    suffix_of,
    text_part,
    thinking_of,
)
from atp_engine.dialects.openai_responses_tools import Own, call_item, call_lead, own_names
from atp_engine.dialects.openai_responses_wire import (
    Answer,
    Event,
    Item,
    arguments_of,
    decode_event,
    fault_of,
    thought_of,
    usage_of,
)
from atp_engine.dialects.sse import SseEvent, frame


def stream_encoder(*, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of events; the dialect always tells usage."""
    return _Encoder()


class _Call:
    """A call whose arguments are still arriving."""

    __slots__ = ("call_id", "name", "output_index", "own", "pieces")

    def __init__(self, output_index: int, call_id: str, name: str, own: Own | None) -> None:
        self.output_index = output_index
        self.call_id = call_id
        self.name = name
        self.own = own
        self.pieces: list[str] = []


class _Encoder:
    """At most one message or reasoning item is open, and any number of calls."""

    __slots__ = (
        "_annotations",
        "_calls",
        "_head",
        "_items",
        "_kind",
        "_logprobs",
        "_names",
        "_number",
        "_parts",
        "_pieces",
        "_place",
        "_reason",
        "_suffix",
        "_usage",
    )

    def __init__(self) -> None:
        self._number = 0
        self._head: dict[str, Any] = {}
        self._suffix = ""
        self._items: list[dict[str, Any]] = []
        self._kind = ""
        self._place = 0
        self._parts: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        self._logprobs: list[msgspec.Raw] = []
        self._pieces: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._names: dict[str, Own] = {}
        self._usage = NO_USAGE
        self._reason = ir.FinishReason.STOP

    def encode(self, event: ir.StreamEvent) -> bytes:
        """See `StreamEncoder.encode`. Raises BadUpstreamReply for a fragment of a call that never began."""
        match event:
            case ir.TextDelta(text, logprobs):
                return self._said("text", text, logprobs)
            case ir.Cited(citation):
                return self._cited(citation)
            case ir.ReasoningDelta(text, signature, is_redacted):
                return self._reasoning(text, signature, is_redacted)
            case ir.RefusalDelta(text):
                return self._said("refusal", text)
            case ir.ToolCallStarted(index, id, name):
                return self._start_call(index, id, name)
            case ir.ToolCallDelta(index, arguments):
                return self._call_delta(index, arguments)
            case ir.Started(id, model, created, _, echo):
                self._suffix = suffix_of(id)
                self._head = response_head(id, model, created, echo)
                self._names = own_names(echo)
                return self._event("response.created", response=self._head) + self._event(
                    "response.in_progress", response=self._head
                )
            case ir.UsageReported(usage):
                self._usage = usage
                return b""
            case ir.Stopped(reason):
                self._reason = reason
                return self._close_all()
            case ir.Ended():
                whole = finished(self._head, self._items, self._reason, self._usage)
                return self._close_all() + self._event(f"response.{whole['status']}", response=whole)

    def _event(self, kind: str, **members: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **members}
        self._number += 1
        return frame(msgspec.json.encode(event), kind.encode())

    def _open(self, kind: str, item: dict[str, Any]) -> bytes:
        self._kind = kind
        self._place = len(self._items)
        self._parts, self._pieces = [], []
        self._annotations, self._logprobs = [], []
        self._items.append(item)
        return self._event("response.output_item.added", output_index=self._place, item=item)

    def _said(self, kind: str, text: str, logprobs: tuple[msgspec.Raw, ...] = ()) -> bytes:
        """Text or a refusal: each is a part of the open message."""
        written = b""
        if self._kind not in ("text", "refusal"):
            written = self._close()
            item = message_item(f"msg_{self._suffix}_{len(self._items)}", [], "in_progress")
            written += self._open(kind, item) + self._open_part(kind)
        elif self._kind != kind:
            written = self._close_part() + self._open_part(kind)
        self._pieces.append(text)
        name = "response.output_text.delta" if kind == "text" else "response.refusal.delta"
        self._logprobs += logprobs
        more: dict[str, Any] = {"logprobs": logprobs} if kind == "text" else {}
        return written + self._event(name, **self._where(), delta=text, **more)

    def _cited(self, citation: ir.Citation) -> bytes:
        written = b"" if self._kind == "text" else self._said("text", "")
        told = text_marks.annotation(citation, is_nested=False)
        self._annotations.append(told)
        place = len(self._annotations) - 1
        name = "response.output_text.annotation.added"
        return written + self._event(name, **self._where(), annotation_index=place, annotation=told)

    def _where(self) -> dict[str, Any]:
        item_id = self._items[self._place]["id"]
        return {"item_id": item_id, "output_index": self._place, "content_index": len(self._parts)}

    def _open_part(self, kind: str) -> bytes:
        self._kind = kind
        self._pieces = []
        self._annotations, self._logprobs = [], []
        part = text_part("") if kind == "text" else refusal_part("")
        return self._event("response.content_part.added", **self._where(), part=part)

    def _close_part(self) -> bytes:
        text = "".join(self._pieces)
        if self._kind == "text":
            part = text_part(text, self._annotations, self._logprobs)
            written = self._event("response.output_text.done", **self._where(), text=text, logprobs=self._logprobs)
        else:
            part = refusal_part(text)
            written = self._event("response.refusal.done", **self._where(), refusal=text)
        written += self._event("response.content_part.done", **self._where(), part=part)
        self._parts.append(part)
        return written

    def _reasoning(self, text: str, signature: str, is_redacted: bool) -> bytes:
        written = b""
        if self._kind != "reasoning" or is_redacted:
            written = self._close() + self._open(
                "reasoning", reasoning_item(f"rs_{self._suffix}_{len(self._items)}", "", None)
            )
        if text:
            if not self._pieces:
                part = {"type": "summary_text", "text": ""}
                written += self._event("response.reasoning_summary_part.added", **self._thought(), part=part)
            self._pieces.append(text)
            written += self._event("response.reasoning_summary_text.delta", **self._thought(), delta=text)
        if signature:
            written += self._close_reasoning(sealed_content(ir.Reasoning("", signature, is_redacted)))
        return written

    def _thought(self) -> dict[str, Any]:
        return {"item_id": self._items[self._place]["id"], "output_index": self._place, "summary_index": 0}

    def _close_reasoning(self, sealed: str | None) -> bytes:
        written = b""
        text = "".join(self._pieces)
        if text:
            part = {"type": "summary_text", "text": text}
            written += self._event("response.reasoning_summary_text.done", **self._thought(), text=text)
            written += self._event("response.reasoning_summary_part.done", **self._thought(), part=part)
        self._kind = ""
        return written + self._item_done(self._place, reasoning_item(self._items[self._place]["id"], text, sealed))

    def _start_call(self, index: int, call_id: str, name: str) -> bytes:
        written = self._close()
        own = self._names.get(name)
        call = self._calls[index] = _Call(len(self._items), call_id, name, own)
        item_id = f"{call_lead(own)}_{self._suffix}_{call.output_index}"
        item = call_item(item_id, call_id, name, "", own, "in_progress")
        self._items.append(item)
        return written + self._event("response.output_item.added", output_index=call.output_index, item=item)

    def _call_delta(self, index: int, arguments: str) -> bytes:
        call = self._calls.get(index)
        if call is None:
            raise BadUpstreamReply("The provider's stream holds a fragment of a tool call that never began.")
        call.pieces.append(arguments)
        if call.own is not None and call.own.is_custom:  # its input is known once its arguments are whole
            return b""
        where = {"item_id": self._items[call.output_index]["id"], "output_index": call.output_index}
        return self._event("response.function_call_arguments.delta", **where, delta=arguments)

    def _close_call(self, call: _Call) -> bytes:
        arguments = "".join(call.pieces) or "{}"
        item_id = self._items[call.output_index]["id"]
        where = {"item_id": item_id, "output_index": call.output_index}
        item = call_item(item_id, call.call_id, call.name, arguments, call.own, "completed")
        if item["type"] == "custom_tool_call":
            written = self._event("response.custom_tool_call_input.delta", **where, delta=item["input"])
            done = self._event("response.custom_tool_call_input.done", **where, input=item["input"])
            return written + done + self._item_done(call.output_index, item)
        done = self._event("response.function_call_arguments.done", **where, name=item["name"], arguments=arguments)
        return done + self._item_done(call.output_index, item)

    def _item_done(self, place: int, item: dict[str, Any]) -> bytes:
        self._items[place] = item
        return self._event("response.output_item.done", output_index=place, item=item)

    def _close(self) -> bytes:
        """Ends the open message or reasoning item."""
        if self._kind == "reasoning":
            return self._close_reasoning(None)
        if not self._kind:
            return b""
        written = self._close_part()
        self._kind = ""
        return written + self._item_done(self._place, message_item(self._items[self._place]["id"], self._parts))

    def _close_all(self) -> bytes:
        """Ends what is open; an answer that was cut ends in an item that says so."""
        is_message = self._kind in ("text", "refusal")
        written = self._close_cut() if is_message and status_of(self._reason) == "incomplete" else self._close()
        for call in self._calls.values():
            written += self._close_call(call)
        self._calls = {}
        return written

    def _close_cut(self) -> bytes:
        written = self._close_part()
        self._kind = ""
        item = message_item(self._items[self._place]["id"], self._parts, "incomplete")
        return written + self._item_done(self._place, item)


def stream_decoder(request_id: str) -> StreamDecoder:
    """A fresh reader of events; `request_id` seeds ids that the upstream leaves out."""
    return _Decoder(request_id)


class _Decoder:
    """Some servers leave out `output_index`, or tell a text or a call only when it is done."""

    __slots__ = (
        "_call_count",
        "_calls",
        "_has_refusal",
        "_has_started",
        "_request_id",
        "_said",
        "_thought",
        "_with_arguments",
        "error",
        "is_ended",
    )

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._has_started = False
        self._has_refusal = False
        self._said = False
        self._thought: int | None = None
        self._call_count = 0
        self._calls: dict[str | int, int] = {}
        self._with_arguments: set[int] = set()
        self.error: UpstreamError | None = None
        self.is_ended = False

    def decode(self, event: SseEvent) -> list[ir.StreamEvent]:
        """See `StreamDecoder.decode`."""
        payload = (event.data or b"").strip()
        if not payload or event.name == b"ping" or payload == b"[DONE]":
            return []
        try:
            change = decode_event(payload)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not one of Responses.")
            return []
        if change.type in ("error", "response.failed", "response.cancelled"):
            self.error = fault_of(change, payload)
            return []
        return self._change(change)

    def finish(self) -> list[ir.StreamEvent]:
        """See `StreamDecoder.finish`: only the terminal event tells that an answer is whole."""
        self.error = StreamBroken("The provider's stream ended before the answer was complete.")
        return []

    def _change(self, change: Event) -> list[ir.StreamEvent]:
        delta = change.delta if isinstance(change.delta, str) else ""
        match change.type:
            case "response.output_text.delta":
                self._said = True
                return [*self._start(None), ir.TextDelta(delta, tuple(change.logprobs or ()))] if delta else []
            case "response.output_text.annotation.added":
                cited = text_marks.citation(change.annotation)
                return [*self._start(None), ir.Cited(cited)] if cited is not None else []
            case "response.refusal.delta":
                self._has_refusal = self._said = True
                return [*self._start(None), ir.RefusalDelta(delta)] if delta else []
            case "response.function_call_arguments.delta":
                return self._arguments(change, delta) if delta else []
            case "response.function_call_arguments.done":
                place = self._place(change)
                whole = arguments_of(change.arguments)
                return (
                    []
                    if place is None or place in self._with_arguments or not whole
                    else self._arguments(change, whole)
                )
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return self._thinking(change, delta) if delta else []
            case "response.output_item.added" | "response.output_item.done":
                return self._item(change, change.item or Item(), is_done=change.type.endswith("done"))
            case "response.created" | "response.in_progress":
                return self._start(change.response)
            case "response.completed" | "response.incomplete":
                return self._end(change.response or Answer())
        return []

    def _start(self, answer: Answer | None) -> list[ir.StreamEvent]:
        if self._has_started:
            return []
        self._has_started = True
        answer = answer or Answer()
        return [ir.Started(answer.id or self._request_id, answer.model or "", int(answer.created_at or 0))]

    def _thinking(self, change: Event, delta: str) -> list[ir.StreamEvent]:
        """Parts of a summary are paragraphs."""
        part = change.summary_index or 0
        lead = "\n\n" if self._thought is not None and part > self._thought else ""
        self._thought = part
        return [*self._start(None), ir.ReasoningDelta(lead + delta)]

    def _item(self, change: Event, item: Item, *, is_done: bool) -> list[ir.StreamEvent]:
        if item.type == "function_call":
            return self._call(change, item, is_done=is_done)
        if item.type != "reasoning" or not is_done:
            return []
        part = thinking_of(item.encrypted_content or "", item.id or "", thought_of(item))
        text = part.text if self._thought is None else ""
        self._thought = None
        if not text and not part.signature:
            return []
        return [*self._start(None), ir.ReasoningDelta(text, part.signature, part.is_redacted)]

    def _call(self, change: Event, item: Item, *, is_done: bool) -> list[ir.StreamEvent]:
        found: list[ir.StreamEvent] = self._start(None)
        place = self._place(change, item.id)
        if place is None:
            place = self._call_count
            self._call_count += 1
            self._calls.update((key, place) for key in (change.output_index, item.id) if key is not None and key != "")
            call_id = item.call_id or item.id or f"call_{self._request_id}_{place}"
            found.append(ir.ToolCallStarted(place, call_id, item.name or ""))
        if is_done and place not in self._with_arguments:
            self._with_arguments.add(place)
            found.append(ir.ToolCallDelta(place, arguments_of(item.arguments) or "{}"))
        return found

    def _place(self, change: Event, item_id: str | None = None) -> int | None:
        """Which known call an event belongs to."""
        for key in (change.output_index, change.item_id, item_id):
            if key is not None and key in self._calls:
                return self._calls[key]
        return None

    def _arguments(self, change: Event, fragment: str) -> list[ir.StreamEvent]:
        place = self._place(change)
        if place is None:
            self.error = BadUpstreamReply("The provider's stream holds a fragment of a tool call that never began.")
            return []
        self._with_arguments.add(place)
        return [ir.ToolCallDelta(place, fragment)]

    def _end(self, answer: Answer) -> list[ir.StreamEvent]:
        found = self._start(answer)
        if not self._said and not self._call_count:
            found += self._late(answer)
        self.is_ended = True
        calls: list[ir.Part] = [ir.ToolCall("", "", "")] if self._call_count else []
        refusals: list[ir.Part] = [ir.Refusal("")] if self._has_refusal else []
        found.append(ir.Stopped(reason_of(answer, calls + refusals)))
        usage = usage_of(answer.usage, answer.service_tier)
        if usage is not None:
            found.append(ir.UsageReported(usage))
        return [*found, ir.Ended()]

    def _late(self, answer: Answer) -> list[ir.StreamEvent]:
        """What a server tells in its last event only."""
        found: list[ir.StreamEvent] = []
        for place, item in enumerate(answer.output or ()):
            if item.type == "function_call":
                found += self._call(Event("", output_index=place), item, is_done=True)
            for part in (item.content or ()) if item.type == "message" else ():
                if part.refusal:
                    self._has_refusal = True
                    found.append(ir.RefusalDelta(part.refusal))
                elif part.text:
                    found.append(ir.TextDelta(part.text))
        return found

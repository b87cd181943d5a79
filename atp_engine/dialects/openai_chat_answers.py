"""OpenAI chat answers to and from `ir`, whole and streamed.

Compatible servers repeat a call's name in every fragment, leave out ids or indexes, reuse one index
for several calls, or finish a tool call with `stop`; the decoder reads all of that.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import ir, text_marks
from atp_engine.dialects.codec import StreamDecoder, StreamEncoder
from atp_engine.dialects.counts import count
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.openai_chat_wire import (
    Answer,
    Call,
    Function,
    Message,
    arguments_of,
    decode_answer,
    has_error,
    text_of,
    usage_fields,
    usage_of,
)
from atp_engine.dialects.openai_chat_wire import decode_reply as decode_wire
from atp_engine.dialects.sse import SseEvent, frame

FINISH: Mapping[ir.FinishReason, str] = MappingProxyType(
    {
        ir.FinishReason.STOP: "stop",
        ir.FinishReason.STOP_SEQUENCE: "stop",
        ir.FinishReason.LENGTH: "length",
        ir.FinishReason.CONTEXT_FULL: "length",
        ir.FinishReason.TOOL_CALLS: "tool_calls",
        ir.FinishReason.CONTENT_FILTER: "content_filter",
        ir.FinishReason.REFUSAL: "content_filter",
        ir.FinishReason.PAUSE: "stop",
    }
)
_REASONS: Mapping[str, ir.FinishReason] = MappingProxyType(
    {
        "length": ir.FinishReason.LENGTH,
        "tool_calls": ir.FinishReason.TOOL_CALLS,
        "function_call": ir.FinishReason.TOOL_CALLS,
        "content_filter": ir.FinishReason.CONTENT_FILTER,
    }
)
_ID_LEAD = "chatcmpl-"


def _reason(word: str | None, has_calls: bool, has_refusal: bool) -> ir.FinishReason:
    reason = _REASONS.get(word or "", ir.FinishReason.STOP)
    if reason is ir.FinishReason.STOP and has_calls:
        return ir.FinishReason.TOOL_CALLS
    return ir.FinishReason.REFUSAL if reason is ir.FinishReason.STOP and has_refusal else reason


def _answer_id(id: str) -> str:
    return id if id.startswith(_ID_LEAD) else _ID_LEAD + id


def decode_reply(body: bytes) -> ir.ChatResult:
    """A whole answer, its first candidate. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer, choice, message = decode_wire(body)
    parts: list[ir.Part] = []
    if thought := message.reasoning_content or message.reasoning:
        parts.append(ir.Reasoning(thought))
    if text := text_of(message.content):
        parts.append(ir.Text(text, *text_marks.of_chat(body)))
    if message.refusal:
        parts.append(ir.Refusal(message.refusal))
    calls = message.tool_calls or []
    if message.function_call is not None:
        calls = [Call(function=message.function_call)]
    for place, call in enumerate(calls):
        function = call.function or Function()
        call_id = call.id or f"call_{answer.id or 'answer'}_{place}"
        parts.append(ir.ToolCall(call_id, function.name or "", arguments_of(function)))
    return ir.ChatResult(
        id=answer.id or "",
        model=answer.model or "",
        parts=tuple(parts),
        finish_reason=_reason(choice.finish_reason, bool(calls), bool(message.refusal)),
        usage=usage_of(answer.usage, answer.service_tier),
        created=count(answer.created),
        dropped_fields=("choices[1:]",) if len(answer.choices or ()) > 1 else (),
    )


def encode_reply(result: ir.ChatResult) -> bytes:
    """The answer as a chat completion with one choice."""
    text, refusal, thought = "", "", ""
    calls: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    probed: list[msgspec.Raw] = []
    for part in result.parts:
        if isinstance(part, ir.Text):
            text += part.text
            probed += part.logprobs
            annotations += [text_marks.annotation(cited, is_nested=True) for cited in part.citations]
        elif isinstance(part, ir.Refusal):
            refusal += part.text
        elif isinstance(part, ir.Reasoning):
            thought += part.text
        elif isinstance(part, ir.ToolCall):
            function = {"name": part.name, "arguments": part.arguments or "{}"}
            calls.append({"id": part.id, "type": "function", "function": function})
    message: dict[str, Any] = {
        "role": "assistant",
        "content": text or (None if calls or refusal else ""),
        "refusal": refusal or None,
        "annotations": annotations,
    }
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": probed, "refusal": None} if probed else None,
        "finish_reason": FINISH[result.finish_reason],
    }
    body: dict[str, Any] = {
        "id": _answer_id(result.id),
        "object": "chat.completion",
        "created": result.created,
        "model": result.model,
        "choices": [choice],
    }
    if result.usage is not None:
        body["usage"] = usage_fields(result.usage)
    return msgspec.json.encode(body)


def stream_encoder(*, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of chunks; `wants_usage` adds the chunk without choices before `[DONE]`."""
    return _Encoder(wants_usage)


class _Encoder:
    __slots__ = ("_head", "_usage", "_wants_usage")

    def __init__(self, wants_usage: bool) -> None:
        self._wants_usage = wants_usage
        self._usage: TokenUsage | None = None
        self._head: dict[str, Any] = {}

    def encode(self, event: ir.StreamEvent) -> bytes:
        """See `StreamEncoder.encode`."""
        match event:
            case ir.TextDelta(text, logprobs):
                return self._delta({"content": text}, logprobs=logprobs)
            case ir.Cited(citation):
                return self._delta({"annotations": [text_marks.annotation(citation, is_nested=True)]})
            case ir.ReasoningDelta(text):
                return self._delta({"reasoning_content": text}) if text else b""
            case ir.RefusalDelta(text):
                return self._delta({"refusal": text})
            case ir.ToolCallStarted(index, id, name):
                function = {"name": name, "arguments": ""}
                return self._delta(
                    {"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]}
                )
            case ir.ToolCallDelta(index, arguments):
                return self._delta({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
            case ir.Started(id, model, created):
                self._head = {
                    "id": _answer_id(id),
                    "object": "chat.completion.chunk",
                    "created": created,
                    "model": model,
                }
                return self._delta({"role": "assistant", "content": "", "refusal": None})
            case ir.Stopped(reason):
                return self._delta({}, FINISH[reason])
            case ir.UsageReported(usage):
                self._usage = usage
                return b""
            case ir.Ended():
                return ending(self._head, self._usage if self._wants_usage else None)

    def _delta(
        self, delta: dict[str, Any], finish_reason: str | None = None, logprobs: tuple[msgspec.Raw, ...] = ()
    ) -> bytes:
        probed = {"content": logprobs, "refusal": None} if logprobs else None
        choice = {"index": 0, "delta": delta, "logprobs": probed, "finish_reason": finish_reason}
        chunk = {**self._head, "choices": [choice]}
        if self._wants_usage:
            chunk["usage"] = None
        return frame(msgspec.json.encode(chunk))


def ending(head: dict[str, Any], usage: TokenUsage | None) -> bytes:
    """What ends a stream of OpenAI's chunks: those without choices tell the usage, if it is wanted."""
    done = frame(b"[DONE]")
    if usage is None:
        return done
    return frame(msgspec.json.encode({**head, "choices": [], "usage": usage_fields(usage)})) + done


def stream_decoder(request_id: str) -> StreamDecoder:
    """A fresh reader of chunks; `request_id` seeds the ids of calls that come without one."""
    return _Decoder(request_id)


class _Decoder:
    __slots__ = (
        "_call_ids",
        "_early_id",
        "_has_refusal",
        "_has_started",
        "_has_stopped",
        "_places",
        "_request_id",
        "error",
        "is_ended",
    )

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._has_started = False
        self._has_stopped = False
        self._has_refusal = False
        self._call_ids: list[str] = []
        self._early_id = ""
        self._places: dict[int, int] = {}
        self.error: UpstreamError | None = None
        self.is_ended = False

    def decode(self, event: SseEvent) -> list[ir.StreamEvent]:
        """See `StreamDecoder.decode`."""
        payload = (event.data or b"").strip()
        if not payload or event.name == b"ping":
            return []
        if payload == b"[DONE]":
            return self._end()
        try:
            answer = decode_answer(payload)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not a chat completion chunk.")
            return []
        if has_error(answer) or event.name == b"error":
            self.error = fault_from_event(Dialect.OPENAI_CHAT, payload)
            return []
        return self._chunk(answer, payload)

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
        stopped = [] if self._has_stopped else [ir.Stopped(_reason("", bool(self._call_ids), self._has_refusal))]
        return [*stopped, ir.Ended()]

    def _chunk(self, answer: Answer, payload: bytes) -> list[ir.StreamEvent]:
        found: list[ir.StreamEvent] = []
        if not self._has_started and answer.choices:
            self._has_started = True
            found.append(ir.Started(answer.id or self._request_id, answer.model or "", count(answer.created)))
        for choice in answer.choices or ():
            if choice.index:
                continue
            if choice.delta is not None:
                self._delta(choice.delta, found, payload)
            if choice.finish_reason == "error":
                self.error = StreamBroken("The provider's answer broke off.")
            elif choice.finish_reason and not self._has_stopped:
                self._has_stopped = True
                found.append(ir.Stopped(_reason(choice.finish_reason, bool(self._call_ids), self._has_refusal)))
        usage = usage_of(answer.usage, answer.service_tier)
        if usage is not None:
            found.append(ir.UsageReported(usage))
        return found

    def _delta(self, delta: Message, found: list[ir.StreamEvent], payload: bytes) -> None:
        probed, citations = text_marks.of_chat(payload)
        if thought := delta.reasoning_content or delta.reasoning:
            found.append(ir.ReasoningDelta(thought))
        if text := text_of(delta.content):
            found.append(ir.TextDelta(text, probed))
        found += [ir.Cited(citation) for citation in citations]
        if delta.refusal:
            self._has_refusal = True
            found.append(ir.RefusalDelta(delta.refusal))
        calls = delta.tool_calls or []
        if delta.function_call is not None:
            calls = [Call(index=0, function=delta.function_call)]
        for call in calls:
            self._call(call, found)

    def _call(self, call: Call, found: list[ir.StreamEvent]) -> None:
        """A fragment of a call; the first of each call has its name and starts it."""
        function = call.function or Function()
        place = self._place(call, bool(function.name))
        arguments = arguments_of(function)
        if place is None:
            if not function.name:
                if arguments:
                    self.error = BadUpstreamReply("The provider's stream holds a tool call without a name.")
                self._early_id = call.id or self._early_id
                return
            place = len(self._call_ids)
            self._call_ids.append(call.id or self._early_id or f"call_{self._request_id}_{place}")
            self._early_id = ""
            self._places[place if call.index is None else call.index] = place
            found.append(ir.ToolCallStarted(place, self._call_ids[place], function.name))
        if arguments:
            found.append(ir.ToolCallDelta(place, arguments))

    def _place(self, call: Call, has_name: bool) -> int | None:
        """Which known call a fragment belongs to, None for a new one."""
        if call.index is None:
            if call.id in self._call_ids:
                return self._call_ids.index(call.id)
            return None if has_name or not self._call_ids else len(self._call_ids) - 1
        place = self._places.get(call.index)
        if place is not None and has_name and call.id and call.id != self._call_ids[place]:
            return None
        return place

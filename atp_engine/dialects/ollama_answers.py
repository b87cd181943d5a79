"""Ollama answers to and from `ir`, whole and streamed.

Tool calls are whole in this dialect: the encoder gathers their fragments and writes them when the model
says something else or stops. Each line is one JSON object, also in the bytes that the encoder gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.codec import StreamDecoder, StreamEncoder
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.ollama_wire import (
    Call,
    Function,
    Message,
    arguments_of,
    created_of,
    decode_answer,
    has_error,
    head_of,
    usage_fields,
    usage_of,
)
from atp_engine.dialects.ollama_wire import decode_reply as decode_wire
from atp_engine.dialects.sse import SseEvent
from atp_engine.dialects.whole_calls import WholeCalls, arguments_object

FINISH: Mapping[ir.FinishReason, str] = MappingProxyType(
    {
        ir.FinishReason.STOP: "stop",
        ir.FinishReason.STOP_SEQUENCE: "stop",
        ir.FinishReason.LENGTH: "length",
        ir.FinishReason.CONTEXT_FULL: "length",
        ir.FinishReason.TOOL_CALLS: "stop",
        ir.FinishReason.CONTENT_FILTER: "stop",
        ir.FinishReason.REFUSAL: "stop",
        ir.FinishReason.PAUSE: "stop",
    }
)
"""Ollama knows no more reasons (`load` and `unload` belong to calls without a message)."""


def _reason(word: str | None, has_calls: bool) -> ir.FinishReason:
    if word == "length":
        return ir.FinishReason.LENGTH
    return ir.FinishReason.TOOL_CALLS if has_calls else ir.FinishReason.STOP


def decode_reply(body: bytes) -> ir.ChatResult:
    """A whole answer. Raises BadUpstreamReply, or the error that a 200 holds."""
    answer, message = decode_wire(body)
    if answer.done is False:
        raise BadUpstreamReply("The provider's answer is only the beginning of one.")
    created = created_of(answer.created_at)
    parts: list[ir.Part] = []
    if message.thinking:
        parts.append(ir.Reasoning(message.thinking))
    if message.content:
        parts.append(ir.Text(message.content, tuple(answer.logprobs or ())))
    for place, call in enumerate(message.tool_calls or ()):
        function = call.function or Function()
        parts.append(ir.ToolCall(call.id or f"call_{created}_{place}", function.name or "", arguments_of(function)))
    return ir.ChatResult(
        id="",
        model=answer.model or "",
        parts=tuple(parts),
        finish_reason=_reason(answer.done_reason, bool(message.tool_calls)),
        usage=usage_of(answer),
        created=created,
    )


def encode_reply(result: ir.ChatResult) -> bytes:
    """The answer as one object."""
    said = "".join(part.text for part in result.parts if isinstance(part, ir.Text | ir.Refusal))
    thought = "".join(part.text for part in result.parts if isinstance(part, ir.Reasoning))
    message: dict[str, Any] = {"role": "assistant", "content": said}
    if thought:
        message["thinking"] = thought
    if calls := [_call(part) for part in result.parts if isinstance(part, ir.ToolCall)]:
        message["tool_calls"] = calls
    body = head_of(result.model, result.created) | {"message": message}
    if probed := [entry for part in result.parts if isinstance(part, ir.Text) for entry in part.logprobs]:
        body["logprobs"] = probed
    return msgspec.json.encode(body | _end_fields(result.finish_reason, result.usage))


def _call(call: ir.ToolCall) -> dict[str, Any]:
    return {"id": call.id, "function": {"name": call.name, "arguments": arguments_object(call.arguments)[0]}}


def _end_fields(reason: ir.FinishReason, usage: TokenUsage | None) -> dict[str, Any]:
    return {"done": True, "done_reason": FINISH[reason], **(usage_fields(usage) if usage is not None else {})}


def stream_encoder(*, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of lines; the dialect always tells usage."""
    return _Encoder()


class _Encoder:
    __slots__ = ("_calls", "_head", "_reason", "_usage")

    def __init__(self) -> None:
        self._head: dict[str, Any] = {}
        self._calls = WholeCalls()
        self._reason = ir.FinishReason.STOP
        self._usage: TokenUsage | None = None

    def encode(self, event: ir.StreamEvent) -> bytes:
        """See `StreamEncoder.encode`."""
        match event:
            case ir.TextDelta(text, probed) if probed:
                return self._whole_calls() + self._line({"content": text}, logprobs=probed)
            case ir.TextDelta(text) | ir.RefusalDelta(text):
                return self._whole_calls() + self._line({"content": text}) if text else b""
            case ir.ReasoningDelta(text):
                return self._whole_calls() + self._line({"content": "", "thinking": text}) if text else b""
            case ir.ToolCallStarted():
                self._calls.begin(event)
            case ir.ToolCallDelta():
                self._calls.add(event)
            case ir.Started(_, model, created):
                self._head = head_of(model, created)
            case ir.UsageReported(usage):
                self._usage = usage
            case ir.Stopped(reason):
                self._reason = reason
                return self._whole_calls()
            case ir.Ended():
                return self._line({"content": ""}, **_end_fields(self._reason, self._usage))
        return b""

    def _whole_calls(self) -> bytes:
        calls = self._calls.take()
        return self._line({"content": "", "tool_calls": [_call(call) for call in calls]}) if calls else b""

    def _line(self, message: dict[str, Any], **more: Any) -> bytes:
        body = {**self._head, "message": {"role": "assistant", **message}, "done": False, **more}
        return msgspec.json.encode(body) + b"\n"


def stream_decoder(request_id: str) -> StreamDecoder:
    """A fresh reader of lines; `request_id` seeds the answer's id, and the ids of calls that come without one."""
    return _Decoder(request_id)


class _Decoder:
    __slots__ = ("_calls", "_has_started", "_request_id", "error", "is_ended")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._has_started = False
        self._calls = 0
        self.error: UpstreamError | None = None
        self.is_ended = False

    def decode(self, event: SseEvent) -> list[ir.StreamEvent]:
        """See `StreamDecoder.decode`; an event is a line."""
        if not event.data:
            return []
        try:
            answer = decode_answer(event.data)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds a line that is not one of Ollama's.")
            return []
        if has_error(answer):
            self.error = fault_from_event(Dialect.OLLAMA, event.data)
            return []
        found: list[ir.StreamEvent] = []
        if not self._has_started:
            self._has_started = True
            found.append(ir.Started(self._request_id, answer.model or "", created_of(answer.created_at)))
        if answer.message is not None:
            self._read(answer.message, found, tuple(answer.logprobs or ()))
        if answer.done:
            found.append(ir.Stopped(_reason(answer.done_reason, self._calls > 0)))
            if (usage := usage_of(answer)) is not None:
                found.append(ir.UsageReported(usage))
            found.append(ir.Ended())
            self.is_ended = True
        return found

    def finish(self) -> list[ir.StreamEvent]:
        """See `StreamDecoder.finish`; only a line with `done` ends a stream."""
        self.error = StreamBroken("The provider's stream ended before the answer was complete.")
        return []

    def _read(self, message: Message, found: list[ir.StreamEvent], probed: tuple[msgspec.Raw, ...]) -> None:
        if message.thinking:
            found.append(ir.ReasoningDelta(message.thinking))
        if message.content:
            found.append(ir.TextDelta(message.content, probed))
        for call in message.tool_calls or ():
            self._call(call, found)

    def _call(self, call: Call, found: list[ir.StreamEvent]) -> None:
        place, function = self._calls, call.function or Function()
        self._calls += 1
        found.append(ir.ToolCallStarted(place, call.id or f"call_{self._request_id}_{place}", function.name or ""))
        found.append(ir.ToolCallDelta(place, arguments_of(function)))

"""Gemini answers to and from `ir`, whole and streamed.

Function calls are whole in this dialect: an encoder gathers their fragments and writes them when the
model says something else or stops. The last chunk holds reason and usage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import BadUpstreamReply, ContentBlocked, StreamBroken, UpstreamError
from atp_engine.core.text import safe_text
from atp_engine.core.types import Dialect, TokenUsage
from atp_engine.dialects import ir, text_marks
from atp_engine.dialects.codec import StreamDecoder, StreamEncoder
from atp_engine.dialects.faults import fault_from_event
from atp_engine.dialects.gemini_decode import seal
from atp_engine.dialects.gemini_parts import model_part, model_parts, thought_part
from atp_engine.dialects.gemini_seals import for_gemini_client, from_gemini
from atp_engine.dialects.gemini_wire import (
    NULL,
    Answer,
    Call,
    Candidate,
    Part,
    decode_answer,
    has_error,
    usage_fields,
    usage_of,
)
from atp_engine.dialects.gemini_wire import decode_reply as decode_wire
from atp_engine.dialects.sse import SseEvent, frame
from atp_engine.dialects.whole_calls import WholeCalls

FINISH: Mapping[ir.FinishReason, str] = MappingProxyType(
    {
        ir.FinishReason.STOP: "STOP",
        ir.FinishReason.STOP_SEQUENCE: "STOP",
        ir.FinishReason.LENGTH: "MAX_TOKENS",
        ir.FinishReason.CONTEXT_FULL: "MAX_TOKENS",
        ir.FinishReason.TOOL_CALLS: "STOP",
        ir.FinishReason.CONTENT_FILTER: "SAFETY",
        ir.FinishReason.REFUSAL: "SAFETY",
        ir.FinishReason.PAUSE: "STOP",
    }
)
_FILTERED = (
    "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION", "MODEL_ARMOR",
)  # fmt: skip
_REASONS: Mapping[str, ir.FinishReason] = MappingProxyType(
    {"MAX_TOKENS": ir.FinishReason.LENGTH, **dict.fromkeys(_FILTERED, ir.FinishReason.CONTENT_FILTER)}
)
_UNUSABLE = frozenset(
    {
        "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)  # fmt: skip
"""The model wrote a call that the vendor could not read: what there is of the answer is not one."""
_NOT_ID = re.compile(r"[^A-Za-z0-9_-]")


def _reason(word: str, has_calls: bool) -> ir.FinishReason:
    reason = _REASONS.get(word, ir.FinishReason.STOP)
    return ir.FinishReason.TOOL_CALLS if has_calls and reason is ir.FinishReason.STOP else reason


def _unusable(candidate: Candidate) -> BadUpstreamReply:
    word = safe_text(candidate.finish_reason or "", limit=64)
    return BadUpstreamReply(f"The provider's model wrote no usable answer ({word}).")


def _blocked(answer: Answer) -> ContentBlocked:
    reason = safe_text(answer.block_reason, limit=64)
    return ContentBlocked(f"The provider blocked the prompt ({reason}).", upstream_status=200, vendor_code=reason)


def _call_id(call: Call, seed: str, place: int) -> str:
    return call.id or f"call_{_NOT_ID.sub('', seed)[:40]}_{place}"


def _arguments(call: Call) -> str:
    return "{}" if call.args is NULL else bytes(call.args).decode()


def _lost(part: Part) -> str:
    """The path of a part that `ir` cannot hold, empty when it can."""
    for name in ("inline_data", "executable_code", "code_execution_result"):
        if getattr(part, name) is not NULL:
            return "candidates[].content.parts[]." + name
    return ""


def decode_reply(body: bytes) -> ir.ChatResult:
    """A whole answer, its first candidate. Raises BadUpstreamReply, ContentBlocked for a refused prompt, or
    the error that a 200 holds."""
    answer = decode_wire(body)
    if not answer.candidates:
        raise _blocked(answer)
    candidate = answer.candidates[0]
    if candidate.finish_reason in _UNUSABLE:
        raise _unusable(candidate)
    parts: list[ir.Part] = []
    dropped: dict[str, None] = {}
    calls = 0
    for part in (candidate.content.parts if candidate.content else None) or ():
        if part.thought:
            parts.append(ir.Reasoning(part.text or ""))
        if part.thought_signature:
            seal(parts, part.thought_signature)
        if part.function_call is not None:
            call_id = _call_id(part.function_call, answer.response_id or "answer", calls)
            parts.append(ir.ToolCall(call_id, part.function_call.name or "", _arguments(part.function_call)))
            calls += 1
        elif part.text and not part.thought:
            parts.append(ir.Text(part.text))
        elif lost := _lost(part):
            dropped[lost] = None
    parts = _marked(_joined(parts), candidate)
    if len(answer.candidates) > 1:
        dropped["candidates[1:]"] = None
    return ir.ChatResult(
        id=answer.response_id or "",
        model=answer.model_version or "",
        parts=tuple(parts),
        finish_reason=_reason(candidate.finish_reason or "", calls > 0),
        usage=usage_of(answer.usage_metadata),
        dropped_fields=tuple(dropped),
    )


def _marked(parts: list[ir.Part], candidate: Candidate) -> list[ir.Part]:
    """The parts, the last text with what the candidate tells about all of them."""
    text = "".join(part.text for part in parts if isinstance(part, ir.Text))
    citations = text_marks.of_grounding(candidate.grounding_metadata, text)
    probed = text_marks.of_gemini(candidate.logprobs_result)
    places = [place for place, part in enumerate(parts) if isinstance(part, ir.Text)]
    if (citations or probed) and places:
        parts[places[-1]] = msgspec.structs.replace(parts[places[-1]], logprobs=probed, citations=citations)
    return parts


def _joined(parts: list[ir.Part]) -> list[ir.Part]:
    """Texts in a row as one: the vendor cuts where it likes."""
    joined: list[ir.Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, ir.Text) and isinstance(last, ir.Text):
            joined[-1] = ir.Text(last.text + part.text)
        else:
            joined.append(part)
    return joined


def encode_reply(result: ir.ChatResult) -> bytes:
    """The answer as a response with one candidate."""
    parts = model_parts(result.parts, for_gemini_client, lambda _: None, has_thoughts=True)
    body = _response(result.model, result.id, parts, FINISH[result.finish_reason])
    texts = [part for part in result.parts if isinstance(part, ir.Text)]
    citations = [cited for part in texts for cited in part.citations]
    probed = tuple(entry for part in texts for entry in part.logprobs)
    _mark(body, citations, probed, "".join(part.text for part in texts))
    if result.usage is not None:
        body["usageMetadata"] = usage_fields(result.usage)
    return msgspec.json.encode(body)


def _response(model: str, id: str, parts: list[Any], finish: str = "") -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], "modelVersion": model, "responseId": id}


def _mark(body: dict[str, Any], citations: list[ir.Citation], probed: text_marks.Probabilities, text: str) -> None:
    """Adds what there is to tell about a candidate's text."""
    if citations:
        body["candidates"][0]["groundingMetadata"] = text_marks.grounding(citations, text)
    if probed:
        body["candidates"][0]["logprobsResult"] = text_marks.to_gemini(probed)


def stream_encoder(*, wants_usage: bool) -> StreamEncoder:
    """A fresh writer of chunks; the dialect always tells usage."""
    return _Encoder()


class _Encoder:
    __slots__ = ("_calls", "_citations", "_id", "_model", "_reason", "_signature", "_usage")

    def __init__(self) -> None:
        self._id = self._model = self._signature = ""
        self._calls = WholeCalls()
        self._reason = ir.FinishReason.STOP
        self._usage: TokenUsage | None = None
        self._citations: list[ir.Citation] = []

    def encode(self, event: ir.StreamEvent) -> bytes:
        """See `StreamEncoder.encode`."""
        match event:
            case ir.TextDelta(text, probed) if probed:
                return self._chunk([*self._whole_calls(), self._signed({"text": text})], probed)
            case ir.TextDelta(text) | ir.RefusalDelta(text):
                return self._chunk([*self._whole_calls(), self._signed({"text": text})]) if text else b""
            case ir.Cited(citation):
                self._citations.append(citation)
            case ir.ReasoningDelta(text, _, is_redacted):
                return self._thought(event, "" if is_redacted else text)
            case ir.ToolCallStarted():
                self._calls.begin(event)
            case ir.ToolCallDelta():
                self._calls.add(event)
            case ir.Started(id, model):
                self._id, self._model = id, model
            case ir.UsageReported(usage):
                self._usage = usage
            case ir.Stopped(reason):
                self._reason = reason
            case ir.Ended():
                return self._end()
        return b""

    def _thought(self, delta: ir.ReasoningDelta, text: str) -> bytes:
        parts = self._whole_calls()
        if text:
            parts.append(thought_part(text))
        if delta.signature:
            if self._signature:
                parts.append(self._signed({"text": ""}))
            self._signature = for_gemini_client(ir.Reasoning("", delta.signature, delta.is_redacted))
        return self._chunk(parts) if parts else b""

    def _signed(self, part: dict[str, Any]) -> dict[str, Any]:
        if self._signature:
            part["thoughtSignature"], self._signature = self._signature, ""
        return part

    def _whole_calls(self) -> list[dict[str, Any]]:
        parts = [model_part(call, lambda _: None) for call in self._calls.take()]
        return [self._signed(part) for part in parts if part is not None]

    def _chunk(self, parts: list[dict[str, Any]], probed: text_marks.Probabilities = ()) -> bytes:
        body = _response(self._model, self._id, parts)
        _mark(body, [], probed, "")
        return frame(msgspec.json.encode(body))

    def _end(self) -> bytes:
        parts = self._whole_calls()
        if self._signature or not parts:
            parts.append(self._signed({"text": ""}))
        body = _response(self._model, self._id, parts, FINISH[self._reason])
        _mark(body, self._citations, (), "")
        if self._usage is not None:
            body["usageMetadata"] = usage_fields(self._usage)
        return frame(msgspec.json.encode(body))


def stream_decoder(request_id: str) -> StreamDecoder:
    """A fresh reader of chunks; `request_id` seeds the ids of calls that come without one."""
    return _Decoder(request_id)


class _Decoder:
    __slots__ = ("_calls", "_has_started", "_has_stopped", "_request_id", "_text", "error", "is_ended")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._text: list[str] = []
        self._has_started = False
        self._has_stopped = False
        self._calls = 0
        self.error: UpstreamError | None = None
        self.is_ended = False

    def decode(self, event: SseEvent) -> list[ir.StreamEvent]:
        """See `StreamDecoder.decode`."""
        if not event.data or not event.data.strip():
            return []
        try:
            answer = decode_answer(event.data)
        except ValueError:
            self.error = BadUpstreamReply("The provider's stream holds an event that is not one of Gemini's.")
            return []
        if has_error(answer):
            self.error = fault_from_event(Dialect.GEMINI, event.data)
            return []
        if answer.block_reason:
            self.error = _blocked(answer)
            return []
        return self._chunk(answer)

    def finish(self) -> list[ir.StreamEvent]:
        """See `StreamDecoder.finish`."""
        if self._has_stopped:
            self.is_ended = True
            return [ir.Ended()]
        self.error = StreamBroken("The provider's stream ended before the answer was complete.")
        return []

    def _chunk(self, answer: Answer) -> list[ir.StreamEvent]:
        found: list[ir.StreamEvent] = []
        usage = usage_of(answer.usage_metadata)
        if not self._has_started and answer.candidates:
            self._has_started = True
            found.append(ir.Started(answer.response_id or self._request_id, answer.model_version or "", usage=usage))
        for candidate in answer.candidates or ():
            if candidate.index:
                continue
            if candidate.finish_reason in _UNUSABLE:
                self.error = _unusable(candidate)
                return found
            probed = text_marks.of_gemini(candidate.logprobs_result)
            for part in (candidate.content.parts if candidate.content else None) or ():
                self._part(part, found, probed)
            if candidate.grounding_metadata is not NULL:
                cited = text_marks.of_grounding(candidate.grounding_metadata, "".join(self._text))
                found += [ir.Cited(one) for one in cited]
            if candidate.finish_reason and not self._has_stopped:
                self._has_stopped = True
                found.append(ir.Stopped(_reason(candidate.finish_reason, self._calls > 0)))
        if usage is not None:
            found.append(ir.UsageReported(usage))
        return found

    def _part(self, part: Part, found: list[ir.StreamEvent], probed: text_marks.Probabilities) -> None:
        if part.thought and part.text:
            found.append(ir.ReasoningDelta(part.text))
        if part.thought_signature:
            sealed = from_gemini(part.thought_signature)
            found.append(ir.ReasoningDelta(signature=sealed.signature, is_redacted=sealed.is_redacted))
        if part.function_call is not None:
            place = self._calls
            self._calls += 1
            call_id = _call_id(part.function_call, self._request_id, place)
            found.append(ir.ToolCallStarted(place, call_id, part.function_call.name or ""))
            found.append(ir.ToolCallDelta(place, _arguments(part.function_call)))
        elif part.text and not part.thought:
            self._text.append(part.text)
            found.append(ir.TextDelta(part.text, probed))

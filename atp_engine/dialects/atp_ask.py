"""ATP's own call: `/v1/ask` read as a chat call with wishes, and its answer written as frames.

Called by `api/ask`. An ask is carried as an OpenAI chat call, so it reaches every upstream by the bridges
that are there; what is its own (quality, cost, latency, session) is taken out of the body first.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from atp_engine.core.errors import BadUpstreamReply, InvalidRequest, UpstreamError
from atp_engine.dialects import ir, json_text
from atp_engine.dialects.openai_chat_answers import decode_reply, stream_decoder
from atp_engine.dialects.reading import ModelName, decode_body, session_name
from atp_engine.dialects.sse import events

DEFAULT_MODEL = "auto"
MAX_TEXT_CHARS = 4 * 1024 * 1024
"""Most text that a final frame repeats; a longer answer's frame says that it is cut."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class _Body(msgspec.Struct, gc=False):
    prompt: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    messages: list[msgspec.Raw] | None = None
    model: ModelName | None = None
    quality: Literal["fast", "balanced", "high"] = "balanced"
    max_cost_usd: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    latency_slo_ms: Annotated[float, msgspec.Meta(gt=0, le=86_400_000)] | None = None
    task_type: _Name | None = None
    session_id: _Name | None = None
    tenant: _Name | None = None
    stream: bool | None = None


class Wishes(msgspec.Struct, frozen=True):
    """What an ask wants of the decision; None where it does not care."""

    quality: str = "balanced"
    max_cost_usd: float | None = None
    latency_slo_ms: float | None = None


class Ask(msgspec.Struct, frozen=True):
    """An ask, read: `body` is the chat call in OpenAI's dialect."""

    body: bytes
    wishes: Wishes
    is_stream: bool
    task_type: str
    tenant: str
    session_hint: str


_BODY = msgspec.json.Decoder(_Body)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OWN = ("prompt", "quality", "max_cost_usd", "latency_slo_ms", "task_type", "session_id", "tenant")


def read_ask(body: bytes, default_model: str = DEFAULT_MODEL) -> Ask:
    """An ask's body. Raises InvalidRequest whose `param` names the field.

    `prompt` or `messages` (as OpenAI has them) is required; `stream` is true unless it says false. Every
    other field is one of a chat call (`max_tokens`, `temperature`, `tools` ...) and is carried as such.
    """
    asked = decode_body(_BODY, body)
    if (asked.prompt is None) == (asked.messages is None):
        raise InvalidRequest("Send either `prompt` or `messages`.", param="prompt")
    fields = json_text.decode(_FIELDS, body)
    for name in _OWN:
        fields.pop(name, None)
    is_stream = asked.stream is not False
    fields["model"] = _raw(asked.model or default_model)
    fields["stream"] = _raw(is_stream)
    if asked.prompt is not None:
        fields["messages"] = _raw([{"role": "user", "content": asked.prompt}])
    if is_stream:
        fields["stream_options"] = _raw({"include_usage": True})
    session = asked.session_id or ""
    return Ask(
        body=msgspec.json.encode(fields),
        wishes=Wishes(asked.quality, asked.max_cost_usd, asked.latency_slo_ms),
        is_stream=is_stream,
        task_type=asked.task_type or "",
        tenant=asked.tenant or "",
        session_hint=session_name(f"{asked.tenant}:{session}" if asked.tenant else session) if session else "",
    )


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


class Answer(msgspec.Struct):
    """What an answer says, as far as it has come."""

    text: str = ""
    is_cut: bool = False
    model: str = ""
    finish_reason: str = ""
    tool_calls: list[dict[str, str]] = []

    def told(self) -> dict[str, Any]:
        """Its part of the final frame."""
        told: dict[str, Any] = {"text": self.text, "finish_reason": self.finish_reason}
        if self.tool_calls:
            told["tool_calls"] = self.tool_calls
        if self.is_cut:
            told["is_text_cut"] = True
        return told


def read_reply(body: bytes) -> Answer:
    """A whole answer in OpenAI's dialect. Raises BadUpstreamReply."""
    result = decode_reply(body)
    answer = Answer(model=result.model, finish_reason=result.finish_reason.value)
    pieces = []
    for part in result.parts:
        if isinstance(part, ir.Text | ir.Refusal):
            pieces.append(part.text)
        elif isinstance(part, ir.ToolCall):
            answer.tool_calls.append({"id": part.id, "name": part.name, "arguments": part.arguments})
    answer.text = "".join(pieces)
    return answer


class Chunks:
    """A stream in OpenAI's dialect, read as chunk frames; `answer` gathers what they say."""

    def __init__(self, request_id: str) -> None:
        self._decoder = stream_decoder(request_id)
        self._pieces: list[str] = []
        self._chars = 0
        self._seq = 0
        self._answer = Answer()

    def read(self, block: bytes) -> list[dict[str, Any]]:
        """The frames of whole events."""
        frames: list[dict[str, Any]] = []
        for event in events(block):
            if event.data is None:
                continue
            for found in self._decoder.decode(event):
                frame = self._frame(found)
                if frame is not None:
                    frames.append({"type": "chunk", "seq": self._seq, **frame, "model": self._answer.model})
                    self._seq += 1
        return frames

    @property
    def error(self) -> UpstreamError | None:
        """What was wrong with the events; None while nothing was."""
        return self._decoder.error

    def answer(self) -> Answer:
        """All of it. Raises BadUpstreamReply when the events were no answer."""
        if self._decoder.error is not None:
            raise BadUpstreamReply("the answer could not be read as a chat stream")
        self._answer.text = "".join(self._pieces)
        return self._answer

    def _frame(self, event: ir.StreamEvent) -> dict[str, Any] | None:
        answer = self._answer
        match event:
            case ir.Started(_, model):
                answer.model = model
            case ir.Stopped(reason):
                answer.finish_reason = reason.value
            case ir.TextDelta(text) | ir.RefusalDelta(text):
                self._keep(text)
                return {"text": text}
            case ir.ReasoningDelta(text) if text:
                return {"text": "", "reasoning": text}
            case ir.ToolCallStarted(_, id, name):
                answer.tool_calls.append({"id": id, "name": name, "arguments": ""})
                return {"text": "", "tool_call": {"index": len(answer.tool_calls) - 1, "id": id, "name": name}}
            case ir.ToolCallDelta(index, arguments) if index < len(answer.tool_calls):
                answer.tool_calls[index]["arguments"] += arguments
                return {"text": "", "tool_call": {"index": index, "arguments": arguments}}
        return None

    def _keep(self, text: str) -> None:
        left = MAX_TEXT_CHARS - self._chars
        if len(text) > left:
            self._answer.is_cut = True
        self._pieces.append(text[:left] if left > 0 else "")
        self._chars += len(text)

"""Different dialects: decode, `ir`, encode; plain and streamed, whole events in and out."""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import BadUpstreamReply, InvalidRequest
from atp_engine.core.text import safe_text
from atp_engine.core.types import RequestFacts, TokenUsage
from atp_engine.dialects import ir
from atp_engine.dialects.bridge import Reply, StreamTap, UpstreamBody
from atp_engine.dialects.codec import ClientCodec, Codec
from atp_engine.dialects.estimate import tokens_of_chars
from atp_engine.dialects.event_tap import EventTap
from atp_engine.dialects.framing import SSE, Framing
from atp_engine.dialects.sse import SseEvent
from atp_engine.dialects.text_tail import TAIL_CHARS


class Translation:
    """A `Bridge` between two dialects."""

    def __init__(self, client: ClientCodec, upstream: Codec, framing: Framing = SSE) -> None:
        """`framing` is that of the upstream's streams."""
        self._client = client
        self._upstream = upstream
        self._framing = framing

    def request(self, body: bytes, facts: RequestFacts, model: str) -> UpstreamBody:
        """See `Bridge.request`; dropped fields go by their paths in the client's body."""
        request = msgspec.structs.replace(self._client.decode_request(body), model=model)
        said = self._client.PATHS.get("messages", "messages")
        _check_results(request.messages, said)
        try:
            written = self._upstream.encode_request(request)
        except InvalidRequest as error:
            if error.param != "messages" or said == "messages":
                raise
            raise InvalidRequest(error.public_message.replace("`messages`", f"`{said}`"), param=said) from None
        dropped = (self._client.PATHS.get(name, name) for name in written.dropped_fields)
        return UpstreamBody(written.body, tuple(dict.fromkeys((*request.dropped_fields, *dropped))))

    def reply(
        self,
        body: bytes,
        *,
        created: int = 0,
        prompt_tokens: int = 0,
        facts: RequestFacts | None = None,
        request_id: str = "",
    ) -> Reply:
        """See `Bridge.reply`."""
        result = self._upstream.decode_reply(body)
        text = "".join(part.text for part in result.parts if isinstance(part, ir.Text | ir.Refusal))
        chars = sum(_chars(part) for part in result.parts)
        usage = result.usage
        if usage is None and prompt_tokens:
            usage = TokenUsage(input_tokens=prompt_tokens, output_tokens=tokens_of_chars(chars), is_estimated=True)
        answer_id = result.id or request_id
        result = msgspec.structs.replace(result, id=answer_id, created=result.created or created, usage=usage)
        if facts is not None and facts.echo is not None:
            result = msgspec.structs.replace(result, id=request_id, echo=facts.echo)
        return Reply(
            body=self._client.encode_reply(result),
            usage=usage,
            finish_reason=self._client.FINISH[result.finish_reason],
            model=result.model,
            text=text[:TAIL_CHARS],
            dropped_fields=result.dropped_fields + _untold(result, self._client.UNTOLD),
            output_chars=chars,
        )

    def tap(self, facts: RequestFacts, request_id: str, *, created: int = 0) -> StreamTap:
        """See `Bridge.tap`."""
        return _Tap(self._client, self._upstream, self._framing, facts, request_id, created)


def _check_results(messages: tuple[ir.Message, ...], name: str) -> None:
    """Raises InvalidRequest for a tool's result without its call, which every vendor refuses."""
    called: set[str] = set()
    for message in messages:
        for part in message.parts:
            if isinstance(part, ir.ToolCall):
                called.add(part.id)
            elif isinstance(part, ir.ToolResult) and part.call_id not in called:
                shown = safe_text(part.call_id, limit=64)
                raise InvalidRequest(f"`{name}`: the tool result for {shown!r} answers no call.", param=name)


def _untold(result: ir.ChatResult, names: tuple[str, ...]) -> tuple[str, ...]:
    texts = [part for part in result.parts if isinstance(part, ir.Text)]
    return tuple(name for name in names if any(getattr(text, name) for text in texts))


def _chars(part: ir.Part) -> int:
    if isinstance(part, ir.Text | ir.Refusal | ir.Reasoning):
        return len(part.text)
    return len(part.name) + len(part.arguments) if isinstance(part, ir.ToolCall) else 0


class _Tap(EventTap):
    __slots__ = ("_created", "_decoder", "_encoder", "_finish_words", "_request_id")

    def __init__(
        self,
        client: ClientCodec,
        upstream: Codec,
        framing: Framing,
        facts: RequestFacts,
        request_id: str,
        created: int,
    ) -> None:
        super().__init__(facts, framing)
        self._created = created
        self._request_id = request_id
        self._finish_words = client.FINISH
        self._decoder = upstream.stream_decoder(request_id)
        self._encoder = client.stream_encoder(wants_usage=facts.wants_usage)

    def _take(self, event: SseEvent) -> bytes:
        if event.data is None:
            return b""
        written = self._write(self._decoder.decode(event))
        self.error = self.error or self._decoder.error
        return written

    def _last(self) -> bytes:
        return self._write(self._decoder.finish())

    def _write(self, found: list[ir.StreamEvent]) -> bytes:
        written = b""
        for event in found:
            try:
                written += self._encode(event)
            except BadUpstreamReply as error:
                self.error = error
                break
        return written

    def _encode(self, event: ir.StreamEvent) -> bytes:
        match event:
            case ir.TextDelta(text) | ir.RefusalDelta(text):
                self._tail.add(text)
                self._count(len(text))
            case ir.ReasoningDelta(text):
                self._count(len(text))
            case ir.ToolCallStarted(_, _, name):
                self._count(len(name))
            case ir.ToolCallDelta(_, arguments):
                self._count(len(arguments))
            case ir.Started(id, model, created, usage):
                self.model, self.usage = model, usage
                prompt = usage or TokenUsage(input_tokens=self._facts.prompt_tokens_estimate, is_estimated=True)
                echo = self._facts.echo
                answer_id = id if echo is None else self._request_id
                event = ir.Started(answer_id, model, created or self._created, prompt, echo or {})
            case ir.UsageReported(usage):
                self.usage = usage
            case ir.Stopped(reason):
                self.finish_reason = self._finish_words[reason]
            case ir.Ended():
                return self._end(event)
        return self._encoder.encode(event)

    def _end(self, event: ir.Ended) -> bytes:
        """The terminal event, after the usage that the client expects even if the vendor sent none."""
        self.is_complete = True
        if self.usage is not None or not self._facts.wants_usage:
            return self._encoder.encode(event)
        self.usage = self._estimated()
        return self._encoder.encode(ir.UsageReported(self.usage)) + self._encoder.encode(event)

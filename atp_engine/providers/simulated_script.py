"""One simulated answer as timed pieces of a dialect, with the interruption that was asked for.

`simulated` composes it, `simulated_response` plays it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from atp_engine.core.types import Dialect
from atp_engine.dialects import ir
from atp_engine.dialects.codecs import encode_reply, stream_encoder
from atp_engine.dialects.estimate import BYTES_PER_TOKEN
from atp_engine.providers.simulated_answer import SIGNATURE, Answer
from atp_engine.providers.simulated_errors import error_event
from atp_engine.providers.simulated_models import Fault
from atp_engine.providers.simulated_response import TICK_S, Piece

INTERRUPTIONS = ("cut", "error", "stall", "short")
"""Faults in the middle of an answer, the first that is asked for wins."""
_LONGEST_GROUP = 32
"""Characters of one event at most: eight tokens."""


class Script(msgspec.Struct, frozen=True):
    """An answer with its timing."""

    dialect: Dialect
    request: ir.ChatRequest
    answer: Answer
    id: str
    created: int
    ttft_s: float
    tokens_per_s: float
    interruption: Fault | None

    @property
    def duration_s(self) -> float:
        """From the call to the end of a whole answer."""
        return self.ttft_s + self.answer.usage.output_tokens / self.tokens_per_s

    @property
    def ending(self) -> str:
        """How the body ends: `cut`, `stall`, or in good order (anything else)."""
        return self.interruption.name if self.interruption else ""

    def whole(self) -> Iterator[Piece]:
        """The answer's JSON; half of it when it is interrupted."""
        if self.ending == "error":
            yield Piece(0.0, error_event(self.dialect, is_framed=False))
            return
        result = ir.ChatResult(
            id=self.id,
            model=self.request.model,
            parts=self.answer.parts(),
            finish_reason=self.answer.finish,
            usage=self.answer.usage,
            created=self.created,
            stop_sequence=self.answer.stop_sequence,
        )
        body = encode_reply(self.dialect, result)
        yield Piece(0.0, body[: len(body) // 2] if self.ending else body)

    def stream(self) -> Iterator[Piece]:
        """The stream's bytes, each with the time it is due, counted from the start of the call."""
        encoder = stream_encoder(self.dialect, wants_usage=self.request.wants_usage)
        for event, due_s in self._events():
            body = encoder.encode(event)
            if body:
                yield Piece(due_s, body)
        if self.ending == "error":
            yield Piece(self.ttft_s, error_event(self.dialect, is_framed=True))

    def _events(self) -> Iterator[tuple[ir.StreamEvent, float]]:
        prompt_only = msgspec.structs.replace(self.answer.usage, output_tokens=0, reasoning_tokens=0)
        yield ir.Started(self.id, self.request.model, self.created, prompt_only), self.ttft_s / 2
        limit = self._tokens_before_interruption()
        sent = 0.0
        for event, tokens in self._content():
            if sent >= limit:
                return
            yield event, self.ttft_s + sent / self.tokens_per_s
            sent += tokens
        if self.interruption is None:
            end_s = self.ttft_s + sent / self.tokens_per_s
            yield ir.Stopped(self.answer.finish, self.answer.stop_sequence), end_s
            yield ir.UsageReported(self.answer.usage), end_s
            yield ir.Ended(), end_s

    def _content(self) -> Iterator[tuple[ir.StreamEvent, float]]:
        """The content events with their sizes in tokens; faster models send longer ones."""
        size = int(min(_LONGEST_GROUP, max(4.0, self.tokens_per_s * TICK_S * BYTES_PER_TOKEN)))
        for group in _groups(self.answer.thoughts, size):
            yield ir.ReasoningDelta(group), len(group) / BYTES_PER_TOKEN
        if self.answer.thoughts:
            yield ir.ReasoningDelta(signature=SIGNATURE), 0.0
        for group in _groups(self.answer.text, size):
            yield ir.TextDelta(group), len(group) / BYTES_PER_TOKEN
        for index, call in enumerate(self.answer.calls):
            yield ir.ToolCallStarted(index, call.id, call.name), 1.0
            for group in _groups(call.arguments, size):
                yield ir.ToolCallDelta(index, group), len(group) / BYTES_PER_TOKEN

    def _tokens_before_interruption(self) -> float:
        if self.interruption is None:
            return float("inf")
        if self.interruption.after_tokens is not None:
            return float(self.interruption.after_tokens)
        return self.answer.usage.output_tokens / 2


def _groups(text: str, size: int) -> Iterator[str]:
    for start in range(0, len(text), size):
        yield text[start : start + size]

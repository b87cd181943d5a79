"""What every stream tap does alike: whole events in, the client's bytes out, nothing after the end.

A dialect's tap gives `_take` (what one event means and what the client gets of it) and `_last` (the
bytes that close a stream which stopped without its terminal event).
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError
from atp_engine.core.types import RequestFacts, TokenUsage
from atp_engine.dialects.estimate import tokens_of_chars
from atp_engine.dialects.framing import SSE, Framing
from atp_engine.dialects.sse import EventTooLarge, SseEvent
from atp_engine.dialects.text_tail import TextTail

_PLAIN = re.compile(rb"[ !#-\[\]-~]+").fullmatch
"""Text that stands in JSON as it is: printable ASCII without quotes and backslashes."""
_MOST_LESSONS = 8


class EventTap(ABC):
    """The common part of a `bridge.StreamTap`."""

    __slots__ = (
        "_facts",
        "_framing",
        "_lead",
        "_lessons",
        "_splitter",
        "_tail",
        "_text_end",
        "_text_start",
        "_trail",
        "content_events",
        "error",
        "finish_reason",
        "has_content",
        "is_complete",
        "model",
        "output_chars",
        "usage",
    )

    def __init__(self, facts: RequestFacts, framing: Framing = SSE) -> None:
        self._facts = facts
        self._framing = framing
        self._splitter = framing.splitter()
        self._tail = TextTail()
        self._lead = self._trail = b""
        self._text_start = self._text_end = 0
        self._lessons = _MOST_LESSONS
        self.has_content = False
        self.is_complete = False
        self.error: UpstreamError | None = None
        self.usage: TokenUsage | None = None
        self.finish_reason = ""
        self.model = ""
        self.content_events = 0
        self.output_chars = 0

    def feed(self, data: bytes) -> bytes:
        """See `StreamTap.feed`."""
        lead = self._lead
        if lead and data.startswith(lead) and data.endswith(self._trail):
            text = data[self._text_start : self._text_end]
            if _PLAIN(text) is not None and self._splitter.is_empty and not self.is_complete and self.error is None:
                self._tail.add(text.decode("ascii"))
                self.has_content = True
                self.content_events += 1
                self.output_chars += len(text)
                return data
        if self.error is not None or self.is_complete:
            return b""
        if data[-2:] == b"\n\n" and self._splitter.is_empty:
            return self._block(data)
        try:
            block = self._splitter.feed(data)
        except EventTooLarge as error:
            self.error = BadUpstreamReply(f"The provider's stream is not usable: {error}.")
            return b""
        return self._block(block) if block else b""

    def _learn(self, block: bytes, key: bytes, text: str) -> None:
        """Remembers what stands around `text`, the value of the only `key` of a block that says nothing else: the next
        block that is like it needs no reading of its JSON.

        Vendors whose events differ in more than the text (numbers, padding) are given up after some tries.
        """
        self._lessons -= 1
        said = text.encode("utf-8", "replace")
        start = block.find(b'"', block.find(key) + len(key)) + 1
        end = start + len(said)
        if block.count(key) == 1 and _PLAIN(said) is not None and block[start : end + 1] == said + b'"':
            self._lead, self._trail = block[:start], block[end:]
            self._text_start, self._text_end = start, start - len(block) + len(said)

    def finish(self) -> bytes:
        """See `StreamTap.finish`. A last event without its blank line counts when it is whole."""
        return self._rest() + self._close()

    def tail(self) -> str:
        """See `StreamTap.tail`."""
        return self._tail.text()

    def _block(self, block: bytes) -> bytes:
        """The bytes for a block of whole events; overridden where the usual block has a shorter way."""
        return self._events(self._framing.events(block))

    def _events(self, found: list[SseEvent]) -> bytes:
        kept: list[bytes] = []
        for event in found:
            kept.append(self._take(event))
            if self.error is not None or self.is_complete:
                break
        return b"".join(kept)

    @abstractmethod
    def _take(self, event: SseEvent) -> bytes:
        """Takes in one event; returns what the client gets of it."""

    @abstractmethod
    def _last(self) -> bytes:
        """The end of a stream whose vendor stopped but left the terminal event out."""

    def _has_stopped(self) -> bool:
        return bool(self.finish_reason)

    def _is_over(self) -> bool:
        return self.error is not None or self.is_complete

    def _rest(self) -> bytes:
        event = None if self._is_over() else self._framing.last_event(self._splitter.rest())
        if event is None:
            return b""
        kept = self._take(event)
        if isinstance(self.error, BadUpstreamReply):
            self.error = StreamBroken("The provider's stream broke off inside an event.")
        return kept

    def _close(self) -> bytes:
        if self._is_over():
            return b""
        if not self._has_stopped():
            self.error = StreamBroken("The provider's stream ended before the answer was complete.")
            return b""
        self.is_complete = True
        return self._last()

    def _count(self, chars: int) -> None:
        self.has_content = True
        self.content_events += 1
        self.output_chars += chars

    def _estimated(self) -> TokenUsage:
        """The usage that the client expects although the vendor sent none."""
        return TokenUsage(
            input_tokens=self._facts.prompt_tokens_estimate,
            output_tokens=tokens_of_chars(self.output_chars),
            is_estimated=True,
        )

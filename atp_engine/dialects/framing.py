"""How events stand in a body: server-sent events, or a JSON value on each line; for the stream taps."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from atp_engine.dialects import ndjson, sse
from atp_engine.dialects.sse import SseEvent


class PieceSplitter(Protocol):
    """Holds at most one unfinished event."""

    is_empty: bool
    """It holds none."""

    def feed(self, piece: bytes) -> bytes:
        """The whole events so far; raises EventTooLarge."""
        ...

    def rest(self) -> bytes:
        """What is left of an unfinished event."""
        ...


class Framing(NamedTuple):
    """One way to frame."""

    splitter: Callable[[], PieceSplitter]
    events: Callable[[bytes], list[SseEvent]]
    """The events of a block that a splitter gave."""
    last_event: Callable[[bytes], SseEvent | None]
    """The event in a body's unfinished end."""


SSE = Framing(sse.Splitter, sse.events, sse.last_event)
NDJSON = Framing(ndjson.Splitter, ndjson.events, ndjson.last_event)

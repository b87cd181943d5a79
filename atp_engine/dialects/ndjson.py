"""JSON values on lines of their own (`application/x-ndjson`): whole lines out of pieces split anywhere.

Ollama's streams. Lines end in LF or CRLF; blank ones say nothing; the last one may lack its end.
"""

from __future__ import annotations

from atp_engine.dialects.sse import EVENT_CAP_BYTES, EventTooLarge, SseEvent


class Splitter:
    """Holds at most one unfinished line."""

    __slots__ = ("_cap", "_rest", "is_empty")

    def __init__(self, cap_bytes: int = EVENT_CAP_BYTES) -> None:
        self._rest = bytearray()
        self._cap = cap_bytes
        self.is_empty = True

    def feed(self, piece: bytes) -> bytes:
        """The whole lines so far, untouched and in order; empty while none is. Raises EventTooLarge."""
        rest = self._rest
        if not rest and piece.endswith(b"\n"):
            return piece
        end = piece.rfind(b"\n") + 1
        whole = bytes(rest) + piece[:end] if end else b""
        if end:
            rest.clear()
        rest += piece[end:]
        self.is_empty = not rest
        if len(rest) > self._cap:
            raise EventTooLarge(f"a line is larger than {self._cap} bytes")
        return whole

    def rest(self) -> bytes:
        """What is left of an unfinished line."""
        return bytes(self._rest)


def events(block: bytes) -> list[SseEvent]:
    """The lines of a block as `feed` gives it, each an event without a name; blank ones have no data."""
    return [SseEvent(line + b"\n", b"", line.strip() or None) for line in block.split(b"\n")[:-1]]


def last_event(rest: bytes) -> SseEvent | None:
    """A body's unfinished last line as if its end had come, None when it is blank."""
    data = rest.strip()
    return SseEvent(data + b"\n", b"", data) if data else None

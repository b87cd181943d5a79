"""Server-sent events over bytes: whole events out of pieces that are split anywhere.

Used by every stream tap. The usual piece is one or more whole LF-ended events and passes without a
copy. Fields follow the WHATWG parsing rules (November 2026): LF, CRLF or CR, comments, several
`data` lines, a BOM at the start, an unfinished event at the end is not an event.
"""

from __future__ import annotations

import re

import msgspec

EVENT_CAP_BYTES = 8 * 1024 * 1024

# A CR after an LF line may be half of a CRLF: it ends an event only once the next byte is there.
_BOUNDARY = re.compile(rb"(?:\r\n|\n)(?:\r\n|\n|\r(?=[^\n]))|\r(?!\n)(?:\r\n|\n|\r)")
_LINE = re.compile(rb"\r\n|\n|\r")
_USUAL_ENDS = (b"\n\n", b"\r\n\r\n")
_LONGEST_BOUNDARY = 4
_BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event grew over the cap before its blank line came."""


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One event: its bytes as they came with the blank line, its name, and its data (None without)."""

    raw: bytes
    name: bytes
    data: bytes | None


class Splitter:
    """Holds at most one unfinished event; `feed` gives the bytes of all that are whole by now."""

    __slots__ = ("_cap", "_rest", "is_empty")

    def __init__(self, cap_bytes: int = EVENT_CAP_BYTES) -> None:
        self._rest = bytearray()
        self._cap = cap_bytes
        self.is_empty = True
        """Nothing is held: a piece that ends with a blank line is whole events as it is."""

    def feed(self, piece: bytes) -> bytes:
        """The whole events so far, untouched and in order; empty while none is. Raises EventTooLarge."""
        rest = self._rest
        if not rest and piece.endswith(_USUAL_ENDS):
            return piece
        searched = max(len(rest) - _LONGEST_BOUNDARY, 0)
        rest += piece
        end = _last_boundary(rest, searched)
        if end == 0:
            self.is_empty = False
            self._check()
            return b""
        whole = bytes(memoryview(rest)[:end])
        del rest[:end]
        self.is_empty = not rest
        self._check()
        return whole

    def rest(self) -> bytes:
        """What is left of an unfinished event."""
        return bytes(self._rest)

    def _check(self) -> None:
        if len(self._rest) > self._cap:
            raise EventTooLarge(f"an event is larger than {self._cap} bytes")


def _last_boundary(text: bytearray, start: int) -> int:
    """Where the last blank line at or after `start` ends, 0 when there is none."""
    if text.find(b"\r", start) < 0:
        found = text.rfind(b"\n\n", start)
        return found + 2 if found >= 0 else 0
    end = 0
    for match in _BOUNDARY.finditer(text, start):
        end = match.end()
    return end


def events(block: bytes) -> list[SseEvent]:
    """The events of whole blocks as `feed` gives them; comments and stray blank lines have no data."""
    if b"\r" not in block and not block.startswith((b"\n", _BOM)):
        return [_event(raw + b"\n\n", raw.split(b"\n")) for raw in block.split(b"\n\n")[:-1]]
    found, start = [], 0
    for match in _BOUNDARY.finditer(block):
        raw = block[start : match.end()]
        found.append(_event(raw, _LINE.split(raw.removeprefix(_BOM))))
        start = match.end()
    return found


def _event(raw: bytes, lines: list[bytes]) -> SseEvent:
    name, data = b"", []
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return SseEvent(raw, name, b"\n".join(data) if data else None)


def last_event(rest: bytes) -> SseEvent | None:
    """The event in a body's unfinished end as if its blank line had come, None when it has no data."""
    event = _event(rest.rstrip(b"\r\n") + b"\n\n", _LINE.split(rest.removeprefix(_BOM)))
    return event if event.data is not None else None


def frame(data: bytes, name: bytes = b"") -> bytes:
    """An event on the wire; `data` must hold no line break."""
    if name:
        return b"event: " + name + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"

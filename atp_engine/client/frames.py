"""The live stream's bytes as batches of events; `EngineClient.events` feeds it.

Tolerant on purpose: frames and event types of a newer engine are skipped, never fatal.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.events import AnyEvent

_CAP_BYTES = 16 * 1_048_576
_BATCH = msgspec.json.Decoder(tuple[AnyEvent, ...])
_PIECES = msgspec.json.Decoder(tuple[msgspec.Raw, ...])
_EVENT = msgspec.json.Decoder(AnyEvent)


class FrameReader:
    """Collects bytes and gives whole batches, oldest first. Raises ValueError over 16 MiB without a frame."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[tuple[AnyEvent, ...]]:
        """The batches that `data` completes; an empty batch is left out."""
        self._held = (self._held + data).replace(b"\r\n", b"\n")
        if b"\n\n" not in self._held:
            if len(self._held) > _CAP_BYTES:
                raise ValueError("an event frame without an end")
            return []
        *frames, self._held = self._held.split(b"\n\n")
        return [batch for frame in frames if (batch := _events_of(frame))]


def _events_of(frame: bytes) -> tuple[AnyEvent, ...]:
    kind = b"message"
    lines: list[bytes] = []
    for line in frame.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[5:].lstrip(b" "))
        elif line.startswith(b"event:"):
            kind = line[6:].strip()
    if kind != b"batch" or not lines:
        return ()
    payload = b"\n".join(lines)
    try:
        return _BATCH.decode(payload)
    except msgspec.ValidationError:
        return _known_events(payload)
    except msgspec.DecodeError:
        return ()


def _known_events(payload: bytes) -> tuple[AnyEvent, ...]:
    """The events that this version knows, one by one."""
    known: list[AnyEvent] = []
    try:
        pieces = _PIECES.decode(payload)
    except msgspec.DecodeError:
        return ()
    for piece in pieces:
        try:
            known.append(_EVENT.decode(piece))
        except msgspec.DecodeError:
            continue
    return tuple(known)

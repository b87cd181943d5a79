"""The copy of an answer while it is being sent: capped, and packed as it grows, so that an open stream
costs little memory however long it is.

`captures` makes one per kept request, the sink adds what it sends, `captures` takes the whole at the end.
"""

from __future__ import annotations

import zlib

_LOOSE_BYTES = 8 * 1024
"""What is held unpacked at most, plus one piece; chat streams pack to about a fifteenth."""
_LEVEL = 1


class Capture:
    """A capped copy of what the client got."""

    __slots__ = ("_left", "_loose", "_loose_bytes", "_packed", "is_cut")

    def __init__(self, cap_bytes: int) -> None:
        self._left = cap_bytes
        self._loose: list[bytes] = []
        self._loose_bytes = 0
        self._packed: list[bytes] = []
        self.is_cut = False

    def add(self, sent: bytes) -> None:
        """Keeps the bytes, up to the cap."""
        size = len(sent)
        if size > self._left:
            self.is_cut = True
            size = self._left
            sent = sent[:size]
        if size:
            self._left -= size
            self._loose.append(sent)
            self._loose_bytes += size
            if self._loose_bytes > _LOOSE_BYTES and self._left:
                self._pack()

    def whole(self) -> bytes:
        """Everything kept, in order."""
        if not self._packed:
            return b"".join(self._loose)
        return b"".join([*map(zlib.decompress, self._packed), *self._loose])

    def _pack(self) -> None:
        self._packed.append(zlib.compress(b"".join(self._loose), _LEVEL))
        self._loose = []
        self._loose_bytes = 0

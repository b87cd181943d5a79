"""The last text of an answer, for live previews: cheap to add to, at most 4 KiB kept."""

from __future__ import annotations

TAIL_CHARS = 4096
_MOST_PIECES = 64
"""Small strings weigh more than their characters: a stream of short tokens would hold 100 KiB."""


class TextTail:
    """Pieces of text in order; memory stays under twice the limit plus one piece, whatever the pieces' size."""

    __slots__ = ("_held", "_pieces")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._held = 0

    def add(self, text: str) -> None:
        """Appends a piece."""
        pieces = self._pieces
        pieces.append(text)
        self._held += len(text)
        if self._held > 2 * TAIL_CHARS or len(pieces) > _MOST_PIECES:
            kept = self.text()
            self._pieces = [kept]
            self._held = len(kept)

    def text(self) -> str:
        """The last 4096 characters so far."""
        return "".join(self._pieces)[-TAIL_CHARS:]

"""Rows that a person has marked, by identity: they stay marked whatever happens around them."""

from __future__ import annotations

from collections.abc import Container

MARKS_CAP = 1_000


class Marks:
    """The marked rows of one list, in the order in which they were marked."""

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self.is_only = False
        """Only the marked rows are shown."""

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id: str) -> bool:
        return id in self._ids

    @property
    def ids(self) -> tuple[str, ...]:
        """The marked ones, the first marked first."""
        return tuple(self._ids)

    def toggle(self, id: str) -> bool:
        """Marks a row, or unmarks it; False when there is no room for another mark."""
        if id in self._ids:
            self.discard(id)
            return True
        if len(self._ids) >= MARKS_CAP:
            return False
        self._ids[id] = None
        return True

    def discard(self, id: str) -> None:
        """Unmarks a row; with the last mark, showing only marked rows ends."""
        if self._ids.pop(id, "") is None and not self._ids:
            self.is_only = False

    def keep(self, present: Container[str]) -> None:
        """Forgets the marks of rows that are no more."""
        for gone in [one for one in self._ids if one not in present]:
            self.discard(gone)

    def clear(self) -> None:
        """Forgets every mark."""
        self._ids.clear()
        self.is_only = False

"""The slots of one deployment: how many calls it may have in flight, and who waits for one.

Pure maths: `services/slots` holds the futures and starts whom it grants a slot. Nobody holds anything
while waiting.
"""

from __future__ import annotations

from atp_engine.limits.aimd import Bounds, LearnedLimit
from atp_engine.limits.fair_queue import FairQueue, Room

UNLIMITED = 1 << 30
"""A limit that is none."""


class Gate:
    """One deployment's learned limit and its line. Times are monotonic seconds."""

    __slots__ = ("is_learning", "key", "learned", "line", "stated")

    def __init__(self, key: str, room: Room, bounds: Bounds, stated: int, *, is_learning: bool) -> None:
        self.key = key
        self.line = FairQueue(room)
        self.stated = stated
        self.is_learning = is_learning
        self.learned = LearnedLimit(_within(bounds, stated))

    @property
    def limit(self) -> int:
        """Most calls in flight now."""
        if self.is_learning:
            return self.learned.limit
        return self.stated or UNLIMITED

    def apply(self, bounds: Bounds, stated: int, *, is_learning: bool) -> None:
        """Takes a new config's limits; what was learned is kept."""
        self.stated = stated
        self.is_learning = is_learning
        self.learned.apply(_within(bounds, stated))


def _within(bounds: Bounds, stated: int) -> Bounds:
    """The bounds with a stated most for their cap: who states one knows the deployment."""
    return Bounds(bounds.base, stated, bounds.floor, bounds.target_ms) if stated else bounds

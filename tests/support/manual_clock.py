"""A clock that moves only when told: both faces of it, wall and monotonic."""

from __future__ import annotations


class ManualClock:
    """Starts at a fixed instant; `advance` moves both faces, `step_wall` only what people see."""

    def __init__(self, now: float = 1_790_000_000.0, monotonic: float = 1_000.0) -> None:
        self._now = now
        self._monotonic = monotonic

    def now(self) -> float:
        """UTC epoch seconds."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._now += seconds
        self._monotonic += seconds

    def step_wall(self, seconds: float) -> None:
        """Sets the wall clock forward or back, as an operator does."""
        self._now += seconds

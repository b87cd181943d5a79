"""What the engine takes from outside as arguments: time, randomness and identifiers.

Pure rooms never read a clock or roll dice themselves; tests pass fixed ones.
"""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two clocks: the wall for rows and people, the monotonic for everything that is timed."""

    def now(self) -> float:
        """UTC epoch seconds; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards; only differences mean anything."""
        ...


class Rng(Protocol):
    """The one source of chance (jitter, weighted picks); seeded in tests."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...


class NewId(Protocol):
    """Makes identifiers that are unique across restarts and sort by time."""

    def __call__(self) -> str:
        """A new id such as `req_01jq8v3k2m0004`."""
        ...

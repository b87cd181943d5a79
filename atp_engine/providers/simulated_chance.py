"""Chance that is the same for the same material, on every machine and Python version.

The simulated provider draws everything from it: pace, faults, words, tool arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
"""Weyl increment of the splitmix64 generator (Steele, Lea, Flood 2014)."""


class Chance:
    """A small generator seeded by bytes; fit for simulation only."""

    __slots__ = ("_state",)

    def __init__(self, *material: bytes) -> None:
        digest = blake2b(digest_size=8)
        for piece in material:
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
        self._state = int.from_bytes(digest.digest(), "big")

    def random(self) -> float:
        """A float in [0, 1)."""
        self._state = (self._state + _STEP) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) >> 11) * 2.0**-53

    def pick(self, choices: Sequence[T]) -> T:
        """One of the choices, of which there must be some."""
        return choices[int(self.random() * len(choices))]

    def between(self, low: float, high: float) -> float:
        """A float in [low, high)."""
        return low + (high - low) * self.random()

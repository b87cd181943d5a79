"""How many calls in flight a deployment bears, learned from its answers.

`gate` holds one per deployment. It grows by one per good answer and halves on trouble, once per wave:
calls that were sent before the last cut cannot cut again.
"""

from __future__ import annotations

from math import inf

import msgspec

from atp_engine.core.ports import Rng
from atp_engine.core.types import AttemptOutcome

BASE = 4
CAP = 64
FLOOR = 1
CUT = 0.5
JITTER = 0.05
"""A cut differs by up to this much either way, so that limits do not swing in step."""
TARGET_MS = 30_000.0
_TROUBLE = frozenset({AttemptOutcome.RATE_LIMITED, AttemptOutcome.OVERLOADED, AttemptOutcome.TIMEOUT})


class Bounds(msgspec.Struct, frozen=True):
    """Between what a limit moves, and what counts as a good answer."""

    base: float = BASE
    cap: float = CAP
    floor: float = FLOOR
    target_ms: float = TARGET_MS


class LearnedLimit:
    """Additive increase, multiplicative decrease; starts at the base."""

    __slots__ = ("_cut_at", "_level", "bounds")

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._level = float(min(bounds.cap, max(bounds.floor, bounds.base)))
        self._cut_at = -inf

    @property
    def limit(self) -> int:
        """Most calls in flight."""
        return int(self._level)

    def apply(self, bounds: Bounds) -> int:
        """Other bounds from now on; what was learned stays as far as they allow. Returns the limit."""
        self.bounds = bounds
        self._level = float(min(bounds.cap, max(bounds.floor, self._level)))
        return int(self._level)

    def good(self, latency_ms: float) -> int:
        """Learns from a success and returns the limit: under the target it adds one."""
        if latency_ms < self.bounds.target_ms and self._level < self.bounds.cap:
            self._level = min(float(self.bounds.cap), self._level + 1.0)
        return int(self._level)

    def bad(self, outcome: AttemptOutcome, started_at: float, now: float, rng: Rng) -> int:
        """Learns from a failure and returns the limit.

        A rate limit, an overload or a timeout halves, unless the call began before the last cut.
        Everything else says nothing about load.
        """
        if outcome in _TROUBLE and started_at > self._cut_at:
            self._cut_at = now
            factor = CUT * (1.0 + JITTER * (2.0 * rng.random() - 1.0))
            self._level = max(float(self.bounds.floor), self._level * factor)
        return int(self._level)

"""How many calls in flight a deployment bears, learned from its answers.

The attempt loop keeps one `LearnedLimit` per deployment and passes its value to the health book. It
grows by one per good answer and halves on trouble, once per wave: calls that were sent before the last
cut cannot cut again.
"""

from __future__ import annotations

from math import inf

from atp_engine.core.ports import Rng
from atp_engine.core.types import AttemptOutcome

BASE = 4
CAP = 64
FLOOR = 1
CUT = 0.5
JITTER = 0.05
"""A cut differs by up to this much either way, so that limits do not swing in step."""
_TROUBLE = frozenset({AttemptOutcome.RATE_LIMITED, AttemptOutcome.OVERLOADED, AttemptOutcome.TIMEOUT})


class LearnedLimit:
    """Additive increase, multiplicative decrease, between 1 and 64; starts at 4."""

    __slots__ = ("_cut_at", "_level")

    def __init__(self, base: float = BASE) -> None:
        self._level = float(min(CAP, max(FLOOR, base)))
        self._cut_at = -inf

    @property
    def limit(self) -> int:
        """Most calls in flight."""
        return int(self._level)

    def record(
        self, outcome: AttemptOutcome, latency_ms: float, target_ms: float, started_at: float, now: float, rng: Rng
    ) -> int:
        """Learns from a finished call and returns the limit.

        A success under `target_ms` adds one; a rate limit, an overload or a timeout halves, unless the
        call began before the last cut. Everything else says nothing about load.
        """
        if outcome is AttemptOutcome.OK:
            if latency_ms < target_ms:
                self._level = min(float(CAP), self._level + 1.0)
        elif outcome in _TROUBLE and started_at > self._cut_at:
            self._cut_at = now
            self._level = max(float(FLOOR), self._level * CUT * (1.0 + JITTER * (2.0 * rng.random() - 1.0)))
        return int(self._level)

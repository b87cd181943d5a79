"""Figures over the recent past of one deployment: moving averages and percentiles of a sliding window.

Used by `health`. A window is two halves that take turns, so an answer covers between one and two
half-lengths and forgetting costs nothing per sample.
"""

from __future__ import annotations

from atp_engine.core.buckets import bucket_of, quantile

HALF_WINDOW_S = 150.0
"""Percentiles cover the last 2.5 to 5 minutes."""
_WEIGHT = 0.15
"""Share of the newest sample in a moving average: about the last dozen count."""


class RecentValues:
    """Durations in ms: moving average, and percentiles by log buckets (4.5 %)."""

    __slots__ = ("_kept", "_newer", "_older", "_turn_at", "average")

    def __init__(self) -> None:
        self.average: float | None = None
        self._kept: dict[float, tuple[float, float | None]] = {}
        """Per share: until when an answer is good, and the answer."""
        self._newer: dict[int, int] = {}
        self._older: dict[int, int] = {}
        self._turn_at = 0.0

    def add(self, value_ms: float, now: float) -> None:
        """Counts one value at monotonic `now`."""
        average = self.average
        self.average = value_ms if average is None else average + _WEIGHT * (value_ms - average)
        if now >= self._turn_at:
            self._turn(now)
        bucket = bucket_of(value_ms * 0.001)
        newer = self._newer
        newer[bucket] = newer.get(bucket, 0) + 1

    def percentile(self, share: float, now: float) -> float | None:
        """The value in ms below which `share` (0..1) of the window lies; None when it is empty.

        With a hundred values or more an answer is kept for a second: every attempt may ask.
        """
        kept = self._kept.get(share)
        if kept is not None and now < kept[0]:
            return kept[1]
        if now >= self._turn_at:
            self._turn(now)
        merged = dict(self._older)
        for bucket, count in self._newer.items():
            merged[bucket] = merged.get(bucket, 0) + count
        seconds = quantile(sorted(merged.items()), share)
        found = None if seconds is None else seconds * 1000.0
        if sum(merged.values()) >= 100:
            self._kept[share] = (now + 1.0, found)
        return found

    def _turn(self, now: float) -> None:
        has_slept = now >= self._turn_at + HALF_WINDOW_S
        self._older = {} if has_slept else self._newer
        self._newer = {}
        self._kept.clear()
        self._turn_at = now + HALF_WINDOW_S


class RecentShare:
    """The share of failures among the calls of the last half to whole window."""

    __slots__ = ("_half_s", "_newer", "_newer_bad", "_older", "_older_bad", "_turn_at")

    def __init__(self, half_s: float) -> None:
        self._half_s = half_s
        self._turn_at = 0.0
        self._newer = self._newer_bad = self._older = self._older_bad = 0

    def add(self, is_bad: bool, now: float) -> None:
        """Counts one call."""
        if now >= self._turn_at:
            self._turn(now)
        self._newer += 1
        self._newer_bad += is_bad

    def count(self, now: float) -> int:
        """Calls in the window."""
        if now >= self._turn_at:
            self._turn(now)
        return self._newer + self._older

    def share(self, now: float) -> float | None:
        """Failed calls over all calls, None without any."""
        total = self.count(now)
        return (self._newer_bad + self._older_bad) / total if total else None

    def clear(self) -> None:
        """Forgets every call."""
        self._newer = self._newer_bad = self._older = self._older_bad = 0

    def _turn(self, now: float) -> None:
        has_slept = now >= self._turn_at + self._half_s
        self._older, self._older_bad = (0, 0) if has_slept else (self._newer, self._newer_bad)
        self._newer = self._newer_bad = 0
        self._turn_at = now + self._half_s

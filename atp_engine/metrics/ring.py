"""The last 15 minutes by the second: requests, errors, tokens, money and latency.

The recorder adds every finished request, the engine view and the sparklines read. Time is the
monotonic clock, an argument. Memory is fixed; a figure that was worked out for a second is kept until
that second is over or something is added.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.buckets import BUCKETS, bucket_of, quantile

SECONDS = 900
WINDOW_S = 60
_SLICE_S = 10
_SLICES = WINDOW_S // _SLICE_S + 1


class LastMinute(msgspec.Struct, frozen=True):
    """Rates and percentiles of the last 60 s (of the time since the start when that is shorter)."""

    requests: int
    errors: int
    tokens: int
    cost_nusd: int
    requests_per_s: float
    tokens_per_s: float
    error_share: float
    cost_per_hour_nusd: int
    p50_ms: float | None
    p95_ms: float | None


class Ring:
    """Fifteen minutes of traffic."""

    def __init__(self, now: float) -> None:
        self._started = int(now)
        self._second = [-1] * SECONDS
        self._requests = [0] * SECONDS
        self._errors = [0] * SECONDS
        self._tokens = [0] * SECONDS
        self._cost = [0] * SECONDS
        self._slice = [-1] * _SLICES
        self._latency = [[0] * BUCKETS for _ in range(_SLICES)]
        self._kept: LastMinute | None = None
        self._kept_second = -1

    def add(self, now: float, *, is_error: bool, tokens: int, cost_nusd: int, duration_ms: float) -> None:
        """Counts a finished request."""
        self.add_all([(now, is_error, tokens, cost_nusd, duration_ms)])

    def add_all(self, finished: list[tuple[float, bool, int, int, float]]) -> None:
        """Counts finished requests: of each the arguments of `add` in their order."""
        for now, is_error, tokens, cost_nusd, duration_ms in finished:
            second = int(now)
            slot = second % SECONDS
            if self._second[slot] != second:
                self._second[slot] = second
                self._requests[slot] = self._errors[slot] = self._tokens[slot] = self._cost[slot] = 0
            self._requests[slot] += 1
            self._errors[slot] += is_error
            self._tokens[slot] += tokens
            self._cost[slot] += cost_nusd
            number = second // _SLICE_S
            place = number % _SLICES
            if self._slice[place] != number:
                self._slice[place] = number
                self._latency[place] = [0] * BUCKETS
            self._latency[place][bucket_of(duration_ms * 0.001)] += 1
        self._kept = None

    def last_minute(self, now: float) -> LastMinute:
        """The figures of the last 60 s; percentiles cover 60 to 70 s."""
        second = int(now)
        if self._kept is not None and self._kept_second == second:
            return self._kept
        slots = self._slots(second, WINDOW_S)
        requests = sum(self._requests[slot] for slot in slots)
        errors = sum(self._errors[slot] for slot in slots)
        tokens = sum(self._tokens[slot] for slot in slots)
        cost = sum(self._cost[slot] for slot in slots)
        span = max(1, min(WINDOW_S, second - self._started + 1))
        counts = self._recent_latency(second)
        p50, p95 = quantile(counts, 0.5), quantile(counts, 0.95)
        self._kept_second = second
        self._kept = LastMinute(
            requests=requests,
            errors=errors,
            tokens=tokens,
            cost_nusd=cost,
            requests_per_s=requests / span,
            tokens_per_s=tokens / span,
            error_share=errors / requests if requests else 0.0,
            cost_per_hour_nusd=cost * 3600 // span,
            p50_ms=None if p50 is None else p50 * 1000.0,
            p95_ms=None if p95 is None else p95 * 1000.0,
        )
        return self._kept

    def series(self, now: float, seconds: int) -> list[tuple[int, int]]:
        """Requests and errors of each of the last whole seconds, oldest first; at most 899."""
        end = int(now)
        span = min(seconds, SECONDS - 1)
        found = []
        for second in range(end - span, end):
            slot = second % SECONDS
            is_kept = self._second[slot] == second
            found.append((self._requests[slot], self._errors[slot]) if is_kept else (0, 0))
        return found

    def _slots(self, second: int, span: int) -> list[int]:
        numbers = range(second - span + 1, second + 1)
        return [number % SECONDS for number in numbers if self._second[number % SECONDS] == number]

    def _recent_latency(self, second: int) -> list[tuple[int, int]]:
        newest = second // _SLICE_S
        live = [
            self._latency[number % _SLICES]
            for number in range(newest - _SLICES + 1, newest + 1)
            if self._slice[number % _SLICES] == number
        ]
        return [(bucket, sum(column)) for bucket, column in enumerate(zip(*live, strict=True))]

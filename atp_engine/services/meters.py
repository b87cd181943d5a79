"""Every finished request counted: instruments for `/metrics` and the ring behind the live figures.

The recorder calls `finished` once per request; `refresh` brings the gauges up to date for a scrape.
"""

from __future__ import annotations

from collections.abc import Callable

from atp_engine.core.types import AttemptRecord, PriceState, RequestState
from atp_engine.core.views import RequestView
from atp_engine.metrics.catalog import Catalog
from atp_engine.metrics.exposition import render
from atp_engine.metrics.ring import LastMinute, Ring

_BAD = frozenset({RequestState.FAILED, RequestState.TRUNCATED})
_REJECTED, _UNKNOWN = RequestState.REJECTED, PriceState.UNKNOWN
_BATCH = 256
"""Most requests noted before they are counted."""
_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")


class Meters:
    """The engine's counters. Requests are noted and counted a batch at a time, before anybody reads."""

    def __init__(self, catalog: Catalog, now: float) -> None:
        self.catalog = catalog
        self._ring = Ring(now)
        self._tokens = [catalog.tokens.child(kind) for kind in _KINDS]
        self._duration = catalog.duration.child()
        self._ttft = catalog.ttft.child()
        self._queue_wait = catalog.queue_wait.child()
        self._cost = catalog.cost.child()
        self._unknown_cost = catalog.unknown_cost.child()
        self._noted: list[tuple[RequestView, list[AttemptRecord], float]] = []
        self._counted = 0

    @property
    def requests_total(self) -> int:
        """Requests finished since the start."""
        return self._counted + len(self._noted)

    def finished(self, view: RequestView, attempts: list[AttemptRecord], now: float) -> None:
        """Takes note of a request with its attempts at monotonic `now`."""
        noted = self._noted
        noted.append((view, attempts, now))
        if len(noted) >= _BATCH:
            self.count()

    def count(self) -> None:
        """Counts what was noted: sums first, so that a request costs a fraction of what it would alone."""
        noted, self._noted = self._noted, []
        self._counted += len(noted)
        states: dict[tuple[str, str], int] = {}
        durations: list[float] = []
        attempts: list[AttemptRecord] = []
        for view, tried, _ in noted:
            state = view.state
            key = (state, view.route)
            states[key] = states.get(key, 0) + 1
            if state is _REJECTED:
                self.catalog.refused.child(view.error_code).inc()
            durations.append((view.duration_ms or 0.0) * 0.001)
            if view.queue_wait_ms:
                self._queue_wait.observe(view.queue_wait_ms * 0.001)
            attempts += tried
        for labels, number in states.items():
            self.catalog.requests.child(*labels).inc(number)
        self._duration.observe_all(durations)
        self._ring.add_all(
            [
                (
                    now,
                    view.state in _BAD,
                    view.prompt_tokens + view.output_tokens,
                    view.cost_nusd,
                    view.duration_ms or 0.0,
                )
                for view, _, now in noted
            ]
        )
        self._count_attempts(attempts)

    def _count_attempts(self, attempts: list[AttemptRecord]) -> None:
        outcomes: dict[tuple[str, str], int] = {}
        tokens = [0] * len(_KINDS)
        cost = 0
        for attempt in attempts:
            key = (attempt.deployment, attempt.outcome)
            outcomes[key] = outcomes.get(key, 0) + 1
            usage = attempt.usage
            tokens[0] += usage.input_tokens
            tokens[1] += usage.output_tokens
            tokens[2] += usage.cache_read_tokens
            tokens[3] += usage.cache_write_tokens
            tokens[4] += usage.reasoning_tokens
            if attempt.price_state is _UNKNOWN:
                self._unknown_cost.inc()
            else:
                cost += attempt.cost_nusd
        for labels, number in outcomes.items():
            self.catalog.attempts.child(*labels).inc(number)
        for counter, number in zip(self._tokens, tokens, strict=True):
            counter.inc(number)
        self._cost.inc(cost)
        self._ttft.observe_all([attempt.ttft_ms * 0.001 for attempt in attempts if attempt.ttft_ms is not None])

    def last_minute(self, now: float) -> LastMinute:
        """Rates and percentiles of the last 60 s."""
        self.count()
        return self._ring.last_minute(now)

    def text(self, refresh: Callable[[Catalog], None]) -> bytes:
        """The Prometheus text; `refresh` sets the gauges first."""
        self.count()
        refresh(self.catalog)
        self.catalog.read_process()
        return render(self.catalog.registry)

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
        """Counts what was noted. In a batch a request costs half of what it would in the middle of a call."""
        noted, self._noted = self._noted, []
        self._counted += len(noted)
        by_state = self.catalog.requests.child
        observe, add = self._duration.observe, self._ring.add
        for view, attempts, now in noted:
            duration_ms = view.duration_ms or 0.0
            state = view.state
            by_state(state, view.route).inc()
            if state is _REJECTED:
                self.catalog.refused.child(view.error_code).inc()
            observe(duration_ms * 0.001)
            if view.queue_wait_ms:
                self._queue_wait.observe(view.queue_wait_ms * 0.001)
            for attempt in attempts:
                self._attempt(attempt)
            add(
                now,
                is_error=state in _BAD,
                tokens=view.prompt_tokens + view.output_tokens,
                cost_nusd=view.cost_nusd,
                duration_ms=duration_ms,
            )

    def _attempt(self, attempt: AttemptRecord) -> None:
        self.catalog.attempts.child(attempt.deployment, attempt.outcome).inc()
        if attempt.ttft_ms is not None:
            self._ttft.observe(attempt.ttft_ms * 0.001)
        usage = attempt.usage
        into = self._tokens
        into[0].inc(usage.input_tokens)
        into[1].inc(usage.output_tokens)
        if usage.cache_read_tokens:
            into[2].inc(usage.cache_read_tokens)
        if usage.cache_write_tokens:
            into[3].inc(usage.cache_write_tokens)
        if usage.reasoning_tokens:
            into[4].inc(usage.reasoning_tokens)
        if attempt.price_state is _UNKNOWN:
            self._unknown_cost.inc()
        else:
            self._cost.inc(attempt.cost_nusd)

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

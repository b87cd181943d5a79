"""Every finished request counted: instruments for `/metrics` and the ring behind the live figures.

The recorder calls `finished` once per request; `refresh` brings the gauges up to date for a scrape.
Children are bound once, so that counting a request costs a few additions.
"""

from __future__ import annotations

from collections.abc import Callable

from atp_engine.core.types import AttemptRecord, PriceState, RequestState
from atp_engine.core.views import RequestView
from atp_engine.metrics.catalog import Catalog
from atp_engine.metrics.exposition import render
from atp_engine.metrics.ring import LastMinute, Ring

_BAD = frozenset({RequestState.FAILED, RequestState.TRUNCATED})
_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning")


class Meters:
    """The engine's counters."""

    def __init__(self, catalog: Catalog, now: float) -> None:
        self.catalog = catalog
        self._ring = Ring(now)
        self._tokens = [catalog.tokens.child(kind) for kind in _KINDS]
        self._duration = catalog.duration.child()
        self._ttft = catalog.ttft.child()
        self._cost = catalog.cost.child()
        self._unknown_cost = catalog.unknown_cost.child()
        self.requests_total = 0

    def finished(self, view: RequestView, attempts: list[AttemptRecord], now: float) -> None:
        """Counts a request with its attempts at monotonic `now`."""
        self.requests_total += 1
        duration_ms = view.duration_ms or 0.0
        is_refused = view.state is RequestState.REJECTED
        self.catalog.requests.child(view.state, view.route).inc()
        if is_refused:
            self.catalog.refused.child(view.error_code).inc()
        self._duration.observe(duration_ms * 0.001)
        for attempt in attempts:
            self._attempt(attempt)
        self._ring.add(
            now,
            is_error=view.state in _BAD,
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
        if attempt.price_state is PriceState.UNKNOWN:
            self._unknown_cost.inc()
        else:
            self._cost.inc(attempt.cost_nusd)

    def last_minute(self, now: float) -> LastMinute:
        """Rates and percentiles of the last 60 s."""
        return self._ring.last_minute(now)

    def text(self, refresh: Callable[[Catalog], None]) -> bytes:
        """The Prometheus text; `refresh` sets the gauges first."""
        refresh(self.catalog)
        self.catalog.read_process()
        return render(self.catalog.registry)

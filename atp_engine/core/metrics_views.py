"""Traffic over time as the faces see it: a window cut into equal steps, and the same window by group.

Made by `services/statistics`; sent by `GET /admin/metrics`.
"""

from __future__ import annotations

import msgspec

WINDOWS: dict[str, int] = {"5m": 300, "15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800}
"""Seconds by name."""
STEPS = 60
"""Points of every window."""
GROUPS = ("model", "provider", "route", "client", "key", "session")


class TrafficPoint(msgspec.Struct, frozen=True):
    """Requests that arrived within one step. Latencies are of whole answers, ms; None when there was none."""

    requests: int
    errors: int
    """Failed, truncated or refused."""
    errors_by_code: dict[str, int]
    prompt_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_nusd: int
    """Without the requests whose price is unknown."""
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    ttft_p99_ms: float | None


class TrafficGroup(msgspec.Struct, frozen=True):
    """One model (provider, route, ...) over the whole window; `name` comes from outside."""

    name: str
    requests: int
    errors: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    ttft_p95_ms: float | None
    tokens_per_s: float | None
    """Median over the requests for which it can be told."""
    prompt_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_nusd: int
    unknown_cost: int
    """Requests that `cost_nusd` lacks."""
    trend: tuple[int, ...]
    """Requests per step."""


class MetricsView(msgspec.Struct, frozen=True):
    """A window of traffic: `points` oldest first, `groups` by requests, at most 100."""

    window: str
    step_s: float
    start_at: float
    """UTC epoch seconds of the first step's begin."""
    group: str
    points: tuple[TrafficPoint, ...]
    groups: tuple[TrafficGroup, ...]
    is_partial: bool
    """More requests were in the window than are looked at; the oldest are left out."""

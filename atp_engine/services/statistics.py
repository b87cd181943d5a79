"""Traffic over time, worked out when somebody looks: nothing is kept for it while requests run.

`api/admin_metrics` is its only caller. Answers are shared for a second, so many faces cost one query.
"""

from __future__ import annotations

from collections.abc import Iterable

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.metrics_views import GROUPS, STEPS, WINDOWS, MetricsView, TrafficGroup, TrafficPoint
from atp_engine.core.ports import Clock
from atp_engine.storage.database import Database
from atp_engine.storage.traffic import Counted, Spread, Traffic, figure_of, traffic

_MOST_GROUPS = 100
_KEPT_S = 1.0
_QUANTILES = (0.5, 0.95, 0.99)


class Statistics:
    """Windows of traffic from the request rows."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, MetricsView]] = {}

    async def window(self, name: str, group: str) -> MetricsView:
        """The window that ends now. Raises InvalidRequest for a name that is not offered, StorageError."""
        if name not in WINDOWS:
            raise InvalidRequest(f"window is one of {', '.join(WINDOWS)}", param="window")
        if group not in GROUPS:
            raise InvalidRequest(f"group is one of {', '.join(GROUPS)}", param="group")
        now = self._clock.monotonic()
        kept = self._kept.get((name, group))
        if kept is not None and now - kept[0] < _KEPT_S:
            return kept[1]
        step_s = WINDOWS[name] / STEPS
        start = (
            self._clock.now() // step_s + 1 - STEPS
        ) * step_s  # steps begin on whole multiples, so they stand still
        found = await self._database.read(lambda connection: traffic(connection, start, step_s, STEPS, group))
        view = MetricsView(name, step_s, start, group, _points(found), _groups(found), found.is_partial)
        self._kept[name, group] = (now, view)
        return view


def _points(found: Traffic) -> tuple[TrafficPoint, ...]:
    counted: list[list[Counted]] = [[] for _ in range(STEPS)]
    for one in found.counted:
        counted[one.step].append(one)
    latency, ttft = _by_step(found.latency_ms), _by_step(found.ttft_ms)
    codes: list[dict[str, int]] = [{} for _ in range(STEPS)]
    for step, code, count in found.codes:
        codes[step][code or "unknown"] = count
    return tuple(
        TrafficPoint(
            requests=sum(one.requests for one in counted[step]),
            errors=sum(one.errors for one in counted[step]),
            errors_by_code=codes[step],
            prompt_tokens=sum(one.prompt_tokens for one in counted[step]),
            output_tokens=sum(one.output_tokens for one in counted[step]),
            cache_read_tokens=sum(one.cache_read_tokens for one in counted[step]),
            cost_nusd=sum(one.cost_nusd for one in counted[step]),
            **dict(zip(("p50_ms", "p95_ms", "p99_ms"), _quantiles(latency[step]), strict=True)),
            **dict(zip(("ttft_p50_ms", "ttft_p95_ms", "ttft_p99_ms"), _quantiles(ttft[step]), strict=True)),
        )
        for step in range(STEPS)
    )


def _groups(found: Traffic) -> tuple[TrafficGroup, ...]:
    counted: dict[str, list[Counted]] = {}
    for one in found.counted:
        counted.setdefault(one.group, []).append(one)
    latency, ttft, pace = (_by_group(spread) for spread in (found.latency_ms, found.ttft_ms, found.tokens_per_s))
    most = sorted(counted, key=lambda name: (-sum(one.requests for one in counted[name]), name))[:_MOST_GROUPS]
    return tuple(
        _group(name, counted[name], latency.get(name, {}), ttft.get(name, {}), pace.get(name, {})) for name in most
    )


def _group(
    name: str, steps: list[Counted], latency: dict[int, int], ttft: dict[int, int], pace: dict[int, int]
) -> TrafficGroup:
    trend = [0] * STEPS
    for one in steps:
        trend[one.step] = one.requests
    p50, p95, p99 = _quantiles(latency)
    return TrafficGroup(
        name=name,
        requests=sum(trend),
        errors=sum(one.errors for one in steps),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        ttft_p95_ms=_quantiles(ttft)[1],
        tokens_per_s=_quantiles(pace)[0],
        prompt_tokens=sum(one.prompt_tokens for one in steps),
        output_tokens=sum(one.output_tokens for one in steps),
        cache_read_tokens=sum(one.cache_read_tokens for one in steps),
        cost_nusd=sum(one.cost_nusd for one in steps),
        unknown_cost=sum(one.unknown_cost for one in steps),
        trend=tuple(trend),
    )


def _by_step(spreads: Iterable[Spread]) -> list[dict[int, int]]:
    found: list[dict[int, int]] = [{} for _ in range(STEPS)]
    for step, _, bucket, count in spreads:
        found[step][bucket] = found[step].get(bucket, 0) + count
    return found


def _by_group(spreads: Iterable[Spread]) -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for _, group, bucket, count in spreads:
        counts = found.setdefault(group, {})
        counts[bucket] = counts.get(bucket, 0) + count
    return found


def _quantiles(counts: dict[int, int]) -> tuple[float | None, float | None, float | None]:
    """p50, p95 and p99; None when nothing was counted."""
    total = sum(counts.values())
    found: list[float | None] = []
    for share in _QUANTILES:
        seen, figure = 0, None
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= share * total:
                figure = figure_of(bucket)
                break
        found.append(figure)
    return found[0], found[1], found[2]

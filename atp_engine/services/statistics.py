"""Traffic over time, worked out when somebody looks, from steps that are counted ahead where there are many requests.

`api/admin_metrics` asks, the engine's ticker calls `sweep`. Answers are shared for a second, so many faces cost one
query; all of the work is done in a reader's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from atp_engine.core.errors import InvalidRequest, StorageError
from atp_engine.core.metrics_views import GROUPS, STEPS, WINDOWS, MetricsView, TrafficGroup, TrafficPoint
from atp_engine.core.ports import Clock
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.traffic import Step, Steps, Tally, Traffic, quantiles, traffic
from atp_engine.storage.traffic_steps import Piece, next_piece, storing

_MOST_GROUPS = 100
_KEPT_S = 1.0
_LOOK_S = 5.0
_QUANTILES = (0.5, 0.95, 0.99)
_log = logging.getLogger("atp_engine.statistics")


class Statistics:
    """Windows of traffic from the request rows."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._kept: dict[tuple[str, str], tuple[float, MetricsView]] = {}
        self._looks_at = clock.monotonic()
        self._counting: asyncio.Future[Piece | None] | None = None

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
        first = int(self._clock.now() // step_s) + 1 - STEPS  # steps begin on whole multiples, so they stand still

        def shown(found: Traffic) -> MetricsView:
            points, groups = _points(found, first), _groups(found.groups, first)
            return MetricsView(name, step_s, first * step_s, group, points, groups, found.is_partial)

        view = await self._database.read(
            lambda connection: shown(traffic(connection, first * step_s, step_s, STEPS, group))
        )
        self._kept[name, group] = (now, view)
        return view

    def sweep(self) -> None:
        """Has the next requests counted when it is time; never waits."""
        now = self._clock.monotonic()
        if self._counting is not None or now < self._looks_at or self._database.state() != "ok":
            return
        self._looks_at = now + _LOOK_S
        at = self._clock.now()
        self._counting = self._database.read_soon(lambda connection: next_piece(connection, at))
        self._counting.add_done_callback(self._store)

    def _store(self, counting: asyncio.Future[Piece | None]) -> None:
        self._counting = None
        if counting.cancelled():
            return
        error = counting.exception()
        if error is not None:
            if not isinstance(error, StorageError):
                raise error
            _log.warning("the steps of charts could not be counted: %s", error.public_message)
            return
        piece = counting.result()
        if piece is not None:
            self._database.submit(Write(action=storing(piece)))
            if not piece.is_last:
                self._looks_at = 0.0


def _points(found: Traffic, first: int) -> tuple[TrafficPoint, ...]:
    return tuple([_point(found.all.get(slot, {}), found.codes.get(slot, {})) for slot in range(first, first + STEPS)])


def _point(step: Step, codes: dict[str, int]) -> TrafficPoint:
    tallies = list(step.values())
    p50, p95, p99 = quantiles((one.latency_ms for one in tallies), _QUANTILES)
    ttft_p50, ttft_p95, ttft_p99 = quantiles((one.ttft_ms for one in tallies), _QUANTILES)
    return TrafficPoint(
        requests=sum(one.requests for one in tallies),
        errors=sum(one.errors for one in tallies),
        errors_by_code=codes,
        prompt_tokens=sum(one.prompt_tokens for one in tallies),
        output_tokens=sum(one.output_tokens for one in tallies),
        cache_read_tokens=sum(one.cache_read_tokens for one in tallies),
        cost_nusd=sum(one.cost_nusd for one in tallies),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        ttft_p50_ms=ttft_p50,
        ttft_p95_ms=ttft_p95,
        ttft_p99_ms=ttft_p99,
    )


def _groups(steps: Steps, first: int) -> tuple[TrafficGroup, ...]:
    by_name: dict[str, dict[int, Tally]] = {}
    for slot, step in steps.items():
        for name, tally in step.items():
            by_name.setdefault(name, {})[slot - first] = tally
    requests = {name: sum(one.requests for one in tallies.values()) for name, tallies in by_name.items()}
    most = sorted(by_name, key=lambda name: (-requests[name], name))[:_MOST_GROUPS]
    return tuple([_group(name, by_name[name]) for name in most])


def _group(name: str, by_step: dict[int, Tally]) -> TrafficGroup:
    tallies = list(by_step.values())
    p50, p95, p99 = quantiles((one.latency_ms for one in tallies), _QUANTILES)
    (ttft_p95,) = quantiles((one.ttft_ms for one in tallies), (0.95,))
    (pace,) = quantiles((one.tokens_per_s for one in tallies), (0.5,))
    return TrafficGroup(
        name=name,
        requests=_sum(tallies, lambda one: one.requests),
        errors=_sum(tallies, lambda one: one.errors),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        ttft_p95_ms=ttft_p95,
        tokens_per_s=pace,
        prompt_tokens=_sum(tallies, lambda one: one.prompt_tokens),
        output_tokens=_sum(tallies, lambda one: one.output_tokens),
        cache_read_tokens=_sum(tallies, lambda one: one.cache_read_tokens),
        cost_nusd=_sum(tallies, lambda one: one.cost_nusd),
        unknown_cost=_sum(tallies, lambda one: one.unknown_cost),
        trend=tuple([by_step[step].requests if step in by_step else 0 for step in range(STEPS)]),
    )


def _sum(tallies: Iterable[Tally], figure: Callable[[Tally], int]) -> int:
    return sum([figure(one) for one in tallies])

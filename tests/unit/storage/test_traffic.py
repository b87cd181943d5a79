"""Windows of traffic from real rows: counts, spreads, cuts and groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.types import PriceState, RequestState
from atp_engine.services.statistics import Statistics
from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRecord, RequestRepository
from tests.support.manual_clock import ManualClock
from tests.support.records import a_view, an_attempt

NOW = 1_790_000_000.0


def _record(number: int, ago_s: float, **changes: object) -> RequestRecord:
    view = a_view(f"req_{number:08d}", started_at=NOW - ago_s, **changes)
    return RequestRecord(view, "k", 1, None, (an_attempt(),), (), 1)


@pytest.fixture
async def statistics(tmp_path: Path) -> Statistics:
    clock = ManualClock(NOW)
    database = Database.open(tmp_path / "atp.db", clock)
    repository = RequestRepository(database)
    old = [_record(number, 4_000 - number) for number in range(50)]
    fast = [_record(100 + number, 290 - 2 * number, duration_ms=100.0 + number) for number in range(100)]
    slow = [_record(300, 8, model="gpt-max", duration_ms=9_000.0, ttft_ms=None, tokens_per_s=None)]
    bad = [
        _record(301, 7, state=RequestState.FAILED, error_code="upstream_timeout", duration_ms=5_000.0),
        _record(302, 6, state=RequestState.REJECTED, error_code="rate_limited", served="", model="", asked="ghost"),
        _record(303, 5, price_state=PriceState.UNKNOWN, cost_nusd=0),
    ]
    for record in (*old, *fast, *slow, *bad):
        repository.add(record)
    await repository.settled()
    return Statistics(database, clock)


async def test_a_window_counts_exactly_the_requests_that_arrived_in_it(statistics: Statistics) -> None:
    view = await statistics.window("5m", "model")
    assert view.step_s == 5.0
    assert len(view.points) == 60
    assert sum(point.requests for point in view.points) == 104
    assert sum(point.errors for point in view.points) == 2
    assert sum(point.prompt_tokens for point in view.points) == 10_400
    assert view.points[-3].errors_by_code == {"upstream_timeout": 1, "rate_limited": 1}
    assert not view.is_partial
    hour = await statistics.window("1h", "model")
    assert sum(point.requests for point in hour.points) == 104, "what is older than an hour is out"
    day = await statistics.window("24h", "model")
    assert sum(point.requests for point in day.points) == 154


async def test_groups_have_percentiles_money_with_its_gaps_and_a_trend(statistics: Statistics) -> None:
    view = await statistics.window("5m", "model")
    mini, *others = view.groups
    assert (mini.name, mini.requests, mini.errors, mini.unknown_cost) == ("gpt-mini", 102, 1, 1)
    assert mini.p50_ms == pytest.approx(150, rel=0.05)
    assert mini.p95_ms == pytest.approx(195, rel=0.06)
    assert mini.cost_nusd == 101_000
    assert sum(mini.trend) == 102
    by_name = {one.name: one for one in others}
    assert by_name["gpt-max"].p50_ms == pytest.approx(9_000, rel=0.05)
    assert by_name["gpt-max"].ttft_p95_ms is None
    assert by_name["ghost"].p50_ms is None, "a refused request says nothing about speed"


async def test_every_offered_group_is_answered_and_any_other_is_refused_by_name(statistics: Statistics) -> None:
    for group, name in (
        ("provider", "openai"),
        ("route", "main"),
        ("client", "openai-py"),
        ("key", "first"),
        ("session", "s-1"),
    ):
        view = await statistics.window("15m", group)
        assert view.groups[0].name == name
    with pytest.raises(InvalidRequest, match="window is one of 5m"):
        await statistics.window("3w", "model")
    with pytest.raises(InvalidRequest, match="group is one of model"):
        await statistics.window("1h", "colour; DROP TABLE requests")

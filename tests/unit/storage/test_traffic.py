"""Windows of traffic from real rows: counts, spreads, cuts and groups."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.metrics_views import GROUPS, WINDOWS, MetricsView
from atp_engine.core.types import PriceState, RequestState
from atp_engine.services.statistics import Statistics
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRecord, RequestRepository
from atp_engine.storage.traffic import kept
from atp_engine.storage.traffic_steps import next_piece, storing
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


def _any_record(rng: random.Random, number: int, at: float) -> RequestRecord:
    """Committed at `at`, as it ended: it arrived before."""
    is_bad = rng.random() < 0.2
    duration_ms = rng.choice((None, 20.0, 1_500.0, 70_000.0))
    view = a_view(
        f"req_{number:08d}",
        started_at=at - (duration_ms or 0.0) / 1_000.0,
        duration_ms=duration_ms,
        model=f"m{rng.randrange(3)}",
        session_id=f"s{rng.randrange(4)}",
        state=RequestState.FAILED if is_bad else RequestState.OK,
        error_code="upstream_timeout" if is_bad else "",
    )
    return RequestRecord(view, f"key_{number % 2}", 1, None, (an_attempt(),), (), 1)


async def _all_windows(database: Database, clock: ManualClock) -> list[MetricsView]:
    statistics = Statistics(database, clock)
    return [await statistics.window(name, group) for name, group in zip(WINDOWS, GROUPS, strict=True)]


async def _advance(database: Database, now: float, size: int, most: int) -> int:
    """Counts ahead as the sweep does, with small pieces."""
    for done in range(most):
        piece = await database.read(lambda connection: next_piece(connection, now, size, 1))
        if piece is None:
            return done
        await database.commit(Write(action=storing(piece)))
        await database.commit(Write(action=storing(piece)))  # a piece that comes twice counts once
    return most


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32))
async def test_windows_are_the_same_whether_or_not_their_steps_were_counted_ahead(seed: int) -> None:
    rng = random.Random(seed)
    clock = ManualClock(NOW)
    with tempfile.TemporaryDirectory() as folder:
        counted = Database.open(Path(folder) / "counted.db", clock)
        plain = Database.open(Path(folder) / "plain.db", clock)
        repositories = (RequestRepository(counted), RequestRepository(plain))
        number = 0
        for _ in range(4):
            step_s = rng.choice((0.5, 20.0, 3_000.0))
            for _ in range(rng.randrange(40)):
                clock.advance(step_s)
                number += 1
                record = _any_record(rng, number, clock.now())
                for repository in repositories:
                    repository.add(record)
            for repository in repositories:
                await repository.settled()
            await _advance(counted, clock.now(), rng.choice((3, 10, 25)), rng.randrange(20))
            assert await _all_windows(counted, clock) == await _all_windows(plain, clock)
        await counted.aclose()
        await plain.aclose()


async def test_the_sweep_counts_ahead_and_names_without_end_are_one_group(tmp_path: Path) -> None:
    clock = ManualClock(NOW)
    database = Database.open(tmp_path / "atp.db", clock)
    repository = RequestRepository(database)
    for number in range(1_100):
        repository.add(_record(number, 1.0, model=f"m{number % 300}"))
    await repository.settled()
    statistics = Statistics(database, clock)
    statistics.sweep()
    while await database.read(lambda connection: kept(connection, 5)[0]) == 0:
        await repository.settled()
    for number in range(1_100, 1_500):
        repository.add(_record(number, 1.0, model=f"m{number % 300}"))
    await repository.settled()
    assert await _advance(database, NOW, 400, 9) == 1
    view = await statistics.window("5m", "model")
    assert sum(point.requests for point in view.points) == 1_500
    assert "(others)" in {group.name for group in view.groups}
    await database.aclose()

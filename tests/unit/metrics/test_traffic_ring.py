from __future__ import annotations

import pytest

from atp_engine.metrics.ring import SECONDS, Ring


def fill(ring: Ring, seconds: range, each: int = 1, duration_ms: float = 100.0) -> None:
    for second in seconds:
        for number in range(each):
            ring.add(second + 0.5, is_error=number == 1, tokens=10, cost_nusd=1_000, duration_ms=duration_ms)


def test_an_empty_ring_has_no_rates_and_no_percentiles() -> None:
    figures = Ring(1000.0).last_minute(1000.0)
    assert (figures.requests, figures.error_share, figures.p50_ms) == (0, 0.0, None)


def test_rates_cover_the_last_minute() -> None:
    ring = Ring(0.0)
    fill(ring, range(300), each=4)
    figures = ring.last_minute(299.9)
    assert figures.requests == 240
    assert figures.requests_per_s == 4.0
    assert figures.error_share == 0.25
    assert figures.tokens_per_s == 40.0
    assert figures.cost_per_hour_nusd == 4 * 1_000 * 3600
    assert ring.last_minute(329.9).requests == 120
    assert ring.last_minute(400.0).requests == 0


def test_a_young_engine_divides_by_its_age() -> None:
    ring = Ring(1000.0)
    fill(ring, range(1000, 1010), each=3)
    assert ring.last_minute(1009.9).requests_per_s == 3.0


def test_percentiles_forget_what_is_older_than_the_window() -> None:
    ring = Ring(0.0)
    fill(ring, range(60), duration_ms=5_000.0)
    assert ring.last_minute(59.0).p50_ms == pytest.approx(5_000, rel=0.05)
    fill(ring, range(60, 140), duration_ms=50.0)
    figures = ring.last_minute(139.9)
    assert figures.p95_ms == pytest.approx(50, rel=0.05)
    assert ring.last_minute(1_000.0).p95_ms is None


def test_what_is_added_within_the_second_is_seen_at_once() -> None:
    ring = Ring(0.0)
    fill(ring, range(1))
    assert ring.last_minute(0.9).requests == 1
    fill(ring, range(1))
    assert ring.last_minute(0.9).requests == 2


def test_the_series_lists_whole_seconds_oldest_first() -> None:
    ring = Ring(0.0)
    fill(ring, range(3, 6), each=2)
    assert ring.series(6.2, 5) == [(0, 0), (0, 0), (2, 1), (2, 1), (2, 1)]
    assert len(ring.series(6.2, 10**9)) == SECONDS - 1


def test_a_long_silence_leaves_no_ghosts() -> None:
    ring = Ring(0.0)
    fill(ring, range(900), each=2)
    assert ring.last_minute(900.0 + 30_000).requests == 0
    assert set(ring.series(900.0 + 30_000, 899)) == {(0, 0)}

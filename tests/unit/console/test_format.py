"""Figures and states as short text."""

from __future__ import annotations

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_console import format as fmt
from atp_console.paint import cells
from atp_engine.core.types import AttemptOutcome, PriceState, RequestState
from tests.support.console import NOW, deployment_view, request_view


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (None, "–"),
        (0.0, "0ms"),
        (0.3, "<1ms"),
        (3.0, "3ms"),
        (412.0, "412ms"),
        (999.6, "1.00s"),
        (2_310.0, "2.31s"),
        (23_100.0, "23.1s"),
        (192_000.0, "3m12s"),
        (3_900_000.0, "1h05m"),
        (187_200_000.0, "2d04h"),
    ],
)
def test_durations(ms: float | None, text: str) -> None:
    assert fmt.duration(ms) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1_100, "1.1k"), (41_204, "41.2k"), (412_000, "412k"), (9_100_000, "9.1M")],
)
def test_counts(number: int, text: str) -> None:
    assert fmt.count(number) == text


@pytest.mark.parametrize(
    ("nusd", "text"),
    [
        (0, "$0.000"),
        (1, "<$.001"),
        (310_000, "<$.001"),
        (12_000_000, "$0.012"),
        (999_900_000, "$1.00"),
        (1_830_000_000, "$1.83"),
        (1_204_000_000_000, "$1,204"),
    ],
)
def test_dollars(nusd: int, text: str) -> None:
    assert fmt.dollars(nusd) == text


def test_exact_dollars_lose_nothing() -> None:
    assert fmt.exact_dollars(4_100_000) == "$0.0041"
    assert fmt.exact_dollars(12) == "$0.000000012"
    assert fmt.exact_dollars(1_234_500_000_000) == "$1,234.5000"


def test_a_cost_says_how_sure_it_is() -> None:
    assert fmt.cost(0, PriceState.UNKNOWN) == "?"
    assert fmt.cost(12_000_000, PriceState.ASSUMED) == "~$0.012"
    assert fmt.row_cost(request_view(price_state=PriceState.UNKNOWN, cost_nusd=0), fmt.UNICODE) == "?"
    assert fmt.row_cost(request_view(cost_nusd=0, state=RequestState.QUEUED), fmt.UNICODE) == "–"
    assert fmt.row_cost(request_view(cost_nusd=0, state=RequestState.HIT, served=""), fmt.UNICODE) == "$0.000"


@given(st.floats(min_value=0, max_value=1e15), st.integers(min_value=0, max_value=10**18))
def test_columns_never_overflow(ms: float, number: int) -> None:
    assert cells(fmt.duration(ms)) <= 6
    assert cells(fmt.age(ms)) <= 4
    assert cells(fmt.count(min(number, 10**14))) <= 5
    assert cells(fmt.speed(ms)) <= 5


@given(st.integers(min_value=1, max_value=10**15))
def test_a_real_cost_is_never_shown_as_zero(nusd: int) -> None:
    assert fmt.dollars(nusd).strip("$0.,")
    assert fmt.exact_dollars(nusd).strip("$0.,")


def test_every_state_is_a_glyph_of_one_cell_and_a_word() -> None:
    for glyphs in (fmt.UNICODE, fmt.ASCII):
        for state in RequestState:
            mark, role = fmt.state_mark(request_view(state=state, http_status=502), glyphs)
            glyph, _, word = mark.partition(" ")
            assert cells(glyph) == 1
            assert word
            assert role
        for outcome in AttemptOutcome:
            assert " " in fmt.outcome_mark(outcome, 429, glyphs)[0]
        for circuit in ("closed", "open", "half_open"):
            assert " " in fmt.circuit_mark(deployment_view(circuit=circuit), glyphs)[0]
        for health in ("healthy", "degraded", "failing", "unknown"):
            assert " " in fmt.health_mark(deployment_view(health=health), glyphs)[0]


def test_ascii_is_ascii_and_every_glyph_has_its_twin() -> None:
    for field in fmt.Glyphs.__dataclass_fields__:
        ascii_text, unicode_text = getattr(fmt.ASCII, field), getattr(fmt.UNICODE, field)
        assert ascii_text.isascii()
        assert all(cells(character) == 1 for character in unicode_text)
    assert len(fmt.ASCII.box) == len(fmt.UNICODE.box) == 6
    assert len(fmt.ASCII.levels) == len(fmt.UNICODE.levels)


def test_a_failure_without_a_status_says_failed() -> None:
    assert fmt.state_mark(request_view(state=RequestState.FAILED, http_status=0), fmt.UNICODE)[0] == "✗ failed"


def test_clock_and_prices() -> None:
    assert fmt.clock(NOW, UTC) == "08:53:20"
    assert fmt.clock(1e18, UTC) == "--:--:--"
    assert [fmt.per_million(usd) for usd in (None, 0.0, 0.25, 3.0, 15.0)] == ["?", "0.00", ".25", "3.00", "15.00"]


def test_a_sparkline_starts_at_zero() -> None:
    assert fmt.sparkline([0.0, 5.0, 10.0], 10, fmt.UNICODE) == "▁▅█"
    assert fmt.sparkline([0.0, 0.0], 10, fmt.UNICODE) == "▁▁"
    assert len(fmt.sparkline([float(value) for value in range(20)], 4, fmt.ASCII)) == 4

from __future__ import annotations

import pytest

from atp_engine.core.types import AttemptOutcome
from atp_engine.limits.aimd import BASE, CAP, FLOOR, LearnedLimit
from tests.support.routing_facts import Dice

EVEN = Dice(0.5)
"""No jitter either way."""


def good(limit: LearnedLimit, times: int, now: float = 0.0) -> int:
    for _ in range(times):
        limit.record(AttemptOutcome.OK, 100.0, 500.0, now, now, EVEN)
    return limit.limit


def test_fast_successes_add_one_each_up_to_the_cap() -> None:
    limit = LearnedLimit()
    assert limit.limit == BASE
    assert good(limit, 10) == BASE + 10
    assert good(limit, 1_000) == CAP


def test_a_slow_success_adds_nothing() -> None:
    limit = LearnedLimit()
    assert limit.record(AttemptOutcome.OK, 500.0, 500.0, 0.0, 1.0, EVEN) == BASE


@pytest.mark.parametrize("outcome", [AttemptOutcome.RATE_LIMITED, AttemptOutcome.OVERLOADED, AttemptOutcome.TIMEOUT])
def test_trouble_halves_down_to_the_floor(outcome: AttemptOutcome) -> None:
    limit = LearnedLimit(64)
    seen = [limit.record(outcome, 0.0, 500.0, float(second), second + 0.5, EVEN) for second in range(8)]
    assert seen == [32, 16, 8, 4, 2, FLOOR, FLOOR, FLOOR]


def test_a_wave_of_refusals_cuts_once() -> None:
    limit = LearnedLimit(64)
    for call in range(64):
        limit.record(AttemptOutcome.RATE_LIMITED, 0.0, 500.0, 0.0, 1.0 + call / 100, EVEN)
    assert limit.limit == 32
    assert limit.record(AttemptOutcome.RATE_LIMITED, 0.0, 500.0, 2.0, 2.1, EVEN) == 16


def test_a_cut_jitters_by_five_percent_at_most() -> None:
    cuts = {
        LearnedLimit(64).record(AttemptOutcome.TIMEOUT, 0.0, 1.0, 0.0, 1.0, Dice(chance)) for chance in (0, 0.5, 0.999)
    }
    assert cuts == {30, 32, 33}


@pytest.mark.parametrize("outcome", [AttemptOutcome.REJECTED, AttemptOutcome.CANCELLED, AttemptOutcome.CONTENT_BLOCKED])
def test_what_says_nothing_about_load_changes_nothing(outcome: AttemptOutcome) -> None:
    assert LearnedLimit().record(outcome, 0.0, 500.0, 0.0, 1.0, EVEN) == BASE

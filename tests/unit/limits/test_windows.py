"""Windows: nothing passes a limit, what is reserved is given back, calendars and clocks are kept."""

from __future__ import annotations

from datetime import UTC, datetime
from math import inf
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atp_engine.limits.window import NO_LIMIT, Hold, OnExceed, Rule, Scope, Window, first_lack
from atp_engine.limits.window_calendar import BelievedTime, Period, bounds

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


def rule(name: str = "w", period: Period = Period.DAY, on_exceed: OnExceed = OnExceed.REFUSE, **limits: int) -> Rule:
    return Rule(name, Scope.EVERYTHING, frozenset(), period, UTC, on_exceed=on_exceed, **limits)


def at(text: str, zone: ZoneInfo) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("period", "moment", "begin", "end"),
    [
        (Period.MINUTE, "2026-11-24 12:34:56", "2026-11-24 12:34", "2026-11-24 12:35"),
        (Period.HOUR, "2026-11-24 12:34:56", "2026-11-24 12:00", "2026-11-24 13:00"),
        (Period.DAY, "2026-11-24 00:00:00", "2026-11-24 00:00", "2026-11-25 00:00"),
        (Period.DAY, "2026-03-29 12:00:00", "2026-03-29 00:00", "2026-03-30 00:00"),  # of 23 hours
        (Period.DAY, "2026-10-25 23:59:59", "2026-10-25 00:00", "2026-10-26 00:00"),  # of 25 hours
        (Period.MONTH, "2026-12-31 23:59:59", "2026-12-01 00:00", "2027-01-01 00:00"),
        (Period.MONTH, "2026-03-29 04:00:00", "2026-03-01 00:00", "2026-04-01 00:00"),
    ],
)
def test_a_period_follows_the_calendar_of_its_time_zone(period: Period, moment: str, begin: str, end: str) -> None:
    assert bounds(period, at(moment, BERLIN), BERLIN) == (at(begin, BERLIN), at(end, BERLIN))


@settings(max_examples=200, deadline=None)
@given(
    moment=st.floats(0, 4e9),
    period=st.sampled_from(list(Period)),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/Santiago", "Australia/Lord_Howe"]),
)
def test_every_instant_is_in_one_period_and_the_next_begins_where_it_ends(
    moment: float, period: Period, zone: str
) -> None:
    starts_at, ends_at = bounds(period, moment, ZoneInfo(zone))
    assert starts_at <= moment < ends_at
    if period is not Period.IN_FLIGHT:
        assert bounds(period, ends_at, ZoneInfo(zone))[0] == ends_at


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "attempt", "settle", "release", "time"]),
        st.integers(0, 60),
        st.integers(0, 400),
        st.integers(0, 100),
    ),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_schedule_passes_a_limit_and_everything_that_was_reserved_is_given_back(
    steps: list[tuple[str, int, int, int]],
) -> None:
    windows = (
        Window(rule("day", max_tokens=1_000, max_nusd=5_000), "*", NOON),
        Window(rule("minute", Period.MINUTE, max_tokens=700, per_minute=40), "*", NOON),
        Window(rule("open", Period.IN_FLIGHT, max_parallel=5, max_tokens=900), "*", NOON),
    )
    own = (Window(rule("deployment", Period.HOUR, max_nusd=3_000, max_parallel=3), "d", NOON),)
    holds: list[Hold] = []
    now, mono = NOON, 0.0
    spent = 0
    for step, which, tokens, share in steps:
        hold = holds[which % len(holds)] if holds else None
        if step == "time":
            now, mono = now + which, mono + which
        elif step == "begin":
            if first_lack(windows, tokens, tokens * 5, now, mono, is_soft=False) is None:
                holds.append(Hold(windows, tokens, tokens * 5, mono))
        elif hold is not None and step == "attempt":
            hold.attempt(own, tokens, tokens * 5, now, mono)
        elif hold is not None and step == "settle":
            used = hold.tokens * share // 100
            hold.settle(used, used * 5)
            hold.post()
            spent += used
        elif hold is not None:
            hold.release()
            holds.remove(hold)
        for window in (*windows, *own):
            in_use = window.needs()
            assert in_use[0] <= window.rule.max_tokens
            assert in_use[1] <= window.rule.max_nusd
            assert window.in_flight <= window.rule.max_parallel
            assert min(window.reserved_tokens, window.reserved_nusd, window.in_flight) >= 0
    for hold in holds:
        hold.release()
        hold.release()
    for window in (*windows, *own):
        assert (window.reserved_tokens, window.reserved_nusd, window.in_flight) == (0, 0, 0)
        assert (window.posted_tokens, window.posted_nusd) == (window.tokens, window.nusd)
    assert windows[0].tokens == spent


def test_a_lack_in_one_window_leaves_all_others_as_they_were() -> None:
    wide, narrow = Window(rule(max_tokens=100), "*", NOON), Window(rule(max_nusd=10), "*", NOON)
    lack = first_lack((wide, narrow), 50, 11, NOON, 0.0, is_soft=False)
    assert lack is not None
    assert (lack.window, lack.limit) == (narrow, "max_usd")
    assert wide.needs() == (0, 0)
    hold = Hold((wide, narrow), 50, 10, 0.0)
    grown = hold.attempt((), 60, 11, NOON, 0.0)
    assert grown is not None and grown.window is narrow
    assert (wide.needs(), narrow.needs()) == ((50, 10), (50, 10))


def test_a_call_that_uses_more_than_was_reserved_is_charged_whole_and_closes_the_window() -> None:
    window = Window(rule(max_tokens=100), "*", NOON)
    hold = Hold((window,), 90, 0, 0.0)
    assert hold.settle(130, 0)
    hold.release()
    assert window.needs() == (130, 0)
    assert first_lack((window,), 1, 0, NOON, 0.0, is_soft=False) is not None
    assert first_lack((window,), 1, 0, NOON + 86_400, 0.0, is_soft=False) is None


def test_thresholds_are_told_once_each_and_again_in_the_next_period() -> None:
    window = Window(rule(max_tokens=100), "*", NOON)
    told = []
    for used in (79, 1, 14, 1, 4, 1, 1):
        hold = Hold((window,), 0, 0, 0.0)
        told.append(window.passed() if hold.settle(used, 0) else 0)
        hold.release()
    assert told == [0, 80, 0, 95, 0, 100, 0]
    window.turn(NOON + 86_400)
    assert Hold((window,), 0, 0, 0.0).settle(80, 0)
    assert window.passed() == 80


def test_requests_of_a_minute_are_counted_and_say_when_the_next_may_come() -> None:
    window = Window(rule(per_minute=2), "*", NOON)
    for _ in range(2):
        assert first_lack((window,), 0, 0, NOON, 10.0, is_soft=False) is None
        Hold((window,), 0, 0, 10.0).settle(0, 0)
    lack = first_lack((window,), 0, 0, NOON, 10.0, is_soft=False)
    assert lack is not None
    wait_s = window.frees_in_s(lack.limit, 0, 0, NOON, 10.0)
    assert wait_s == pytest.approx(30.0)
    assert first_lack((window,), 0, 0, NOON, 10.0 + wait_s, is_soft=False) is None


def test_a_clock_that_jumps_neither_frees_nor_burns_a_window() -> None:
    time = BelievedTime(NOON, 100.0)
    assert time.at(NOON + 10, 110.0) == NOON + 10
    assert time.at(NOON + 12, 111.0) == NOON + 12  # two seconds ahead: followed
    assert time.at(NOON + 9, 111.5) == NOON + 12  # behind: stands still
    for jump in (86_400.0, -86_400.0):
        assert time.at(NOON + 20 + jump, 120.0) == pytest.approx(NOON + 20, abs=3)
        assert time.at(NOON + 21, 121.0) == pytest.approx(NOON + 21, abs=3)  # it was set right again


def test_a_new_time_is_believed_after_it_has_stood_for_a_minute() -> None:
    time = BelievedTime(NOON, 0.0)
    away = 8 * 3_600.0  # a machine that slept
    assert time.at(NOON + away, 1.0) == NOON + 1
    assert time.at(NOON + away + 30, 31.0) == NOON + 31
    assert time.at(NOON + away + 60, 61.0) == NOON + away + 60
    assert time.at(NOON + away + 61, 62.0) == NOON + away + 61
    restless = BelievedTime(NOON, 0.0)
    for second in range(1, 300):
        assert restless.at(NOON + 1_000.0 * second, float(second)) == NOON + second


def test_a_window_keeps_what_was_used_when_the_calendar_went_wrong_and_back() -> None:
    window = Window(rule(max_tokens=100), "*", NOON)
    Hold((window,), 60, 0, 0.0).settle(60, 0)
    window.turn(NOON + 86_400)
    Hold((window,), 30, 0, 0.0).settle(30, 0)
    assert window.tokens == 30
    window.turn(NOON)
    assert window.tokens == 90
    assert window.ends_at == NOON + 12 * 3_600


def test_leases_run_ahead_by_a_block_that_stays_small() -> None:
    window = Window(rule(max_tokens=64_000, max_nusd=6_400), "*", NOON)
    assert not window.is_short()
    hold = Hold((window,), 10, 5, 0.0)
    assert window.is_short()
    assert window.next_lease(10, 5, 50.0) == (50, 25)
    assert [window.next_lease(10, 5, 50.1 + step / 10)[0] for step in range(6)] == [90, 170, 330, 650, 1010, 1010]
    assert window.next_lease(10, 5, 99.0) == (50, 25)
    hold.release()
    assert not window.is_short()
    full = Window(rule(max_tokens=100), "*", NOON)
    Hold((full,), 99, 0, 0.0)
    assert full.next_lease(99, 0, 50.0) == (100, NO_LIMIT)


def test_in_flight_windows_have_no_end_and_need_no_lease() -> None:
    window = Window(rule(period=Period.IN_FLIGHT, max_tokens=100, max_nusd=5), "*", NOON)
    assert (window.starts_at, window.ends_at) == (-inf, inf)
    assert not window.rule.is_durable
    Hold((window,), 100, 5, 0.0)
    assert not window.is_short()


def test_a_request_that_was_never_served_does_not_count_in_a_rate() -> None:
    window, own = Window(rule(per_minute=1), "*", NOON), Window(rule(per_minute=1), "d", NOON)
    for _ in range(3):
        assert first_lack((window, own), 0, 0, NOON, 10.0, is_soft=False) is None
        hold = Hold((window,), 0, 0, 10.0)
        assert hold.attempt((own,), 0, 0, NOON, 10.0) is None
        hold.release()
    hold = Hold((window,), 0, 0, 10.0)
    assert hold.attempt((own,), 0, 0, NOON, 10.0) is None
    hold.settle(0, 0)
    hold.release()
    for used in (window, own):
        lack = first_lack((used,), 0, 0, NOON, 10.0, is_soft=False)
        assert lack is not None
        assert lack.limit == "requests_per_minute"

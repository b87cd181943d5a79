from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.limits.rate import MAX_BUCKETS, RequestRates, TokenBucket


def test_a_burst_gets_exactly_the_limit_and_each_refusal_says_when() -> None:
    rates = RequestRates()
    answers = [rates.take("k", 10, 0.0) for _ in range(50)]
    assert answers[:10] == [0.0] * 10
    assert all(wait == pytest.approx(6.0) for wait in answers[10:])


def test_whoever_waits_as_told_gets_through_and_not_earlier() -> None:
    bucket = TokenBucket(7, 0.0)
    now = 0.0
    for _ in range(7):
        assert bucket.take(now) == 0.0
    for _ in range(200):
        wait = bucket.take(now)
        assert wait > 0
        assert bucket.take(now + wait * 0.99) > 0
        now += wait
        assert bucket.take(now) == 0.0


def test_asking_takes_nothing() -> None:
    bucket = TokenBucket(1, 0.0)
    assert [bucket.wait_s(0.0) for _ in range(5)] == [0.0] * 5
    assert bucket.take(0.0) == 0.0
    assert bucket.wait_s(0.0) == pytest.approx(60.0)


def test_a_token_given_back_can_be_used_and_never_overfills() -> None:
    rates = RequestRates()
    rates.take("k", 1, 0.0)
    rates.give_back("k")
    rates.give_back("k")
    rates.give_back("unknown")
    assert rates.take("k", 1, 0.0) == 0.0
    assert rates.take("k", 1, 0.0) > 0


def test_no_limit_means_no_bucket() -> None:
    rates = RequestRates()
    assert all(rates.take(f"k{number}", 0, 0.0) == 0.0 for number in range(100))
    assert len(rates) == 0


def test_a_changed_limit_keeps_the_filled_share() -> None:
    rates = RequestRates()
    for _ in range(5):
        rates.take("k", 10, 0.0)
    assert sum(rates.take("k", 100, 0.0) == 0.0 for _ in range(200)) == 50


@pytest.mark.parametrize("keys", [50_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_any_number_of_keys_keeps_ten_thousand_buckets(keys: int) -> None:
    rates = RequestRates()
    for number in range(keys):
        rates.wait_s(str(number), 10, 0.0)
    assert len(rates) == MAX_BUCKETS
    assert rates.dropped == keys - MAX_BUCKETS


def test_a_clock_that_steps_back_gives_nothing_away() -> None:
    bucket = TokenBucket(2, 100.0)
    assert bucket.take(100.0) == 0.0
    assert bucket.take(50.0) == 0.0
    assert bucket.take(50.0) > 0
    assert bucket.take(100.0) > 0


@given(st.integers(1, 600), st.lists(st.floats(0, 20), max_size=300))
def test_over_any_span_no_more_than_burst_plus_refill_gets_through(per_minute: int, pauses: list[float]) -> None:
    bucket = TokenBucket(per_minute, 0.0)
    now, passed = 0.0, 0
    for pause in pauses:
        now += pause
        while bucket.take(now) == 0.0:
            passed += 1
        assert passed <= per_minute + now * per_minute / 60.0 + 1e-6

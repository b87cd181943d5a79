from __future__ import annotations

from math import inf, nan
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.buckets import BUCKETS, HIGHEST, LOWEST, bucket_of, middle, quantile, upper_bound
from atp_engine.metrics.instruments import MAX_CHILDREN, OTHER, Counter, Gauge, Histogram, Registry


@given(st.floats(LOWEST * 1.001, HIGHEST))
def test_a_value_lies_in_its_bucket_and_the_middle_is_near(value: float) -> None:
    bucket = bucket_of(value)
    assert 0 < bucket < BUCKETS - 1
    assert upper_bound(bucket - 1) * (1 - 1e-9) <= value <= upper_bound(bucket) * (1 + 1e-9)
    assert abs(middle(bucket) - value) / value < 0.046


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        (0.0, 0),
        (-1.0, 0),
        (nan, 0),
        (LOWEST, 0),
        (HIGHEST, BUCKETS - 2),
        (HIGHEST * 1.01, BUCKETS - 1),
        (inf, BUCKETS - 1),
    ],
)
def test_edges_and_nonsense_fall_into_the_outer_buckets(value: float, bucket: int) -> None:
    assert bucket_of(value) == bucket


def test_powers_of_two_close_their_bucket() -> None:
    for exponent in range(-9, 12):
        bucket = bucket_of(2.0**exponent)
        assert upper_bound(bucket) == 2.0**exponent


def test_quantiles_of_nothing_are_unknown() -> None:
    assert quantile([], 0.5) is None
    assert quantile([(3, 0)], 0.5) is None
    assert Histogram().percentile(0.5) is None


def test_percentiles_are_right_within_five_percent() -> None:
    rng = Random(3)
    histogram = Histogram()
    values = sorted(rng.lognormvariate(-1, 1.2) for _ in range(20_000))
    for value in values:
        histogram.observe(value)
    for share in (0.01, 0.5, 0.95, 0.99):
        assert histogram.percentile(share) == pytest.approx(values[int(share * 20_000) - 1], rel=0.05)
    assert histogram.count == 20_000
    assert histogram.total == pytest.approx(sum(values))


@given(st.floats())
def test_a_histogram_counts_like_the_bucket_maths_and_bears_nonsense(value: float) -> None:
    histogram = Histogram()
    histogram.observe(value)
    is_finite = value == value and abs(value) != inf
    if is_finite:
        assert histogram.counts[bucket_of(value)] == 1
    assert sum(histogram.counts) == histogram.count <= 1
    assert histogram.total == histogram.total
    assert histogram.total >= 0


def test_counters_only_grow_and_gauges_take_finite_values() -> None:
    counter, gauge = Counter(), Gauge()
    for amount in (1, 2.5, -4, nan, inf):
        counter.inc(amount)
    assert counter.value == 3.5
    for value in (7, nan, inf):
        gauge.set(value)
    assert gauge.value == 7


def test_children_are_bound_once_per_label_set() -> None:
    family = Registry().counter("c", "d", "model")
    assert family.child("a") is family.child("a")
    assert family.child("a") is not family.child("b")
    with pytest.raises(ValueError, match="labels"):
        family.child("a", "b")


def test_a_million_label_values_end_up_in_other() -> None:
    family = Registry().counter("c", "d", "model", "state")
    for number in range(50_000):
        family.child(f"m{number}", "ok").inc()
    assert len(family) == MAX_CHILDREN + 1
    assert family.child(OTHER, OTHER).value == 50_000 - MAX_CHILDREN
    assert family.overflowed == 50_000 - MAX_CHILDREN
    assert family.child("m0", "ok").value == 1


def test_forgotten_children_make_room() -> None:
    family = Registry().gauge("g", "d", "deployment")
    for number in range(MAX_CHILDREN):
        family.child(str(number))
    family.forget(lambda values: values[0] == "7")
    assert [values for values, _ in family] == [("7",)]
    family.child("new").set(1)
    assert family.overflowed == 0


def test_two_metrics_cannot_share_a_name() -> None:
    registry = Registry()
    registry.gauge("g", "d")
    with pytest.raises(ValueError, match="two metrics"):
        registry.counter("g", "d")

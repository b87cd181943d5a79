"""Nano-dollars: integer, rounded up, and unknown where there is no price."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.pricing import FREE, Price, cost_of, usd_to_nusd
from atp_engine.core.types import PriceState, TokenUsage

SONNET = Price(usd_to_nusd(3), usd_to_nusd(15), usd_to_nusd("0.30"), usd_to_nusd("3.75"))
counts = st.integers(0, 10_000_000)


def test_a_cached_call_by_hand() -> None:
    usage = TokenUsage(input_tokens=2_304, output_tokens=640, cache_read_tokens=38_900, cache_write_tokens=1_000)
    # 2304 x 3 + 640 x 15 + 38900 x 0.30 + 1000 x 3.75 dollars per million
    assert cost_of(SONNET, usage).nusd == 6_912_000 + 9_600_000 + 11_670_000 + 3_750_000


def test_without_a_price_the_cost_is_unknown_and_never_zero_for_sure() -> None:
    assert cost_of(None, TokenUsage(1, 1)).state is PriceState.UNKNOWN


def test_a_local_model_is_free_for_sure() -> None:
    cost = cost_of(FREE, TokenUsage(1_000_000, 1_000_000))
    assert (cost.nusd, cost.state) == (0, PriceState.KNOWN)


def test_an_estimated_usage_makes_the_cost_assumed() -> None:
    assert cost_of(SONNET, TokenUsage(1, 1, is_estimated=True)).state is PriceState.ASSUMED


@given(counts, counts, counts, counts)
def test_the_cost_is_the_exact_sum_rounded_up_to_a_nano_dollar(a: int, b: int, c: int, d: int) -> None:
    exact = a * SONNET.input_nusd + b * SONNET.output_nusd + c * SONNET.cache_read_nusd + d * SONNET.cache_write_nusd
    nusd = cost_of(SONNET, TokenUsage(a, b, c, d)).nusd
    assert 0 <= nusd * 1_000_000 - exact < 1_000_000

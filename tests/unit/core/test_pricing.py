"""Nano-dollars: integer, rounded up, and unknown where there is no price."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.pricing import FREE, Cost, Price, Rates, cost_of, usd_to_nusd
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


def test_an_hour_of_cache_thinking_and_long_prompts_have_prices_of_their_own() -> None:
    price = Price(
        usd_to_nusd(3),
        usd_to_nusd(15),
        usd_to_nusd("0.3"),
        usd_to_nusd("3.75"),
        cache_write_1h_nusd=usd_to_nusd(6),
        reasoning_nusd=usd_to_nusd(20),
        above=Rates(200_000, usd_to_nusd(6), usd_to_nusd("22.5"), usd_to_nusd("0.6"), usd_to_nusd("7.5")),
    )
    # 100 x 3 + 10 x 15 + 4 x (20 - 15) + 50 x 3.75 + 50 x 6 = 957.5 micro-dollars
    usage = TokenUsage(100, 10, cache_write_tokens=100, cache_write_1h_tokens=50, reasoning_tokens=4)
    assert cost_of(price, usage) == Cost(957_500, PriceState.KNOWN)
    assert cost_of(price, TokenUsage(200_000)).nusd == 600_000_000
    assert cost_of(price, TokenUsage(200_001)).nusd == 1_200_006_000
    unsure = cost_of(price, TokenUsage(200_000, cache_write_tokens=1, cache_write_1h_tokens=1))
    assert unsure.state is PriceState.ASSUMED, "no price is stated for an hour above the step"


def test_a_stand_in_price_and_a_server_s_power_are_assumed() -> None:
    assert cost_of(Price(1, 1, 1, 1, is_assumed=True), TokenUsage(1)).state is PriceState.ASSUMED
    server = Price(0, 0, 0, 0, nusd_per_hour=usd_to_nusd("0.3") * 300 // 1000)  # 300 W at $0.30 a kWh
    assert cost_of(server, TokenUsage(1), duration_ms=60_000) == Cost(1_500_000, PriceState.ASSUMED)


def test_a_price_holds_in_its_days_and_nothing_is_known_outside_them() -> None:
    then = Price(2, 2, 2, 2, until_at=200.0)
    price = Price(0, 0, 0, 0, is_unknown=True, until_at=100.0, then=then)
    assert [price.at(99.9), price.at(100.0), price.at(200.0)] == [None, then, None]


def test_a_tier_without_a_factor_is_charged_like_the_standard_one_and_the_cost_is_assumed() -> None:
    usage = TokenUsage(1_000, 100, 500, tier="flex")
    price = Price(usd_to_nusd(3), usd_to_nusd(15), usd_to_nusd("0.3"), usd_to_nusd("3.75"), tiers={"flex": 333_333})
    # 1000 x 3 + 100 x 15 + 500 x 0.3 = 4650 micro-dollars; x 0.333333 = 1549.99845, rounded up to a nano-dollar
    assert cost_of(price, usage) == Cost(1_549_999, PriceState.KNOWN)
    assert cost_of(SONNET, usage) == Cost(4_650_000, PriceState.ASSUMED)
    assert cost_of(price, TokenUsage(1_000, 100, 500)) == Cost(4_650_000, PriceState.KNOWN)

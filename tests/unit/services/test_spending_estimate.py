"""What is reserved before a call is never less than what the price may come to."""

from __future__ import annotations

import msgspec
import pytest

from atp_engine.config.models import PriceConfig
from atp_engine.core.pricing import cost_of, usd_to_nusd
from atp_engine.core.types import DeploymentSpec, Dialect, RequestFacts, TokenUsage
from atp_engine.routing.prices import price_of
from atp_engine.services.windows_estimate import USUAL_OUTPUT, estimate

SPEC = DeploymentSpec("d", "p", "m", Dialect.OPENAI_CHAT, 0, 0, True, True, False, 0)
FACTS = RequestFacts("m", False, False, False, False, False, False, 1_000, 4_000, 1_000, 1, "", b"")
PROMPT = 1_266
"""1000 + a quarter + 16."""


def reserved(**stated: object) -> int:
    return estimate(price_of(PriceConfig.model_validate({"input": 3, "output": 15, **stated})), SPEC, FACTS)[1]


def test_prompt_and_longest_answer_are_reserved_by_hand() -> None:
    # 1266 x 3 + 1000 x 15 = 3798 + 15000 micro-dollars
    assert estimate(price_of(PriceConfig(input=3, output=15)), SPEC, FACTS) == (PROMPT + 1_000, 18_798_000)


def test_the_dearest_service_tier_is_reserved() -> None:
    assert reserved(tiers={"flex": 0.5, "priority": 2.0}) == 2 * 18_798_000
    assert reserved(tiers={"flex": 0.5}) == 18_798_000


def test_a_server_s_power_is_reserved_for_the_longest_call() -> None:
    price = price_of(PriceConfig(input=0, output=0, watts=300, usd_per_kwh=0.3))
    # 0.3 kW x $0.3 x 600 s / 3600 s = $0.015
    assert estimate(price, SPEC, FACTS)[1] == 15_000_000
    assert estimate(price, SPEC, FACTS, longest_s=60.0)[1] == 1_500_000
    assert cost_of(price, TokenUsage(1), duration_ms=60_000.0).nusd == 1_500_000


def test_vectors_have_no_answer_to_reserve_for() -> None:
    facts = msgspec.structs.replace(FACTS, is_embedding=True, max_output_tokens=0)
    price = price_of(PriceConfig.model_validate({"input": 0.02, "output": 0}))
    # 1266 x 0.02 = 25.32 micro-dollars
    assert estimate(price, SPEC, facts) == (PROMPT, 25_320)
    assert estimate(price, SPEC, msgspec.structs.replace(facts, is_embedding=False))[0] == PROMPT + USUAL_OUTPUT


@pytest.mark.parametrize(
    ("stated", "usage"),
    [
        ({"reasoning": 40}, TokenUsage(1_000, 1_000, reasoning_tokens=1_000)),
        ({"reasoning": 40, "tiers": {"priority": 2.5}}, TokenUsage(1_000, 1_000, 0, 0, 1_000, tier="priority")),
        ({"cache_write": 3.75, "cache_write_1h": 6}, TokenUsage(0, 1_000, 0, 1_000, cache_write_1h_tokens=1_000)),
        ({"above_tokens": 900, "input_above": 6, "output_above": 22.5}, TokenUsage(1_000, 1_000)),
        (
            {"above_tokens": 900, "input_above": 6, "output_above": 22.5, "reasoning": 20},
            TokenUsage(1_000, 1_000, 0, 0, 9),
        ),
        ({"cache_read": 9}, TokenUsage(0, 1_000, 1_000)),
    ],
)
def test_no_kind_of_token_costs_more_than_was_reserved(stated: dict[str, object], usage: TokenUsage) -> None:
    price = price_of(PriceConfig.model_validate({"input": 3, "output": 15, **stated}))
    assert cost_of(price, usage).nusd <= reserved(**stated)
    assert usd_to_nusd(0) <= cost_of(price, usage).nusd

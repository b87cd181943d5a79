"""What a request cost over all its attempts: exact, or honestly unknown."""

from __future__ import annotations

import msgspec

from atp_engine.core.types import AttemptOutcome, AttemptRecord, PriceState, TokenUsage
from atp_engine.services.recorder import totals

OK = AttemptRecord(
    1, "a", "p", "m", AttemptOutcome.OK, 0.0, 10.0, 1.0, 200, "", TokenUsage(100, 20), 7_000, PriceState.KNOWN
)


def attempt(**changes: object) -> AttemptRecord:
    return msgspec.structs.replace(OK, **changes)


def test_no_attempt_costs_nothing_for_sure() -> None:
    usage, cost = totals([])
    assert (usage.output_tokens, cost.nusd, cost.state) == (0, 0, PriceState.KNOWN)


def test_one_attempt_is_the_request() -> None:
    usage, cost = totals([OK])
    assert (usage, cost.nusd, cost.state) == (OK.usage, 7_000, PriceState.KNOWN)


def test_a_failed_attempt_that_used_nothing_adds_nothing() -> None:
    failed = attempt(outcome=AttemptOutcome.RATE_LIMITED, usage=TokenUsage(), cost_nusd=0)
    usage, cost = totals([failed, attempt(number=2)])
    assert (usage, cost.nusd, cost.state) == (OK.usage, 7_000, PriceState.KNOWN)


def test_every_attempt_that_used_tokens_is_paid_for() -> None:
    broken = attempt(outcome=AttemptOutcome.TRUNCATED, cost_nusd=3_000, price_state=PriceState.ASSUMED)
    _, cost = totals([broken, attempt(number=2)])
    assert (cost.nusd, cost.state) == (10_000, PriceState.ASSUMED)


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    unknown = attempt(outcome=AttemptOutcome.TRUNCATED, price_state=PriceState.UNKNOWN, cost_nusd=0)
    _, cost = totals([unknown, attempt(number=2)])
    assert cost.state is PriceState.UNKNOWN

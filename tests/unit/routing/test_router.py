from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from atp_engine.core.types import AttemptOutcome, RequestFacts, RouteDecision
from atp_engine.routing.health import FAILURES_TO_OPEN, HealthBook
from atp_engine.routing.router import MAX_PLANS, Router
from atp_engine.routing.table import RoutingTable
from tests.support.routing_facts import PLAIN, Dice, facts, table_of

TREE: dict[str, object] = {
    "providers": {"p": {"kind": "openai", "models": ["m*"]}},
    "deployments": {
        "a": {"provider": "p", "model": "a", "context_tokens": 32_000, "has_images": False},
        "b": {"provider": "p", "model": "b", "context_tokens": 200_000, "has_tools": False},
        "c": {"provider": "p", "model": "c", "max_parallel": 4},
        "off": {"provider": "p", "model": "off", "is_enabled": False},
    },
    "routes": {
        "auto": {"deployments": ["a", "b", "c", "off"]},
        "sized": {"deployments": ["a", "b"]},
        "drawn": {
            "deployments": [{"deployment": "a", "weight": 6}, {"deployment": "b", "weight": 3}, "c"],
            "strategy": "weighted",
        },
    },
}


class Desk:
    """A router with its table and book."""

    def __init__(self) -> None:
        self.table: RoutingTable = table_of(TREE)
        self.book = HealthBook(Dice(0.0))
        self.router = Router()
        self.version = 1

    def decide(
        self, name: str = "auto", asked: RequestFacts = PLAIN, now: float = 0.0, draw: float = 0.0
    ) -> RouteDecision:
        route = self.table.resolve(name)
        assert route is not None
        return self.router.decide(route, asked, self.book, self.version, now, Dice(draw))

    def order(self, name: str = "auto", asked: RequestFacts = PLAIN, now: float = 0.0, draw: float = 0.0) -> list[str]:
        return [verdict.deployment for verdict in self.decide(name, asked, now, draw).ranked]

    def fail(self, key: str, now: float = 0.0) -> None:
        for _ in range(FAILURES_TO_OPEN):
            lease = self.book.acquire(key, now, is_last_resort=True)
            assert lease is not None
            self.book.record(lease, AttemptOutcome.OVERLOADED, None, 1.0, now)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def reason(decision: RouteDecision, key: str) -> str:
    return next(verdict.reason for verdict in decision.candidates if verdict.deployment == key)


def test_an_ordered_route_follows_the_config_and_says_so(desk: Desk) -> None:
    decision = desk.decide()
    assert [verdict.deployment for verdict in decision.ranked] == ["a", "b", "c"]
    assert [verdict.rank for verdict in decision.candidates] == [1, 2, 3, 0]
    assert reason(decision, "a") == "first in order"
    assert reason(decision, "off") == "disabled"
    assert decision.explanation == "a, first in order of route auto; then b, c; dropped off: disabled."


def test_every_dropped_deployment_has_a_plain_reason(desk: Desk) -> None:
    decision = desk.decide(asked=facts(has_tools=True, has_images=True, prompt_tokens_estimate=41_000))
    assert reason(decision, "a") == "no images"
    assert reason(decision, "b") == "no tools"
    assert reason(decision, "c") == "3rd in order"
    assert reason(desk.decide(asked=facts(prompt_tokens_estimate=40_000, max_output_tokens=1_000)), "a") == (
        "context 32k < 41k needed"
    )


def test_a_context_that_fits_exactly_is_kept_and_unknown_contexts_always_are(desk: Desk) -> None:
    assert desk.order(asked=facts(prompt_tokens_estimate=32_000)) == ["a", "b", "c"]
    assert desk.order(asked=facts(prompt_tokens_estimate=32_001)) == ["b", "c"]
    assert desk.order(asked=facts(prompt_tokens_estimate=10**12)) == ["c"]


def test_an_estimate_alone_refuses_only_what_is_clearly_too_long(desk: Desk) -> None:
    assert desk.order("sized", facts(prompt_tokens_estimate=250_000)) == ["b"]
    refused = desk.decide("sized", facts(prompt_tokens_estimate=250_001))
    assert refused.ranked == ()
    assert refused.explanation.startswith("No deployment of sized can take this request; dropped a: context 32k < 250k")


def test_an_open_circuit_is_dropped_with_the_time_left_and_comes_back_as_a_probe(desk: Desk) -> None:
    desk.fail("a")
    assert desk.order() == ["b", "c"]
    assert reason(desk.decide(now=0.0), "a") == "circuit open, 5 s left"
    assert reason(desk.decide(now=3.5), "a") == "circuit open, 2 s left"
    assert desk.order(now=5.0) == ["a", "b", "c"]
    desk.book.acquire("a", 5.0)
    assert reason(desk.decide(now=5.0), "a") == "circuit half-open, a probe is under way"


def test_a_full_deployment_is_ranked_all_the_same_since_requests_wait_for_it(desk: Desk) -> None:
    desk.book.of("c").limit = 4
    leases = [desk.book.acquire("c", 0.0) for _ in range(5)]
    assert leases[4] is None
    assert "c" in desk.order()


def test_a_switch_by_hand_wins_over_the_config(desk: Desk) -> None:
    desk.book.switch("b", "off")
    assert reason(desk.decide(), "b") == "disabled by an operator"
    desk.book.switch("b", "on")
    assert "b" in desk.order()


def test_the_least_bad_is_tried_when_every_circuit_is_open(desk: Desk) -> None:
    desk.fail("b", 0.0)
    desk.fail("a", 2.0)
    decision = desk.decide("sized", now=3.0)
    assert decision.is_last_resort
    assert [verdict.deployment for verdict in decision.ranked] == ["b"]
    assert reason(decision, "b") == "least bad of those kept away (circuit open, 2 s left)"
    assert reason(decision, "a") == "circuit open, 4 s left"
    assert not desk.decide("sized", now=6.0).is_last_resort


def test_no_last_resort_breaks_a_drain_a_limit_or_a_missing_ability(desk: Desk) -> None:
    desk.fail("b")
    desk.book.drain("b")
    desk.fail("a")
    assert desk.decide("sized", facts(has_images=True)).ranked == ()
    desk.book.open("a")
    refused = desk.decide("sized")
    assert refused.ranked == ()
    assert reason(refused, "a") == "circuit held open by an operator"


def test_a_weighted_route_draws_the_first_and_ranks_the_rest_by_weight(desk: Desk) -> None:
    assert desk.order("drawn", draw=0.0) == ["a", "b", "c"]
    assert desk.order("drawn", draw=0.65) == ["b", "a", "c"]
    assert desk.order("drawn", draw=0.999999) == ["c", "a", "b"]
    decision = desk.decide("drawn", draw=0.65)
    assert reason(decision, "b") == "drawn with a share of 30 %"
    assert decision.ranked[0].score == 0.3
    assert decision.explanation == "b, drawn with a share of 30 %, on route drawn; then a, c."


def test_weighted_draws_keep_the_shares_of_the_deployments_that_are_left(desk: Desk) -> None:
    desk.fail("b")
    route = desk.table.resolve("drawn")
    assert route is not None
    rng = Random(5)
    firsts = Counter(
        desk.router.decide(route, PLAIN, desk.book, 1, 0.0, rng).ranked[0].deployment for _ in range(7_000)
    )
    assert set(firsts) == {"a", "c"}
    assert firsts["a"] / 7_000 == pytest.approx(6 / 7, abs=0.02)


def test_equal_inputs_give_the_same_object_and_the_id_follows_the_content(desk: Desk) -> None:
    first = desk.decide()
    assert desk.decide(now=9.0) is first
    desk.book.drain("b")
    second = desk.decide()
    assert second.id != first.id
    desk.book.close("b")
    third = desk.decide()
    assert third is not first
    assert third == first
    desk.version = 2
    assert desk.decide().id != first.id


def test_a_name_made_from_a_pattern_is_explained_as_the_only_one(desk: Desk) -> None:
    decision = desk.decide("m-1")
    assert decision.route == "p/m-1"
    assert decision.explanation == "p/m-1, the only deployment."


def test_plans_stay_bounded_under_a_flood_of_sizes_and_names(desk: Desk) -> None:
    for number in range(3 * MAX_PLANS):
        desk.decide(asked=facts(prompt_tokens_estimate=40_000 + number * 1_000))
    assert len(desk.router._plans) <= MAX_PLANS


def test_a_remembered_decision_is_what_a_fresh_router_would_say(desk: Desk) -> None:
    rng = Random(11)
    now = 0.0
    for _ in range(3_000):
        now += rng.random() * 0.7
        key = rng.choice("abc")
        match rng.randrange(5):
            case 0:
                desk.book.drain(key) if rng.random() < 0.2 else desk.book.close(key)
            case 1:
                desk.book.switch(key, rng.choice(("on", "off", "")))
            case _:
                lease = desk.book.acquire(key, now, is_last_resort=True)
                if lease is not None and rng.random() < 0.9:
                    desk.book.record(lease, rng.choice(list(AttemptOutcome)), 1.0, 1.0, now)
        asked = facts(has_tools=rng.random() < 0.3, prompt_tokens_estimate=rng.randrange(300_000))
        for name in ("auto", "drawn", "sized"):
            draw = rng.random()
            route = desk.table.resolve(name)
            assert route is not None
            fresh = Router().decide(route, asked, desk.book, 1, now, Dice(draw))
            assert desk.router.decide(route, asked, desk.book, 1, now, Dice(draw)) == fresh

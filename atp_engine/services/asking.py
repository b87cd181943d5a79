"""Asks: the decision by their wishes, planned or made, and what an answer saved.

`api/ask` reads a call through it and hands its `steer` to the walk, which asks it right after the router.
A plan is the same decision with nothing called, counted or recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from atp_engine.core.errors import UnknownModel
from atp_engine.core.ports import Clock
from atp_engine.core.pricing import NANO_PER_USD, cost_of
from atp_engine.core.types import (
    Caller,
    DeploymentSpec,
    Dialect,
    PriceState,
    RequestFacts,
    RouteDecision,
    TokenUsage,
)
from atp_engine.dialects.atp_ask import DEFAULT_MODEL, Ask, Wishes, read_ask
from atp_engine.dialects.facts import read_facts
from atp_engine.routing.health import HealthBook
from atp_engine.routing.restrict import restrict
from atp_engine.routing.table import Route
from atp_engine.routing.wishes import Outlook, steer
from atp_engine.services.access import check_access, forbidden
from atp_engine.services.attempts import Attempts
from atp_engine.services.estimates import Estimates
from atp_engine.services.live import LiveRequest
from atp_engine.services.runtime import Runtime, RuntimeRef

ASSUMED_OUTPUT_TOKENS = 1_024
"""Length of an answer whose call states no `max_tokens`; reasons say that it is assumed."""

Steer = Callable[[Runtime, Route, RequestFacts, RouteDecision], RouteDecision]


class Asking:
    """Reads asks, steers decisions, makes plans."""

    def __init__(
        self, runtime: RuntimeRef, attempts: Attempts, health: HealthBook, estimates: Estimates, clock: Clock
    ) -> None:
        self._runtime = runtime
        self._attempts = attempts
        self._health = health
        self._estimates = estimates
        self._clock = clock

    def read(self, body: bytes) -> Ask:
        """An ask's body; without a model it means the route `auto`, else the first name there is."""
        names = self._runtime.current.table.names()
        return read_ask(body, DEFAULT_MODEL if DEFAULT_MODEL in names or not names else names[0])

    def steer(self, wishes: Wishes) -> Steer:
        """What makes a decision again by these wishes."""

        def made(runtime: Runtime, route: Route, facts: RequestFacts, decision: RouteDecision) -> RouteDecision:
            return steer(decision, wishes, self._outlooks(runtime, route, facts))

        return made

    def plan(self, body: bytes, caller: Caller) -> dict[str, Any]:
        """What would be decided for this ask now. Windows of money and tokens are not asked: they reserve.

        Raises InvalidRequest, UnknownModel, Forbidden.
        """
        ask = self.read(body)
        runtime = self._runtime.current
        facts = read_facts(Dialect.OPENAI_CHAT, ask.body)
        route = runtime.table.resolve(facts.model)
        if route is None:
            near = runtime.table.near(facts.model)
            raise UnknownModel("no such model" + (f"; did you mean {', '.join(near)}?" if near else ""), param="model")
        facts = self._estimates.fit(route, facts)
        check_access(caller, route)
        decision = restrict_to(caller, self._attempts.decide(runtime, route, facts))
        outlooks = self._outlooks(runtime, route, facts)
        return plan_of(steer(decision, ask.wishes, outlooks), outlooks, ask, facts)

    def outlooks(self, live: LiveRequest) -> dict[str, Outlook]:
        """What is known of the deployments of a request's route, for its plan frame."""
        runtime = self._runtime.current
        route = runtime.table.resolve(live.route)
        return {} if route is None or live.facts is None else self._outlooks(runtime, route, live.facts)

    def savings(self, live: LiveRequest) -> tuple[float | None, str]:
        """Percent less than the dearest candidate would have cost for the tokens that were used, and which
        that is; None when a price is unknown or nothing was used. Retries count, so it may be negative."""
        table = self._runtime.current.table
        if live.decision is None or live.cost.state is PriceState.UNKNOWN:
            return None, ""
        route = table.resolve(live.route)
        known = {spec.key: spec for spec in route.deployments} if route is not None else {}
        costs = [
            (cost.nusd, candidate.deployment)
            for candidate in live.decision.candidates
            if candidate.deployment in known
            and (cost := cost_of(table.price(known[candidate.deployment]), live.usage)).state is not PriceState.UNKNOWN
        ]
        dearest, name = max(costs, default=(0, ""))
        if not dearest:
            return None, ""
        return round(100.0 * (1.0 - live.cost.nusd / dearest), 2), name

    def _outlooks(self, runtime: Runtime, route: Route, facts: RequestFacts) -> dict[str, Outlook]:
        return {spec.key: self._outlook(runtime, spec, facts) for spec in route.deployments}

    def _outlook(self, runtime: Runtime, spec: DeploymentSpec, facts: RequestFacts) -> Outlook:
        price = runtime.table.price(spec)
        output = facts.max_output_tokens or ASSUMED_OUTPUT_TOKENS
        if spec.max_output_tokens:
            output = min(output, spec.max_output_tokens)
        usage = TokenUsage(input_tokens=facts.prompt_tokens_estimate, output_tokens=output, is_estimated=True)
        cost = cost_of(price, usage)
        now = self._clock.monotonic()
        health = self._health.get(spec.key)
        p50 = p95 = None
        if health is not None:
            p50 = health.ttft.percentile(0.5, now)
            p95 = (health.ttft if facts.is_stream else health.latency).percentile(0.95, now)
        return Outlook(
            input_tokens=usage.input_tokens,
            output_tokens=output,
            is_output_assumed=not facts.max_output_tokens,
            cost_usd=None if cost.state is PriceState.UNKNOWN else cost.nusd / NANO_PER_USD,
            output_usd_per_mtok=None if price is None else price.output_nusd / NANO_PER_USD,
            p50_ms=p50,
            p95_ms=p95,
            measured="to the first token" if facts.is_stream else "to the whole answer",
        )


def restrict_to(caller: Caller, decision: RouteDecision) -> RouteDecision:
    """The decision without what the key may not use."""
    drops = forbidden(caller, decision)
    return restrict(decision, drops) if drops else decision


def plan_of(decision: RouteDecision, outlooks: dict[str, Outlook], ask: Ask, facts: RequestFacts) -> dict[str, Any]:
    """A decision as the plan frame tells it."""
    chosen = decision.ranked[0].deployment if decision.ranked else None
    return {
        "type": "plan",
        "route": decision.route,
        "strategy": decision.strategy,
        "decision_id": decision.id,
        "chosen": chosen,
        "explanation": decision.explanation,
        "is_last_resort": decision.is_last_resort,
        "wishes": msgspec.to_builtins(ask.wishes),
        "prompt_tokens_estimate": facts.prompt_tokens_estimate,
        "candidates": [
            {**msgspec.to_builtins(candidate), **_known(outlooks.get(candidate.deployment))}
            for candidate in decision.candidates
        ],
    }


def _known(outlook: Outlook | None) -> dict[str, Any]:
    if outlook is None:
        return {}
    return {
        "max_cost_usd": outlook.cost_usd,
        "output_tokens": outlook.output_tokens,
        "is_output_assumed": outlook.is_output_assumed,
        "ttft_p50_ms": outlook.p50_ms,
        "p95_ms": outlook.p95_ms,
        "p95_of": outlook.measured,
    }

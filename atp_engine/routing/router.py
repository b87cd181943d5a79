"""Which deployments a request tries, in which order, and why each other one was dropped.

The walk calls `Router.decide` once per request. Equal inputs give the same decision object: a plan per
(route, needs) is kept until the config or any deployment's state changes, so a steady engine only
looks it up. A decision never outlives the facts it names.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from hashlib import blake2b
from itertools import accumulate
from math import ceil, inf

import msgspec

from atp_engine.core.ports import Rng
from atp_engine.core.types import CandidateVerdict, DeploymentSpec, RequestFacts, RouteDecision
from atp_engine.routing.health import DeploymentHealth, HealthBook
from atp_engine.routing.strategies import STRATEGIES, Placement
from atp_engine.routing.table import ESTIMATE_SLACK, Route

MAX_PLANS = 2_048
"""Most plans kept; beyond it all are made anew."""


class _Plan:
    """The live deployments of a route for one kind of request, and the decision per draw."""

    __slots__ = ("cumulative", "decisions", "expires_at", "last_resort", "live", "verdicts")

    def __init__(self, live: tuple[int, ...], verdicts: dict[int, str], expires_at: float, last_resort: str) -> None:
        self.live = live
        self.verdicts = verdicts
        self.expires_at = expires_at
        self.last_resort = last_resort
        self.cumulative: tuple[float, ...] = ()
        self.decisions: list[RouteDecision | None] = [None]


class Router:
    """Decides and remembers; one per engine."""

    def __init__(self) -> None:
        self._plans: dict[tuple[str, int, int], _Plan] = {}
        self._config_version = -1
        self._health_version = -1

    def decide(
        self, route: Route, facts: RequestFacts, health: HealthBook, config_version: int, now: float, rng: Rng
    ) -> RouteDecision:
        """The decision for a request at monotonic `now`; `ranked` is empty when nothing can take it.

        When every deployment that fits is kept away by an open circuit or a cooldown, the one that may
        be called soonest is ranked anyway, as a last resort.
        """
        if now >= health.wake_at:
            health.version_at(now)
        if health.version != self._health_version or config_version != self._config_version:
            self._plans.clear()
        tokens = facts.prompt_tokens_estimate + facts.max_output_tokens
        needs = facts.has_tools | facts.has_images << 1 | facts.is_embedding << 2
        size = bisect_left(route.size_steps, tokens)
        key = (route.name, needs, size << 32 | round(tokens / 1000) if size else 0)
        plan = self._plans.get(key)
        if plan is None or now >= plan.expires_at:
            version = health.version
            plan = self._plan(route, facts, tokens, health, now)
            if len(self._plans) >= MAX_PLANS or health.version != version:
                self._plans.clear()
            self._plans[key] = plan
            self._health_version = health.version_at(now)
            self._config_version = config_version
        drawn = bisect_right(plan.cumulative, rng.random()) if plan.cumulative else 0
        decision = plan.decisions[drawn]
        if decision is None:
            decision = plan.decisions[drawn] = _decide(route, plan, drawn, config_version)
        return decision

    def _plan(self, route: Route, facts: RequestFacts, tokens: int, health: HealthBook, now: float) -> _Plan:
        states = [health.get(spec.key) for spec in route.deployments]
        unfit = {index: _unfit(spec, facts, states[index]) for index, spec in enumerate(route.deployments)}
        small = _too_small(route, {index for index, reason in unfit.items() if not reason}, tokens)
        blocked = {index: state.block(now) for index, state in enumerate(states) if state is not None}
        verdicts = {
            index: unfit[index] or small.get(index, "") or blocked.get(index, "") for index in range(len(states))
        }
        live = tuple(index for index, reason in verdicts.items() if not reason)
        last_resort = ""
        if not live:
            index = _least_bad(verdicts, blocked, states, now)
            if index is not None:
                live = (index,)
                last_resort = f"least bad of those kept away ({verdicts[index]})"
        plan = _Plan(live, verdicts, _expiry(states, blocked, now), last_resort)
        shares = STRATEGIES[route.strategy].shares(route, live) if live and not last_resort else ()
        if len(shares) > 1:
            plan.cumulative = tuple(accumulate(shares[:-1]))
            plan.decisions = [None] * len(shares)
        return plan


def _unfit(spec: DeploymentSpec, facts: RequestFacts, state: DeploymentHealth | None) -> str:
    """Why a deployment can never serve this kind of request, empty when it can."""
    if not spec.is_enabled and (state is None or state.switch != "on"):
        return "disabled"
    if facts.is_embedding is not spec.is_embedding:
        return "gives embeddings only" if spec.is_embedding else "gives no embeddings"
    if facts.is_embedding and not spec.gives_vectors:
        return "its vendor has no embeddings here"
    if facts.has_tools and not spec.has_tools:
        return "no tools"
    if facts.has_images and not spec.has_images:
        return "no images"
    return ""


def _too_small(route: Route, fit: set[int], tokens: int) -> dict[int, str]:
    """The fitting deployments whose context is too small; the largest stays when all are, barely."""
    contexts = {index: route.deployments[index].context_tokens for index in sorted(fit)}
    small = {index: size for index, size in contexts.items() if 0 < size < tokens}
    if small and len(small) == len(contexts):
        largest = max(small, key=lambda index: small[index])
        if tokens <= small[largest] * ESTIMATE_SLACK:
            del small[largest]
    return {index: f"context {_kilo(size)} < {_kilo(tokens)} needed" for index, size in small.items()}


def _least_bad(
    verdicts: dict[int, str], blocked: dict[int, str], states: list[DeploymentHealth | None], now: float
) -> int | None:
    """Among deployments dropped by a circuit or a cooldown alone, the one that may be called soonest."""
    waits = {
        index: state.retry_in_s(now)
        for index, state in enumerate(states)
        if state is not None and verdicts[index] == blocked.get(index) and not state.is_shut()
    }
    return min(waits, key=lambda index: (waits[index], index)) if waits else None


def _expiry(states: list[DeploymentHealth | None], blocked: dict[int, str], now: float) -> float:
    """When the first `14 s left` of a plan turns wrong."""
    turns = [
        state.resting_until - (ceil(state.resting_until - now) - 1)
        for index, state in enumerate(states)
        if state is not None and blocked[index] and now < state.resting_until
    ]
    return min(turns, default=inf)


def _decide(route: Route, plan: _Plan, drawn: int, config_version: int) -> RouteDecision:
    placed: list[Placement] = []
    if plan.last_resort:
        placed = [Placement(plan.live[0], None, plan.last_resort)]
    elif plan.live:
        placed = STRATEGIES[route.strategy].rank(route, plan.live, drawn)
    ranks = {place.position: (rank, place) for rank, place in enumerate(placed, start=1)}
    candidates = []
    for index, spec in enumerate(route.deployments):
        rank, place = ranks.get(index, (0, Placement(index, None, plan.verdicts[index])))
        candidates.append(
            CandidateVerdict(spec.key, spec.provider, spec.model, rank=rank, score=place.score, reason=place.reason)
        )
    candidates.sort(key=lambda verdict: (verdict.rank == 0, verdict.rank))
    found = tuple(candidates)
    decision = RouteDecision(
        id="",
        route=route.name,
        strategy=route.strategy,
        config_version=config_version,
        explanation=_explain(route, found),
        candidates=found,
        is_last_resort=bool(plan.last_resort),
    )
    return renamed(decision)


def renamed(decision: RouteDecision) -> RouteDecision:
    """The decision under the id that its content has."""
    decision = msgspec.structs.replace(decision, id="")
    return msgspec.structs.replace(decision, id=blake2b(msgspec.msgpack.encode(decision), digest_size=10).hexdigest())


def _explain(route: Route, candidates: tuple[CandidateVerdict, ...]) -> str:
    """One sentence: who is first and why, who follows, who was dropped and why."""
    ranked = [c for c in candidates if c.rank]
    dropped = [f"{c.deployment}: {c.reason}" for c in candidates if not c.rank]
    if ranked:
        said = f"{ranked[0].deployment}, {ranked[0].reason}"
        if route.is_alias and len(candidates) > 1:
            said += f" of route {route.name}" if ranked[0].reason.endswith("in order") else f", on route {route.name}"
        if len(ranked) > 1:
            said += f"; then {_listed([c.deployment for c in ranked[1:]])}"
    else:
        said = f"No deployment of {route.name} can take this request"
    if dropped:
        said += f"; dropped {_listed(dropped)}"
    return f"{said}."


def _listed(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _kilo(tokens: int) -> str:
    return f"{round(tokens / 1000)}k" if tokens >= 1000 else str(tokens)

"""Recorded requests decided again under another config, without sending anything: what would route differently.

`configuration` shows it before an apply. Both configs decide as if every deployment were healthy, so what
differs differs by the config alone. Runs in a thread; no state of the engine is read or changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from atp_engine.core.config_views import Replay, RouteReplay
from atp_engine.core.types import RequestFacts
from atp_engine.routing.health import HealthBook
from atp_engine.routing.router import Router
from atp_engine.routing.table import RoutingTable
from atp_engine.storage.config_traffic import Decided

REQUESTS = 500
_DRAWS = 20
"""Draws per request of a route that draws: shares are told to a twentieth."""
_NONE = ("none", "", "")
_MOST_ROUTES = 50

Shares = dict[tuple[str, str, str], float]
"""By deployment, provider and model that would be tried first."""


def replay(before: RoutingTable, after: RoutingTable, decided: Iterable[Decided]) -> Replay:
    """How many of the requests would be served by another deployment or model."""
    sides = (_Side(before), _Side(after))
    counts: dict[str, int] = defaultdict(int)
    differing: dict[str, float] = defaultdict(float)
    firsts: dict[str, tuple[str, str]] = {}
    for one in decided:
        facts = _facts(one)
        old, new = (side.shares(facts) for side in sides)
        share = sum(max(0.0, part - new.get(key, 0.0)) for key, part in old.items())
        counts[one.asked] += one.count
        if share > 1e-9:
            differing[one.asked] += share * one.count
            firsts.setdefault(one.asked, (_first(old), _first(new)))
    rows = [
        RouteReplay(asked, counts[asked], round(lost, 2), *firsts[asked])
        for asked, lost in sorted(differing.items(), key=lambda item: -item[1])
    ]
    return Replay(sum(counts.values()), round(sum(differing.values()), 2), tuple(rows[:_MOST_ROUTES]))


class _Side:
    """One config's router over healthy deployments."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._router = Router()
        self._strata = _Strata()
        self._health = HealthBook(self._strata)
        self._known: dict[tuple[str, int, bool, bool], Shares] = {}

    def shares(self, facts: RequestFacts) -> Shares:
        key = (facts.model, facts.prompt_tokens_estimate, facts.has_tools, facts.has_images)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._decide(facts)
        return found

    def _decide(self, facts: RequestFacts) -> Shares:
        route = self._table.resolve(facts.model)
        if route is None:
            return {_NONE: 1.0}
        found: Shares = defaultdict(float)
        draws = 1 if route.strategy == "ordered" else _DRAWS
        for draw in range(draws):
            self._strata.value = (draw + 0.5) / draws
            decision = self._router.decide(route, facts, self._health, 0, 0.0, self._strata)
            first = None if decision.is_empty else decision.candidates[0]
            found[_NONE if first is None else (first.deployment, first.provider, first.model)] += 1.0 / draws
        return found


class _Strata:
    """An even spread instead of chance."""

    value = 0.5

    def random(self) -> float:
        """The present stratum's middle."""
        return self.value


def _facts(one: Decided) -> RequestFacts:
    """What is known of a recorded request; that it had tools or images shows in what was dropped for them."""
    reasons = {candidate.reason for candidate in one.decision.candidates}
    return RequestFacts(
        model=one.asked,
        is_stream=False,
        has_tools="no tools" in reasons,
        has_images="no images" in reasons,
        wants_json=False,
        wants_usage=False,
        wants_reasoning=False,
        max_output_tokens=0,
        prompt_bytes=0,
        prompt_tokens_estimate=one.prompt_tokens,
        message_count=1,
        session_hint="",
        prefix_seed=b"",
    )


def _first(shares: Shares) -> str:
    return max(shares, key=lambda key: shares[key])[0]

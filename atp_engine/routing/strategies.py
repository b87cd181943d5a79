"""How a route ranks the deployments that are left: one class and one row per strategy.

The router calls `shares` once per plan (a set of live deployments) and `rank` once per plan and pick,
so a strategy may be slow here and free per request. Chance enters as the index that the router drew.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from atp_engine.routing.table import Route


class Placement(NamedTuple):
    """A deployment's place: its position in the route, its score if the strategy has one, and why."""

    position: int
    score: float | None
    reason: str


class Strategy(Protocol):
    """Ranks live deployments, given as rising indexes into the route."""

    def shares(self, route: Route, live: tuple[int, ...]) -> tuple[float, ...]:
        """Chance of each live deployment to be drawn first; empty when nothing is drawn."""
        ...

    def rank(self, route: Route, live: tuple[int, ...], drawn: int) -> list[Placement]:
        """All live deployments, best first; `drawn` is the position in `live` that was drawn."""
        ...


class Ordered:
    """From the top of the list."""

    def shares(self, route: Route, live: tuple[int, ...]) -> tuple[float, ...]:
        """Nothing is drawn."""
        return ()

    def rank(self, route: Route, live: tuple[int, ...], drawn: int) -> list[Placement]:
        """The config's order."""
        if len(route.deployments) == 1:
            return [Placement(live[0], None, "the only deployment")]
        return [Placement(index, None, f"{_ordinal(index + 1)} in order") for index in live]


class Weighted:
    """The first is drawn by weight, the others follow by weight."""

    def shares(self, route: Route, live: tuple[int, ...]) -> tuple[float, ...]:
        """Weights of the live ones, made to sum up to 1."""
        total = sum(route.weights[index] for index in live)
        return tuple(route.weights[index] / total for index in live)

    def rank(self, route: Route, live: tuple[int, ...], drawn: int) -> list[Placement]:
        """The drawn one, then by falling weight, equals in the config's order."""
        shares = dict(zip(live, self.shares(route, live), strict=True))
        first = live[drawn]
        rest = sorted((index for index in live if index != first), key=lambda index: (-shares[index], index))
        placed = [Placement(first, round(shares[first], 4), f"drawn with a share of {_percent(shares[first])}")]
        placed += [Placement(index, round(shares[index], 4), f"share {_percent(shares[index])}") for index in rest]
        return placed


STRATEGIES: dict[str, Strategy] = {"ordered": Ordered(), "weighted": Weighted()}


def _ordinal(number: int) -> str:
    if number == 1:
        return "first"
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.01 else "under 1 %"

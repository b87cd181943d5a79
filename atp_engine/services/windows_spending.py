"""What one request may spend, from its admission to its end: it restricts, reserves per attempt, settles, releases.

Made by `windows.enter` and carried by the live request. `completions` restricts and releases, `attempts` begins
and settles each upstream call, `recorder` posts together with the ledger lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atp_engine.core.pricing import Price
from atp_engine.core.types import AttemptRecord, DeploymentSpec, RequestFacts, RouteDecision
from atp_engine.limits.window import Hold, Lack, OnExceed
from atp_engine.routing.table import Route
from atp_engine.services.runtime import Runtime
from atp_engine.services.windows_estimate import LONGEST_S, charge_of, estimate

if TYPE_CHECKING:
    from atp_engine.services.windows import Windows


class Terms(msgspec.Struct, frozen=True):
    """What a request is judged by."""

    runtime: Runtime
    route: Route
    facts: RequestFacts
    assumed: Price | None
    """The route's price for deployments without one."""
    counts_usd: str
    """A window that counts this request's dollars, empty when none does."""
    soft: Lack | None = None
    """The soft window that is used up."""

    def price(self, spec: DeploymentSpec) -> Price | None:
        """What windows reckon with."""
        price = self.runtime.table.price(spec)
        return self.assumed if price is None else price

    def estimate(self, spec: DeploymentSpec) -> tuple[int, int]:
        """Tokens and nano-dollars to reserve for a call of this deployment."""
        price = self.price(spec)
        longest_s = 0.0
        if price is not None and price.nusd_per_hour:
            longest_s = self.runtime.table.timeouts(self.route, spec).total_s or LONGEST_S
        return estimate(price, spec, self.facts, longest_s)

    def whole(self) -> tuple[int, int]:
        """What to reserve before it is known which deployment will serve."""
        specs = [spec for spec in self.route.deployments if spec.is_enabled]
        soft = None if self.soft is None else self.soft.window.rule.on_exceed
        if soft is OnExceed.LOCAL_ONLY:
            specs = [spec for spec in specs if spec.is_local]
        amounts = [self.estimate(spec) for spec in specs] or [(0, 0)]
        if len(amounts) == 1:
            return amounts[0]
        if soft is OnExceed.CHEAPEST:
            return min(amounts, key=lambda amount: amount[1])
        return max(amount[0] for amount in amounts), max(amount[1] for amount in amounts)


class Spending:
    """One request's reservations."""

    __slots__ = ("_hold", "_lack", "_terms", "_windows")

    def __init__(self, windows: Windows, hold: Hold, terms: Terms) -> None:
        self._windows = windows
        self._hold = hold
        self._terms = terms
        self._lack: Lack | None = None

    def restrict(self, decision: RouteDecision) -> RouteDecision:
        """The decision without the deployments that windows rule out.

        Raises WindowExceeded when nothing is left because of one.
        """
        specs = {spec.key: spec for spec in self._terms.route.deployments}
        ranked = [specs[candidate.deployment] for candidate in decision.ranked]
        drops: dict[str, str] = {}
        for spec in ranked:
            reason = self._unfit(spec)
            if reason:
                drops[spec.key] = reason
        soft = self._terms.soft
        left = [spec for spec in ranked if spec.key not in drops]
        if soft is not None and soft.window.rule.on_exceed is OnExceed.CHEAPEST and left:
            best = min(left, key=lambda spec: (self._terms.price(spec) is None, self._terms.estimate(spec)[1]))
            for spec in left:
                if spec is not best:
                    drops[spec.key] = f'window "{soft.window.rule.name}" is used up: only the cheapest, {best.key}'
        elif not left and ranked and (lack := self._lack or soft) is not None:
            raise self._windows.exceeded(lack)
        return self._windows.restrictions.apply(decision, drops)

    def _unfit(self, spec: DeploymentSpec) -> str:
        terms = self._terms
        if terms.counts_usd and terms.price(spec) is None:
            return f'its price is unknown and window "{terms.counts_usd}" counts dollars (see assume_price)'
        soft = terms.soft
        if soft is not None and not spec.is_local and soft.window.rule.on_exceed is OnExceed.LOCAL_ONLY:
            return f'window "{soft.window.rule.name}" is used up: local deployments only'
        if self._windows.has_deployment_rules:
            if terms.price(spec) is None and (name := self._windows.counts_usd_of(spec)):
                return f'its price is unknown and window "{name}" counts dollars (see assume_price)'
            lack = self._windows.deployment_lack(spec, *terms.estimate(spec))
            if lack is not None:
                self._lack = lack
                return f'window "{lack.window.rule.name}" has no room ({lack.limit})'
        return ""

    async def begin(self, spec: DeploymentSpec) -> str:
        """Reserves for one upstream call; a sentence why not, empty when it may start.

        Raises StorageError when a dollar window cannot be held on the disk.
        """
        windows = self._windows
        tokens, nusd = self._terms.estimate(spec)
        own = windows.deployment_windows(spec) if windows.has_deployment_rules else ()
        lack = self._hold.attempt(own, tokens, nusd, *windows.times())
        if lack is not None:
            self._lack = lack
            return f'window "{lack.window.rule.name}" has no room ({lack.limit})'
        await windows.secure(self._hold, tokens, nusd)
        return ""

    def refuse(self) -> None:
        """Raises WindowExceeded when a window kept the last deployment away."""
        if self._lack is not None:
            raise self._windows.exceeded(self._lack)

    def settle(self, record: AttemptRecord) -> None:
        """Charges what the attempt used instead of what was reserved for it."""
        tokens, nusd = charge_of(record.usage, record.cost_nusd, record.price_state, self._terms.assumed)
        windows = self._hold.windows
        if self._hold.settle(tokens, nusd):
            self._windows.tell(windows)
        self._windows.wake()

    def post(self) -> None:
        """The ledger lines of all attempts so far are handed over in this step."""
        self._hold.post()

    def release(self) -> None:
        """Gives back what is still reserved; further calls do nothing."""
        if self._hold.release():
            self._windows.wake()

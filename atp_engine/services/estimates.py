"""How far our token estimates are off, by deployment, and their correction by what vendors report.

`recorder` teaches it with every reported usage, `completions` has it correct the estimate of a request
before anything is decided by it. At start it learns the ledger's latest requests again, so its figures
are those of the ledger. Used on the event loop only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from atp_engine.core.types import RequestFacts
from atp_engine.dialects.estimate import BYTES_PER_TOKEN, learned_ratio
from atp_engine.routing.table import Route
from atp_engine.storage.estimates import Counted

_MOST = 1_024
"""Most deployments remembered; the one that was silent longest goes first."""
_WEIGHT = 0.1
_FEW = 5
"""Calls before the error is told: fewer say little."""
_SLACK = 0.02
"""A correction below this share is not worth a new value."""


class _Learned:
    __slots__ = ("calls", "error", "ratio")

    def __init__(self) -> None:
        self.ratio = BYTES_PER_TOKEN
        self.error = 0.0
        self.calls = 0


class Estimates:
    """The book of estimates."""

    def __init__(self, counted: Iterable[Counted]) -> None:
        """`counted` are the ledger's latest, oldest first."""
        self._learned: OrderedDict[str, _Learned] = OrderedDict()
        for one in counted:
            self.learn(one.deployment, one.estimated, one.reported)

    def learn(self, deployment: str, estimated: int, reported: int) -> None:
        """Takes the uncorrected estimate of a prompt and the tokens that its vendor counted."""
        if estimated <= 0 or reported <= 0:
            return
        found = self._learned.get(deployment)
        if found is None:
            found = self._learned[deployment] = _Learned()
            if len(self._learned) > _MOST:
                self._learned.popitem(last=False)
        elif found.calls % 64 == 0:
            self._learned.move_to_end(deployment)
        ratio, calls = found.ratio, found.calls
        said = estimated * BYTES_PER_TOKEN / ratio
        weight = max(_WEIGHT, 1.0 / (calls + 1))
        if calls:  # the first one was said without knowing anything of this deployment
            found.error += max(_WEIGHT, 1.0 / calls) * (abs(said - reported) / reported - found.error)
        found.ratio = learned_ratio(ratio, round(estimated * BYTES_PER_TOKEN), reported, weight)
        found.calls = calls + 1

    def corrected(self, deployment: str, estimated: int) -> int:
        """An estimate as this deployment's vendor is likely to count it; at least 1 of what is not 0."""
        found = self._learned.get(deployment)
        if found is None or not estimated:
            return estimated
        return max(1, round(estimated * BYTES_PER_TOKEN / found.ratio))

    def fit(self, route: Route, facts: RequestFacts) -> RequestFacts:
        """Facts whose estimate is corrected for the route's first deployment, which is meant to serve."""
        found = self._learned.get(route.deployments[0].key)
        if found is None or abs(found.ratio - BYTES_PER_TOKEN) < _SLACK * BYTES_PER_TOKEN:
            return facts
        tokens = max(1, round(facts.prompt_tokens_estimate * BYTES_PER_TOKEN / found.ratio))
        return msgspec.structs.replace(facts, prompt_tokens_estimate=tokens)

    def error(self, deployment: str) -> float | None:
        """The usual error of the corrected estimate as a share of what was reported; None when not known."""
        found = self._learned.get(deployment)
        return None if found is None or found.calls <= _FEW else found.error

"""A decision with less to choose from: candidates taken out by a key's rights or by a window, each with its reason.

The walk asks after the router has decided. Equal inputs give the same decision object.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from atp_engine.core.types import CandidateVerdict, RouteDecision

_MOST = 1_024


class Restrictions:
    """Takes candidates out and remembers the outcome."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[tuple[str, str], ...]], RouteDecision] = {}

    def apply(self, decision: RouteDecision, drops: dict[str, str]) -> RouteDecision:
        """`decision` without the deployments in `drops`, whose values say why; the others keep their order."""
        if not drops:
            return decision
        key = (decision.id, tuple(drops.items()))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[key] = restrict(decision, drops)
        return found


def restrict(decision: RouteDecision, drops: dict[str, str]) -> RouteDecision:
    """The decision made anew, with an id and a sentence of its own."""
    kept = [candidate for candidate in decision.ranked if candidate.deployment not in drops]
    ranked = [msgspec.structs.replace(candidate, rank=rank) for rank, candidate in enumerate(kept, start=1)]
    lost = [_without(candidate, drops) for candidate in decision.candidates if candidate.deployment in drops]
    before = [c for c in decision.candidates if not c.rank and c.deployment not in drops]
    reasons = "; ".join(f"{candidate.deployment}: {candidate.reason}" for candidate in lost[:4])
    more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
    told = f"{decision.explanation.rstrip('.')}; taken out {reasons}{more}"
    told += f"; so {ranked[0].deployment} is tried first." if ranked else "; nothing is left."
    changed = msgspec.structs.replace(decision, id="", explanation=told, candidates=(*ranked, *lost, *before))
    return msgspec.structs.replace(changed, id=blake2b(msgspec.msgpack.encode(changed), digest_size=10).hexdigest())


def _without(candidate: CandidateVerdict, drops: dict[str, str]) -> CandidateVerdict:
    return msgspec.structs.replace(candidate, rank=0, score=None, reason=drops[candidate.deployment])

"""A decision made again by what an ask wants: too dear or too slow is dropped, the rest is put in order.

Called through `services/asking` after the router has decided, so whatever cannot serve is out already.
Every figure in a reason is one that was measured or stated; what is not known is said to be unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b

import msgspec

from atp_engine.core.types import CandidateVerdict, RouteDecision
from atp_engine.dialects.atp_ask import Wishes


class Outlook(msgspec.Struct, frozen=True):
    """What is known of a deployment for one request; None is unknown."""

    input_tokens: int
    output_tokens: int
    """What the client allows, or what is assumed when it says nothing."""
    is_output_assumed: bool
    cost_usd: float | None
    """At most, for these tokens."""
    output_usd_per_mtok: float | None
    p50_ms: float | None
    """To the first token, measured."""
    p95_ms: float | None
    """To what the wished latency is about, measured."""
    measured: str
    """What `p95_ms` is about: `to the first token`, `to the whole answer`."""
    quality: float | None = None
    """Stated, 0..1."""


def steer(decision: RouteDecision, wishes: Wishes, outlooks: Mapping[str, Outlook]) -> RouteDecision:
    """The decision by these wishes; `outlooks` has every ranked deployment."""
    drops = {
        candidate.deployment: reason
        for candidate in decision.ranked
        if (reason := _too_much(wishes, outlooks[candidate.deployment]))
    }
    kept = [candidate for candidate in decision.ranked if candidate.deployment not in drops]
    ranked = [
        msgspec.structs.replace(candidate, rank=rank)
        for rank, candidate in enumerate(_ordered(kept, wishes, outlooks), 1)
    ]
    lost = [
        msgspec.structs.replace(candidate, rank=0, score=None, reason=drops[candidate.deployment])
        for candidate in decision.ranked
        if candidate.deployment in drops
    ]
    before = [candidate for candidate in decision.candidates if not candidate.rank]
    made = msgspec.structs.replace(
        decision,
        id="",
        explanation=_told(decision.route, ranked, [*lost, *before]),
        candidates=(*ranked, *lost, *before),
    )
    return msgspec.structs.replace(made, id=blake2b(msgspec.msgpack.encode(made), digest_size=10).hexdigest())


def _too_much(wishes: Wishes, outlook: Outlook) -> str:
    """Why a deployment is dropped, empty when it is not."""
    cap = wishes.max_cost_usd
    if cap is not None:
        if outlook.cost_usd is None:
            return f"price unknown: a cap of ${cap:g} cannot be kept"
        if outlook.cost_usd > cap:
            assumed = "assumed " if outlook.is_output_assumed else ""
            tokens = f"{outlook.input_tokens} tokens in and {assumed}{outlook.output_tokens} out"
            return f"up to ${outlook.cost_usd:.6g} for {tokens} is over the cap of ${cap:g}"
    slo = wishes.latency_slo_ms
    if slo is not None and outlook.p95_ms is not None and outlook.p95_ms > slo:
        return f"p95 of {outlook.p95_ms:.0f} ms {outlook.measured} is over the {slo:g} ms asked for"
    return ""


def _ordered(kept: list[CandidateVerdict], wishes: Wishes, outlooks: Mapping[str, Outlook]) -> list[CandidateVerdict]:
    """The rest in the order that the wished quality means; what is equal keeps the route's order."""
    if wishes.quality == "fast":
        return sorted(
            (msgspec.structs.replace(one, reason=_speed(outlooks[one.deployment])) for one in kept),
            key=lambda one: _or_last(outlooks[one.deployment].p50_ms),
        )
    if wishes.quality == "high":
        is_stated = any(outlooks[one.deployment].quality is not None for one in kept)
        return sorted(
            (msgspec.structs.replace(one, reason=_worth(outlooks[one.deployment], is_stated)) for one in kept),
            key=lambda one: _or_last(_worth_key(outlooks[one.deployment], is_stated)),
        )
    return kept


def _speed(outlook: Outlook) -> str:
    if outlook.p50_ms is None:
        return "fast: no latency measured yet"
    return f"fast: {outlook.p50_ms:.0f} ms to the first token at the median"


def _worth(outlook: Outlook, is_stated: bool) -> str:
    if is_stated:
        return "high: no quality stated" if outlook.quality is None else f"high: stated quality {outlook.quality:g}"
    if outlook.output_usd_per_mtok is None:
        return "high: price unknown, and no quality stated"
    return f"high: by price, as no quality is stated: ${outlook.output_usd_per_mtok:g} a million output tokens"


def _worth_key(outlook: Outlook, is_stated: bool) -> float | None:
    value = outlook.quality if is_stated else outlook.output_usd_per_mtok
    return None if value is None else -value


def _or_last(value: float | None) -> tuple[bool, float]:
    return (value is None, 0.0 if value is None else value)


def _told(route: str, ranked: list[CandidateVerdict], dropped: list[CandidateVerdict]) -> str:
    if ranked:
        told = f"{ranked[0].deployment}, {ranked[0].reason}"
        if len(ranked) > 1:
            told += f"; then {', '.join(one.deployment for one in ranked[1:5])}"
    else:
        told = f"No deployment of {route} is left"
    if dropped:
        told += f"; dropped {'; '.join(f'{one.deployment}: {one.reason}' for one in dropped[:4])}"
    return f"{told}."

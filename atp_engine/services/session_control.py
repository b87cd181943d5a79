"""What an operator holds a session to. Most sessions have none, which is all that the walk looks at for them."""

from __future__ import annotations

import msgspec

from atp_engine.core.errors import SessionDropped, SessionPaused
from atp_engine.core.types import Caller, QoS, RouteDecision
from atp_engine.routing.table import Route, RoutingTable

PAUSED, DROPPED = "paused", "dropped"
_RETRY_S = 15.0


class Control(msgspec.Struct, frozen=True):
    """Made and replaced by `session_acts` only."""

    hold: str = ""
    """Empty, or why new requests are refused."""
    pinned: str = ""
    """The deployment that serves every request."""
    qos: QoS | None = None
    max_usd: float | None = None
    """The cap itself is a window; this is what it shows."""

    def admit(self, session_id: str, caller: Caller) -> Caller:
        """The caller with the session's service class. Raises SessionPaused, SessionDropped."""
        if self.hold == PAUSED:
            told = f"the session {session_id} is paused by an operator; try again later"
            raise SessionPaused(told, retry_after_s=_RETRY_S)
        if self.hold == DROPPED:
            raise SessionDropped(f"the session {session_id} was dropped by an operator; start a new conversation")
        if self.qos is None or self.qos is caller.qos:
            return caller
        return msgspec.structs.replace(caller, qos=self.qos)

    def route(self, table: RoutingTable, asked: Route) -> Route:
        """The asked route, or the pinned deployment's own where the asked one does not lead to it."""
        pinned = self.pinned
        if not pinned or any(spec.key == pinned for spec in asked.deployments):
            return asked
        return table.resolve(pinned) or asked

    def drops(self, decision: RouteDecision) -> dict[str, str]:
        """The ranked deployments that the pin rules out, each with the reason."""
        if not self.pinned:
            return {}
        reason = f"its session is pinned to {self.pinned}"
        return {verdict.deployment: reason for verdict in decision.ranked if verdict.deployment != self.pinned}

"""Which calls may get an answer that begins again after it broke."""

from __future__ import annotations

from atp_engine.core.types import RequestFacts
from atp_engine.dialects.retold import can_retell
from atp_engine.routing.table import Route
from atp_engine.services.attempt import RawCall

RESTART_HEADER = b"x-atp-midstream"
"""A client that can read an answer which begins twice says `restart` here."""


def accepts_restart(route: Route, call: RawCall, facts: RequestFacts) -> bool:
    """Whether a broken stream of this call may begin again: the route says so, or offers it and the client asks."""
    if not facts.is_stream or not can_retell(call.dialect):
        return False
    if route.midstream == "restart":
        return True
    return route.midstream == "offer" and (RESTART_HEADER, b"restart") in call.head.headers

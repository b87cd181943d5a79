"""What is asked of a session from outside, as JSON of the admin API."""

from __future__ import annotations

from typing import Annotated

import msgspec

ACTS = ("end", "pause", "resume", "pin", "qos", "budget", "drop")
"""What an operator may do to a session: end it (cancel what is in flight, forget it); pause it (what is in flight
goes on, new requests are refused for now); drop it (cancel what is in flight, refuse everything else); resume it
after either; pin it to a deployment; give it a service class; cap its dollars of this month."""


class SessionAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The value of `pin`, `qos` and `budget`; an empty one takes it away again."""

    deployment: Annotated[str, msgspec.Meta(max_length=256)] = ""
    qos: Annotated[str, msgspec.Meta(max_length=16)] = ""
    max_usd: Annotated[float, msgspec.Meta(ge=0, le=10_000_000)] | None = None

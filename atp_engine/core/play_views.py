"""What an operator sends from a face: a prompt of their own, or a recorded request again.

The requests are real: routed, priced and recorded like any other. A face follows them by id.
"""

from __future__ import annotations

import msgspec


class PlayAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt for one route or model; None leaves a knob to the vendor."""

    model: str
    prompt: str
    system: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    session: str = ""


class ReplayAsk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded request again; an empty `model` asks for what was asked before."""

    model: str = ""


class PlayStarted(msgspec.Struct, frozen=True):
    """The request is on its way under this id."""

    request_id: str
    model: str
    is_redacted: bool = False
    """Credentials had been taken out of the recorded body, so this is not quite the same call."""

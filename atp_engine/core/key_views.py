"""Client keys and admin tokens as they may be shown, and what their makers say: JSON of the admin API.

A secret is only in `KeyMade` and `TokenMade`, which are told once.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.types import QoS


class KeyWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A budget that a key brings with it; the fields are those of a window in the config."""

    period: str = "day"
    """in_flight, minute, hour, day or month."""
    max_parallel: int | None = None
    max_tokens: int | None = None
    max_usd: float | None = None
    requests_per_minute: int | None = None
    on_exceed: str = "refuse"
    """refuse, queue, cheapest or local_only."""


class KeySummary(msgspec.Struct, frozen=True):
    """A key as it may be shown."""

    id: str
    name: str
    project: str
    qos: QoS
    requests_per_minute: int
    """0 means no limit."""
    shown_as: str
    """Its first characters and the last four."""
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    routes: tuple[str, ...] = ()
    """Names or patterns of the routes it may ask for; empty is all."""
    models: tuple[str, ...] = ()
    """Deployments, models or patterns that may serve it; empty is all."""
    tags: tuple[str, ...] = ()
    windows: tuple[KeyWindow, ...] = ()


class KeyWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new key shall be."""

    name: str
    project: str = ""
    qos: QoS = QoS.SILVER
    requests_per_minute: int = 0
    expires_in_s: float | None = None
    """Seconds from now; None is never."""
    routes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    windows: tuple[KeyWindow, ...] = ()


class KeyMade(msgspec.Struct, frozen=True):
    """A new key, or one with a new secret; the secret is told this once."""

    key: KeySummary
    secret: str


class TokenSummary(msgspec.Struct, frozen=True):
    """A token of the admin side as it may be shown."""

    id: str
    name: str
    role: str
    """viewer looks; operator acts too; admin manages keys and tokens too."""
    shown_as: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class TokenWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a new admin token shall be."""

    name: str
    role: str = "viewer"
    expires_in_s: float | None = None


class TokenMade(msgspec.Struct, frozen=True):
    """A new admin token; the secret is told this once."""

    token: TokenSummary
    secret: str


class RevokeReply(msgspec.Struct, frozen=True):
    """Whether there was one that counted and now does not."""

    revoked: bool

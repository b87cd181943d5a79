"""What the faces see of windows: counts, limits and when they are free again."""

from __future__ import annotations

import msgspec


class WindowView(msgspec.Struct, frozen=True):
    """One window: a rule's counts for one subject. Limits are None where the rule has none."""

    name: str
    """The window's name in the config, or `key:ID` for a key's own."""
    scope: str
    """everything, key, project, session, route or deployment."""
    subject: str
    """Whose: the name of the key, project, route or deployment, or the session's id; `*` for everything."""
    period: str
    """in_flight, minute, hour, day or month."""
    time_zone: str
    starts_at: float | None
    frees_at: float | None
    """When the period ends and the counts begin at nothing; None for `in_flight`."""
    in_flight: int
    max_parallel: int | None
    used_tokens: int
    reserved_tokens: int
    """Held for requests in flight."""
    in_doubt_tokens: int
    """Held to the end of the period for work whose end is not known, as the engine was killed under it."""
    max_tokens: int | None
    used_nusd: int
    reserved_nusd: int
    in_doubt_nusd: int
    max_nusd: int | None
    requests_per_minute: int | None
    on_exceed: str
    share: float | None
    """The largest share of a limit that is used, in doubt or reserved, 0..1 and beyond; None without one."""

"""The engine's own words and the trail of acts, as the faces see them."""

from __future__ import annotations

from typing import Any

import msgspec


class LogLine(msgspec.Struct, frozen=True):
    """One record of the log, redacted; `number` rises by one per record."""

    number: int
    at: str
    """UTC, ISO 8601 with milliseconds."""
    level: str
    logger: str
    event: str
    request_id: str = ""
    fields: dict[str, Any] = {}
    """What else the record says: plain values."""


class LogPage(msgspec.Struct, frozen=True):
    """The latest records kept in memory, newest first."""

    lines: tuple[LogLine, ...]
    dropped: int
    """Records written since the start that are not kept any more."""


class AuditView(msgspec.Struct, frozen=True):
    """One act: who did what to what."""

    number: int
    at: float
    actor: str
    action: str
    target: str
    detail: str


class AuditPage(msgspec.Struct, frozen=True):
    """Acts, newest first; `next_before` continues the page, 0 at the end."""

    entries: tuple[AuditView, ...]
    next_before: int

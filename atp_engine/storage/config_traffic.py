"""Recorded requests as the configuration asks for them: the latest decisions to try again, and how routes did.

Read by `services/configuration`; every question is bounded in rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

import msgspec

from atp_engine.core.types import RouteDecision
from atp_engine.storage.database import Database

_MOST_ROWS = 4_000
_DECIDED = """
    SELECT asked, prompt_tokens, decision, count(*) FROM (
        SELECT asked, prompt_tokens, decision_id FROM request_rows WHERE decision_id <> '' ORDER BY id DESC LIMIT ?
    ) JOIN decisions ON decisions.id = decision_id GROUP BY asked, prompt_tokens / 256, decision_id
"""
_NUMBER = "SELECT coalesce(max(number), 0) FROM requests"
_OUTCOMES = """
    SELECT asked, route, state, error_code, duration_ms, config_version FROM request_rows
    WHERE number > ? AND number <= ? ORDER BY number DESC LIMIT ?
"""


class Decided(msgspec.Struct, frozen=True):
    """Recorded requests that are alike: what was asked, how large, what was decided, how many."""

    asked: str
    prompt_tokens: int
    decision: RouteDecision
    count: int


class Outcome(msgspec.Struct, frozen=True):
    """How one request of a watched route ended."""

    is_bad: bool
    duration_ms: float
    config_version: int


class ConfigTraffic:
    """Asks the database about requests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def decided(self, limit: int) -> tuple[Decided, ...]:
        """The latest `limit` decided requests, alike ones together."""
        return await self._database.read(lambda connection: _decided(connection, limit))

    async def last_number(self) -> int:
        """The number of the newest committed request."""
        return await self._database.read(lambda connection: int(connection.execute(_NUMBER).fetchone()[0]))

    async def outcomes(self, names: Collection[str], after: int, until: int) -> tuple[Outcome, ...]:
        """How requests for these names ended, those with numbers in (after, until], newest first; at most 4000
        rows are looked at. What the client or an operator ended, or a limit refused, tells nothing and is left out."""
        return await self._database.read(lambda connection: _outcomes(connection, frozenset(names), after, until))


def _decided(connection: sqlite3.Connection, limit: int) -> tuple[Decided, ...]:
    return tuple(
        [
            Decided(asked, tokens, msgspec.json.decode(decision, type=RouteDecision), count)
            for asked, tokens, decision, count in connection.execute(_DECIDED, (limit,))
        ]
    )


def _outcomes(connection: sqlite3.Connection, names: frozenset[str], after: int, until: int) -> tuple[Outcome, ...]:
    found = []
    for asked, route, state, code, duration_ms, version in connection.execute(_OUTCOMES, (after, until, _MOST_ROWS)):
        is_bad = state in ("failed", "truncated") or code == "model_not_found"
        if (asked in names or route in names) and (is_bad or state in ("ok", "hit")):
            found.append(Outcome(is_bad, duration_ms or 0.0, version))
    return tuple(found)

"""Summaries of sessions in the database: saved as what was added, read as what the faces show.

`services/sessions` saves in batches; the observatory reads sessions that have left the live map.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from atp_engine.core.types import PriceState
from atp_engine.core.views import SessionView
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.tables import SESSIONS

PRICE_RANKS = (PriceState.KNOWN, PriceState.ASSUMED, PriceState.UNKNOWN)
"""From sure to unsure: a sum is as unsure as its most unsure part."""

_COLUMNS = """
    SELECT id, client, key_name, title, started_at, last_at, requests, errors, prompt_tokens, output_tokens, cost_nusd,
        price_rank
    FROM sessions
"""
_NEWEST = f"{_COLUMNS} WHERE last_at >= ? ORDER BY last_at DESC LIMIT ?"
_ONE = f"{_COLUMNS} WHERE id = ?"


class SessionGrowth(msgspec.Struct, frozen=True):
    """What a session has become since it was last saved; the counts are differences."""

    id: str
    client: str
    key_name: str
    title: str
    started_at: float
    last_at: float
    requests: int
    errors: int
    prompt_tokens: int
    output_tokens: int
    cost_nusd: int
    price_state: PriceState


class SessionRepository:
    """Saves and reads sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, growth: SessionGrowth) -> bool:
        """Queues the growth to be added to what is stored; False when the queue is full."""
        row = (
            growth.id,
            growth.client,
            growth.key_name,
            growth.title,
            growth.started_at,
            growth.last_at,
            growth.requests,
            growth.errors,
            growth.prompt_tokens,
            growth.output_tokens,
            growth.cost_nusd,
            PRICE_RANKS.index(growth.price_state),
        )
        return self._database.submit(Write(((SESSIONS, row),)))

    async def recent(self, limit: int) -> tuple[SessionView, ...]:
        """The sessions with the latest requests first."""
        return await self._database.read(lambda connection: _views(connection, _NEWEST, (0.0, limit)))

    async def since(self, at: float, limit: int) -> tuple[SessionView, ...]:
        """Sessions that had a request at `at` or later, the latest first."""
        return await self._database.read(lambda connection: _views(connection, _NEWEST, (at, limit)))

    async def get(self, id: str) -> SessionView | None:
        """One session, None when it is not known."""
        found = await self._database.read(lambda connection: _views(connection, _ONE, (id,)))
        return found[0] if found else None


def _views(connection: sqlite3.Connection, sql: str, parameters: tuple[Any, ...]) -> tuple[SessionView, ...]:
    return tuple([_view(row) for row in connection.execute(sql, parameters)])


def _view(row: tuple[Any, ...]) -> SessionView:
    return SessionView(
        id=row[0],
        client=row[1],
        key_name=row[2],
        title=row[3],
        started_at=row[4],
        last_at=row[5],
        requests=row[6],
        in_flight=0,
        errors=row[7],
        prompt_tokens=row[8],
        output_tokens=row[9],
        cost_nusd=row[10],
        price_state=PRICE_RANKS[row[11]],
    )

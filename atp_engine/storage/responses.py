"""Answers of `/v1/responses` with the turns they answered: kept until they are too old or too many.

`services/responses` adds and reads them. Each row holds one turn; `previous_id` leads to the one before.
"""

from __future__ import annotations

import sqlite3

import msgspec

from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.tables import RESPONSES

LONGEST_CHAIN = 1_000
"""Most turns that a conversation may have; an answer beyond it cannot be built upon."""
_ONE = """
    SELECT id, key_id, deployment, provider, dialect, previous_id, created_at, input, body
    FROM responses WHERE id = ? AND created_at >= ?
"""
_SWEEP_ROWS = 200


class StoredResponse(msgspec.Struct, frozen=True):
    """One turn: what was asked and what was answered."""

    id: str
    key_id: str
    """Whose it is: nobody else may see it or build upon it."""
    deployment: str
    provider: str
    dialect: str
    """The dialect its deployment was called in."""
    previous_id: str
    created_at: float
    input: bytes
    """This turn's input items, a JSON list."""
    body: bytes
    """The response object as the client got it."""


class ResponseRepository:
    """Saves and reads turns. What is queued but not committed yet is read as well."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queued: dict[str, StoredResponse] = {}

    def add(self, stored: StoredResponse) -> bool:
        """Queues a turn; False when the queue is full and it is lost."""
        row = (
            stored.id,
            stored.key_id,
            stored.deployment,
            stored.provider,
            stored.dialect,
            stored.previous_id,
            stored.created_at,
            stored.input,
            stored.body,
            len(stored.input) + len(stored.body),
        )
        queued = self._queued
        queued[stored.id] = stored

        def forget() -> None:
            queued.pop(stored.id, None)

        is_queued = self._database.submit(Write(((RESPONSES, row),), on_commit=forget))
        if not is_queued:
            forget()
        return is_queued

    async def get(self, response_id: str, since: float) -> StoredResponse | None:
        """One turn made at `since` (UTC epoch seconds) or later, None when it is not known."""
        chain = await self.chain(response_id, since, longest=1)
        return chain[-1] if chain else None

    async def chain(self, response_id: str, since: float, longest: int = LONGEST_CHAIN) -> list[StoredResponse]:
        """A turn and those before it, the oldest first; empty when any of them is missing."""
        queued = dict(self._queued)

        def read(connection: sqlite3.Connection) -> list[StoredResponse]:
            found: list[StoredResponse] = []
            wanted = response_id
            while wanted and len(found) < longest:
                turn = queued.get(wanted) or _one(connection, wanted, since)
                if turn is None:
                    return []
                found.append(turn)
                wanted = turn.previous_id
            return found[::-1] if longest == 1 or not wanted else []

        return await self._database.read(read)

    async def remove(self, response_id: str) -> None:
        """Forgets a turn, durably."""
        self._queued.pop(response_id, None)

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM responses WHERE id = ?", (response_id,))

        await self._database.commit(Write(action=delete, is_kept=True))

    def sweep(self, before: float, most_bytes: int) -> None:
        """Queues the removal of turns made before `before`, and of the oldest while all take too much."""

        def delete(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM responses WHERE created_at < ?", (before,))
            while (connection.execute("SELECT COALESCE(SUM(bytes), 0) FROM responses").fetchone()[0]) > most_bytes:
                connection.execute(
                    "DELETE FROM responses WHERE id IN (SELECT id FROM responses ORDER BY created_at LIMIT ?)",
                    (_SWEEP_ROWS,),
                )

        self._database.submit(Write(action=delete))


def _one(connection: sqlite3.Connection, response_id: str, since: float) -> StoredResponse | None:
    row = connection.execute(_ONE, (response_id, since)).fetchone()
    return None if row is None else StoredResponse(*row)

"""The end of old requests: rows, ledger lines and session index entries by age, a small chunk per transaction.

`services/retention` asks for chunks; each goes through the writer's queue like any other write, so traffic waits
for one chunk at most. Only what the sums have taken in is deleted, and never the newest
request, which says what the next number is, nor a pinned one. Sums stay, and `ledger_cut` says up to where
they cannot be counted anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

CHUNK = 500
_DAY_S = 86_400
_OLDEST = """
    SELECT number, id, session_id, started_at FROM requests
    WHERE number <= (SELECT min(coalesce((SELECT value FROM marks WHERE name = 'rollups'), 0),
        coalesce((SELECT value FROM marks WHERE name = 'requests'), 0)))
        AND number < (SELECT max(number) FROM requests)
        AND id NOT IN (SELECT request_id FROM pins)
    ORDER BY number LIMIT ?
"""
_CUT = """
    INSERT INTO marks(name, value) VALUES ('ledger_cut', ?)
    ON CONFLICT(name) DO UPDATE SET value = max(value, excluded.value)
"""


_ANSWERS = "DELETE FROM responses WHERE id IN (SELECT id FROM responses ORDER BY created_at LIMIT ?)"
_ANSWERS_AT_ONCE = 50
RELIEF = 1_000
"""Requests that one step of relief deletes at most."""


class RetentionRepository:
    """Deletes old rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete_soon(self, before: float, on_done: Callable[[int], None]) -> bool:
        """Queues the end of at most CHUNK of the oldest requests that arrived before this; `on_done` gets their
        number in the writer's thread. False when the queue is full."""
        return self._database.submit(Write(action=lambda connection: on_done(_delete(connection, before))))

    def relief(self, before: float, on_done: Callable[[int, int], None]) -> Callable[[sqlite3.Connection], None]:
        """One step that makes room, for the writer's thread; `on_done` gets answers and requests deleted."""
        return lambda connection: on_done(*_relieve(connection, before))

    def relieve_soon(self, before: float, on_done: Callable[[int, int], None]) -> bool:
        """Queues the same. False when the queue is full."""
        return self._database.submit(Write(action=self.relief(before, on_done)))

    async def oldest_at(self) -> float | None:
        """When the oldest request arrived; None without one. Raises StorageError."""
        query = "SELECT started_at FROM requests ORDER BY number LIMIT 1"
        row = await self._database.read(lambda connection: connection.execute(query).fetchone())
        return None if row is None else float(row[0])


def _relieve(connection: sqlite3.Connection, before: float) -> tuple[int, int]:
    """Makes room for the ledger's new lines: deletes the oldest answers kept for `/v1/responses`, and once there are
    none the oldest requests that arrived before this. How many of each."""
    answers = connection.execute(_ANSWERS, (_ANSWERS_AT_ONCE,)).rowcount
    return (answers, 0) if answers > 0 else (0, _delete(connection, before, RELIEF))


def _delete(connection: sqlite3.Connection, before: float, most: int = CHUNK) -> int:
    """Ends at the first request that is young enough: numbers rise in the order of arrival, give or take the
    longest call."""
    old: list[tuple[int, str, str, float]] = []
    for row in connection.execute(_OLDEST, (most,)):
        if row[3] >= before:
            break
        old.append(row)
    if not old:
        return 0
    connection.executemany(
        "DELETE FROM attempts WHERE line BETWEEN ? AND ?", [(row[0] * 1_000, row[0] * 1_000 + 999) for row in old]
    )
    connection.executemany(
        "DELETE FROM session_requests WHERE session_id = ? AND id = ?", [(row[2], row[1]) for row in old]
    )
    connection.executemany("DELETE FROM feedback WHERE request_id = ?", [(row[1],) for row in old])
    connection.executemany("DELETE FROM requests WHERE number = ?", [(row[0],) for row in old])
    newest = max(started_at for *_, started_at in old)
    connection.execute(_CUT, ((int(newest) // _DAY_S + 1) * _DAY_S,))
    return len(old)

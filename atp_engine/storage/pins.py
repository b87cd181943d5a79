"""Pinned requests: their bodies stay, and so do their rows, until they are unpinned.

`services/pins` writes them, `retention` leaves them out. A pin is in the same transaction as its audit line.
"""

from __future__ import annotations

import sqlite3

from atp_engine.storage.audit import AuditEntry, append
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

_IDS = "SELECT request_id FROM pins ORDER BY at DESC"


class PinRepository:
    """Reads and writes pins."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self) -> tuple[str, ...]:
        """Every pinned request, the newest pin first; blocks for a moment."""
        return self._database.read_now(_ids)

    async def all(self) -> tuple[str, ...]:
        """The same beside the loop. Raises StorageError."""
        return await self._database.read(_ids)

    async def set(self, request_id: str, entry: AuditEntry, *, is_pinned: bool) -> None:
        """Returns when the pin, or its end, is on the disk with its audit line. Raises StorageError."""

        def change(connection: sqlite3.Connection) -> None:
            if is_pinned:
                connection.execute(
                    "INSERT OR IGNORE INTO pins(request_id, at, by) VALUES (?, ?, ?)",
                    (request_id, entry.at, entry.actor),
                )
            else:
                connection.execute("DELETE FROM pins WHERE request_id = ?", (request_id,))
            append(connection, entry)

        await self._database.commit(Write(action=change, is_synced=True))


def _ids(connection: sqlite3.Connection) -> tuple[str, ...]:
    return tuple([row[0] for row in connection.execute(_IDS)])

"""Every text that was made live, in the database: number, time, author, reason, and the text itself.

`services/configuration` prepares a version before it touches the file, and settles it when the text is live; a
version that is still only prepared at a start tells what the process was doing when it ended. Each step is on
the disk, with its audit entry, before it is acknowledged.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from typing import Any

from atp_engine.core.config_views import ConfigFile, ConfigVersion
from atp_engine.storage.audit import AuditEntry, append
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

KEPT = 1_000
"""Most versions kept; the oldest go first."""
_COLUMNS = "number, at, author, reason, outcome, changes, digest"
_ADD = (
    "INSERT INTO config_versions(number, at, author, reason, outcome, changes, digest, texts) VALUES (?,?,?,?,?,?,?,?)"
)
_LATEST = f"SELECT {_COLUMNS} FROM config_versions ORDER BY number DESC LIMIT ?"  # noqa: S608 - constants
_TEXTS = "SELECT texts FROM config_versions WHERE number = ?"
_SETTLE = "UPDATE config_versions SET outcome = ? WHERE number = ?"
_PRUNE = "DELETE FROM config_versions WHERE number <= ? - ?"


class ConfigRepository:
    """Adds and reads versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def latest_now(self, limit: int) -> tuple[ConfigVersion, ...]:
        """The newest versions, newest first; blocks: for the start, before the engine serves."""
        return self._database.read_now(lambda connection: _latest(connection, limit))

    async def latest(self, limit: int) -> tuple[ConfigVersion, ...]:
        """The newest versions, newest first."""
        return await self._database.read(lambda connection: _latest(connection, limit))

    async def texts(self, number: int) -> tuple[ConfigFile, ...] | None:
        """The files of a version, the main one first; None when it is not kept."""
        return await self._database.read(lambda connection: _texts(connection, number))

    async def add(self, version: ConfigVersion, files: tuple[ConfigFile, ...], entry: AuditEntry) -> None:
        """Stores a new version. Raises StorageError when it is not on the disk."""
        row = (
            version.number,
            version.at,
            version.author,
            version.reason,
            version.outcome,
            json.dumps(version.changes),
            version.digest,
        )

        def insert(connection: sqlite3.Connection) -> None:
            packed = zlib.compress(json.dumps([[file.name, file.text] for file in files]).encode(), 6)
            connection.execute(_ADD, (*row, packed))
            connection.execute(_PRUNE, (version.number, KEPT))
            append(connection, entry)

        await self._database.commit(Write(action=insert, is_synced=True))

    async def settle(self, number: int, outcome: str, entry: AuditEntry) -> None:
        """Says what became of a prepared version. Raises StorageError when that is not on the disk."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute(_SETTLE, (outcome, number))
            append(connection, entry)

        await self._database.commit(Write(action=update, is_kept=True, is_synced=True))


def _latest(connection: sqlite3.Connection, limit: int) -> tuple[ConfigVersion, ...]:
    return tuple([_version(row) for row in connection.execute(_LATEST, (limit,))])


def _version(row: tuple[Any, ...]) -> ConfigVersion:
    number, at, author, reason, outcome, changes, digest = row
    return ConfigVersion(number, at, author, reason, outcome, tuple(json.loads(changes)), digest)


def _texts(connection: sqlite3.Connection, number: int) -> tuple[ConfigFile, ...] | None:
    row = connection.execute(_TEXTS, (number,)).fetchone()
    if row is None:
        return None
    return tuple([ConfigFile(name, text) for name, text in json.loads(zlib.decompress(row[0]))])

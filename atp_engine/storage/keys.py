"""Client keys in the database: only their hash, and what is needed to show and to limit them.

`services/keys` holds them in memory. Every change is on the disk, together with its audit entry,
before it is acknowledged.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec

from atp_engine.core.key_views import KeyWindow
from atp_engine.core.types import QoS
from atp_engine.storage.audit import AuditEntry, AuditLog, append
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

_COLUMNS = (
    "id, digest, name, project, qos, requests_per_minute, prefix, last_four, created_at, expires_at, revoked_at, "
    "hashed, routes, models, tags, windows"
)
_LISTS = 4
"""How many of the columns, the last ones, hold JSON lists."""
_ADD = f"INSERT INTO keys({_COLUMNS}) VALUES ({', '.join('?' * 16)})"  # noqa: S608 - our own names
_ALL = f"SELECT {_COLUMNS} FROM keys ORDER BY created_at, id"  # noqa: S608 - put together from the constant above
_REPLACE = "UPDATE keys SET digest = ?, hashed = ?, prefix = ?, last_four = ? WHERE id = ? AND revoked_at IS NULL"


class StoredKey(msgspec.Struct, frozen=True):
    """A client key without its secret."""

    id: str
    digest: bytes
    """The secret's hash."""
    name: str
    project: str
    qos: QoS
    requests_per_minute: int
    """0 means no limit."""
    prefix: str
    """The secret's first characters, to recognise it by."""
    last_four: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    hashed: str = "sha256"
    """How `digest` was made: `hmac` (SHA-256 with the key of this data directory) or plain `sha256`."""
    routes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    windows: tuple[KeyWindow, ...] = ()


class KeyRepository:
    """Adds, revokes and lists keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.audit = AuditLog(database)
        """The log that key events go to."""

    async def all(self) -> tuple[StoredKey, ...]:
        """Every key ever made, the oldest first."""
        return await self._database.read(lambda connection: tuple([_key(row) for row in connection.execute(_ALL)]))

    async def add(self, key: StoredKey, entry: AuditEntry) -> None:
        """Stores a new key. Raises StorageError when it is not on the disk, or exists."""

        def insert(connection: sqlite3.Connection) -> None:
            values = msgspec.structs.astuple(key)
            lists = [msgspec.json.encode(value).decode() for value in values[-_LISTS:]]
            connection.execute(_ADD, (*values[:4], key.qos.value, *values[5:-_LISTS], *lists))
            append(connection, entry)

        await self._database.commit(Write(action=insert, is_synced=True))

    async def replace_secret(self, key: StoredKey, entry: AuditEntry) -> None:
        """Stores the new secret's hash of a key that counts. Raises StorageError when that is not on the disk."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute(_REPLACE, (key.digest, key.hashed, key.prefix, key.last_four, key.id))
            append(connection, entry)

        await self._database.commit(Write(action=update, is_synced=True))

    async def revoke(self, id: str, at: float, entry: AuditEntry) -> None:
        """Marks a key as revoked. Raises StorageError when that is not on the disk."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE keys SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (at, id))
            append(connection, entry)

        await self._database.commit(Write(action=update, is_kept=True, is_synced=True))


def _key(row: tuple[Any, ...]) -> StoredKey:
    names, windows = tuple[str, ...], tuple[KeyWindow, ...]
    lists = [msgspec.json.decode(text, type=names) for text in row[-_LISTS:-1]]
    limits = msgspec.json.decode(row[-1], type=windows)
    return StoredKey(*row[:4], QoS(row[4]), *row[5:-_LISTS], *lists, limits)  # type: ignore[call-arg]

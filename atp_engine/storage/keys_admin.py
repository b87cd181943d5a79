"""Tokens of the admin side in the database: only their hash, role and what is needed to show them.

`services/keys_admin` holds them in memory. Every change is on the disk, together with its audit entry, before
it is acknowledged.
"""

from __future__ import annotations

import sqlite3

import msgspec

from atp_engine.storage.audit import AuditEntry, append
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

_COLUMNS = "id, digest, name, role, prefix, last_four, created_at, expires_at, revoked_at"
_ADD = f"INSERT INTO admin_tokens({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - our own names
_ALL = f"SELECT {_COLUMNS} FROM admin_tokens ORDER BY created_at, id"  # noqa: S608 - put together from the constant above


class StoredToken(msgspec.Struct, frozen=True):
    """An admin token without its secret."""

    id: str
    digest: bytes
    name: str
    role: str
    prefix: str
    last_four: str
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class TokenRepository:
    """Adds, revokes and lists admin tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> tuple[StoredToken, ...]:
        """Every token ever made, the oldest first."""
        return await self._database.read(lambda connection: tuple([StoredToken(*r) for r in connection.execute(_ALL)]))

    async def add(self, token: StoredToken, entry: AuditEntry) -> None:
        """Stores a new token. Raises StorageError when it is not on the disk."""

        def insert(connection: sqlite3.Connection) -> None:
            connection.execute(_ADD, msgspec.structs.astuple(token))
            append(connection, entry)

        await self._database.commit(Write(action=insert, is_synced=True))

    async def revoke(self, id: str, at: float, entry: AuditEntry) -> None:
        """Marks a token as revoked. Raises StorageError when that is not on the disk."""

        def update(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE admin_tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL", (at, id))
            append(connection, entry)

        await self._database.commit(Write(action=update, is_kept=True, is_synced=True))

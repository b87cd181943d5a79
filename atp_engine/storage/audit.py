"""The audit log: who did what to what, append-only, each row chained to the one before.

Services add entries; the chain (SHA-256 over the row and the chain before it) and the counter in the
file show a row that was changed, removed or put in between. It is evidence against accidents and
casual tampering: who can rewrite the whole file can rewrite the chain as well.
"""

from __future__ import annotations

import sqlite3
from hashlib import sha256
from typing import Any

import msgspec

from atp_engine.core.text import safe_text
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database

_LONGEST = 1_024
_INSERT = "INSERT INTO audit(number, at, actor, action, target, detail, chain) VALUES (?, ?, ?, ?, ?, ?, ?)"
_ALL = "SELECT number, at, actor, action, target, detail, chain FROM audit ORDER BY number"


class AuditEntry(msgspec.Struct, frozen=True):
    """One event. Text is shown to people: no secrets in it."""

    at: float
    actor: str
    """Who: a key's name, `admin token`, `browser`, `engine`."""
    action: str
    """What, as `noun.verb`: `key.created`, `auth.refused`, `config.applied`."""
    target: str
    """On what: an id or a path, empty when there is none."""
    detail: str = ""


class AuditLog:
    """Appends and checks the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, entry: AuditEntry) -> bool:
        """Queues an entry; committed within about 50 ms. False when the queue is full."""
        return self._database.submit(Write(action=lambda connection: append(connection, entry)))

    async def add(self, entry: AuditEntry) -> None:
        """Returns when the entry is on the disk. Raises StorageError."""
        await self._database.commit(
            Write(action=lambda connection: append(connection, entry), is_kept=True, is_synced=True)
        )

    async def recent(self, limit: int) -> tuple[AuditEntry, ...]:
        """The latest entries, newest first."""
        return await self._database.read(lambda connection: _recent(connection, limit))

    async def page(self, limit: int, before: int) -> tuple[tuple[int, AuditEntry], ...]:
        """Numbered entries older than number `before` (0: all), newest first."""
        return await self._database.read(lambda connection: _page(connection, limit, before))

    async def first_broken(self) -> int:
        """The number of the first row that does not follow from the one before, 0 when all do."""
        return await self._database.read(_first_broken)


def append(connection: sqlite3.Connection, entry: AuditEntry) -> None:
    """Adds the entry to the chain, its text made safe; belongs in the transaction of what it tells about."""
    entry = AuditEntry(entry.at, *[safe_text(text, limit=_LONGEST) for text in _values(entry)[1:]])
    last = connection.execute("SELECT number, chain FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    number, chain = last if last is not None else (0, b"")
    number += 1
    connection.execute(_INSERT, (number, *_values(entry), _link(chain, number, entry)))


def _values(entry: AuditEntry) -> tuple[Any, ...]:
    return (entry.at, entry.actor, entry.action, entry.target, entry.detail)


def _link(chain: bytes, number: int, entry: AuditEntry) -> bytes:
    return sha256(chain + msgspec.json.encode((number, *_values(entry)))).digest()


def _recent(connection: sqlite3.Connection, limit: int) -> tuple[AuditEntry, ...]:
    rows = connection.execute(
        "SELECT at, actor, action, target, detail FROM audit ORDER BY number DESC LIMIT ?", (limit,)
    )
    return tuple([AuditEntry(*row) for row in rows])


def _page(connection: sqlite3.Connection, limit: int, before: int) -> tuple[tuple[int, AuditEntry], ...]:
    rows = connection.execute(
        "SELECT number, at, actor, action, target, detail FROM audit WHERE ? = 0 OR number < ? "
        "ORDER BY number DESC LIMIT ?",
        (before, before, limit),
    )
    return tuple([(number, AuditEntry(*row)) for number, *row in rows])


def _first_broken(connection: sqlite3.Connection) -> int:
    chain = b""
    expected = 0
    for number, at, actor, action, target, detail, stored in connection.execute(_ALL):
        expected += 1
        chain = _link(chain, number, AuditEntry(at, actor, action, target, detail))
        if number != expected or stored != chain:
            return int(expected)
    counter = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    return expected + 1 if counter is not None and counter[0] != expected else 0

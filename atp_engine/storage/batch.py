"""One transaction for many writes: rows of a kind go in together, and a broken one fails alone.

Called by `writer` in its thread. A batch is committed as a whole or, on an outage of the database,
not at all; what single writes did wrong is returned, never raised.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from itertools import chain

import msgspec

from atp_engine.storage.tables import Row, Table

_EXACT = 16
"""Up to this many rows have a statement of exactly their size; more are cut into the pieces first. A
prepared statement weighs 2 KB for each of its rows: one for every size up to 64 would make 4 MB a table."""
_PIECES = (256, 64, 32, _EXACT)
_LARGEST = 2**63 - 1

_OUTAGE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
_ROW_FAULTS = (sqlite3.Error, OverflowError, ValueError, TypeError)
"""What a row of a wrong shape raises; UnicodeEncodeError is a ValueError."""

Waiter = asyncio.Future[None]
Failures = dict[int, Exception]
"""What was refused, by place in the batch."""


class Write(msgspec.Struct, eq=False):
    """What belongs together: rows of any tables, or an action on the connection; all of it or nothing."""

    rows: tuple[tuple[Table, Row], ...] = ()
    action: Callable[[sqlite3.Connection], None] | None = None
    on_commit: Callable[[], None] | None = None
    """Runs in the writer's thread after the commit: a single step that cannot fail."""
    is_kept: bool = False
    """Still wanted after its waiter was told that it is not committed yet; else it is given up then."""
    is_synced: bool = False
    """Forced to the disk before it counts as committed, so that it outlives a power loss."""
    waiter: Waiter | None = None
    tick: int = 0
    """When it was handed over, in ticks of the database's patience."""


class Batches:
    """Writes batches over one connection; `rows` counts what went into each table."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._statements: dict[tuple[Table, int], str] = {}
        self.rows: dict[Table, int] = {}

    def write(self, batch: list[Write]) -> Failures:
        """Commits the batch and returns what was refused. Raises sqlite3.Error on an outage.

        Once the database is ours, writes that nobody wants any more are taken out of the batch.
        """
        if len(batch) == 1 and self._write_alone(batch[0]):
            return {}
        connection = self._connection
        is_synced = any(write.is_synced for write in batch)
        if is_synced:
            connection.execute("PRAGMA synchronous=FULL")
        try:
            failures: Failures = {}
            connection.execute("BEGIN IMMEDIATE")
            batch[:] = [write for write in batch if write.is_kept or not _is_given_up(write)]
            try:
                self._insert_together(batch)
            except _ROW_FAULTS as error:
                if is_outage(error):
                    raise
                connection.execute("ROLLBACK")
                connection.execute("BEGIN IMMEDIATE")
                failures = self._insert_singly(batch)
            self._act(batch, failures)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            if is_synced:
                connection.execute("PRAGMA synchronous=NORMAL")
        return failures

    def _write_alone(self, write: Write) -> bool:
        """The usual batch of a quiet engine, at a quarter of the time around the statements. False, nothing
        being written, when there is more to it; raises sqlite3.Error on an outage."""
        if not write.is_kept or write.is_synced or write.action is not None:
            return False
        connection = self._connection
        execute = connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            for table, row in write.rows:
                execute(self._statement(table, 1), row)
            execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                execute("ROLLBACK")
            if isinstance(error, _ROW_FAULTS) and not is_outage(error):
                return False
            raise
        rows = self.rows
        for table, _ in write.rows:
            rows[table] = rows.get(table, 0) + 1
        return True

    def _insert_together(self, batch: list[Write]) -> None:
        groups: dict[Table, list[Row]] = {}
        for write in batch:
            for table, row in write.rows:
                group = groups.get(table)
                if group is None:
                    groups[table] = [row]
                else:
                    group.append(row)
        for table, rows in groups.items():
            self._insert(table, rows)
            self.rows[table] = self.rows.get(table, 0) + len(rows)

    def _insert(self, table: Table, rows: list[Row]) -> None:
        """Few statements with many rows each: every statement gives up and retakes the interpreter's lock."""
        execute = self._connection.execute
        start = 0
        left = len(rows)
        for piece in _PIECES:
            while left > piece:
                execute(self._statement(table, piece), list(chain.from_iterable(rows[start : start + piece])))
                start += piece
                left -= piece
        execute(self._statement(table, left), list(chain.from_iterable(rows[start:] if start else rows)))

    def _statement(self, table: Table, count: int) -> str:
        key = (table, count)
        text = self._statements.get(key)
        if text is None:
            text = self._statements[key] = table.insert(count)
        return text

    def _insert_singly(self, batch: list[Write]) -> Failures:
        """Write by write, after one of them was refused; a row with odd values is tried mended too."""
        failures: Failures = {}
        for place, write in enumerate(batch):
            error = self._try_rows(write.rows)
            if error is not None:
                error = self._try_rows(tuple((table, _mended(row)) for table, row in write.rows))
            if error is not None:
                failures[place] = error
        return failures

    def _try_rows(self, rows: tuple[tuple[Table, Row], ...]) -> Exception | None:
        def insert(connection: sqlite3.Connection) -> None:
            for table, row in rows:
                connection.execute(self._statement(table, 1), row)

        return self._try(insert)

    def _act(self, batch: list[Write], failures: Failures) -> None:
        for place, write in enumerate(batch):
            if write.action is None or place in failures:
                continue
            error = self._try(write.action)
            if error is not None:
                failures[place] = error

    def _try(self, action: Callable[[sqlite3.Connection], None]) -> Exception | None:
        """Runs a part of the transaction that may fail without the rest; returns why it did."""
        connection = self._connection
        connection.execute("SAVEPOINT part")
        try:
            action(connection)
        except _ROW_FAULTS as error:
            if is_outage(error):
                raise
            connection.execute("ROLLBACK TO part")
            connection.execute("RELEASE part")
            return error
        connection.execute("RELEASE part")
        return None


def is_outage(error: Exception) -> bool:
    """True when the database as a whole cannot be written now, rather than one row being wrong."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _OUTAGE


def _is_given_up(write: Write) -> bool:
    return write.waiter is not None and not write.is_kept and write.waiter.done()


def _mended(row: Row) -> Row:
    """The row with what SQLite cannot hold replaced: lone surrogates by `?`, huge integers by the largest."""
    return tuple(_mended_value(value) for value in row)


def _mended_value(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
        return _LARGEST if value > 0 else -_LARGEST
    return value

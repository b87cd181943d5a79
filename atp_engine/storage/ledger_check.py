"""Compares every sum of the ledger with its lines: `ledger verify`.

Runs on a connection of its own, as long as it takes. The lines are read once, some thousand at a time and each time in
a snapshot of its own, into temporary tables that SQLite keeps on the disk once they are large; then each kind of sum is
compared as a whole. Neither the writer nor other readers wait, and memory does not grow with the ledger.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from atp_engine.core.ledger_views import Difference
from atp_engine.storage.rollups import BY, COLUMNS, MAKE_FRESH, MARK, STEPS, SUMS, TAKE_LINES, kept_since, steps_of
from atp_engine.storage.stretches import SIZE, wrong_sums

_AT_ONCE = 8 * SIZE
_CACHE_KB = 16_384
_CUT = "SELECT coalesce(max(value), 0) FROM marks WHERE name = 'ledger_cut'"
_ADD = ", ".join(f"sum({column}) AS {column}" for column in COLUMNS)
_LIST = ", ".join(COLUMNS)
# The statements below are put together from the constants of this module and of `rollups` alone.
_MAKE = (
    *MAKE_FRESH,
    f"CREATE TEMP TABLE said(minute, key_id, route, deployment, {_LIST})",
    f"CREATE TEMP TABLE said_of_sessions(starts_at, name, {_LIST})",
    f"CREATE TEMP TABLE said_by(starts_at, name, {_LIST})",
)
_KEEP = (
    f"INSERT INTO temp.said SELECT minute, key_id, route, deployment, {SUMS} FROM temp.fresh_lines GROUP BY 1, 2, 3, 4",  # noqa: S608
    f"""
    INSERT INTO temp.said_of_sessions
    SELECT minute / 3600 * 3600, session_id, {SUMS} FROM temp.fresh_lines GROUP BY 1, 2
    """,  # noqa: S608
    "DELETE FROM temp.fresh_lines",
)
_COMPARE = f"""
    SELECT starts_at, name, {_ADD} FROM (
        SELECT starts_at, name, {_LIST} FROM rollups WHERE step = :step AND by = :by AND starts_at >= :since
        UNION ALL
        SELECT starts_at / :width * :width, name, {", ".join(f"-{column}" for column in COLUMNS)}
        FROM temp.{{table}} WHERE starts_at >= :since
    ) GROUP BY 1, 2 HAVING {" OR ".join(f"sum({column}) <> 0" for column in COLUMNS)} ORDER BY 1, 2 LIMIT :most
"""  # noqa: S608
_COUNT = "SELECT count(*) FROM rollups WHERE step = ? AND by = ? AND starts_at >= ?"
_KEPT = f"SELECT {_LIST} FROM rollups WHERE step = ? AND by = ? AND starts_at = ? AND name = ?"  # noqa: S608


def check(connection: sqlite3.Connection, most: int) -> tuple[int, list[Difference]]:
    """How many sums were compared with the lines they are of, and at most `most` that differ. Steps of which lines or
    sums were deleted by age are left out."""
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    connection.execute(f"PRAGMA temp.cache_size=-{_CACHE_KB}")
    connection.execute("PRAGMA temp_store=FILE")
    for statement in _MAKE:
        connection.execute(statement)
    reader = _Lines(connection)
    compared, found = reader.read_all(most)
    for by in BY:
        with _snapshot(connection):
            reader.catch_up()  # in the snapshot that is compared
            table = "said_of_sessions" if by == "session" else "said_by"
            if by != "session":
                connection.execute("DELETE FROM temp.said_by")
                connection.execute(
                    f"INSERT INTO temp.said_by SELECT minute, {BY[by]}, {SUMS} FROM temp.said GROUP BY 1, 2"  # noqa: S608
                )
            for step in steps_of(by):
                count, wrong = _compared(connection, table, step, by, most)
                compared += count
                found += wrong
    return compared, found[:most]


class _Lines:
    """Reads lines into the temporary tables."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._through = 0

    def read_all(self, most: int) -> tuple[int, list[Difference]]:
        """All that the sums hold, piece by piece, and the sums of stretches on the way."""
        connection = self._connection
        (first,) = connection.execute("SELECT coalesce(min(number), 1) FROM requests").fetchone()
        stretch = first // SIZE
        self._through = stretch * SIZE - 1
        compared = 0
        found: list[Difference] = []
        is_more = True
        while is_more:
            is_more = self._take(_AT_ONCE)
            last = (self._through + 1) // SIZE - 1
            with _snapshot(connection):
                (cut,) = connection.execute(_CUT).fetchone()
                count, wrong = wrong_sums(connection, stretch, last, cut, most)
            stretch = last + 1
            compared += count
            found += wrong
        return compared, found

    def catch_up(self) -> None:
        """What the sums have taken in since."""
        self._take(2**62)

    def _take(self, most: int) -> bool:
        """Takes the next lines, at most of so many numbers; False when that was all."""
        connection = self._connection
        (mark,) = connection.execute(f"SELECT {MARK}").fetchone()
        until = min(mark, self._through + most)
        connection.execute(TAKE_LINES, {"after": self._through, "until": until})
        for statement in _KEEP:
            connection.execute(statement)
        is_more = bool(until == self._through + most)
        self._through = max(self._through, until)
        return is_more


@contextmanager
def _snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("COMMIT")


def _compared(
    connection: sqlite3.Connection, table: str, step: str, by: str, most: int
) -> tuple[int, list[Difference]]:
    (cut,) = connection.execute(_CUT).fetchone()
    since = max(int(cut), kept_since(connection, step, by))
    asked = {"step": step, "by": by, "since": since, "width": STEPS[step], "most": most}
    found = []
    for starts_at, name, *more in connection.execute(_COMPARE.format(table=table), asked).fetchall():
        kept = connection.execute(_KEPT, (step, by, starts_at, name)).fetchone() or [0] * len(COLUMNS)
        wrong = {column: (has, has - off) for column, has, off in zip(COLUMNS, kept, more, strict=True) if off}
        found.append(Difference(f"{step} {starts_at} of {by} {name or '-'}", wrong))
    (count,) = connection.execute(_COUNT, (step, by, since)).fetchone()
    return count, found

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
_LIST = ", ".join(COLUMNS)
_PRESENT = ", ".join(f"kept.{column}, said.{column}" for column in COLUMNS)
_DIFFERS = " OR ".join(f"kept.{column} IS NOT said.{column}" for column in COLUMNS)
_ADD = ", ".join(f"{column} = {column} + excluded.{column}" for column in COLUMNS)
_FINEST = {by: STEPS[steps_of(by)[0]] for by in BY}
"""Seconds of the finest step of each kind of name."""
# The statements below are put together from the constants of this module and of `rollups` alone.
_MAKE = "CREATE TEMP TABLE {table}(starts_at, name, " + _LIST + ", PRIMARY KEY (starts_at, name)) WITHOUT ROWID"
_KEEP = f"""
    INSERT INTO temp.{{table}} SELECT minute / {{width}} * {{width}}, {{name}}, {SUMS}
    FROM temp.fresh_lines WHERE true GROUP BY 1, 2
    ON CONFLICT(starts_at, name) DO UPDATE SET {_ADD}
"""  # noqa: S608
_WIDEN = f"""
    INSERT INTO temp.wider SELECT starts_at / ? * ?, name, {", ".join(f"sum({column})" for column in COLUMNS)}
    FROM temp.{{table}} GROUP BY 1, 2
"""  # noqa: S608
_OTHERS = f"""
    SELECT kept.starts_at, kept.name, {_PRESENT} FROM rollups AS kept
    LEFT JOIN temp.{{table}} AS said ON said.starts_at = kept.starts_at AND said.name = kept.name
    WHERE step = :step AND by = :by AND kept.starts_at >= :since AND ({_DIFFERS}) ORDER BY 1, 2 LIMIT :most
"""  # noqa: S608
_MISSING = f"""
    SELECT said.starts_at, said.name, {_PRESENT} FROM temp.{{table}} AS said
    LEFT JOIN rollups AS kept
        ON kept.step = :step AND kept.by = :by AND kept.starts_at = said.starts_at AND kept.name = said.name
    WHERE said.starts_at >= :since AND kept.attempts IS NULL ORDER BY 1, 2 LIMIT :most
"""  # noqa: S608
_COUNTS = """
    SELECT (SELECT count(*) FROM rollups WHERE step = :step AND by = :by AND starts_at >= :since),
        (SELECT count(*) FROM temp.{table} WHERE starts_at >= :since)
"""


def check(connection: sqlite3.Connection, most: int) -> tuple[int, list[Difference]]:
    """How many sums were compared with the lines they are of, and at most `most` that differ. Steps of which lines or
    sums were deleted by age are left out."""
    connection.execute(f"PRAGMA cache_size=-{_CACHE_KB}")
    connection.execute(f"PRAGMA temp.cache_size=-{_CACHE_KB}")
    connection.execute("PRAGMA temp_store=FILE")
    for statement in MAKE_FRESH:
        connection.execute(statement)
    for by in BY:
        connection.execute(_MAKE.format(table=f"said_{by}"))
    connection.execute(_MAKE.format(table="wider"))
    reader = _Lines(connection)
    compared, found = reader.read_all(most)
    for by in BY:
        with _snapshot(connection):
            reader.catch_up()  # in the snapshot that is compared
            table = f"said_{by}"
            for step in steps_of(by):
                if STEPS[step] != _FINEST[by]:
                    connection.execute("DELETE FROM temp.wider")
                    connection.execute(_WIDEN.format(table=table), (STEPS[step], STEPS[step]))
                    table = "wider"
                count, wrong = _compared(connection, table, step, by, most)
                compared += count
                found += wrong
                if table == "wider" and STEPS[step] != max(STEPS.values()):
                    connection.execute(f"DELETE FROM temp.said_{by}")  # noqa: S608 - our own names
                    connection.execute(f"INSERT INTO temp.said_{by} SELECT * FROM temp.wider")  # noqa: S608
                    table = f"said_{by}"
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
        for by, name in BY.items():
            connection.execute(_KEEP.format(table=f"said_{by}", width=_FINEST[by], name=name))
        connection.execute("DELETE FROM temp.fresh_lines")
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
    kept, said = connection.execute(_COUNTS.format(table=table), asked).fetchone()
    rows = connection.execute(_OTHERS.format(table=table), asked).fetchall()
    if kept != said or rows:
        rows += connection.execute(_MISSING.format(table=table), asked).fetchall()
    found = []
    for starts_at, name, *figures in rows[:most]:
        pairs = zip(COLUMNS, figures[::2], figures[1::2], strict=True)
        wrong = {column: (has or 0, should or 0) for column, has, should in pairs if has != should}
        found.append(Difference(f"{step} {starts_at} of {by} {name or '-'}", wrong))
    return kept, found

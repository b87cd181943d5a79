"""The requests in stretches of 4096 numbers: what each stretch holds of every kind, and what it came to.

The writer runs `take_in` behind its commits. A filter skips stretches that hold no kind it wants; a window that is
new adds up whole stretches of its period and reads lines at the edges alone. Rows behind the mark are in no
stretch yet: readers look at them one by one, so answers never lag.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import msgspec

from atp_engine.core.ledger_views import Difference

SIZE = 4_096
_AT_ONCE = 2 * SIZE
_ENDED = "started_at + (attempts.started_ms + attempts.duration_ms) / 1000.0"
"""When a line was written, as windows count it, UTC epoch seconds."""
_AMOUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "cost_nusd")
_MARK = "coalesce((SELECT value FROM marks WHERE name = 'stretches'), 0)"
# The statements below are put together from the constants of this module alone.
_LINES_IN = """
    FROM requests LEFT JOIN attempts
        ON attempts.line BETWEEN requests.number * 1000 AND requests.number * 1000 + 999
    WHERE requests.number > :after AND requests.number <= :until
"""
_MAKE_FRESH = f"""
    CREATE TEMP TABLE IF NOT EXISTS fresh_stretches(
        stretch, kind, deployment, price_state, first_id, last_id, ended_from, ended_until, {", ".join(_AMOUNTS)}
    )
"""
_FRESH = f"""
    INSERT INTO temp.fresh_stretches
    SELECT number / {SIZE}, kind, coalesce(deployment, ''), coalesce(price_state, ''), min(id), max(id),
        min(coalesce({_ENDED}, started_at)), max(coalesce({_ENDED}, started_at)),
        {", ".join(f"coalesce(sum(attempts.{name}), 0)" for name in _AMOUNTS)}
    {_LINES_IN} GROUP BY 1, 2, 3, 4
"""
_ADD_UP = f"""
    INSERT INTO stretch_sums
    SELECT stretch, kind, deployment, price_state, {", ".join(_AMOUNTS)} FROM temp.fresh_stretches WHERE true
    ON CONFLICT(stretch, kind, deployment, price_state) DO UPDATE SET
        {", ".join(f"{name} = {name} + excluded.{name}" for name in _AMOUNTS)}
"""  # noqa: S608
_BOUND = """
    INSERT INTO stretches
    SELECT stretch, min(first_id), max(last_id), min(ended_from), max(ended_until)
    FROM temp.fresh_stretches WHERE true GROUP BY stretch
    ON CONFLICT(stretch) DO UPDATE SET
        first_id = min(first_id, excluded.first_id), last_id = max(last_id, excluded.last_id),
        ended_from = min(ended_from, excluded.ended_from), ended_until = max(ended_until, excluded.ended_until)
"""
_GONE = f"""
    SELECT stretch FROM stretches WHERE NOT EXISTS (
        SELECT 1 FROM requests WHERE number BETWEEN stretch * {SIZE} AND stretch * {SIZE} + {SIZE - 1}
    )
"""  # noqa: S608
_SUMS = f"""
    SELECT key_id, '', route, deployment, priced, {", ".join(_AMOUNTS)}
    FROM (
        SELECT kind, deployment, price_state AS priced, {", ".join(f"sum({name}) AS {name}" for name in _AMOUNTS)}
        FROM stretch_sums WHERE stretch BETWEEN ? AND ? AND deployment <> '' GROUP BY 1, 2, 3
    ) JOIN kinds ON kinds.id = kind
"""  # noqa: S608
_WRONG = f"""
    SELECT stretch, kind, deployment, price_state, {", ".join(f"sum({name})" for name in _AMOUNTS)} FROM (
        SELECT stretch, kind, deployment, price_state, {", ".join(_AMOUNTS)}
        FROM stretch_sums WHERE stretch BETWEEN :first AND :last
        UNION ALL
        SELECT number / {SIZE}, kind, coalesce(deployment, ''), coalesce(price_state, ''),
            {", ".join(f"-coalesce(attempts.{name}, 0)" for name in _AMOUNTS)}
        {_LINES_IN}
    )
    WHERE stretch IN (SELECT stretch FROM stretches WHERE ended_from >= :cut)
    GROUP BY 1, 2, 3, 4 HAVING {" OR ".join(f"sum({name}) <> 0" for name in _AMOUNTS)} LIMIT :most
"""  # noqa: S608
_BOUNDS = "SELECT stretch, ended_from, ended_until FROM stretches WHERE stretch BETWEEN ? AND ? ORDER BY stretch"
_HOLDING = """
    SELECT stretch, first_id, last_id FROM stretches
    WHERE first_id < :before AND (:kinds IS NULL OR stretch IN (
        SELECT stretch FROM stretch_sums WHERE kind IN (SELECT value FROM json_each(:kinds))
    ))
    ORDER BY last_id DESC
"""


def mark(connection: sqlite3.Connection) -> int:
    """The last number that is in a stretch."""
    (number,) = connection.execute(f"SELECT {_MARK}").fetchone()
    return int(number)


def untaken(connection: sqlite3.Connection) -> int:
    """Requests that are in no stretch yet, give or take numbers that were never used."""
    (count,) = connection.execute(f"SELECT coalesce(max(number), 0) - {_MARK} FROM requests").fetchone()  # noqa: S608
    return int(count)


def take_in(connection: sqlite3.Connection) -> None:
    """Takes in requests behind the mark, a bounded number of them, and moves the mark; forgets stretches whose
    requests were deleted. Belongs inside a transaction."""
    after, last = connection.execute(f"SELECT {_MARK}, coalesce(max(number), 0) FROM requests").fetchone()  # noqa: S608
    (first,) = connection.execute("SELECT coalesce(min(number), 1) FROM requests").fetchone()
    after = max(after, first - 1)
    until = min(last, after + _AT_ONCE)
    if until <= after:
        return
    connection.execute(_MAKE_FRESH)
    connection.execute("DELETE FROM temp.fresh_stretches")
    connection.execute(_FRESH, {"after": after, "until": until})
    connection.execute(_ADD_UP)
    connection.execute(_BOUND)
    connection.execute("DELETE FROM temp.fresh_stretches")
    connection.execute("INSERT OR REPLACE INTO marks(name, value) VALUES ('stretches', ?)", (until,))
    gone = connection.execute(_GONE).fetchall()
    for table in ("stretch_sums", "stretches"):
        connection.executemany(f"DELETE FROM {table} WHERE stretch = ?", gone)  # noqa: S608 - our own names


class Edges(msgspec.Struct, frozen=True):
    """A span of numbers: whole stretches that count in full, and what has to be read line by line."""

    whole: tuple[tuple[int, int], ...]
    """First and last stretch of each run."""
    lines: tuple[tuple[int, int], ...]
    """Numbers (after, until]."""


def edges(connection: sqlite3.Connection, after: int, until: int, since_at: float) -> Edges:
    """How to add up the lines of requests numbered `after` + 1 to `until` that were written at `since_at` or later;
    stretches that were written before it altogether are in neither part."""
    (first,) = connection.execute("SELECT coalesce(min(number), 1) FROM requests").fetchone()
    after = max(after, first - 1)
    taken = min(mark(connection), until)
    begin, end = -(-(after + 1) // SIZE), (taken + 1) // SIZE - 1  # the whole stretches in (after, taken]
    whole: list[tuple[int, int]] = []
    lines: list[tuple[int, int]] = []
    done = after
    for stretch, ended_from, ended_until in connection.execute(_BOUNDS, (begin, end)):
        low, high = stretch * SIZE - 1, (stretch + 1) * SIZE - 1
        if since_at > ended_from and since_at <= ended_until:
            continue  # its lines are read
        if low > done:
            lines.append((done, low))
        done = high
        if since_at <= ended_from:
            if whole and whole[-1][1] == stretch - 1:
                whole[-1] = (whole[-1][0], stretch)
            else:
                whole.append((stretch, stretch))
    if until > done:
        lines.append((done, until))
    return Edges(tuple(whole), tuple(lines))


def sums(connection: sqlite3.Connection, first: int, last: int) -> Iterator[tuple[object, ...]]:
    """Key, no session, route, deployment, price state, then input, output, cache read and cache write tokens and
    nano-dollars of whole stretches."""
    return connection.execute(_SUMS, (first, last))


def holding(connection: sqlite3.Connection, before: str, kinds: str | None) -> list[tuple[int, str, str]]:
    """Stretches with requests that arrived before this id and are of one of these kinds (a JSON array of ids; None
    for any), with their first and last id, the last first."""
    return connection.execute(_HOLDING, {"before": before, "kinds": kinds}).fetchall()


def wrong_sums(
    connection: sqlite3.Connection, first: int, last: int, cut: float, most: int
) -> tuple[int, list[Difference]]:
    """How many of these stretches were compared with the lines they are of, and at most `most` sums that differ.
    Those with lines before `cut` (UTC epoch s), some of which may be deleted, are left out."""
    last = min(last, (mark(connection) + 1) // SIZE - 1)
    asked = {
        "first": first,
        "last": last,
        "after": first * SIZE - 1,
        "until": (last + 1) * SIZE - 1,
        "cut": cut,
        "most": most,
    }
    found = []
    for stretch, _, deployment, _, *off in connection.execute(_WRONG, asked):
        wrong = {name: (figure, 0) for name, figure in zip(_AMOUNTS, off, strict=True) if figure}
        found.append(Difference(f"requests from {stretch * SIZE} at {deployment or '-'}: surplus", wrong))
    return max(0, last - first + 1), found

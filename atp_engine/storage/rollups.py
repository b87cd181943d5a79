"""The ledger summed up by minute, hour and day (UTC) and by key, project, session, route and deployment.

The writer runs `roll_up` behind its commits, once some thousand lines are new, so that no request pays for it.
Readers add the lines behind the mark: answers are always whole. Sessions have hours and days only, for a row of
each session's every minute would outgrow the ledger. A request's lines count at the time when it arrived.
"""

from __future__ import annotations

import sqlite3

from atp_engine.core.ledger_views import LedgerSums

STEPS = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds of each step."""
BY = {
    "key": "key_id",
    "project": "coalesce((SELECT project FROM keys WHERE keys.id = key_id), '')",
    "session": "session_id",
    "route": "route",
    "deployment": "deployment",
}
_LINES_AT_ONCE = 8_192
COLUMNS = (
    "attempts",
    "failed",
    "estimated",
    "assumed",
    "unknown",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nusd",
)
MARK = "coalesce((SELECT value FROM marks WHERE name = 'rollups'), 0)"
_PER_LINE = """
    1 AS attempts,
    outcome <> 'ok' AS failed,
    is_estimated AS estimated,
    attempts.price_state = 'assumed' AS assumed,
    attempts.price_state = 'unknown' AS unknown,
    input_tokens, attempts.output_tokens, attempts.cache_read_tokens, cache_write_tokens, attempts.reasoning_tokens,
    attempts.cost_nusd
"""
SUMS = ", ".join(f"cast(total({column}) AS INTEGER) AS {column}" for column in COLUMNS)
# The statements below are put together from the constants of this module alone.
_LINES = """
    FROM requests
    JOIN attempts ON attempts.line BETWEEN requests.number * 1000 AND requests.number * 1000 + 999
    JOIN kinds ON kinds.id = requests.kind
    WHERE requests.number > :after AND requests.number <= :until
"""
_NAMES = "minute, key_id, session_id, route, deployment"
MAKE_FRESH = tuple(
    f"CREATE TEMP TABLE IF NOT EXISTS {table}({_NAMES}, {', '.join(COLUMNS)})" for table in ("fresh_lines", "fresh")
)
TAKE_LINES = f"""
    INSERT INTO temp.fresh_lines
    SELECT cast(started_at / 60 AS INTEGER) * 60, key_id, session_id, route, attempts.deployment, {_PER_LINE} {_LINES}
"""
_GROUP_LINES = f"""
    INSERT INTO temp.fresh
    SELECT minute, key_id, '', route, deployment, {SUMS} FROM temp.fresh_lines GROUP BY 1, 2, 4, 5
"""  # noqa: S608
_DAY_S = 86_400
_PRUNED = "SELECT coalesce(max(value), 0) FROM marks WHERE name = ?"
_OLDEST = """
    SELECT starts_at, name FROM rollups WHERE step = ? AND by = ? AND starts_at < ? ORDER BY starts_at, name LIMIT ?
"""
_FORGET = "DELETE FROM rollups WHERE step = ? AND by = ? AND starts_at = ? AND name = ?"
_NOTE_PRUNED = """
    INSERT INTO marks(name, value) VALUES (?, ?)
    ON CONFLICT(name) DO UPDATE SET value = max(value, excluded.value)
"""
_UPSERT = f"""
    ON CONFLICT(step, starts_at, by, name) DO UPDATE SET
    {", ".join(f"{column} = {column} + excluded.{column}" for column in COLUMNS)}
"""


def lines_behind(connection: sqlite3.Connection) -> int:
    """Requests whose lines are not in the sums yet."""
    (count,) = connection.execute(f"SELECT coalesce(max(number), 0) - {MARK} FROM requests").fetchone()  # noqa: S608
    return int(count)


def roll_up(connection: sqlite3.Connection) -> None:
    """Takes in lines behind the mark, a bounded number of them, and moves the mark; belongs inside a transaction."""
    after, last = connection.execute(f"SELECT {MARK}, coalesce(max(number), 0) FROM requests").fetchone()  # noqa: S608
    until = min(last, after + _LINES_AT_ONCE)
    if until <= after:
        return
    for statement in MAKE_FRESH:
        connection.execute(statement)
    connection.execute(TAKE_LINES, {"after": after, "until": until})
    connection.execute(_GROUP_LINES)
    for by in BY:
        for step in steps_of(by):
            connection.execute(f"INSERT INTO rollups {_grouped(step, by)} {_UPSERT}")
    for table in ("fresh", "fresh_lines"):
        connection.execute(f"DELETE FROM temp.{table}")  # noqa: S608 - our own names
    connection.execute("INSERT OR REPLACE INTO marks(name, value) VALUES ('rollups', ?)", (until,))


def steps_of(by: str) -> tuple[str, ...]:
    """The steps that are kept for a kind of name."""
    return tuple(step for step in STEPS if by != "session" or step != "minute")


def _grouped(step: str, by: str) -> str:
    """Nearly every line has a session of its own among the few that are fresh: those are summed up at once."""
    width = STEPS[step]
    table = "fresh_lines" if by == "session" else "fresh"
    return f"""
        SELECT '{step}', minute / {width} * {width}, '{by}', {BY[by]}, {SUMS}
        FROM temp.{table} WHERE true GROUP BY 2, 4
    """  # noqa: S608


def _straight(step: str, by: str) -> str:
    """The sums from the lines themselves."""
    width = STEPS[step]
    return f"""
        SELECT cast(started_at / {width} AS INTEGER) * {width}, {BY[by]}, {SUMS}
        FROM (SELECT started_at, key_id, session_id, route, deployment, {_PER_LINE} {_LINES}
            AND started_at >= :since AND started_at < :end) AS attempts
        GROUP BY 1, 2
    """  # noqa: S608


def kept_since(connection: sqlite3.Connection, step: str, by: str) -> int:
    """Sums of this step and kind of name that begin earlier are gone, or may be."""
    (cut,) = connection.execute(_PRUNED, (f"sums {step} {by}",)).fetchone()
    return int(cut)


def prune(connection: sqlite3.Connection, step: str, by: str, before: float, most: int) -> int:
    """Deletes at most so many of the oldest sums that begin before this, and notes from when on they are whole. Returns
    how many are gone. Belongs inside a transaction."""
    until = int(before) // _DAY_S * _DAY_S
    gone = connection.execute(_OLDEST, (step, by, until, most)).fetchall()
    if gone:
        connection.executemany(_FORGET, [(step, by, starts_at, name) for starts_at, name in gone])
        connection.execute(_NOTE_PRUNED, (f"sums {step} {by}", until))
    return len(gone)


def sums(connection: sqlite3.Connection, step: str, by: str, since: float, end: float) -> tuple[LedgerSums, ...]:
    """The sums of the steps that begin in `since` <= t < `end`, oldest first, then by name."""
    first = -(-int(since) // STEPS[step]) * STEPS[step]
    found = _stored(connection, step, by, first, int(end))
    (mark,) = connection.execute(f"SELECT {MARK}").fetchone()
    last = -(-int(end) // STEPS[step]) * STEPS[step]
    for (starts_at, name), amounts in _counted(connection, step, by, mark, 2**62, first, last).items():
        known = found.get((starts_at, name))
        found[starts_at, name] = [old + new for old, new in zip(known, amounts, strict=True)] if known else amounts
    return tuple([LedgerSums(starts_at, name, *found[starts_at, name]) for starts_at, name in sorted(found)])


def _stored(
    connection: sqlite3.Connection, step: str, by: str, since: int, end: int
) -> dict[tuple[int, str], list[int]]:
    rows = connection.execute(
        f"SELECT starts_at, name, {', '.join(COLUMNS)} FROM rollups"  # noqa: S608
        " WHERE step = ? AND by = ? AND starts_at >= ? AND starts_at < ?",
        (step, by, since, end),
    )
    return {(row[0], row[1]): list(row[2:]) for row in rows}


def _counted(
    connection: sqlite3.Connection, step: str, by: str, after: int, until: int, since: float, end: float
) -> dict[tuple[int, str], list[int]]:
    asked = {"after": after, "until": until, "since": since, "end": end}
    return {(row[0], row[1]): list(row[2:]) for row in connection.execute(_straight(step, by), asked)}

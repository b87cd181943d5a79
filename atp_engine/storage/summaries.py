"""What is derived from the request rows in bulk: the index by session and the sums by quarter hour.

The writer runs `summarise` behind its commits, once some thousand rows are new: kept up row by row
each session would dirty a page of its own per request. Readers add the rows after the mark, so
answers are always whole.
"""

from __future__ import annotations

import sqlite3
import time

import msgspec

QUARTER_S = 900
"""Width of a sum: every time zone in use begins its day on a quarter hour."""

_SUMS = """
    count(*),
    coalesce(sum(state IN ('failed', 'truncated')), 0),
    coalesce(sum(price_state = 'unknown'), 0),
    cast(total(prompt_tokens) AS INTEGER),
    cast(total(output_tokens) AS INTEGER),
    cast(total(cost_nusd) AS INTEGER)
"""
"""`total` cannot overflow, and is exact up to 9 million dollars."""
_MARK = "coalesce((SELECT value FROM marks WHERE name = 'requests'), 0)"
_NEW = f"FROM requests JOIN kinds ON kinds.id = requests.kind WHERE requests.number > {_MARK}"
# The statements below are put together from the constants above alone.
_PENDING = f"SELECT coalesce(max(number), 0) - {_MARK} FROM requests"  # noqa: S608
_INDEX_SESSIONS = f"""
    INSERT OR IGNORE INTO session_requests(session_id, id)
    SELECT session_id, id FROM requests WHERE number > {_MARK} ORDER BY session_id, id
"""  # noqa: S608
_ADD_UP = f"""
    INSERT INTO quarters(quarter, requests, errors, unknown_cost, prompt_tokens, output_tokens, cost_nusd)
    SELECT cast(started_at / {QUARTER_S} AS INTEGER), {_SUMS} {_NEW} GROUP BY 1
    ON CONFLICT(quarter) DO UPDATE SET
        requests = requests + excluded.requests,
        errors = errors + excluded.errors,
        unknown_cost = unknown_cost + excluded.unknown_cost,
        prompt_tokens = prompt_tokens + excluded.prompt_tokens,
        output_tokens = output_tokens + excluded.output_tokens,
        cost_nusd = cost_nusd + excluded.cost_nusd
"""
_SET_MARK = "INSERT OR REPLACE INTO marks(name, value) SELECT 'requests', coalesce(max(number), 0) FROM requests"
_SUMS_BEFORE_MARK = """
    SELECT total(requests), total(errors), total(unknown_cost), total(prompt_tokens), total(output_tokens),
        total(cost_nusd)
    FROM quarters WHERE quarter >= ?
"""
_SUMS_BEHIND_MARK = f"SELECT {_SUMS} {_NEW} AND started_at >= ?"


class Totals(msgspec.Struct, frozen=True):
    """Sums over finished requests. `cost_nusd` lacks the `unknown_cost` requests whose price is unknown."""

    requests: int
    errors: int
    """Failed or truncated."""
    unknown_cost: int
    prompt_tokens: int
    output_tokens: int
    cost_nusd: int


def pending(connection: sqlite3.Connection) -> int:
    """Rows not summarised yet, give or take numbers that were never used."""
    (count,) = connection.execute(_PENDING).fetchone()
    return int(count)


def summarise(connection: sqlite3.Connection) -> None:
    """Takes in every row behind the mark and moves the mark; belongs inside a transaction."""
    for statement in (_INDEX_SESSIONS, _ADD_UP, _SET_MARK):
        connection.execute(statement)


def totals_since(connection: sqlite3.Connection, since_at: float) -> Totals:
    """Sums over requests that arrived since the quarter hour that `since_at` (UTC epoch) falls in."""
    quarter = int(since_at // QUARTER_S)
    before = connection.execute(_SUMS_BEFORE_MARK, (quarter,)).fetchone()
    behind = connection.execute(_SUMS_BEHIND_MARK, (quarter * QUARTER_S,)).fetchone()
    return Totals(*(int(old) + int(new) for old, new in zip(before, behind, strict=True)))


def day_start(now: float) -> float:
    """The begin of the day that `now` falls in, in this machine's time zone, as UTC epoch seconds."""
    local = time.localtime(now)
    return time.mktime((local.tm_year, local.tm_mon, local.tm_mday, 0, 0, 0, 0, 0, -1))

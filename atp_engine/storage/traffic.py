"""Finished requests counted by step of time and group: the queries behind the charts.

Every function runs on a reader's connection. Rows lie in the order of their commits, so where a window
begins is found by halving, without an index that every write would pay for.
"""

from __future__ import annotations

import math
import sqlite3

import msgspec

from atp_engine.core.buckets import PER_OCTAVE

MOST_ROWS = 1_000_000
"""The newest requests that one answer looks at."""
GROUP_COLUMNS = {
    "model": "CASE WHEN model = '' THEN asked ELSE model END",
    "provider": "provider",
    "route": "route",
    "client": "client",
    "key": "key_name",
    "session": "session_id",
}
_BAD = "state IN ('failed', 'truncated', 'rejected')"
_FIRST_AT = (
    "SELECT started_at + coalesce(duration_ms, 0) / 1000.0 FROM requests WHERE number >= ? ORDER BY number LIMIT 1"
)
_SPAN = "SELECT coalesce(min(number), 0), coalesce(max(number), -1) FROM requests"
_STEP = "cast((started_at - :start) / :step AS INTEGER)"
_WINDOW = """
    FROM requests JOIN kinds ON kinds.id = requests.kind
    WHERE number >= :first AND started_at >= :start AND started_at < :end
"""


class Counted(msgspec.Struct, frozen=True, array_like=True):
    """Sums of one step and group."""

    step: int
    group: str
    requests: int
    errors: int
    unknown_cost: int
    prompt_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_nusd: int


Spread = tuple[int, str, int, int]
"""Step, group, logarithmic bucket (`PER_OCTAVE` per doubling of the figure), how many."""


class Traffic(msgspec.Struct, frozen=True):
    """A window, counted."""

    counted: tuple[Counted, ...]
    latency_ms: tuple[Spread, ...]
    ttft_ms: tuple[Spread, ...]
    tokens_per_s: tuple[Spread, ...]
    codes: tuple[tuple[int, str, int], ...]
    """Step, error code, how many."""
    is_partial: bool


def traffic(connection: sqlite3.Connection, start: float, step_s: float, steps: int, group: str) -> Traffic:
    """Requests that arrived from `start` (UTC epoch s) within `steps` steps; `group` is of GROUP_COLUMNS."""
    _ensure_log2(connection)
    first, is_partial = _first(connection, start)
    asked = {"first": first, "start": start, "step": step_s, "end": start + step_s * steps}
    column = GROUP_COLUMNS[group]
    # Statements are put together from the constants above alone.
    counted = f"""
        SELECT {_STEP}, {column}, count(*), sum({_BAD}), sum(price_state = 'unknown'), sum(prompt_tokens),
            sum(output_tokens), sum(cache_read_tokens), cast(total(cost_nusd) AS INTEGER)
        {_WINDOW} GROUP BY 1, 2
    """
    codes = f"SELECT {_STEP}, error_code, count(*) {_WINDOW} AND {_BAD} GROUP BY 1, 2"
    return Traffic(
        tuple(Counted(*row) for row in connection.execute(counted, asked)),
        _spread(connection, "duration_ms", column, asked),
        _spread(connection, "ttft_ms", column, asked),
        _spread(connection, "tokens_per_s", column, asked),
        tuple(connection.execute(codes, asked)),
        is_partial,
    )


def _spread(connection: sqlite3.Connection, figure: str, column: str, asked: dict[str, float]) -> tuple[Spread, ...]:
    """How a figure of answered requests is spread."""
    query = f"""
        SELECT {_STEP}, {column}, cast(log2(max({figure}, 1.0)) * {PER_OCTAVE} + 0.5 AS INTEGER), count(*)
        {_WINDOW} AND {figure} IS NOT NULL AND state = 'ok' GROUP BY 1, 2, 3 ORDER BY 3
    """
    return tuple(connection.execute(query, asked))


def figure_of(bucket: int) -> float:
    """The figure that a bucket stands for."""
    return float(2.0 ** (bucket / PER_OCTAVE))


def _first(connection: sqlite3.Connection, start: float) -> tuple[int, bool]:
    """The first number that can belong to the window, and whether the cap on rows cuts it."""
    lowest, highest = connection.execute(_SPAN).fetchone()
    floor = max(lowest, highest + 1 - MOST_ROWS)
    low, high = floor, highest + 1
    while low < high:
        middle = (low + high) // 2
        (ended_at,) = connection.execute(_FIRST_AT, (middle,)).fetchone()
        if ended_at < start:
            low = middle + 1
        else:
            high = middle
    return low, low == floor > lowest


def _ensure_log2(connection: sqlite3.Connection) -> None:
    """Not every SQLite is built with it."""
    try:
        connection.execute("SELECT log2(2.0)")
    except sqlite3.OperationalError:
        connection.create_function("log2", 1, math.log2, deterministic=True)

"""The steps of charts, counted ahead: what `traffic` keeps of windows that hold too many requests to count them
when somebody looks.

`services/statistics` asks for the next piece now and then: counting runs on a reader's connection, and the writer
stores a few rows, so traffic pays nothing. Only the steps that the newest window can show are kept: the table does
not grow.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from atp_engine.core.metrics_views import STEPS, WINDOWS
from atp_engine.storage.traffic import (
    CODES,
    GROUPS,
    Span,
    add_step,
    bounds,
    count,
    decode,
    decode_codes,
    encode,
    kept,
    merge,
)

PIECE = 4_096
"""Requests that are counted at once; a window of fewer is counted when somebody looks."""
LEAST = 1_024
"""Fewer new requests than these are left for the next time."""
_ONE = "SELECT body FROM traffic_steps WHERE width_s = ? AND by = ? AND starts_at = ?"
_STORE = "INSERT OR REPLACE INTO traffic_steps(width_s, by, starts_at, body) VALUES (?, ?, ?, ?)"
_MARK = "INSERT OR REPLACE INTO marks(name, value) VALUES (?, ?)"
_THROUGH = "SELECT coalesce(max(value), 0) FROM marks WHERE name = 'traffic'"


class Piece(msgspec.Struct, frozen=True):
    """The next piece, counted: what to store."""

    after: int
    """The mark that it goes on from; stored only while it still stands."""
    through: int
    rows: tuple[tuple[int, str, int, bytes], ...]
    since: dict[int, int]
    """By width: begins anew behind this number."""
    oldest: dict[int, int]
    """By width: earlier steps go."""
    is_last: bool


def widths() -> tuple[int, ...]:
    """Seconds of the steps of every window."""
    return tuple(seconds // STEPS for seconds in WINDOWS.values())


def next_piece(connection: sqlite3.Connection, now: float, size: int = PIECE, least: int = LEAST) -> Piece | None:
    """Counts the next requests that no step holds, at most `size`; None when there are fewer than `least`."""
    oldest = {width: int(now // width - STEPS) * width for width in widths()}
    through = kept(connection, 0)[0]
    _, first, last = bounds(connection, min(oldest.values()))
    after = max(through, first - 1)  # what is older than every window is nobody's
    if last - after < least:
        return None
    until = min(last, after + size)
    rows: list[tuple[int, str, int, bytes]] = []
    since: dict[int, int] = {}
    for width in widths():
        _, begin, _ = bounds(connection, oldest[width])
        is_counted = until >= begin and last - begin >= size
        if not is_counted:
            since[width] = until
        elif after != through:
            since[width] = after
        if is_counted:
            rows += _counted(connection, Span(after, until, oldest[width], 2.0**53, width), width in since)
    return Piece(through, until, tuple(rows), since, oldest, until == last)


def _counted(connection: sqlite3.Connection, span: Span, is_new: bool) -> list[tuple[int, str, int, bytes]]:
    """Rows to store: what is stored already and the span's requests."""
    width = int(span.width)
    counted, codes = count(connection, span, GROUPS)
    rows = []
    for group, steps in counted.items():
        for slot, step in steps.items():
            place = (width, group, slot * width)
            stored = None if is_new else connection.execute(_ONE, place).fetchone()
            whole = {} if stored is None else decode(stored[0])
            add_step(whole, step)
            rows.append((*place, encode(whole)))
    for slot, some in codes.items():
        place = (width, CODES, slot * width)
        stored = None if is_new else connection.execute(_ONE, place).fetchone()
        if stored is not None:
            merge(some, decode_codes(stored[0]))
        rows.append((*place, encode(some)))
    return rows


def storing(piece: Piece) -> Callable[[sqlite3.Connection], None]:
    """What the writer does to keep a piece; nothing when another came first."""

    def store(connection: sqlite3.Connection) -> None:
        if connection.execute(_THROUGH).fetchone()[0] != piece.after:
            return
        for width, number in piece.since.items():
            connection.execute("DELETE FROM traffic_steps WHERE width_s = ?", (width,))
            connection.execute(_MARK, (f"traffic {width}", number))
        connection.executemany(_STORE, piece.rows)
        for width, starts_at in piece.oldest.items():
            for by in (*GROUPS, CODES):
                connection.execute(
                    "DELETE FROM traffic_steps WHERE width_s = ? AND by = ? AND starts_at < ?", (width, by, starts_at)
                )
        connection.execute(_MARK, ("traffic", piece.through))

    return store

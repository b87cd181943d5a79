"""Finished requests counted by step of time and group: what the charts are made of.

Every function runs on a reader's connection. The steps of a window that holds many requests are kept counted
(`traffic_steps`); the few rows that no step holds yet are counted when somebody looks. Rows lie in the order of
their commits, so where a window begins is found by halving, without an index that every write would pay for.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from atp_engine.core.buckets import PER_OCTAVE

MOST_ROWS = 200_000
"""The newest rows that one answer counts itself."""
SESSION_ROWS = 16_384
"""The newest requests that are looked at where sessions are asked for: there are too many to keep them counted."""
MOST_NAMES = 256
OTHERS = "(others)"
"""Stands for the names of a step beyond the first MOST_NAMES."""
GROUPS = ("model", "provider", "route", "client", "key")
CODES = "code"
_GROUPS_SHOWN = 100
_AT_ONCE = 8_192
_FIRST_AT = (
    "SELECT started_at + coalesce(duration_ms, 0) / 1000.0 FROM requests WHERE number >= ? ORDER BY number LIMIT 1"
)
_LOWEST = "SELECT coalesce(min(number), 1) FROM requests"
_HIGHEST = "SELECT coalesce(max(number), 0) FROM requests"
_KINDS = """
    SELECT id, CASE WHEN model = '' THEN asked ELSE model END, provider, route, client, key_name, error_code,
        state IN ('failed', 'truncated', 'rejected'), price_state = 'unknown', state = 'ok'
    FROM kinds WHERE id IN (SELECT value FROM json_each(?))
"""
_ROWS = """
    FROM requests NOT INDEXED
    WHERE number > :after AND number <= :until AND started_at >= :start AND started_at < :end {sessions}
"""
_OF_SESSIONS = "AND session_id IN (SELECT value FROM json_each(:sessions))"
# The statements below are put together from the constants of this module alone.
_READ = f"""
    SELECT json_group_array(json_array(
        cast(started_at / :width AS INTEGER), {{session}}, kind, prompt_tokens, output_tokens, cache_read_tokens,
        cost_nusd, duration_ms, ttft_ms, tokens_per_s
    ))
    {_ROWS}
"""
"""One row holds them all: between rows a statement would give up and retake the interpreter's lock, which takes
milliseconds while the event loop is busy."""
_BUSIEST = f"SELECT session_id {_ROWS} GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {_GROUPS_SHOWN}"
_MARK = "SELECT coalesce(max(value), 0) FROM marks WHERE name = ?"
_STORED = "SELECT starts_at, body FROM traffic_steps WHERE width_s = ? AND by = ? AND starts_at >= ? AND starts_at < ?"


class Tally(msgspec.Struct, array_like=True):
    """One name in one step: counts, and how figures of answered requests are spread, by logarithmic bucket
    (`PER_OCTAVE` per doubling of the figure)."""

    requests: int = 0
    errors: int = 0
    unknown_cost: int = 0
    prompt_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost_nusd: int = 0
    latency_ms: dict[int, int] = {}
    ttft_ms: dict[int, int] = {}
    tokens_per_s: dict[int, int] = {}

    def add(self, other: Tally) -> None:
        """Takes in another one."""
        self.requests += other.requests
        self.errors += other.errors
        self.unknown_cost += other.unknown_cost
        self.prompt_tokens += other.prompt_tokens
        self.output_tokens += other.output_tokens
        self.cache_read_tokens += other.cache_read_tokens
        self.cost_nusd += other.cost_nusd
        merge(self.latency_ms, other.latency_ms)
        merge(self.ttft_ms, other.ttft_ms)
        merge(self.tokens_per_s, other.tokens_per_s)


Step = dict[str, Tally]
"""A step's tallies by name."""
Steps = dict[int, Step]
"""Steps by their begin, in widths since the epoch."""


class Span(msgspec.Struct, frozen=True):
    """Requests numbered in (after, until] that arrived in `start` <= t < `end` (UTC epoch s), cut into steps."""

    after: int
    until: int
    start: float
    end: float
    width: float

    def asked(self) -> dict[str, Any]:
        """Its figures by name, as statements ask for them."""
        return msgspec.structs.asdict(self)


class Traffic(msgspec.Struct, frozen=True):
    """A window, counted. `all` has a step's tallies under whatever names; together they are the whole step."""

    all: Steps
    groups: Steps
    codes: dict[int, dict[str, int]]
    """How many requests were bad, by step and error code."""
    is_partial: bool


def traffic(connection: sqlite3.Connection, start: float, width: float, steps: int, group: str) -> Traffic:
    """Requests that arrived from `start` (UTC epoch s, a multiple of `width`) within `steps` steps; `group` is one
    of GROUPS or `session`."""
    end = start + width * steps
    by = "provider" if group == "session" else group
    found: Steps = {}
    codes: dict[int, dict[str, int]] = {}
    lowest, first, last = bounds(connection, start)
    through, since = kept(connection, width)
    if since < through and through >= first:
        for starts_at, body in connection.execute(_STORED, (width, by, start, end)):
            found[int(starts_at // width)] = decode(body)
        for starts_at, body in connection.execute(_STORED, (width, CODES, start, end)):
            merge(codes.setdefault(int(starts_at // width), {}), decode_codes(body))
        spans = [(first - 1, min(since, last)), (max(through, first - 1), last)]
    else:
        spans = [(first - 1, last)]
    left, is_partial = MOST_ROWS, False
    for after, until in reversed(spans):
        cut = max(after, until - left)
        is_partial |= cut > after >= lowest - 1
        if cut < until:
            left -= until - cut
            span = Span(cut, until, start, end, width)
            counted, bad = count(connection, span, (by,))
            for slot, step in counted[by].items():
                into = found.setdefault(slot, {})
                for name, tally in step.items():
                    take(into, name, tally)
            for slot, some in bad.items():
                merge(codes.setdefault(slot, {}), some)
    if group != "session":
        return Traffic(found, found, codes, is_partial)
    cut = max(first - 1, last - SESSION_ROWS)
    sessions = _sessions(connection, Span(cut, last, start, end, width))
    return Traffic(found, sessions, codes, is_partial or cut >= first)


def kept(connection: sqlite3.Connection, width: float) -> tuple[int, int]:
    """Numbers (through, since): the steps of this width hold the requests behind `since`, up to `through`."""
    (through,) = connection.execute(_MARK, ("traffic",)).fetchone()
    (since,) = connection.execute(_MARK, (f"traffic {width:g}",)).fetchone()
    return int(through), int(since)


def bounds(connection: sqlite3.Connection, start: float) -> tuple[int, int, int]:
    """The lowest number there is, the first that can have arrived at `start` or later, and the last one."""
    lowest, highest = (int(connection.execute(query).fetchone()[0]) for query in (_LOWEST, _HIGHEST))
    low, high = lowest, highest + 1
    while low < high:
        middle = (low + high) // 2
        (ended_at,) = connection.execute(_FIRST_AT, (middle,)).fetchone()
        if ended_at < start:
            low = middle + 1
        else:
            high = middle
    return lowest, low, highest


class _Row(msgspec.Struct, array_like=True, gc=False):
    slot: int
    session: str
    kind: int
    prompt_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cost_nusd: int
    duration_ms: float | None
    ttft_ms: float | None
    tokens_per_s: float | None


class _Kind(msgspec.Struct, array_like=True):
    id: int
    model: str
    provider: str
    route: str
    client: str
    key: str
    code: str
    is_bad: bool
    is_unpriced: bool
    is_answered: bool


_DECODER = msgspec.json.Decoder(list[_Row], strict=False)


def count(
    connection: sqlite3.Connection, span: Span, groups: Sequence[str]
) -> tuple[dict[str, Steps], dict[int, dict[str, int]]]:
    """Counts rows: steps of each group, and bad requests by step and code."""
    codes: dict[int, dict[str, int]] = {}
    counted: dict[str, Steps] = {group: {} for group in groups}
    for after in range(span.after, span.until, _AT_ONCE):
        piece = msgspec.structs.replace(span, after=after, until=min(after + _AT_ONCE, span.until))
        rows, kinds = _rows(connection, piece, "''", "")
        for row in rows:
            kind = kinds[row.kind]
            if kind.is_bad:
                merge(codes.setdefault(row.slot, {}), {kind.code or "unknown": 1})
        if len(groups) == 1:
            names = {kind.id: getattr(kind, groups[0]) for kind in kinds.values()}
            for (slot, name), tally in _tallies(rows, kinds, lambda row, names=names: names[row.kind]).items():  # type: ignore[misc]
                take(counted[groups[0]].setdefault(slot, {}), name, tally)
            continue
        for (slot, number), tally in _tallies(rows, kinds, lambda row: row.kind).items():
            for group in groups:
                add_step(counted[group].setdefault(slot, {}), {getattr(kinds[number], group): tally})
    return counted, codes


def _sessions(connection: sqlite3.Connection, span: Span) -> Steps:
    """The busiest sessions of the rows."""
    busiest = [name for (name,) in connection.execute(_BUSIEST.format(sessions=""), span.asked())]
    rows, kinds = _rows(connection, span, "session_id", msgspec.json.encode(busiest).decode())
    steps: Steps = {}
    for (slot, session), tally in _tallies(rows, kinds, lambda row: row.session).items():
        steps.setdefault(slot, {})[session] = tally
    return steps


def _rows(
    connection: sqlite3.Connection, span: Span, session: str, sessions: str
) -> tuple[list[_Row], dict[int, _Kind]]:
    """The rows of a span, of some sessions (a JSON array) or of all, and what their kinds are."""
    query = _READ.format(session=session, sessions=_OF_SESSIONS if sessions else "")
    rows = _DECODER.decode(connection.execute(query, {**span.asked(), "sessions": sessions}).fetchone()[0])
    kinds = msgspec.json.encode(list({row.kind for row in rows})).decode()
    found = [msgspec.convert(row, _Kind, strict=False) for row in connection.execute(_KINDS, (kinds,))]
    return rows, {kind.id: kind for kind in found}


def _tallies(rows: list[_Row], kinds: dict[int, _Kind], name_of: Callable[[_Row], Any]) -> dict[tuple[int, Any], Tally]:
    """Rows by step and name."""
    found: dict[tuple[int, Any], Tally] = {}
    for row in rows:
        place = row.slot, name_of(row)
        tally = found.get(place)
        if tally is None:
            tally = found[place] = Tally(latency_ms={}, ttft_ms={}, tokens_per_s={})
        kind = kinds[row.kind]
        tally.requests += 1
        tally.prompt_tokens += row.prompt_tokens
        tally.output_tokens += row.output_tokens
        tally.cache_read_tokens += row.cache_read_tokens
        tally.cost_nusd += row.cost_nusd
        if kind.is_bad:
            tally.errors += 1
        if kind.is_unpriced:
            tally.unknown_cost += 1
        if kind.is_answered:
            _spread(tally.latency_ms, row.duration_ms)
            _spread(tally.ttft_ms, row.ttft_ms)
            _spread(tally.tokens_per_s, row.tokens_per_s)
    return found


def _spread(counts: dict[int, int], figure: float | None) -> None:
    if figure is not None:
        bucket = int(math.log2(figure) * PER_OCTAVE + 0.5) if figure > 1.0 else 0
        counts[bucket] = counts.get(bucket, 0) + 1


def add_step(step: Step, more: Step) -> None:
    """Takes copies of tallies into a step."""
    for name, tally in more.items():
        copy = Tally(latency_ms={}, ttft_ms={}, tokens_per_s={})
        copy.add(tally)
        take(step, name, copy)


def take(step: Step, name: str, tally: Tally) -> None:
    """Takes a tally into a step for good, that of a name too many under OTHERS."""
    place = name if name in step or len(step) < MOST_NAMES else OTHERS
    known = step.get(place)
    if known is None:
        step[place] = tally
    else:
        known.add(tally)


def merge(counts: dict[Any, int], more: dict[Any, int]) -> None:
    """Adds counts to counts."""
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number


def encode(value: Step | dict[str, int]) -> bytes:
    """As steps are kept."""
    return msgspec.msgpack.encode(value)


def decode(body: bytes) -> Step:
    """A kept step."""
    return msgspec.msgpack.decode(body, type=Step)


def decode_codes(body: bytes) -> dict[str, int]:
    """A kept step's error codes."""
    return msgspec.msgpack.decode(body, type=dict[str, int])


def figure_of(bucket: int) -> float:
    """The figure that a bucket stands for."""
    return float(2.0 ** (bucket / PER_OCTAVE))


def quantiles(spreads: Iterable[dict[int, int]], shares: Sequence[float]) -> tuple[float | None, ...]:
    """The figures at these shares of spreads taken together; None where nothing was counted."""
    counts: dict[int, int] = {}
    for spread in spreads:
        merge(counts, spread)
    total = sum(counts.values())
    found: list[float | None] = []
    for share in shares:
        seen, figure = 0, None
        for bucket in sorted(counts):
            seen += counts[bucket]
            if seen >= share * total:
                figure = figure_of(bucket)
                break
        found.append(figure)
    return tuple(found)

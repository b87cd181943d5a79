"""Counts of windows in the database: marks (what was used at a request's number), leases, and the ledger's sums.

`services/windows` restores its counts from here after a start. A mark is written together with the request
number that it includes, behind the requests up to that number: what is added by the ledger lines after it is
neither missing nor counted twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable
from typing import Any

import msgspec

from atp_engine.core.types import PriceState, TokenUsage
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.stretches import SIZE, edges
from atp_engine.storage.stretches import sums as sums_of_stretches
from atp_engine.storage.tables import Row, Table

_COLUMNS = ("rule", "subject", "starts_at", "ends_at", "tokens", "nusd")
_CONFLICT = (
    "ON CONFLICT(rule, subject) DO UPDATE SET starts_at = excluded.starts_at, ends_at = excluded.ends_at, "
    "tokens = excluded.tokens, nusd = excluded.nusd"
)
MARKS = Table("window_marks", _COLUMNS, conflict=_CONFLICT)
LEASES = Table("window_leases", _COLUMNS, conflict=_CONFLICT)
RULES = Table(
    "window_rules",
    ("name", "fingerprint", "through"),
    conflict="ON CONFLICT(name) DO UPDATE SET fingerprint = excluded.fingerprint, through = excluded.through",
)
_PER_KIND = """
    SELECT requests.kind AS kind, {session} AS session,
        attempts.deployment AS deployment, attempts.price_state AS priced,
        sum(attempts.input_tokens) AS input, sum(attempts.output_tokens) AS output,
        sum(attempts.cache_read_tokens) AS cache_read, sum(attempts.cache_write_tokens) AS cache_write,
        sum(attempts.cost_nusd) AS nusd
    FROM requests {indexed} JOIN attempts
        ON attempts.line BETWEEN requests.number * 1000 AND requests.number * 1000 + 999
    WHERE {which} AND requests.number > :after AND requests.number <= :until
        AND requests.started_at + (attempts.started_ms + attempts.duration_ms) / 1000.0 >= :since_at
    GROUP BY 1, 2, 3, 4
"""
# The statements below are put together from the constants of this module alone.
_SUMS = """
    SELECT key_id, session, route, deployment, priced, input, output, cache_read, cache_write, nusd
    FROM ({per_kind}) JOIN kinds ON kinds.id = kind
"""
_SUMS_OF_ALL = _SUMS.format(per_kind=_PER_KIND.format(session="''", indexed="NOT INDEXED", which="true"))
_SUMS_BY_SESSION = _SUMS.format(per_kind=_PER_KIND.format(session="session_id", indexed="NOT INDEXED", which="true"))
_SUMS_OF_SESSION = _SUMS.format(
    per_kind=_PER_KIND.format(
        session="session_id",
        indexed="",
        which="requests.id IN (SELECT id FROM session_requests WHERE session_id = :session)",
    )
)
_SUMMED_SESSIONS = "SELECT coalesce((SELECT value FROM marks WHERE name = 'requests'), 0)"
_AT_ONCE = 4_000
"""Requests per statement: SQLite groups by sorting, which is quick as long as it fits into the reader's cache."""


class Amount(msgspec.Struct, frozen=True):
    """Tokens and nano-dollars of one window in the period that begins at `starts_at`."""

    rule: str
    subject: str
    starts_at: float
    ends_at: float
    tokens: int
    nusd: int


class Reached(msgspec.Struct, frozen=True):
    """What the marks of a rule count, and the last request's number that they include."""

    name: str
    fingerprint: str
    through: int


class Kept(msgspec.Struct, frozen=True):
    """Everything that is kept of windows."""

    marks: tuple[Amount, ...]
    leases: tuple[Amount, ...]
    rules: dict[str, Reached]


NOTHING_KEPT = Kept((), (), {})


class LedgerSum(msgspec.Struct, frozen=True):
    """What attempts of one kind used together."""

    key_id: str
    session_id: str
    """Empty when sessions were not asked for."""
    route: str
    deployment: str
    price_state: PriceState
    usage: TokenUsage
    nusd: int


class WindowRepository:
    """Reads and writes counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def kept(self) -> Kept:
        """What the last run left. Raises StorageError."""
        return await self._database.read(_kept)

    async def sums(
        self, after: int, until: int, since_at: float, *, by_session: bool, sessions: Collection[str] = ()
    ) -> tuple[LedgerSum, ...]:
        """The ledger lines of requests number `after` + 1 to `until` that ended at `since_at` or later, summed
        up, by session or not; of these sessions alone when any are named. Waits until those requests are
        committed. Raises StorageError."""
        await self._database.commit(Write())
        span = _Span(after, until, since_at)
        if by_session and sessions:
            return await self._database.read(lambda connection: _of_sessions(connection, span, sessions))
        return await self._database.read(lambda connection: _of_all(connection, span, by_session))

    def save(self, marks: list[Amount], rules: list[Reached]) -> bool:
        """Queues marks with the number that all of them include; False when the queue is full."""
        return self._database.submit(Write(_rows(MARKS, marks) + tuple((RULES, _values(rule)) for rule in rules)))

    def lease_soon(self, leases: list[Amount], on_commit: Callable[[], None] | None) -> bool:
        """Queues leases; `on_commit` runs in the writer's thread. False when the queue is full."""
        return self._database.submit(Write(_rows(LEASES, leases), on_commit=on_commit))

    async def lease(self, leases: list[Amount]) -> None:
        """Returns once these leases and those queued before are committed. Raises StorageError."""
        await self._database.commit(Write(_rows(LEASES, leases)))

    def forget(self, before: float, names: list[str]) -> bool:
        """Queues the end of amounts whose period ended before this, and of rules that are not in `names`."""

        def remove(connection: sqlite3.Connection) -> None:
            for table in ("window_marks", "window_leases"):
                connection.execute(f"DELETE FROM {table} WHERE ends_at < ?", (before,))  # noqa: S608 - our own names
            known = {name for (name,) in connection.execute("SELECT name FROM window_rules")}
            for name in known - set(names):
                connection.execute("DELETE FROM window_rules WHERE name = ?", (name,))

        return self._database.submit(Write(action=remove))


def _rows(table: Table, amounts: list[Amount]) -> tuple[tuple[Table, Row], ...]:
    return tuple([(table, _values(amount)) for amount in amounts])


def _values(row: msgspec.Struct) -> Row:
    return msgspec.structs.astuple(row)


def _kept(connection: sqlite3.Connection) -> Kept:
    columns = ", ".join(_COLUMNS)
    marks, leases = (
        tuple([Amount(*row) for row in connection.execute(f"SELECT {columns} FROM {table.name}")])  # noqa: S608
        for table in (MARKS, LEASES)
    )
    rules = [Reached(*row) for row in connection.execute("SELECT name, fingerprint, through FROM window_rules")]
    return Kept(marks, leases, {rule.name: rule for rule in rules})


class _Span(msgspec.Struct, frozen=True):
    """Requests numbered in (after, until], and those of their lines that were written at `since_at` or later."""

    after: int
    until: int
    since_at: float


class _Adder:
    """Adds up rows of the same key, session, route, deployment and price state."""

    def __init__(self) -> None:
        self._sums: dict[tuple[Any, ...], list[int]] = {}

    def take(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Five names, then five amounts in each row."""
        sums = self._sums
        for row in rows:
            known = sums.setdefault(row[:5], [0] * 5)
            for place, amount in enumerate(row[5:]):
                known[place] += amount

    def found(self) -> tuple[LedgerSum, ...]:
        return tuple(
            [
                LedgerSum(key, session, route, deployment, PriceState(state), TokenUsage(*amounts[:4]), amounts[4])  # type: ignore[arg-type]
                for (key, session, route, deployment, state), amounts in self._sums.items()
            ]
        )


def _of_all(connection: sqlite3.Connection, span: _Span, by_session: bool) -> tuple[LedgerSum, ...]:
    """Whole stretches by their sums, except by session; lines at the edges and behind."""
    adder = _Adder()
    found = edges(connection, span.after, span.until, span.since_at)
    lines = found.lines
    if by_session:
        lines += tuple([(first * SIZE - 1, (last + 1) * SIZE - 1) for first, last in found.whole])
    else:
        for first, last in found.whole:
            adder.take(sums_of_stretches(connection, first, last))
    query = _SUMS_BY_SESSION if by_session else _SUMS_OF_ALL
    for begin, end in lines:
        for after in range(begin, end, _AT_ONCE):
            asked = {"after": after, "until": min(after + _AT_ONCE, end), "since_at": span.since_at}
            adder.take(connection.execute(query, asked))
    return adder.found()


def _of_sessions(connection: sqlite3.Connection, span: _Span, sessions: Collection[str]) -> tuple[LedgerSum, ...]:
    """By the index of sessions, and the lines that it does not reach yet."""
    adder = _Adder()
    (indexed,) = connection.execute(_SUMMED_SESSIONS).fetchone()
    reached = min(indexed, span.until)
    for session in sessions:
        asked = {"after": span.after, "until": reached, "since_at": span.since_at, "session": session}
        adder.take(connection.execute(_SUMS_OF_SESSION, asked))
    wanted = frozenset(sessions)
    for after in range(max(reached, span.after), span.until, _AT_ONCE):
        asked = {"after": after, "until": min(after + _AT_ONCE, span.until), "since_at": span.since_at}
        adder.take([row for row in connection.execute(_SUMS_BY_SESSION, asked) if row[1] in wanted])
    return adder.found()

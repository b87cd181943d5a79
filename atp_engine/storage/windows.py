"""Counts of windows in the database: marks (what was used at a request's number), leases, and the ledger's sums.

`services/windows` restores its counts from here after a start. A mark is written together with the request
number that it includes, behind the requests up to that number: what is added by the ledger lines after it is
neither missing nor counted twice.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import msgspec

from atp_engine.core.types import PriceState, TokenUsage
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
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
_SUMS = """
    SELECT key_id, session, route, deployment, priced, input, output, cache_read, cache_write, nusd
    FROM (
        SELECT requests.kind AS kind, CASE WHEN :by_session THEN session_id ELSE '' END AS session,
            attempts.deployment AS deployment, attempts.price_state AS priced,
            sum(attempts.input_tokens) AS input, sum(attempts.output_tokens) AS output,
            sum(attempts.cache_read_tokens) AS cache_read, sum(attempts.cache_write_tokens) AS cache_write,
            sum(attempts.cost_nusd) AS nusd
        FROM requests JOIN attempts
            ON attempts.line BETWEEN requests.number * 1000 AND requests.number * 1000 + 999
        WHERE requests.number > :after AND requests.number <= :until
            AND requests.started_at + (attempts.started_ms + attempts.duration_ms) / 1000.0 >= :since_at
        GROUP BY 1, 2, 3, 4
    ) JOIN kinds ON kinds.id = kind
"""
_FIRST = "SELECT coalesce(min(number), 1) FROM requests WHERE number > :after"
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

    async def sums(self, after: int, until: int, since_at: float, *, by_session: bool) -> tuple[LedgerSum, ...]:
        """The ledger lines of requests number `after` + 1 to `until` that ended at `since_at` or later, summed
        up. Waits until those requests are committed. Raises StorageError."""
        await self._database.commit(Write())
        values = {"after": after, "until": until, "since_at": since_at, "by_session": by_session}
        return await self._database.read(lambda connection: _sums(connection, values))

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


def _sums(connection: sqlite3.Connection, values: dict[str, float]) -> tuple[LedgerSum, ...]:
    sums: dict[tuple[str, ...], list[int]] = {}
    first = connection.execute(_FIRST, values).fetchone()[0]
    for after in range(max(int(values["after"]), first - 1), int(values["until"]), _AT_ONCE):
        until = min(after + _AT_ONCE, int(values["until"]))
        for row in connection.execute(_SUMS, {**values, "after": after, "until": until}):
            known = sums.setdefault(row[:5], [0] * 5)
            for place, amount in enumerate(row[5:]):
                known[place] += amount
    return tuple(
        [
            LedgerSum(key, session, route, deployment, PriceState(state), TokenUsage(*amounts[:4]), amounts[4])  # type: ignore[arg-type]
            for (key, session, route, deployment, state), amounts in sums.items()
        ]
    )

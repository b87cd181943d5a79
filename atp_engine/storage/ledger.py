"""The ledger as it is read: pages of lines for exports, sums, and the comparison of both.

`services/ledger` calls it. Every read is one snapshot in a reader's thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping

import msgspec

from atp_engine.core.ledger_views import Difference, LedgerLine, LedgerPage, LedgerSums
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.ledger_check import check
from atp_engine.storage.rollups import kept_since, prune, sums

_FIELDS = LedgerLine.__struct_fields__
MOST_LINES = 5_000
PRUNED_AT_ONCE = 200
_LOOKED_AT = 20_000
"""Lines that one page looks at, at most: a page of a short span may be empty and still go on."""
_MOST_DIFFERENCES = 100
_PAGE = """
    SELECT line, requests.id, line % 1000, started_at, key_id, session_id, route, a.deployment, a.provider, a.model,
        outcome, a.duration_ms, input_tokens, a.output_tokens, a.cache_read_tokens, cache_write_tokens,
        cache_write_1h_tokens, a.reasoning_tokens, is_estimated,
        CASE WHEN a.price_state = 'unknown' THEN NULL ELSE a.cost_nusd END, a.price_state,
        coalesce(service_tier, '')
    FROM attempts AS a
    CROSS JOIN requests ON requests.number = line / 1000
    CROSS JOIN kinds ON kinds.id = requests.kind
    WHERE line > ? AND line <= ? AND started_at >= ? AND started_at < ?
    ORDER BY line LIMIT ?
"""
_LAST_LOOKED_AT = "SELECT max(line), count(*) FROM (SELECT line FROM attempts WHERE line > ? ORDER BY line LIMIT ?)"


class LedgerRepository:
    """Reads the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, after: int, limit: int, since: float, until: float) -> LedgerPage:
        """Lines behind the line `after` of requests that arrived in `since` <= t < `until`. Raises StorageError."""
        return await self._database.read(lambda connection: _page(connection, after, limit, since, until))

    async def sums(self, step: str, by: str, since: float, until: float) -> tuple[LedgerSums, ...]:
        """Sums by step and name, whole up to the last commit. Raises StorageError."""
        return await self._database.read(lambda connection: sums(connection, step, by, since, until))

    async def differences(self) -> tuple[int, tuple[Difference, ...]]:
        """How many sums there are and which differ from the lines; reads every line. Raises StorageError."""
        compared, found = await self._database.scan(lambda connection: check(connection, _MOST_DIFFERENCES))
        return compared, tuple(found)

    async def kept_since(self, step: str, by: str) -> int:
        """When the oldest step begins whose sums are kept, UTC epoch seconds; 0 for all. Raises StorageError."""
        return await self._database.read(lambda connection: kept_since(connection, step, by))

    def prune_soon(self, ends: Mapping[tuple[str, str], float], on_done: Callable[[bool], None]) -> bool:
        """Queues the end of some of the oldest sums that begin before these times (UTC epoch s, by step and kind of
        name); `on_done` hears in the writer's thread whether there may be more. False when the queue is full."""

        def act(connection: sqlite3.Connection) -> None:
            left = PRUNED_AT_ONCE
            for (step, by), before in ends.items():
                left -= prune(connection, step, by, before, left) if left else 0
            on_done(not left)

        return self._database.submit(Write(action=act))


def _page(connection: sqlite3.Connection, after: int, limit: int, since: float, until: float) -> LedgerPage:
    limit = max(1, min(limit, MOST_LINES))
    last, looked_at = connection.execute(_LAST_LOOKED_AT, (after, _LOOKED_AT)).fetchone()
    rows = connection.execute(_PAGE, (after, last or 0, since, until, limit)).fetchall()
    lines = tuple([msgspec.convert(dict(zip(_FIELDS, row, strict=True)), LedgerLine, strict=False) for row in rows])
    if len(lines) == limit:
        return LedgerPage(lines, lines[-1].line)
    return LedgerPage(lines, last if looked_at == _LOOKED_AT else None)

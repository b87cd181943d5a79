"""Finished requests with their ledger lines and decisions: written once each, read back exactly.

The recorder adds, the observatory and the statistics read. What many requests have in common (model,
route, key, outcome, decision) is one row of `kinds` under a hash of it, sent again until it is known to be
committed; so a request costs one narrow row and one ledger line per attempt.
"""

from __future__ import annotations

import json
from functools import partial
from hashlib import blake2b

import msgspec

from atp_engine.core.filter import Filter
from atp_engine.core.types import AttemptRecord, RouteDecision
from atp_engine.core.views import RequestPage, RequestView
from atp_engine.storage import request_queries as queries
from atp_engine.storage.batch import Write
from atp_engine.storage.database import Database
from atp_engine.storage.request_queries import Neighbours, RequestRecord
from atp_engine.storage.request_search import search
from atp_engine.storage.summaries import Totals, day_start, totals_since
from atp_engine.storage.tables import ATTEMPTS, ATTEMPTS_PER_REQUEST, DECISIONS, KINDS, NULL, REQUESTS, Row, Table

__all__ = ["Neighbours", "RequestRecord", "RequestRepository", "Totals"]

_KNOWN_KINDS = 4_096


class RequestRepository:
    """Adds and reads requests; numbers them in the order in which they are added."""

    def __init__(self, database: Database) -> None:
        """Reads the last number; blocks for a moment."""
        self._database = database
        self._number: int = database.read_now(queries.last_number)
        self._kinds: dict[Row, int] = {}

    @property
    def number(self) -> int:
        """The number of the last request that was handed over; commits follow in this order."""
        return self._number

    def add(self, record: RequestRecord) -> bool:
        """Queues the record; committed within about 50 ms. False when the queue is full."""
        return self._database.submit(self._write(record))

    async def add_durably(self, record: RequestRecord) -> None:
        """Returns when the record is committed.

        Raises StorageError when that takes too long; the record then stays queued and is committed
        when it can be, unless the database refused it for good.
        """
        write = self._write(record)
        write.is_kept = True
        await self._database.commit(write)

    async def page(
        self, before: str = "", limit: int = 50, session: str = "", found: Filter | None = None, now: float = 0.0
    ) -> RequestPage:
        """Requests newest first, those that arrived before the request `before`, all when it is empty; of a session,
        that match a filter at `now` (UTC epoch s).

        A search that takes long ends early: its page may be short, or empty, with a `next_before` that continues
        it and a `looked_back_to`.
        """
        if found is not None and not found.is_empty and not session:
            return await self._database.read(lambda connection: search(connection, before, limit, found, now))

        def matches(view: RequestView) -> bool:
            return found is None or found.matches(view, now)

        return await self._database.read(lambda connection: queries.page(connection, before, limit, session, matches))

    async def get(self, id: str) -> RequestRecord | None:
        """A request with its attempts and decision, None when it is not known."""
        return await self._database.read(lambda connection: queries.one(connection, id))

    async def settled(self) -> None:
        """Returns once every record that was handed over before is committed. Raises StorageError."""
        await self._database.commit(Write())

    async def neighbours(self, id: str) -> Neighbours | None:
        """The place of a request in its session; None when it is not known or has no session."""
        return await self._database.read(lambda connection: queries.neighbours(connection, id))

    async def today(self, now: float) -> Totals:
        """Sums over the requests that arrived since this machine's midnight."""
        return await self.totals(day_start(now))

    async def totals(self, since_at: float) -> Totals:
        """Sums over the requests that arrived since the quarter hour `since_at` falls in."""
        return await self._database.read(lambda connection: totals_since(connection, since_at))

    def recent(self, limit: int) -> tuple[RequestView, ...]:
        """The newest requests, newest first; blocks: for filling the live list before serving."""
        return tuple(self._database.read_now(lambda connection: queries.newest(connection, queries.AFTER_ALL, limit)))

    def _write(self, record: RequestRecord) -> Write:
        view = record.view
        decision = record.decision
        kind = (
            view.state,
            view.client,
            record.key_id,
            view.key_name,
            view.dialect,
            view.is_stream,
            view.asked,
            view.route,
            view.served,
            view.model,
            view.provider,
            view.tries,
            view.http_status,
            view.error_code,
            view.is_usage_estimated,
            view.price_state,
            view.finish_reason,
            view.has_body,
            record.config_version,
            "" if decision is None else decision.id,
        )
        self._number = number = self._number + 1
        kind_id = self._kinds.get(kind)
        first: tuple[tuple[Table, Row], ...] = ()
        on_commit = None
        if kind_id is None:
            kind_id, first = _kind_rows(kind, decision)
            if view.served:  # else its model's name may be anything, and never come again
                on_commit = partial(self._learn, kind, kind_id)
        row = (
            number,
            view.id,
            view.started_at,
            view.session_id,
            kind_id,
            view.error_message or NULL,
            NULL if view.ttft_ms is None else view.ttft_ms,
            NULL if view.duration_ms is None else view.duration_ms,
            NULL if view.tokens_per_s is None else view.tokens_per_s,
            view.prompt_tokens,
            view.cache_read_tokens,
            view.output_tokens,
            view.reasoning_tokens,
            view.cost_nusd,
            _json(record.dropped_fields) if record.dropped_fields else NULL,
            record.position,
            record.prompt_estimate,
            view.queue_wait_ms or NULL,
        )
        line = number * ATTEMPTS_PER_REQUEST
        lines = [(ATTEMPTS, _attempt_row(line, attempt)) for attempt in record.attempts]
        return Write((*first, (REQUESTS, row), *lines), None, on_commit)

    def _learn(self, kind: Row, kind_id: int) -> None:
        """The kind is committed and need not be sent again; runs in the writer's thread."""
        if len(self._kinds) >= _KNOWN_KINDS:
            self._kinds = {}
        self._kinds[kind] = kind_id


def _kind_rows(kind: Row, decision: RouteDecision | None) -> tuple[int, tuple[tuple[Table, Row], ...]]:
    """The id of a kind, and the rows that say what it and its decision are."""
    plain = tuple([str(value) if isinstance(value, str) else value for value in kind])
    digest = blake2b(repr(plain).encode(), digest_size=8).digest()
    kind_id = int.from_bytes(digest) >> 1
    rows: list[tuple[Table, Row]] = [(KINDS, (kind_id, *plain))]
    if decision is not None:
        rows.append((DECISIONS, (decision.id, _json(decision))))
    return kind_id, tuple(rows)


def _json(value: object) -> str:
    """JSON text; lone surrogates, which outside text may hold and UTF-8 may not, become `?`."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), ensure_ascii=False).encode("utf-8", "replace").decode()


def _attempt_row(line: int, attempt: AttemptRecord) -> Row:
    usage = attempt.usage
    return (
        line + attempt.number,
        attempt.deployment,
        attempt.provider,
        attempt.model,
        attempt.outcome._value_,
        attempt.started_ms,
        attempt.duration_ms,
        NULL if attempt.ttft_ms is None else attempt.ttft_ms,
        attempt.http_status,
        attempt.message or NULL,
        usage.input_tokens,
        usage.output_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.reasoning_tokens,
        1 if usage.is_estimated else 0,
        attempt.cost_nusd,
        attempt.price_state._value_,
        usage.cache_write_1h_tokens,
        usage.tier or NULL,
    )

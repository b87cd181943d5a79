"""How stored requests are found and turned back into values; the reading half of `requests`.

Every function runs on a reader's connection inside one snapshot. The index by session reaches up to a
mark and the rows behind the mark are added, so answers never lag.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import msgspec

from atp_engine.core.types import AttemptOutcome, AttemptRecord, PriceState, RequestState, RouteDecision, TokenUsage
from atp_engine.core.views import RequestPage, RequestView
from atp_engine.storage.tables import ATTEMPTS_PER_REQUEST

AFTER_ALL = "~"
"""Sorts after every id."""
_SCAN_LIMIT = 10_000
"""Most rows of a session that one filtered page looks at; the page then says where to go on."""


class RequestRecord(msgspec.Struct, frozen=True):
    """Everything that is kept of one finished request, bodies aside."""

    view: RequestView
    key_id: str
    config_version: int
    decision: RouteDecision | None
    attempts: tuple[AttemptRecord, ...]
    """Numbered from 1, at most 999."""
    dropped_fields: tuple[str, ...]
    position: int
    """1-based place among the session's requests, as counted live."""
    prompt_estimate: int = 0
    """Prompt tokens as estimated before the call, uncorrected; 0 when the request was not read."""


class Neighbours(msgspec.Struct, frozen=True):
    """Where a request stands in its session, by arrival; ids are empty at the ends."""

    position: int
    count: int
    previous_id: str
    next_id: str


_VIEW_COLUMNS = """
    requests.id, started_at, state, session_id, client, key_name, dialect, is_stream, asked, route, served, model,
    provider, tries, http_status, error_code, error_message, ttft_ms, duration_ms, tokens_per_s, prompt_tokens,
    cache_read_tokens, output_tokens, reasoning_tokens, is_usage_estimated, cost_nusd, price_state, finish_reason,
    has_body, queue_wait_ms
"""
_REST_COLUMNS = "number, key_id, config_version, decision_id, dropped_fields, position, prompt_estimate"
_FROM = "FROM requests JOIN kinds ON kinds.id = requests.kind"
_BEHIND_MARK = "number > coalesce((SELECT value FROM marks WHERE name = 'requests'), 0)"
# The statements below are put together from the constants above alone.
_ONE = f"SELECT {_VIEW_COLUMNS}, {_REST_COLUMNS} {_FROM} WHERE requests.id = ?"
_NEWEST = f"SELECT {_VIEW_COLUMNS} {_FROM} WHERE requests.id < ? ORDER BY requests.id DESC LIMIT ?"
_BY_NUMBER = f"""
    SELECT {_VIEW_COLUMNS} {_FROM} WHERE number IN (SELECT value FROM json_each(?)) ORDER BY requests.id DESC
"""  # noqa: S608
_KINDS = """
    SELECT '', 0.0, state, '', client, key_name, dialect, is_stream, asked, route, served, model,
        provider, tries, http_status, error_code, NULL, NULL, NULL, NULL, 0,
        0, 0, 0, is_usage_estimated, 0, price_state, finish_reason,
        has_body, NULL, id
    FROM kinds LIMIT ?
"""
_NEWEST_OF_SESSION = f"""
    SELECT {_VIEW_COLUMNS} {_FROM} WHERE requests.id IN (
        SELECT id FROM (
            SELECT id FROM session_requests WHERE session_id = :session AND id < :before ORDER BY id DESC LIMIT :limit
        )
        UNION ALL
        SELECT id FROM requests WHERE {_BEHIND_MARK} AND session_id = :session AND id < :before
    )
    ORDER BY requests.id DESC LIMIT :limit
"""  # noqa: S608
_PLACE = f"""
    SELECT count(*), coalesce(sum(id <= :id), 0), coalesce(max(CASE WHEN id < :id THEN id END), ''),
        coalesce(min(CASE WHEN id > :id THEN id END), '')
    FROM (
        SELECT id FROM session_requests WHERE session_id = :session
        UNION ALL
        SELECT id FROM requests WHERE {_BEHIND_MARK} AND session_id = :session
    )
"""  # noqa: S608
_LEDGER = """
    SELECT line, deployment, provider, model, outcome, started_ms, duration_ms, ttft_ms, http_status, message,
        input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, is_estimated, cost_nusd,
        price_state, cache_write_1h_tokens, service_tier
    FROM attempts WHERE line BETWEEN ? AND ? ORDER BY line
"""


def newest(connection: sqlite3.Connection, before: str, limit: int, session: str = "") -> list[RequestView]:
    """Requests that arrived before the request `before`, newest first, of one session or of all."""
    rows: sqlite3.Cursor
    if session:
        rows = connection.execute(_NEWEST_OF_SESSION, {"session": session, "before": before, "limit": limit})
    else:
        rows = connection.execute(_NEWEST, (before, limit))
    return [_view(row) for row in rows]


def some(connection: sqlite3.Connection, numbers: str) -> list[RequestView]:
    """Requests by number, from a JSON array, newest first."""
    return [_view(row) for row in connection.execute(_BY_NUMBER, (numbers,))]


def kinds_seen(connection: sqlite3.Connection, most: int) -> dict[int, RequestView] | None:
    """What requests have in common, by kind, as requests that have nothing else; None when there are too many."""
    rows = connection.execute(_KINDS, (most + 1,)).fetchall()
    return None if len(rows) > most else {row[-1]: _view(row) for row in rows}


def page(
    connection: sqlite3.Connection, before: str, limit: int, session: str, matches: Callable[[RequestView], bool]
) -> RequestPage:
    """A page of a session, or of all when it is empty; looks at one row more to know whether there is a next page."""
    found: list[RequestView] = []
    last = before or AFTER_ALL
    for _ in range(0, _SCAN_LIMIT, limit + 1):
        views = newest(connection, last, limit + 1, session)
        for view in views:
            if matches(view):
                if len(found) == limit:
                    return RequestPage(tuple(found), last)
                found.append(view)
            last = view.id
        if len(views) <= limit:
            return RequestPage(tuple(found), "")
    return RequestPage(tuple(found), last)


def one(connection: sqlite3.Connection, id: str) -> RequestRecord | None:
    """A request with everything known of it."""
    row = connection.execute(_ONE, (id,)).fetchone()
    if row is None:
        return None
    number, key_id, config_version, decision_id, dropped_fields, position, prompt_estimate = row[-7:]
    decided = connection.execute("SELECT decision FROM decisions WHERE id = ?", (decision_id,)).fetchone()
    line = number * ATTEMPTS_PER_REQUEST
    attempts = connection.execute(_LEDGER, (line, line + ATTEMPTS_PER_REQUEST - 1))
    return RequestRecord(
        view=_view(row),
        key_id=key_id,
        config_version=config_version,
        decision=None if decided is None else msgspec.json.decode(decided[0], type=RouteDecision),
        attempts=tuple([_attempt(attempt) for attempt in attempts]),
        dropped_fields=msgspec.json.decode(dropped_fields, type=tuple[str, ...]) if dropped_fields else (),
        position=position,
        prompt_estimate=prompt_estimate,
    )


def neighbours(connection: sqlite3.Connection, id: str) -> Neighbours | None:
    """The place of a request in its session."""
    found = connection.execute("SELECT session_id FROM requests WHERE id = ?", (id,)).fetchone()
    if found is None or not found[0]:
        return None
    count, position, previous_id, next_id = connection.execute(_PLACE, {"session": found[0], "id": id}).fetchone()
    return Neighbours(position, count, previous_id, next_id)


def last_number(connection: sqlite3.Connection) -> int:
    """The highest number in use."""
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM requests").fetchone()
    return int(number)


def _view(row: tuple[Any, ...]) -> RequestView:
    return RequestView(
        id=row[0],
        started_at=row[1],
        state=RequestState(row[2]),
        session_id=row[3],
        client=row[4],
        key_name=row[5],
        dialect=row[6],
        is_stream=bool(row[7]),
        asked=row[8],
        route=row[9],
        served=row[10],
        model=row[11],
        provider=row[12],
        tries=row[13],
        http_status=row[14],
        error_code=row[15],
        error_message=row[16] or "",
        ttft_ms=row[17],
        duration_ms=row[18],
        tokens_per_s=row[19],
        prompt_tokens=row[20],
        cache_read_tokens=row[21],
        output_tokens=row[22],
        reasoning_tokens=row[23],
        is_usage_estimated=bool(row[24]),
        cost_nusd=row[25],
        price_state=PriceState(row[26]),
        finish_reason=row[27],
        has_body=bool(row[28]),
        queue_wait_ms=row[29] or 0.0,
    )


def _attempt(row: tuple[Any, ...]) -> AttemptRecord:
    return AttemptRecord(
        number=row[0] % ATTEMPTS_PER_REQUEST,
        deployment=row[1],
        provider=row[2],
        model=row[3],
        outcome=AttemptOutcome(row[4]),
        started_ms=row[5],
        duration_ms=row[6],
        ttft_ms=row[7],
        http_status=row[8],
        message=row[9] or "",
        usage=TokenUsage(
            input_tokens=row[10],
            output_tokens=row[11],
            cache_read_tokens=row[12],
            cache_write_tokens=row[13],
            reasoning_tokens=row[14],
            is_estimated=bool(row[15]),
            cache_write_1h_tokens=row[18],
            tier=row[19] or "",
        ),
        cost_nusd=row[16],
        price_state=PriceState(row[17]),
    )

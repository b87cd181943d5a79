"""Stored requests that match a filter, newest first: a page at a time, and never for long.

The newest rows are looked at one by one, which fills most pages. Then the search goes stretch by stretch: those without
any kind of request that could match are skipped, and of the others the rows that keep the filter's bounds are looked
at. After a while a page ends early and says how far it has come. Runs on a reader's connection in one snapshot.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from atp_engine.core.filter import Filter
from atp_engine.core.filter_bounds import Bound
from atp_engine.core.filter_fields import Comparison
from atp_engine.core.views import RequestPage, RequestView
from atp_engine.storage.request_queries import AFTER_ALL, kinds_seen, newest, some
from atp_engine.storage.stretches import SIZE, holding, mark

_NEWEST_ROWS = 256
_AT_ONCE = 256
_LONG_S = 0.05
_MOST_KINDS = 4_096
_COLUMNS = {
    "id": "id",
    "session_id": "session_id",
    "error_message": "error_message",
    "ttft_ms": "ttft_ms",
    "duration_ms": "duration_ms",
    "tokens_per_s": "tokens_per_s",
    "prompt_tokens": "prompt_tokens",
    "output_tokens": "output_tokens",
    "cost_nusd": "cost_nusd",
    "tokens": "prompt_tokens + output_tokens",
    "age_s": ":now - started_at",
}
_OPERATORS = {Comparison.HAS: "=", Comparison.IS: "=", Comparison.IS_NOT: "<>"}
_IS_OF = "kind IN (SELECT value FROM json_each(:{name}))"


@dataclass(frozen=True, slots=True)
class _Search:
    now: float
    condition: str
    """SQL that lets every matching row through."""
    values: dict[str, Any]
    kinds: str | None
    """JSON array of the kinds that may match; None for any."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Rows to look at: numbers from `first` to `last`, none of which arrived after the request `newest_id`."""

    first: int
    last: int
    newest_id: str


def search(
    connection: sqlite3.Connection, before: str, limit: int, found: Filter, now: float, long_s: float = _LONG_S
) -> RequestPage:
    """The page of requests that arrived before the request `before` (all when empty) and match. Ends early once it
    has taken `long_s`, with 256 rows looked at or more."""
    views = newest(connection, before or AFTER_ALL, max(limit + 1, _NEWEST_ROWS))
    page = [view for view in views if found.matches(view, now)]
    if len(page) > limit:
        return RequestPage(tuple(page[:limit]), page[limit - 1].id)
    if len(views) < max(limit + 1, _NEWEST_ROWS):
        return RequestPage(tuple(page), "")
    before, ends_at = views[-1].id, time.monotonic() + long_s
    asked = _prepared(connection, found, now)
    waiting: list[RequestView] = []
    """Found, but rows that are not looked at yet may have arrived later."""
    places = _places(connection, before, asked.kinds)
    for number, place in enumerate(places):
        follows = places[number + 1].newest_id if number + 1 < len(places) else ""
        taken = 0
        for view in _candidates(connection, asked, place, before):
            if time.monotonic() > ends_at:
                reached = max(view.id, follows)
                page += sorted([one for one in waiting if one.id > reached], key=_id, reverse=True)
                return _early(connection, page, reached, before, limit)
            if found.matches(view, now):
                waiting.append(view)
                taken += view.id > follows
                if len(page) + taken > limit:
                    break  # so many are no older than this one
        waiting.sort(key=_id, reverse=True)
        while waiting and waiting[0].id > follows:
            page.append(waiting.pop(0))
            if len(page) > limit:
                return RequestPage(tuple(page[:limit]), page[limit - 1].id)
        if follows and time.monotonic() > ends_at:
            return _early(connection, page, follows, before, limit)
    return RequestPage(tuple(page), "")


def _id(view: RequestView) -> str:
    return view.id


def _early(
    connection: sqlite3.Connection, page: list[RequestView], reached: str, before: str, limit: int
) -> RequestPage:
    """A page that ends before the search does: whatever arrived after the request `reached` was looked at."""
    row = connection.execute("SELECT started_at FROM requests WHERE id = ?", (min(reached, before),)).fetchone()
    goes_on = before if reached >= before else reached + AFTER_ALL
    return RequestPage(tuple(page[:limit]), goes_on, None if row is None else float(row[0]))


def _places(connection: sqlite3.Connection, before: str, kinds: str | None) -> list[_Place]:
    """The latest first; what is in no stretch yet comes before all."""
    through = mark(connection)
    places = [_Place(through + 1, 2**62, AFTER_ALL)]
    for stretch, _, last_id in holding(connection, before, kinds):
        places.append(_Place(stretch * SIZE, min((stretch + 1) * SIZE - 1, through), last_id))
    return places


def _candidates(connection: sqlite3.Connection, asked: _Search, place: _Place, before: str) -> Iterator[RequestView]:
    """The rows of a place that may match, the latest first."""
    values = {**asked.values, "first": place.first, "last": place.last, "before": before, "now": asked.now}
    query = f"""
        SELECT json_group_array(number) FROM (
            SELECT number FROM requests NOT INDEXED
            WHERE number BETWEEN :first AND :last AND id < :before AND {asked.condition} ORDER BY id DESC
        )
    """  # noqa: S608 - the condition is made of our own names
    numbers = msgspec.json.decode(connection.execute(query, values).fetchone()[0], type=list[int])
    for begin in range(0, len(numbers), _AT_ONCE):
        yield from some(connection, _json(numbers[begin : begin + _AT_ONCE]))


def _prepared(connection: sqlite3.Connection, found: Filter, now: float) -> _Search:
    views = kinds_seen(connection, _MOST_KINDS)
    conditions, values = ["true"], dict[str, Any]()
    kinds: str | None = None
    if views is not None:
        may = [kind for kind, view in views.items() if found.may_match(view, now)]
        if len(may) < len(views):
            kinds = values["may"] = _json(may)
            conditions.append(_IS_OF.format(name="may"))
    for place, bound in enumerate(found.bounds):
        condition = _condition(bound, f"bound{place}", values, views, now)
        if condition:
            conditions.append(condition)
    return _Search(now, " AND ".join(conditions), values, kinds)


def _condition(
    bound: Bound, name: str, values: dict[str, Any], views: dict[int, RequestView] | None, now: float
) -> str:
    """The bound in SQL; empty where SQL could be stricter than the filter."""
    columns = [_COLUMNS[attribute] for attribute in bound.attributes]
    values[name] = bound.value
    if not isinstance(bound.value, str):
        operator = _OPERATORS.get(bound.comparison, str(bound.comparison))
        return f"({columns[0]} {operator} :{name})"
    if not bound.value.isascii() or (bound.common is not None and views is None):
        del values[name]
        return ""
    # lower() knows ASCII alone, so text with anything else is let through
    parts = [f"instr(lower({column}), :{name}) OR {column} GLOB '*[^ -~]*'" for column in columns]
    if bound.common is not None and views is not None:
        values[f"{name}_kinds"] = _json([kind for kind, view in views.items() if bound.common(view, now)])
        parts.append(_IS_OF.format(name=f"{name}_kinds"))
    return f"({' OR '.join(parts)})"


def _json(numbers: list[int]) -> str:
    return msgspec.json.encode(numbers).decode()

"""Rows as files: CSV, JSON lines, and requests as an HTTP archive. Pure.

Outside text leaves through here as data: cells that a spreadsheet would run are defused, and no file holds a
character that a terminal obeys. What was asked for, what served it and how many tries it took are in each.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from atp_console.copying import path_of
from atp_engine.core.text import safe_text
from atp_engine.core.types import AttemptRecord, PriceState
from atp_engine.core.views import RequestDetail, RequestView

_CELL_CAP = 32_000
"""Longest cell that spreadsheets take."""
_FORMULA = tuple("=+-@\t\r＝＋－＠")
_LATER_FORMULA = re.compile(r"([;|]\s*)([=+\-@])")
"""Where the list separator is another one, a cell begins after it."""
_OBEYED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def as_csv(rows: Sequence[msgspec.Struct]) -> str:
    """A table with the names of the first row's fields; an unknown cost is an empty cell, never 0."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in msgspec.structs.fields(type(rows[0]))] if rows else []
    writer.writerow(names)
    for row in rows:
        values = msgspec.to_builtins(row)
        if values.get("price_state") == PriceState.UNKNOWN.value:
            values["cost_nusd"] = ""
        writer.writerow([cell(values.get(name)) for name in names])
    return out.getvalue()


def cell(value: object) -> object:
    """A value as a cell that no spreadsheet runs."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple, dict)):
        value = msgspec.json.encode(value).decode() if value else ""
    if not isinstance(value, str):
        return value
    text = safe_text(value, limit=_CELL_CAP)
    text = _LATER_FORMULA.sub(r"\1'\2", text)
    return "'" + text if text.lstrip().startswith(_FORMULA) else text


def as_jsonl(rows: Iterable[msgspec.Struct]) -> str:
    """One JSON object per line, as the admin API gives them."""
    return "".join(neutral(msgspec.json.encode(row).decode()) + "\n" for row in rows)


def as_json(value: object) -> str:
    """Anything of ours as JSON for people."""
    return neutral(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def neutral(json: str) -> str:
    """The same JSON without a character that a terminal obeys or that turns the writing round."""
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", json)


def as_har(requests: Iterable[RequestDetail | RequestView], url: str, version: str) -> str:
    """Requests as an HTTP archive (1.2): one entry per client call, its upstream attempts in `_attempts`.

    Headers and addresses of vendors are not recorded and so not in it; rows without detail have no bodies.
    """
    entries = [_entry(one, url) for one in requests]
    return as_json(
        {"log": {"version": "1.2", "creator": {"name": "ATP Console", "version": version}, "entries": entries}}
    )


def _entry(one: RequestDetail | RequestView, url: str) -> dict[str, object]:
    view = one.request if isinstance(one, RequestDetail) else one
    detail = one if isinstance(one, RequestDetail) else None
    sent = detail.request_body if detail else None
    came = detail.response_body if detail else None
    whole, first = view.duration_ms or 0.0, view.ttft_ms or view.duration_ms or 0.0
    kind = "application/json"
    return {
        "startedDateTime": datetime.fromtimestamp(view.started_at, UTC).isoformat(timespec="milliseconds"),
        "time": whole,
        "request": {
            "method": "POST",
            "url": url + path_of(view),
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [{"name": "content-type", "value": kind}],
            "queryString": [],
            "headersSize": -1,
            "bodySize": len(sent.encode()) if sent is not None else -1,
            **({"postData": {"mimeType": kind, "text": sent}} if sent is not None else {}),
        },
        "response": {
            "status": view.http_status,
            "statusText": view.state,
            "httpVersion": "HTTP/1.1",
            "cookies": [],
            "headers": [],
            "content": {
                "size": len(came.encode()) if came is not None else -1,
                "mimeType": "text/event-stream" if view.is_stream else kind,
                **({"text": came} if came is not None else {}),
            },
            "redirectURL": "",
            "headersSize": -1,
            "bodySize": -1,
        },
        "cache": {},
        "timings": {
            "blocked": view.queue_wait_ms,
            "send": 0,
            "wait": max(0.0, first - view.queue_wait_ms),
            "receive": max(0.0, whole - first),
        },
        "_id": view.id,
        "_asked": view.asked,
        "_served": view.served,
        "_tries": view.tries,
        "_model": view.model,
        "_provider": view.provider,
        "_state": view.state,
        "_error": view.error_message,
        "_session": view.session_id,
        "_client": view.client,
        "_key": view.key_name,
        "_tokens": {
            "prompt": view.prompt_tokens,
            "cache_read": view.cache_read_tokens,
            "output": view.output_tokens,
            "reasoning": view.reasoning_tokens,
        },
        "_cost_usd": None if view.price_state is PriceState.UNKNOWN else view.cost_nusd / 1e9,
        "_attempts": [_attempt(attempt) for attempt in (detail.attempts if detail else ())],
    }


def _attempt(attempt: AttemptRecord) -> dict[str, object]:
    return {
        "number": attempt.number,
        "deployment": attempt.deployment,
        "provider": attempt.provider,
        "model": attempt.model,
        "outcome": attempt.outcome,
        "status": attempt.http_status,
        "started_ms": attempt.started_ms,
        "duration_ms": attempt.duration_ms,
        "ttft_ms": attempt.ttft_ms,
        "message": attempt.message,
    }

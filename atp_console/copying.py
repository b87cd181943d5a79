"""Texts for clipboard and files: a request as curl, JSON or readable text; rows as CSV or JSONL.

Pure. Outside text leaves through here as data: CSV cells that a spreadsheet would run are defused,
shell words are quoted, control characters are dropped.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from atp_console import bodies
from atp_engine.core.text import safe_text
from atp_engine.core.types import PriceState
from atp_engine.core.views import RequestDetail, RequestView

_PATHS = {
    "openai_chat": "/v1/chat/completions",
    "openai_responses": "/v1/responses",
    "openai_completions": "/v1/completions",
    "openai_embeddings": "/v1/embeddings",
    "anthropic": "/v1/messages",
    "ollama": "/api/chat",
}
_BODY_CAP = 1_000_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def curl(detail: RequestDetail, url: str) -> str:
    """The request as one shell command against the engine; the key is a variable, never its value.

    Empty when the body was not kept.
    """
    if detail.request_body is None:
        return ""
    body = safe_text(detail.request_body, limit=_BODY_CAP, is_line=False)
    path = _PATHS.get(detail.request.dialect, "/v1/chat/completions")
    if detail.request.dialect == "gemini":
        method = "streamGenerateContent?alt=sse" if detail.request.is_stream else "generateContent"
        path = f"/v1beta/models/{quote(detail.request.asked)}:{method}"
    return (
        f"curl {shlex.quote(url + path)} -H 'content-type: application/json'"
        f' -H "authorization: Bearer $ATP_KEY" --data-raw {shlex.quote(body)}'
    )


def as_json(detail: RequestDetail) -> str:
    """Everything known of a request, indented."""
    return indented(detail)


def indented(value: object) -> str:
    """Any value of ours as JSON for people."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def as_text(detail: RequestDetail) -> str:
    """The readable answer, or why there is none."""
    if detail.response_body:
        return bodies.plain(detail.response_body)
    return safe_text(detail.request.error_message) or "(no answer was kept)"


def rows_as_jsonl(rows: Iterable[RequestView]) -> str:
    """One JSON object per line, as the admin API gives them."""
    return "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)


def rows_as_csv(rows: Iterable[RequestView]) -> str:
    """A table with a header; an unknown cost is an empty cell, never 0."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in msgspec.structs.fields(RequestView)]
    writer.writerow(names)
    for row in rows:
        values = msgspec.to_builtins(row)
        if row.price_state is PriceState.UNKNOWN:
            values["cost_nusd"] = ""
        writer.writerow([_cell(values[name]) for name in names])
    return out.getvalue()


def _cell(value: object) -> object:
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    text = safe_text(value)
    return "'" + text if text.startswith(_FORMULA) else text

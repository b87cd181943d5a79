"""Texts for the clipboard: a request as curl, JSON or readable text. Pure.

Outside text leaves through here as data: shell words are quoted, control characters are dropped.
"""

from __future__ import annotations

import shlex
from urllib.parse import quote

import msgspec

from atp_console import bodies
from atp_engine.core.text import safe_text
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


def curl(detail: RequestDetail, url: str) -> str:
    """The request as one shell command against the engine; the key is a variable, never its value.

    Empty when the body was not kept.
    """
    if detail.request_body is None:
        return ""
    body = safe_text(detail.request_body, limit=_BODY_CAP, is_line=False)
    return (
        f"curl {shlex.quote(url + path_of(detail.request))} -H 'content-type: application/json'"
        f' -H "authorization: Bearer $ATP_KEY" --data-raw {shlex.quote(body)}'
    )


def path_of(view: RequestView) -> str:
    """Where the client sent it, as its dialect has it."""
    if view.dialect == "gemini":
        method = "streamGenerateContent?alt=sse" if view.is_stream else "generateContent"
        return f"/v1beta/models/{quote(view.asked)}:{method}"
    return _PATHS.get(view.dialect, "/v1/chat/completions")


def fields_of(row: msgspec.Struct) -> str:
    """A row as readable lines: a name and its value."""
    told = []
    for name, value in msgspec.to_builtins(row).items():
        if value not in (None, "", [], {}):
            shown = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            told.append(f"{name.replace('_', ' ')}: {safe_text(shown, limit=_BODY_CAP)}")
    return "\n".join(told)


def as_text(detail: RequestDetail) -> str:
    """The readable answer, or why there is none."""
    if detail.response_body:
        return bodies.plain(detail.response_body)
    return safe_text(detail.request.error_message) or "(no answer was kept)"

"""Refusals of the simulated provider, in the words of the dialect it speaks.

Shapes and types are those of OpenAI, Anthropic, Gemini and Ollama as of November 2026.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from atp_engine.core.types import Dialect


class _Row(NamedTuple):
    status: int
    openai_type: str
    openai_code: str | None
    anthropic_type: str
    message: str


_REFUSALS = {
    "400": _Row(400, "invalid_request_error", None, "invalid_request_error", "Simulated: the request is malformed."),
    "401": _Row(401, "invalid_request_error", "invalid_api_key", "authentication_error", "Simulated: wrong API key."),
    "403": _Row(403, "permission_error", None, "permission_error", "Simulated: not permitted for this key."),
    "404": _Row(404, "invalid_request_error", "model_not_found", "not_found_error", "Simulated: no such model."),
    "429": _Row(429, "requests", "rate_limit_exceeded", "rate_limit_error", "Simulated: rate limit reached."),
    "500": _Row(500, "server_error", None, "api_error", "Simulated: the server had an error."),
    "502": _Row(502, "server_error", None, "api_error", "Simulated: bad gateway."),
    "503": _Row(503, "server_error", None, "overloaded_error", "Simulated: overloaded, try again later."),
    "529": _Row(529, "server_error", None, "overloaded_error", "Simulated: overloaded."),
    "context": _Row(
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "invalid_request_error",
        "Simulated: prompt is too long, it exceeds the maximum context length.",
    ),
    "filter": _Row(
        400,
        "invalid_request_error",
        "content_filter",
        "invalid_request_error",
        "Simulated: output blocked by content filtering policy.",
    ),
}


_GEMINI_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    529: "UNAVAILABLE",
}


def refusal(dialect: Dialect, name: str, message: str = "") -> tuple[int, bytes] | None:
    """Status and body of a refusal by the fault's name; None when the fault is not a refusal."""
    row = _REFUSALS.get(name)
    if row is None:
        return None
    said = message or row.message
    if dialect is Dialect.ANTHROPIC:
        return row.status, _anthropic(row.anthropic_type, said)
    if dialect is Dialect.GEMINI:
        return row.status, _gemini(row.status, said)
    if dialect is Dialect.OLLAMA:
        return row.status, _ollama(said)
    return row.status, _openai(row.openai_type, row.openai_code, said)


def error_event(dialect: Dialect, *, is_framed: bool) -> bytes:
    """An error told inside a 200 answer: as an SSE event, or as the whole body."""
    said = "Simulated: the answer failed half-way."
    if dialect is Dialect.ANTHROPIC:
        body = _anthropic("overloaded_error", said)
        return b"event: error\ndata: " + body + b"\n\n" if is_framed else body
    if dialect is Dialect.OPENAI_RESPONSES and is_framed:
        told = {"type": "error", "code": "server_error", "message": said, "param": None, "sequence_number": 0}
        return b"event: error\ndata: " + msgspec.json.encode(told) + b"\n\n"
    if dialect is Dialect.OLLAMA:
        return _ollama(said) + (b"\n" if is_framed else b"")
    body = _gemini(500, said) if dialect is Dialect.GEMINI else _openai("server_error", None, said)
    return b"data: " + body + b"\n\n" if is_framed else body


def _gemini(status: int, message: str) -> bytes:
    error = {"code": status, "message": message, "status": _GEMINI_STATUS.get(status, "INTERNAL")}
    return msgspec.json.encode({"error": error})


def _ollama(message: str) -> bytes:
    return msgspec.json.encode({"error": message})


def _openai(kind: str, code: str | None, message: str) -> bytes:
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _anthropic(kind: str, message: str) -> bytes:
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})

"""How every failure looks to the client: one table per dialect, in the shape its SDKs expect.

Called by the LLM endpoints, the front (refusals before routing), the admin API and the pages. No
answer carries internals: an exception outside the error tree is told as `internal_error` only.
"""

from __future__ import annotations

import math
from typing import Any
from urllib.parse import parse_qs

import msgspec

from atp_engine.api.bases import split_base
from atp_engine.core.errors import (
    AdmissionError,
    ATPError,
    ConfigError,
    RequestCancelled,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamRejected,
)
from atp_engine.core.text import safe_text
from atp_engine.core.types import Dialect
from atp_engine.dialects.openai_responses_answers import response_head

HeaderList = list[tuple[bytes, bytes]]

OLLAMA_PATHS = frozenset(
    f"/api/{name}" for name in ("chat", "generate", "embed", "embeddings", "tags", "show", "version", "ps")
)
_GOOGLE = "type.googleapis.com/google.rpc."

_LONGEST_WAIT_S = 60.0
"""SDKs sleep for the whole `retry-after`; above this they are told not to retry by themselves."""

_PASSED_ON = frozenset({400, 404, 405, 409, 413, 415, 422})
"""A vendor's own 4xx that is about the client's request; others say something about us."""

_OPENAI_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}
_OPENAI_CODES = {"authentication_failed": "invalid_api_key", "rate_limited": "rate_limit_exceeded"}
_OPENAI_FAMILY = frozenset(
    {
        Dialect.OPENAI_CHAT,
        Dialect.OPENAI_RESPONSES,
        Dialect.OPENAI_COMPLETIONS,
        Dialect.OPENAI_EMBEDDINGS,
    }
)
_LAST_NUMBER = 2**31 - 1
"""The sequence number of an error that ends a stream: after any other, as nobody counts them all."""
_RATE_CODES = frozenset({"rate_limit_exceeded", "upstream_rate_limited"})
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_ANTHROPIC_STATUS = {"backpressure": 529, "upstream_overloaded": 529}
"""Codes whose status Anthropic's SDKs know under a number of their own."""


_GEMINI_STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""google.rpc.Code by HTTP status, ai.google.dev/gemini-api/docs/troubleshooting, November 2026."""


class Problem(msgspec.Struct, frozen=True):
    """A failure as told to the client, before its dialect gives it a shape."""

    status: int
    code: str
    message: str
    param: str | None = None
    retry_after_s: float | None = None
    is_final: bool = False
    """True tells SDKs not to retry although the status suggests it."""
    allow: str = ""
    """Value of the `allow` header of a 405."""


INTERNAL = Problem(500, "internal_error", "The router failed to answer; its log has the cause under this request id.")


def problem_of(error: BaseException) -> Problem:
    """What a client may know of an exception; everything outside the tree is an internal error."""
    if not isinstance(error, ATPError):
        return INTERNAL
    status = error.http_status
    retry_after_s: float | None = None
    is_final = isinstance(error, ConfigError | RequestCancelled | UpstreamAuthFailed)
    if isinstance(error, UpstreamRejected) and error.upstream_status in _PASSED_ON:
        status = error.upstream_status
    if isinstance(error, AdmissionError | UpstreamError):
        retry_after_s = error.retry_after_s
    if retry_after_s is not None:
        is_final = is_final or retry_after_s > _LONGEST_WAIT_S
    return Problem(status, error.code, error.public_message, error.param, retry_after_s, is_final)


def render(error: BaseException, dialect: Dialect | None, request_id: str) -> tuple[int, HeaderList, bytes]:
    """Status, headers and body for an error; `dialect` None is the admin API's own shape."""
    return render_problem(problem_of(error), dialect, request_id)


def render_problem(problem: Problem, dialect: Dialect | None, request_id: str) -> tuple[int, HeaderList, bytes]:
    """The same for a failure that never was an exception (a refused Host, an unknown path)."""
    body = msgspec.json.encode(_body(problem, dialect, request_id))
    status = _status(problem, dialect)
    headers: HeaderList = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *_id_headers(dialect, request_id),
    ]
    if problem.retry_after_s is not None and status in (429, 503, 529):
        headers.append((b"retry-after", b"%d" % whole_seconds(problem.retry_after_s)))
    if problem.is_final:
        headers.append((b"x-should-retry", b"false"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if problem.allow:
        headers.append((b"allow", problem.allow.encode("latin-1")))
    return status, headers, body


def stream_error_event(error: BaseException, dialect: Dialect, request_id: str) -> bytes:
    """What ends a broken stream: an explicit error, never a success marker."""
    body = msgspec.json.encode(_body(problem_of(error), dialect, request_id))
    if dialect is Dialect.ANTHROPIC:
        return b"event: error\ndata: " + body + b"\n\n"
    if dialect is Dialect.OLLAMA:
        return body + b"\n"
    if dialect is Dialect.OPENAI_RESPONSES:
        failed = _responses_failed(body, request_id)
        return b"event: response.failed\ndata: %b\n\nevent: error\ndata: %b\n\n" % (failed, _responses_error(body))
    return b"data: " + body + b"\n\n"


def _responses_failed(body: bytes, request_id: str) -> bytes:
    """The event by which agents (Codex) learn that an answer failed; helpers of the SDKs wait for it too."""
    told = msgspec.json.decode(body)["error"]
    code = "rate_limit_exceeded" if told["code"] in _RATE_CODES else "server_error"
    head = response_head(request_id, "", 0, {})
    response = {**head, "status": "failed", "error": {"code": code, "message": told["message"]}}
    event = {"type": "response.failed", "sequence_number": _LAST_NUMBER - 1, "response": response}
    return msgspec.json.encode(event)


def _responses_error(body: bytes) -> bytes:
    """The last event of a broken stream: flat as the API description has it, and nested as SDKs look for it."""
    nested = msgspec.json.decode(body)
    told = {"type": "error", "sequence_number": _LAST_NUMBER, **nested["error"]}
    return msgspec.json.encode({**told, "type": "error", **nested})


def dialect_of(path: str, headers: HeaderList) -> Dialect | None:
    """Whose shape an answer on this path must have when no endpoint has said so yet."""
    base, path = split_base(path)
    if base == "/anthropic" or path.startswith("/v1/messages"):
        return Dialect.ANTHROPIC
    if path.startswith("/v1beta/") or is_gemini_call(path):
        return Dialect.GEMINI
    if path in OLLAMA_PATHS:
        return Dialect.OLLAMA
    if not path.startswith("/v1/") and not base:
        return None
    if not base and path.startswith("/v1/models") and any(name == b"x-goog-api-key" for name, _ in headers):
        return Dialect.GEMINI
    if not base and any(name == b"anthropic-version" for name, _ in headers):
        return Dialect.ANTHROPIC
    return Dialect.OPENAI_CHAT


def credentials(headers: HeaderList, query: bytes) -> HeaderList:
    """The headers, with the key that Google's clients may put in the query as the header that it stands for."""
    if b"key=" not in query:
        return headers
    keys = parse_qs(query, max_num_fields=16).get(b"key", []) if query.count(b"&") < 16 else []
    return [*headers, *((b"x-goog-api-key", key) for key in keys)]


def is_gemini_call(path: str) -> bool:
    """True for a method of a model on Google's paths, which share `/v1/models/` with OpenAI's."""
    return path.startswith(("/v1/models/", "/v1beta/models/")) and path.rpartition(":")[2].isalpha() and ":" in path


def whole_seconds(wait_s: float) -> int:
    """A wait as the `retry-after` header states it: rounded up, at least 1, finite."""
    if not math.isfinite(wait_s):
        return 3600
    return max(1, math.ceil(wait_s))


def _status(problem: Problem, dialect: Dialect | None) -> int:
    if dialect is Dialect.ANTHROPIC:
        return _ANTHROPIC_STATUS.get(problem.code, problem.status)
    return problem.status


def _body(problem: Problem, dialect: Dialect | None, request_id: str) -> dict[str, Any]:
    message = safe_text(problem.message, is_line=False)
    status = _status(problem, dialect)
    if dialect is Dialect.ANTHROPIC:
        fallback = "api_error" if status >= 500 else "invalid_request_error"
        kind = _ANTHROPIC_TYPES.get(status, fallback)
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    if dialect is Dialect.GEMINI:
        return {"error": _gemini_error(problem, status, message)}
    if dialect is Dialect.OLLAMA:
        return {"error": message}
    if dialect in _OPENAI_FAMILY:
        kind = _OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        code = _OPENAI_CODES.get(problem.code, problem.code)
        return {"error": {"message": message, "type": kind, "param": problem.param, "code": code}}
    told = {"code": problem.code, "message": message, "request_id": request_id}
    return {"error": told if problem.param is None else {**told, "param": problem.param}}


def _gemini_error(problem: Problem, status: int, message: str) -> dict[str, Any]:
    """Google's status with its details: our own code, the field that is wrong, when to try again."""
    reason = "API_KEY_INVALID" if problem.code == "authentication_failed" else problem.code.upper()
    details: list[dict[str, Any]] = [{"@type": f"{_GOOGLE}ErrorInfo", "reason": reason, "domain": "atp-console"}]
    if problem.param:
        violation = {"field": problem.param, "description": message}
        details.append({"@type": f"{_GOOGLE}BadRequest", "fieldViolations": [violation]})
    if problem.retry_after_s is not None:
        details.append({"@type": f"{_GOOGLE}RetryInfo", "retryDelay": f"{whole_seconds(problem.retry_after_s)}s"})
    kind = _GEMINI_STATUS.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    return {"code": status, "message": message, "status": kind, "details": details}


def _id_headers(dialect: Dialect | None, request_id: str) -> HeaderList:
    value = request_id.encode("latin-1", "replace")
    name = b"request-id" if dialect is Dialect.ANTHROPIC else b"x-request-id"
    return [(name, value), (b"x-atp-request-id", value)]

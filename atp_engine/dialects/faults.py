"""A vendor's failure put into one of our error classes, with a reason fit for clients.

`providers` call `fault_from_reply` for every answer that is not 200, stream taps call
`fault_from_event` for errors inside a stream. Types, codes and phrases are those of OpenAI, Anthropic,
Gemini, Ollama and compatible servers (vLLM, llama.cpp, Groq, OpenRouter, Azure, TGI) as of November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from atp_engine.core.errors import (
    BadUpstreamReply,
    ContentBlocked,
    ContextTooLong,
    StreamBroken,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
)
from atp_engine.core.redact import redact
from atp_engine.core.text import safe_text
from atp_engine.core.types import Dialect
from atp_engine.dialects import json_text

REASON_LIMIT = 300
_LONGEST_READ = 64 * 1024

# fmt: off
_AUTH = frozenset({
    "invalid_api_key", "authentication_error", "permission_error", "permission_denied", "unauthorized",
    "unauthenticated", "invalid_authentication", "account_deactivated", "organization_deactivated", "api_key_invalid",
    "api_key_expired",
})
_QUOTA = frozenset({
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "billing_error", "quota_exceeded",
})
_CONTEXT = frozenset({
    "context_length_exceeded", "exceed_context_size_error", "request_too_large", "model_context_window_exceeded",
    "prompt_too_long", "context_window_exceeded", "string_above_max_length",
})
_BLOCKED = frozenset({
    "content_filter", "content_policy_violation", "responsibleaipolicyviolation", "moderation_blocked",
    "content_moderation",
})
_RATE = frozenset({
    "rate_limit_error", "rate_limit_exceeded", "rate_limited", "too_many_requests", "resource_exhausted",
})
_BUSY = frozenset({
    "overloaded_error", "api_error", "server_error", "internal_server_error", "internal_error", "internal",
    "service_unavailable", "service_unavailable_error", "unavailable", "unavailable_error", "timeout_error",
    "timeout", "engine_overloaded", "overloaded",
})
_REJECTED = frozenset({
    "invalid_request_error", "not_found_error", "model_not_found", "bad_request", "badrequesterror",
    "invalid_argument", "failed_precondition",
})
_NO_MODEL = frozenset({
    "model_not_found", "not_found_error", "notfounderror", "deployment_not_found", "modelnotfound",
})
# fmt: on

_CONTEXT_TEXT = re.compile(
    r"maximum context length|prompt is too long|input is too long|too many tokens in|"
    r"context (?:length|window|size|limit) (?:was |is |has been )?exceeded|"
    r"exceed(?:s|ed|ing)? (?:the |this |its )?(?:model'?s? |available |maximum |max )*context|"
    r"(?:longer|greater|larger) than the (?:model'?s? |maximum )*(?:context|model length|input length)|"
    r"input token count.{0,40}exceeds|reduce the length of (?:the |your )?(?:messages|prompt|input)|"
    r"max_new_tokens` must be <=|maximum prompt length|exceeded model token limit",
    re.IGNORECASE,
)
_BLOCKED_TEXT = re.compile(
    r"content (?:filtering|management) policy|content filter|flagged by .{0,40}moderation", re.IGNORECASE
)
_QUOTA_TEXT = re.compile(
    r"credit balance|exceeded your current quota|insufficient (?:credits|balance|funds)", re.IGNORECASE
)
_WAIT = re.compile(
    r"(?:try again|retry) (?:in|after) (?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)(ms|s))?", re.IGNORECASE
)
_ADDRESS = re.compile(r"\b[a-zA-Z][a-zA-Z0-9+.-]{1,15}://\S+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b")
_SHORT_KEY = re.compile(r"\b(?:sk|pk|rk)-[^\s\"',;)]{4,}|\b(bearer)\s+\S+", re.IGNORECASE)

_CODE_KEYS: Mapping[Dialect, tuple[str, ...]] = MappingProxyType(
    {
        Dialect.OPENAI_CHAT: ("code", "type", "status"),
        Dialect.ANTHROPIC: ("type", "code"),
        Dialect.OPENAI_RESPONSES: ("code", "type", "status"),
        Dialect.OPENAI_COMPLETIONS: ("code", "type", "status"),
        Dialect.OPENAI_EMBEDDINGS: ("code", "type", "status"),
        Dialect.GEMINI: ("status",),
        Dialect.GEMINI_EMBEDDINGS: ("status",),
        Dialect.OLLAMA: ("code", "type"),
    }
)
"""Where a dialect puts its machine-readable reason, most telling first."""


class _Complaint(msgspec.Struct, frozen=True):
    """What a vendor's error body says."""

    codes: tuple[str, ...]
    """Lower case, most telling first; numbers are left out."""
    message: str
    status: int = 0
    """An HTTP status given inside the body."""


def fault_from_reply(dialect: Dialect, status: int, payload: bytes) -> UpstreamError:
    """The error class of an answer whose status is not 200, the vendor's reason as its message.

    401, 403 and spent credit say something about us; every other 4xx keeps its status.
    """
    return _classified(status, _read(dialect, payload), f"The provider answered with status {status}.")


def fault_from_event(dialect: Dialect, payload: bytes) -> UpstreamError:
    """The error class of an error told inside a stream or a 200 answer; `payload` is its JSON."""
    complaint = _read(dialect, payload)
    status = complaint.status if 400 <= complaint.status <= 599 else 0
    return _classified(status, complaint, "The provider reported an error in its answer.")


def public_reason(text: str, fallback: str = "") -> str:
    """A vendor's words without keys, addresses and control characters, at most 300 characters."""
    text = redact(safe_text(text))
    text = _ADDRESS.sub("[address]", _SHORT_KEY.sub("***", text)).strip()
    return safe_text(text, limit=REASON_LIMIT) or fallback


def _classified(status: int, complaint: _Complaint, fallback: str) -> UpstreamError:
    kind = _kind(status, complaint)
    error = kind(
        public_reason(complaint.message, fallback),
        upstream_status=status,
        vendor_code=safe_text(complaint.codes[0], limit=64) if complaint.codes else "",
        retry_after_s=_wait_s(complaint.message) if kind is UpstreamRateLimited else None,
    )
    if isinstance(error, UpstreamRejected) and 400 <= status < 500:
        error.http_status = status
        # A model this deployment does not have may well be served by the next one.
        error.is_retryable = status == 404 or not _NO_MODEL.isdisjoint(complaint.codes)
    return error


def _kind(status: int, complaint: _Complaint) -> type[UpstreamError]:
    codes, text = frozenset(complaint.codes), complaint.message
    if codes & _BLOCKED or (status < 500 and _BLOCKED_TEXT.search(text)):
        return ContentBlocked
    if status == 402 or codes & _QUOTA or _QUOTA_TEXT.search(text):
        return UpstreamRateLimited
    if status in (401, 403) or codes & _AUTH:
        return UpstreamAuthFailed
    if status == 429 or codes & _RATE:
        return UpstreamRateLimited
    if status == 413 or codes & _CONTEXT or _CONTEXT_TEXT.search(text):
        return ContextTooLong
    if status >= 500 or status in (408, 425) or (status == 0 and codes & _BUSY):
        return UpstreamOverloaded
    if 400 <= status < 500 or codes & _REJECTED:
        return UpstreamRejected
    return BadUpstreamReply if status else StreamBroken


def _read(dialect: Dialect, payload: bytes) -> _Complaint:
    try:
        body = json_text.decode(_ANY, payload[:_LONGEST_READ])
    except ValueError:
        return _Complaint((), "" if payload.lstrip()[:1] == b"<" else payload[:4096].decode("utf-8", "replace"))
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, dict):
        return _Complaint((), body if isinstance(body, str) else "")
    inner = body.get("error")
    source = inner if isinstance(inner, dict) else body
    codes = [str(source[key]).lower() for key in _CODE_KEYS[dialect] if isinstance(source.get(key), str)]
    deeper = source.get("innererror")
    if isinstance(deeper, dict) and isinstance(deeper.get("code"), str):
        codes.append(deeper["code"].lower())
    codes += _detailed(source.get("details"))
    number = source.get("code")
    return _Complaint(tuple(codes), _message(inner, body), number if isinstance(number, int) else 0)


def _detailed(details: Any) -> list[str]:
    """The reasons in Google's `details`, such as `API_KEY_INVALID` of a 400."""
    if not isinstance(details, list):
        return []
    reasons = [detail.get("reason") for detail in details[:8] if isinstance(detail, dict)]
    return [reason.lower() for reason in reasons if isinstance(reason, str)]


def _message(inner: Any, body: dict[str, Any]) -> str:
    """The words, wherever a server puts them: `error`, `error.message`, `message`, `detail`."""
    if isinstance(inner, str):
        return inner
    for source in (inner, body):
        if not isinstance(source, dict):
            continue
        for key in ("message", "detail", "msg"):
            said = source.get(key)
            if isinstance(said, list) and said and isinstance(said[0], dict):
                said = said[0].get("msg")
            if isinstance(said, str) and said:
                return said
    return ""


def _wait_s(message: str) -> float | None:
    """The wait that a vendor states in words only (`try again in 1m2.5s`)."""
    found = _WAIT.search(message)
    if not found or not any(found.groups()):
        return None
    hours, minutes, rest, unit = found.groups()
    seconds = float(rest or 0) / (1000.0 if unit == "ms" else 1.0)
    return min(int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + seconds, 86_400.0)


_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

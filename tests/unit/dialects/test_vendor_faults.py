"""Vendors' failures land in the class that the walk reacts to, with a reason fit for clients."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from atp_engine.core.types import Dialect
from atp_engine.dialects.faults import fault_from_event, fault_from_reply, public_reason

OPENAI, ANTHROPIC = Dialect.OPENAI_CHAT, Dialect.ANTHROPIC


def _openai(message: str, type: str = "invalid_request_error", code: Any = None, **more: Any) -> Any:
    return {"error": {"message": message, "type": type, "param": None, "code": code, **more}}


def _anthropic(type: str, message: str) -> Any:
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_1"}


ROWS: list[tuple[Dialect, int, Any, type[UpstreamError]]] = [
    # OpenAI
    (OPENAI, 401, _openai("Incorrect API key provided: sk-abc***xyz.", code="invalid_api_key"), UpstreamAuthFailed),
    (OPENAI, 403, _openai("Country, region, or territory not supported", "request_forbidden"), UpstreamAuthFailed),
    (OPENAI, 404, _openai("The model `x` does not exist", code="model_not_found"), UpstreamRejected),
    (OPENAI, 429, _openai("Rate limit reached for gpt-4o", "requests", "rate_limit_exceeded"), UpstreamRateLimited),
    (
        OPENAI,
        429,
        _openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        UpstreamRateLimited,
    ),
    (
        OPENAI,
        429,
        _openai("Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000", "tokens"),
        UpstreamRateLimited,
    ),
    (OPENAI, 400, _openai("Input exceeds", code="context_length_exceeded"), ContextTooLong),
    (OPENAI, 400, _openai("Rejected by our safety system", code="content_policy_violation"), ContentBlocked),
    (OPENAI, 400, _openai("Unsupported parameter: 'max_tokens'", code="unsupported_parameter"), UpstreamRejected),
    (
        OPENAI,
        400,
        _openai("max_tokens is too large: 99999. This model supports at most 16384 completion tokens"),
        UpstreamRejected,
    ),
    (OPENAI, 422, {"detail": [{"loc": ["body"], "msg": "extra fields not permitted"}]}, UpstreamRejected),
    (OPENAI, 409, _openai("Conflict"), UpstreamRejected),
    (OPENAI, 408, _openai("Timeout"), UpstreamOverloaded),
    (OPENAI, 500, _openai("The server had an error", "server_error"), UpstreamOverloaded),
    (OPENAI, 503, _openai("The engine is currently overloaded", "server_error"), UpstreamOverloaded),
    # Azure
    (
        OPENAI,
        400,
        _openai(
            "The response was filtered due to the prompt",
            code="content_filter",
            innererror={"code": "ResponsibleAIPolicyViolation"},
        ),
        ContentBlocked,
    ),
    # vLLM
    (
        OPENAI,
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 4096 tokens. However, you requested 9000",
            "type": "BadRequestError",
            "code": 400,
        },
        ContextTooLong,
    ),
    (
        OPENAI,
        400,
        {
            "error": {
                "message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096",
                "code": 400,
            }
        },
        ContextTooLong,
    ),
    (
        OPENAI,
        404,
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
        UpstreamRejected,
    ),
    # llama.cpp and llama-cpp-python
    (
        OPENAI,
        400,
        {
            "error": {
                "code": 400,
                "message": "the request exceeds the available context size. try increasing it",
                "type": "exceed_context_size_error",
            }
        },
        ContextTooLong,
    ),
    (
        OPENAI,
        500,
        {"error": {"code": 500, "message": "the request exceeds the available context size", "type": "server_error"}},
        ContextTooLong,
    ),
    (
        OPENAI,
        400,
        {"error": {"message": "This model's maximum context length is 512 tokens", "code": "context_length_exceeded"}},
        ContextTooLong,
    ),
    (
        OPENAI,
        503,
        {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
        UpstreamOverloaded,
    ),
    (
        OPENAI,
        401,
        {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}},
        UpstreamAuthFailed,
    ),
    # Groq, TGI, SGLang, LM Studio, Ollama
    (OPENAI, 400, _openai("Please reduce the length of the messages or completion."), ContextTooLong),
    (
        OPENAI,
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
            "error_type": "validation",
        },
        ContextTooLong,
    ),
    (
        OPENAI,
        400,
        {"message": "The input (9000 tokens) is longer than the model's context length (4096 tokens)."},
        ContextTooLong,
    ),
    (
        OPENAI,
        400,
        {"error": "The number of tokens to keep from the initial prompt is greater than the context length"},
        ContextTooLong,
    ),
    (OPENAI, 404, {"error": "model 'x' not found, try pulling it first"}, UpstreamRejected),
    # OpenRouter, Google's compatible endpoint
    (OPENAI, 402, {"error": {"message": "Insufficient credits", "code": 402}}, UpstreamRateLimited),
    (OPENAI, 403, {"error": {"message": "Your input was flagged by OpenAI moderation", "code": 403}}, ContentBlocked),
    (
        OPENAI,
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (9) exceeds the maximum number of tokens allowed",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
        ContextTooLong,
    ),
    (
        OPENAI,
        429,
        [{"error": {"code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED"}}],
        UpstreamRateLimited,
    ),
    # Anthropic
    (
        ANTHROPIC,
        400,
        _anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        ContextTooLong,
    ),
    (
        ANTHROPIC,
        400,
        _anthropic(
            "invalid_request_error", "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"
        ),
        ContextTooLong,
    ),
    (ANTHROPIC, 413, _anthropic("request_too_large", "Request exceeds the maximum size"), ContextTooLong),
    (
        ANTHROPIC,
        400,
        _anthropic(
            "invalid_request_error", "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens"
        ),
        UpstreamRejected,
    ),
    (ANTHROPIC, 400, _anthropic("invalid_request_error", "Output blocked by content filtering policy"), ContentBlocked),
    (
        ANTHROPIC,
        400,
        _anthropic("invalid_request_error", "Your credit balance is too low to access the API"),
        UpstreamRateLimited,
    ),
    (ANTHROPIC, 401, _anthropic("authentication_error", "invalid x-api-key"), UpstreamAuthFailed),
    (ANTHROPIC, 403, _anthropic("permission_error", "Your API key does not have permission"), UpstreamAuthFailed),
    (ANTHROPIC, 404, _anthropic("not_found_error", "model: claude-x"), UpstreamRejected),
    (ANTHROPIC, 429, _anthropic("rate_limit_error", "This request would exceed your rate limit"), UpstreamRateLimited),
    (ANTHROPIC, 500, _anthropic("api_error", "Internal server error"), UpstreamOverloaded),
    (ANTHROPIC, 529, _anthropic("overloaded_error", "Overloaded"), UpstreamOverloaded),
    (OPENAI, 503, _openai("The content filter is unavailable", "server_error"), UpstreamOverloaded),
    # Proxies and nonsense
    (OPENAI, 502, "<html><head><title>502 Bad Gateway</title></head></html>", UpstreamOverloaded),
    (OPENAI, 404, "404 page not found", UpstreamRejected),
    (OPENAI, 400, "", UpstreamRejected),
    (OPENAI, 418, {"error": {"message": None, "type": None}}, UpstreamRejected),
    (OPENAI, 400, {"error": []}, UpstreamRejected),
    (OPENAI, 400, 5, UpstreamRejected),
    (ANTHROPIC, 302, "", BadUpstreamReply),
    (ANTHROPIC, 204, "", BadUpstreamReply),
]


@pytest.mark.parametrize(("dialect", "status", "body", "kind"), ROWS, ids=range(len(ROWS)))
def test_a_vendors_failure_is_classified(dialect: Dialect, status: int, body: Any, kind: type[UpstreamError]) -> None:
    payload = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    error = fault_from_reply(dialect, status, payload)
    assert type(error) is kind
    assert error.upstream_status == status
    assert error.public_message
    if isinstance(error, UpstreamRejected):
        assert error.http_status == status
        assert error.is_retryable is (status == 404)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        ({"error": {"message": "busy", "type": "overloaded_error"}}, UpstreamOverloaded),
        ({"error": {"message": "busy", "type": "server_error", "code": None}}, UpstreamOverloaded),
        ({"error": {"message": "Provider returned error", "code": 502}}, UpstreamOverloaded),
        ({"error": {"message": "slow down", "code": 429}}, UpstreamRateLimited),
        ({"error": {"message": "bad", "type": "invalid_request_error"}}, UpstreamRejected),
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, ContextTooLong),
        ({"error": {"message": "odd"}}, StreamBroken),
        ({"error": "odd"}, StreamBroken),
        ({"error": {"message": "odd", "code": 7}}, StreamBroken),
    ],
)
def test_an_error_inside_a_stream_is_classified(payload: Any, kind: type[UpstreamError]) -> None:
    assert type(fault_from_event(OPENAI, json.dumps(payload).encode())) is kind


def test_the_vendors_reason_and_code_are_kept() -> None:
    body = json.dumps(_openai("Unsupported value: 'n' must be 1", code="unsupported_value")).encode()
    error = fault_from_reply(OPENAI, 400, body)
    assert error.public_message == "Unsupported value: 'n' must be 1"
    assert error.vendor_code == "unsupported_value"
    other = fault_from_reply(
        ANTHROPIC, 400, json.dumps(_anthropic("invalid_request_error", "messages: empty")).encode()
    )
    assert (other.public_message, other.vendor_code) == ("messages: empty", "invalid_request_error")


def test_bodies_without_a_reason_get_a_plain_one() -> None:
    for payload in (b"", b"<!DOCTYPE html><h1>It works</h1>", b"{}", b'{"error":null}', b"[]"):
        assert fault_from_reply(OPENAI, 503, payload).public_message == "The provider answered with status 503."


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
        "sk-ant-api03-AAAAAAAAAAAAAAAAAAAA-BBBB",
        "sk-short1",
        "sk-abc***xyz",
        "Bearer abcdef.ghijkl",
        "gsk_abcdefghijklmnopqrstuvwxyz",
        "AIzaSyA0123456789abcdefghijklmnopq",
        "https://user:pw@internal.example:8443/v1?key=1",
        "http://10.1.2.3:8000/v1",
        "192.168.0.17:11434",
    ],
)
def test_keys_and_addresses_are_never_told(secret: str) -> None:
    body = json.dumps(_openai(f"Cannot use {secret}, sorry")).encode()
    told = fault_from_reply(OPENAI, 400, body).public_message
    assert secret not in told
    assert told.startswith("Cannot use")
    for piece in ("abcdefghij", "AAAA", "short1", "internal.example", "10.1.2.3", "192.168"):
        assert piece not in told


def test_a_reason_is_one_short_harmless_line() -> None:
    told = public_reason("\x1b[31mred\x1b]52;c;AAAA\x07\n\nline " + "x" * 900)
    assert told.startswith("red line xxx")
    assert len(told) == 300
    assert told.isprintable()


def test_a_key_cut_by_the_limit_is_not_half_shown() -> None:
    told = public_reason("x" * 290 + " sk-proj-abcdefghijklmnopqrstuvwxyz0123456789")
    assert "abc" not in told


@pytest.mark.parametrize(
    ("message", "wait_s"),
    [
        ("Rate limit reached. Please try again in 1.5s.", 1.5),
        ("Please try again in 20ms. Visit", 0.02),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1h2m3s", 3723.0),
        ("Please retry after 7s", 7.0),
        ("Please try again later", None),
        ("Please try again in a moment", None),
        ("try again in 99999999h", 86_400.0),
    ],
)
def test_a_wait_stated_in_words_is_read(message: str, wait_s: float | None) -> None:
    error = fault_from_reply(OPENAI, 429, json.dumps(_openai(message)).encode())
    assert error.retry_after_s == wait_s


@settings(deadline=None)
@given(st.sampled_from(list(Dialect)), st.integers(100, 599), st.binary(max_size=300))
def test_no_bytes_make_classification_fail(dialect: Dialect, status: int, payload: bytes) -> None:
    assert isinstance(fault_from_reply(dialect, status, payload), UpstreamError)
    assert isinstance(fault_from_event(dialect, payload), UpstreamError)


def test_huge_and_deep_bodies_are_classified_too() -> None:
    for payload in (b'{"error":' * 100_000, b'{"error":{"message":"' + b"x" * 5_000_000 + b'"}}', b"9" * 100_000):
        assert isinstance(fault_from_reply(OPENAI, 500, payload), UpstreamOverloaded)

"""Every error reaches its client in the shape and status that its SDK turns into the right class."""

from __future__ import annotations

import inspect
import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from openai.types.responses import ResponseFailedEvent

from atp_engine.api.errors import dialect_of, render, stream_error_event, whole_seconds
from atp_engine.core import errors
from atp_engine.core.errors import (
    ATPError,
    ConfigError,
    ConfigProblem,
    Forbidden,
    InvalidKey,
    InvalidRequest,
    NoRoute,
    PayloadTooLarge,
    QueueFull,
    RateLimited,
    RequestCancelled,
    StreamBroken,
    UnknownModel,
    UpstreamAuthFailed,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    WindowExceeded,
)
from atp_engine.core.types import Dialect
from atp_engine.dialects.sse import events

OPENAI = Dialect.OPENAI_CHAT
ANTHROPIC = Dialect.ANTHROPIC

CASES: list[tuple[Exception, int, type[Exception], int, type[Exception]]] = [
    (InvalidKey("no"), 401, openai.AuthenticationError, 401, anthropic.AuthenticationError),
    (Forbidden("no"), 403, openai.PermissionDeniedError, 403, anthropic.PermissionDeniedError),
    (UnknownModel("no"), 404, openai.NotFoundError, 404, anthropic.NotFoundError),
    (InvalidRequest("no"), 400, openai.BadRequestError, 400, anthropic.BadRequestError),
    (PayloadTooLarge("no"), 413, openai.APIStatusError, 413, anthropic.APIStatusError),
    (RateLimited("no", retry_after_s=1), 429, openai.RateLimitError, 429, anthropic.RateLimitError),
    (WindowExceeded("no", retry_after_s=1), 429, openai.RateLimitError, 429, anthropic.RateLimitError),
    (QueueFull("no", retry_after_s=1), 503, openai.InternalServerError, 529, anthropic.InternalServerError),
    (NoRoute("no", reasons={}), 503, openai.InternalServerError, 503, anthropic.InternalServerError),
    (UpstreamOverloaded("no"), 503, openai.InternalServerError, 529, anthropic.InternalServerError),
    (UpstreamRateLimited("no"), 429, openai.RateLimitError, 429, anthropic.RateLimitError),
    (UpstreamTimeout("no", limit="ttft"), 504, openai.InternalServerError, 504, anthropic.InternalServerError),
    (StreamBroken("no"), 502, openai.InternalServerError, 502, anthropic.InternalServerError),
    (RequestCancelled("no"), 499, openai.APIStatusError, 499, anthropic.APIStatusError),
    (ValueError("secret"), 500, openai.InternalServerError, 500, anthropic.InternalServerError),
]


def _rendered(error: BaseException, dialect: Dialect | None) -> tuple[int, dict[bytes, bytes], Any]:
    status, headers, body = render(error, dialect, "req_1")
    assert dict(headers)[b"content-length"] == b"%d" % len(body)
    return status, dict(headers), json.loads(body)


def _raised_by_sdk(client: Any, status: int, headers: dict[bytes, bytes], body: Any) -> Exception:
    response = httpx2.Response(
        status,
        headers=[(name, value) for name, value in headers.items() if name != b"content-length"],
        json=body,
        request=httpx2.Request("POST", "http://127.0.0.1/v1"),
    )
    error = client._make_status_error_from_response(response)
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(("error", "status", "kind", "_a", "_b"), CASES)
def test_an_openai_client_raises_its_own_class(
    error: Exception, status: int, kind: type[Exception], _a: int, _b: type[Exception]
) -> None:
    got, headers, body = _rendered(error, OPENAI)
    assert got == status
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    raised = _raised_by_sdk(openai.OpenAI(api_key="k"), got, headers, body)
    assert type(raised) is kind
    assert getattr(raised, "request_id", None) == "req_1"


@pytest.mark.parametrize(("error", "_a", "_b", "status", "kind"), CASES)
def test_an_anthropic_client_raises_its_own_class(
    error: Exception, _a: int, _b: type[Exception], status: int, kind: type[Exception]
) -> None:
    got, headers, body = _rendered(error, ANTHROPIC)
    assert got == status
    assert (set(body), body["type"], set(body["error"])) == (
        {"type", "error", "request_id"},
        "error",
        {"type", "message"},
    )
    raised = _raised_by_sdk(anthropic.Anthropic(api_key="k"), got, headers, body)
    assert isinstance(raised, kind)
    assert getattr(raised, "request_id", None) == "req_1"


@pytest.mark.parametrize(
    ("error", "openai_type", "openai_code", "anthropic_type"),
    [
        (InvalidKey("x"), "authentication_error", "invalid_api_key", "authentication_error"),
        (UnknownModel("x"), "not_found_error", "model_not_found", "not_found_error"),
        (PayloadTooLarge("x"), "request_too_large", "prompt_too_large", "request_too_large"),
        (RateLimited("x", retry_after_s=1), "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
        (QueueFull("x", retry_after_s=1), "server_error", "backpressure", "overloaded_error"),
        (InvalidRequest("x", param="messages"), "invalid_request_error", "invalid_request", "invalid_request_error"),
        (UpstreamTimeout("x", limit="idle"), "server_error", "upstream_timeout", "timeout_error"),
        (StreamBroken("x"), "server_error", "stream_broken", "api_error"),
    ],
)
def test_types_and_codes_are_those_of_the_dialect(
    error: ATPError, openai_type: str, openai_code: str, anthropic_type: str
) -> None:
    _, _, body = _rendered(error, OPENAI)
    assert (body["error"]["type"], body["error"]["code"]) == (openai_type, openai_code)
    assert body["error"]["param"] == error.param
    assert _rendered(error, ANTHROPIC)[2]["error"]["type"] == anthropic_type


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, None])
def test_unknown_exceptions_tell_nothing_but_the_request_id(dialect: Dialect | None) -> None:
    status, headers, body = render(RuntimeError("/home/me/key.pem: hunter2"), dialect, "req_9")
    assert status == 500
    assert b"hunter2" not in body
    assert b"key.pem" not in body
    assert dict(headers)[b"x-atp-request-id"] == b"req_9"


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, None])
def test_every_class_of_the_tree_renders_in_every_dialect(dialect: Dialect | None) -> None:
    made = [_make(kind) for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, ATPError)]
    assert len(made) > 20
    for error in made:
        status, headers, body = _rendered(error, dialect)
        assert 400 <= status <= 599
        assert b"x-atp-request-id" in headers
        assert body["error"]["message"]


def _make(kind: type[ATPError]) -> ATPError:
    wanted = inspect.signature(kind.__init__).parameters
    extra: dict[str, Any] = {"retry_after_s": 2.0, "reasons": {}, "limit": "total"}
    if kind is ConfigError:
        return ConfigError([ConfigProblem("atp.toml", 3, 1, "server.port", "must be a number")])
    required = {name: extra[name] for name, p in wanted.items() if p.default is p.empty and name in extra}
    return kind("went wrong", **required)


def test_waits_are_whole_seconds_rounded_up() -> None:
    assert [whole_seconds(wait) for wait in (0.0, 0.2, 1.0, 1.01, 59.5)] == [1, 1, 1, 2, 60]
    assert whole_seconds(float("inf")) == 3600
    _, headers, _ = _rendered(RateLimited("slow down", retry_after_s=1.2), OPENAI)
    assert headers[b"retry-after"] == b"2"
    assert b"x-should-retry" not in headers


def test_a_long_wait_or_a_hopeless_case_tells_sdks_not_to_retry() -> None:
    for error in (
        WindowExceeded("budget used up", retry_after_s=7200),
        UpstreamAuthFailed("the provider refused our key"),
        RequestCancelled("an operator ended it"),
        ConfigError([ConfigProblem("atp.toml", 0, 0, "", "broken")]),
    ):
        assert _rendered(error, ANTHROPIC)[1][b"x-should-retry"] == b"false"


def test_a_vendors_own_4xx_keeps_its_status_but_never_looks_like_our_401() -> None:
    assert _rendered(UpstreamRejected("bad tool", upstream_status=422), OPENAI)[0] == 422
    assert _rendered(UpstreamRejected("denied", upstream_status=401), OPENAI)[0] == 400
    assert _rendered(UpstreamRejected("odd", upstream_status=418), OPENAI)[0] == 400


def test_a_stream_error_is_an_error_event_and_never_a_success_marker() -> None:
    event = stream_error_event(StreamBroken("the stream ended early"), OPENAI, "req_1")
    assert event.startswith(b"data: {")
    assert event.endswith(b"}\n\n")
    assert b"[DONE]" not in event
    assert json.loads(event[6:])["error"]["code"] == "stream_broken"
    event = stream_error_event(UpstreamOverloaded("busy"), ANTHROPIC, "req_1")
    head, data, *_ = event.split(b"\n")
    assert head == b"event: error"
    assert json.loads(data.removeprefix(b"data: ")) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": "busy"},
        "request_id": "req_1",
    }


def test_a_responses_stream_fails_first_and_errs_then_and_others_say_it_in_their_way() -> None:
    ended = stream_error_event(UpstreamRateLimited("slow down"), Dialect.OPENAI_RESPONSES, "req_1")
    failed, error = [json.loads(event.data or b"") for event in events(ended)]
    told = ResponseFailedEvent.model_validate(failed)
    assert (told.response.id, told.response.status) == ("resp_1", "failed")
    assert told.response.error is not None
    assert (told.response.error.code, told.response.error.message) == ("rate_limit_exceeded", "slow down")
    assert (error["type"], error["error"]["message"]) == ("error", "slow down")
    assert failed["sequence_number"] < error["sequence_number"]
    gemini = stream_error_event(StreamBroken("it ended early"), Dialect.GEMINI, "req_1")
    assert json.loads(gemini.removeprefix(b"data: "))["error"]["status"] == "UNAVAILABLE"
    ollama = stream_error_event(StreamBroken("it ended early"), Dialect.OLLAMA, "req_1")
    assert json.loads(ollama) == {"error": "it ended early"}


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_hostile_messages_stay_one_event_of_valid_json(dialect: Dialect) -> None:
    nasty = "a\ud83c \x1b[31mred\x1b[0m\r\n\ndata: [DONE]\n\n" + "x" * 10_000
    event = stream_error_event(InvalidRequest(nasty), dialect, "req_1")
    assert event.count(b"\n\n") == 1
    assert b"\x1b" not in event
    assert len(event) < 6_000
    json.loads(event.partition(b"data: ")[2])


def test_the_shape_follows_the_path_and_the_callers_version_header() -> None:
    version = [(b"anthropic-version", b"2023-06-01")]
    assert dialect_of("/v1/messages/count_tokens", []) is ANTHROPIC
    assert dialect_of("/v1/chat/completions", []) is OPENAI
    assert dialect_of("/v1/models", []) is OPENAI
    assert dialect_of("/v1/models", version) is ANTHROPIC
    assert dialect_of("/admin/status", version) is None

"""The error tree of the product; a class exists only where somebody reacts to it differently.

    ATPError
    |- ConfigError                     the file or its references are wrong; carries located problems
    |  |- ConfigRefused                422, a text handed in to be applied
    |  `- ConfigConflict               409, the file was changed underneath
    |- InvalidRequest                  the client's call is wrong (4xx)
    |  |- UnknownModel                 404, names near models
    |  |- UnknownResponse              404, a stored answer that is not there or not the caller's
    |  |- SessionDropped               403, its session was dropped by an operator
    |  |- PayloadTooLarge              413, before the body is parsed
    |  `- UnsupportedFeature           400, content that the target dialect cannot carry
    |- AuthError
    |  |- InvalidKey                   401
    |  `- Forbidden                    403
    |- AdmissionError                  we refuse to start the work now; retry_after_s
    |  |- RateLimited                  429
    |  |- WindowExceeded               429
    |  |- QueueFull                    503
    |  |- SessionPaused                503, its session is paused by an operator
    |  `- EngineStopping               503, what was running is cut by a stop
    |- NoRoute                         no live deployment fits; carries a reason per deployment
    |- RequestCancelled                the client or an operator ended the request
    |- UpstreamError                   the deployment failed; provider, deployment, attempt
    |  |- UpstreamTimeout              504, names the limit (connect, ttft, idle, total)
    |  |- UpstreamUnreachable          502, refused, reset before headers, name not found
    |  |- UpstreamRateLimited          429, retry_after_s
    |  |- UpstreamOverloaded           503, 5xx and vendor overload codes
    |  |- UpstreamRejected             the vendor's own 4xx, passed on
    |  |- ContextTooLong               400, try a larger context
    |  |- ContentBlocked               400, vendor's content filter, never retried
    |  |- UpstreamAuthFailed           502: our credential, never shown as the client's 401
    |  |- BadUpstreamReply             502, not what the dialect promises
    |  `- StreamBroken                 502, the stream ended without its terminal event
    `- StorageError                    the database or the body store failed

`api/errors.py` renders them once per dialect. Messages are public text: they never hold upstream
URLs, credentials or stacks; the cause goes to the log under the request id.
"""

from __future__ import annotations

from dataclasses import dataclass


class ATPError(Exception):
    """Base of the tree: a stable `code`, the HTTP status, and a message fit for the client."""

    code = "internal_error"
    http_status = 500
    is_retryable = False

    def __init__(self, public_message: str, *, param: str | None = None) -> None:
        super().__init__(public_message)
        self.public_message = public_message
        self.param = param


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One located complaint about a config file: 1-based line and column, 0 where unknown."""

    path: str
    line: int
    column: int
    key: str
    message: str
    hint: str = ""
    is_warning: bool = False

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        hint = f" ({self.hint})" if self.hint else ""
        return ": ".join(part for part in (place, self.key, self.message) if part) + hint


class ConfigError(ATPError):
    """The configuration cannot be used; `problems` lists every complaint, never only the first."""

    code = "configuration_error"

    def __init__(self, problems: list[ConfigProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class ConfigRefused(ConfigError):
    """A text that somebody handed in to be applied is wrong; what is live stays live."""

    http_status = 422


class ConfigConflict(ConfigError):
    """The file was changed underneath: nothing is overwritten. The message shows both changes."""

    code = "config_conflict"
    http_status = 409

    def __init__(self, problems: list[ConfigProblem], sides: str = "") -> None:
        super().__init__(problems)
        if sides:
            self.public_message += f"\n{sides}"
            self.args = (self.public_message,)


class InvalidRequest(ATPError):
    """The client's request is malformed; `param` names the field."""

    code = "invalid_request"
    http_status = 400


class UnknownModel(InvalidRequest):
    """No route, deployment or model pattern has this name; the message lists near names."""

    code = "model_not_found"
    http_status = 404


class UnknownResponse(InvalidRequest):
    """No answer of this id is kept for this caller."""

    code = "response_not_found"
    http_status = 404


class SessionDropped(InvalidRequest):
    """An operator has dropped the request's session: it is not to be sent again."""

    code = "session_dropped"
    http_status = 403


class PayloadTooLarge(InvalidRequest):
    """The body is over the size cap; told before it is parsed."""

    code = "prompt_too_large"
    http_status = 413


class UnsupportedFeature(InvalidRequest):
    """Content (not a tuning knob) that the chosen deployment's dialect cannot carry."""

    code = "unsupported_feature"


class AuthError(ATPError):
    """The credential is missing, wrong or not allowed to do this."""

    code = "authentication_failed"
    http_status = 401


class InvalidKey(AuthError):
    """No such key, expired, or two credentials that disagree."""


class Forbidden(AuthError):
    """A good credential that lacks the permission, or a request from a foreign origin."""

    code = "permission_denied"
    http_status = 403


class AdmissionError(ATPError):
    """Work that we refuse to start now; `retry_after_s` says when it may be tried again."""

    code = "rate_limited"
    http_status = 429
    is_retryable = True

    def __init__(self, public_message: str, *, retry_after_s: float) -> None:
        super().__init__(public_message)
        self.retry_after_s = retry_after_s


class RateLimited(AdmissionError):
    """The caller's request rate is used up."""


class WindowExceeded(AdmissionError):
    """A window has no room: `budget_exceeded` for tokens and dollars, `rate_limited` for calls at once or a minute."""

    code = "budget_exceeded"

    def __init__(self, public_message: str, *, retry_after_s: float, is_budget: bool = True) -> None:
        super().__init__(public_message, retry_after_s=retry_after_s)
        if not is_budget:
            self.code = "rate_limited"


class QueueFull(AdmissionError):
    """Every place in flight and in the queue is taken, or the wait was too long."""

    code = "backpressure"
    http_status = 503


class SessionPaused(AdmissionError):
    """An operator has paused the request's session."""

    code = "session_paused"
    http_status = 503


class EngineStopping(AdmissionError):
    """The engine stops and cannot finish the request; another engine, or this one started anew, can serve it."""

    code = "engine_stopping"
    http_status = 503


class NoRoute(ATPError):
    """No deployment of the route can take the request; `reasons` maps deployment to why not."""

    code = "no_models_available"
    http_status = 503
    is_retryable = True

    def __init__(self, public_message: str, *, reasons: dict[str, str]) -> None:
        super().__init__(public_message)
        self.reasons = reasons


class RequestCancelled(ATPError):
    """The request was ended from outside: the client left or an operator stopped it."""

    code = "request_cancelled"
    http_status = 499


class UpstreamError(ATPError):
    """A deployment failed; base of everything that the attempt loop reacts to by class.

    `upstream_status` is the vendor's HTTP status, 0 when there was none.
    `retry_after_s` is the wait the vendor asked for, if it did.
    """

    code = "external_service_error"
    http_status = 502
    is_retryable = True

    def __init__(
        self,
        public_message: str,
        *,
        provider: str = "",
        deployment: str = "",
        attempt: int = 0,
        upstream_status: int = 0,
        retry_after_s: float | None = None,
        vendor_code: str = "",
    ) -> None:
        super().__init__(public_message)
        self.provider = provider
        self.deployment = deployment
        self.attempt = attempt
        self.upstream_status = upstream_status
        self.retry_after_s = retry_after_s
        self.vendor_code = vendor_code


class UpstreamTimeout(UpstreamError):
    """A time limit ran out; `limit` is one of connect, ttft, idle, total."""

    code = "upstream_timeout"
    http_status = 504

    def __init__(self, public_message: str, *, limit: str) -> None:
        super().__init__(public_message)
        self.limit = limit


class UpstreamUnreachable(UpstreamError):
    """No HTTP answer came: refused, reset before headers, name not found, TLS failure.

    `was_resent`: it failed on a reused connection and once more on a new one, so it was retried already.
    """

    code = "upstream_unreachable"
    was_resent = False


class UpstreamRateLimited(UpstreamError):
    """The vendor answered 429 or its equivalent."""

    code = "upstream_rate_limited"
    http_status = 429


class UpstreamOverloaded(UpstreamError):
    """The vendor is failing or overloaded (5xx, 529)."""

    code = "upstream_overloaded"
    http_status = 503


class UpstreamRejected(UpstreamError):
    """The vendor says the request itself is wrong (4xx); passed on, never retried.

    `body_message` is the vendor's own reason, already redacted and cut.
    """

    code = "upstream_rejected"
    http_status = 400
    is_retryable = False


class ContextTooLong(UpstreamError):
    """The prompt does not fit this model; only a larger context can help."""

    code = "context_length_exceeded"
    http_status = 400


class ContentBlocked(UpstreamError):
    """The vendor's content filter refused; never retried elsewhere."""

    code = "content_filter"
    http_status = 400
    is_retryable = False


class UpstreamAuthFailed(UpstreamError):
    """The vendor refused our credential; the client never sees this as its own 401."""

    code = "upstream_auth_failed"


class BadUpstreamReply(UpstreamError):
    """An answer that is not what the dialect promises: HTML with 200, broken JSON, no message."""

    code = "bad_upstream_reply"


class StreamBroken(UpstreamError):
    """A stream that ended, stalled or went wrong before its terminal event."""

    code = "stream_broken"


class StorageError(ATPError):
    """The database or the body store cannot be used."""

    code = "storage_error"
    http_status = 503


def let_go(error: BaseException) -> None:
    """Makes an error that has been dealt with forget the frames it came through.

    They hold the call, and what they hold may hold the error: such a cycle would keep a request's body
    until the next collection, which is rare.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None

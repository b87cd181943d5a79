"""How an error class is named in the ledger, in metrics and to the health book."""

from __future__ import annotations

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
    UpstreamTimeout,
    UpstreamUnreachable,
)
from atp_engine.core.types import AttemptOutcome

_OUTCOMES: dict[type[UpstreamError], AttemptOutcome] = {
    UpstreamTimeout: AttemptOutcome.TIMEOUT,
    UpstreamUnreachable: AttemptOutcome.UNREACHABLE,
    UpstreamRateLimited: AttemptOutcome.RATE_LIMITED,
    UpstreamOverloaded: AttemptOutcome.OVERLOADED,
    UpstreamRejected: AttemptOutcome.REJECTED,
    ContextTooLong: AttemptOutcome.CONTEXT_TOO_LONG,
    ContentBlocked: AttemptOutcome.CONTENT_BLOCKED,
    UpstreamAuthFailed: AttemptOutcome.AUTH_FAILED,
    BadUpstreamReply: AttemptOutcome.BAD_REPLY,
    StreamBroken: AttemptOutcome.TRUNCATED,
}


def outcome_of(error: UpstreamError) -> AttemptOutcome:
    """The ledger's name of an upstream failure."""
    return _OUTCOMES.get(type(error), AttemptOutcome.OVERLOADED)

"""What to do after a failed attempt, decided by the error's class and never by a raw status.

Called by `services/attempts` between two attempts of one request. Pure: chance and the state of the
request are arguments.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from atp_engine.core.errors import (
    BadUpstreamReply,
    ContextTooLong,
    StreamBroken,
    UpstreamAuthFailed,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnreachable,
)

MAX_WAIT_S = 60.0
_BASE_S = 0.25
_CAP_S = 4.0
_RETRY_SHARE = 0.2
_RETRY_FLOOR = 3
_RECENT_CALLS = 100
_MAX_BUDGETS = 1024


class Step(Enum):
    """Where the next attempt goes."""

    HERE = "here"
    """The same deployment again, after the wait."""
    NEXT = "next"
    """The next rank."""
    LARGER = "larger"
    """The next rank with a larger context window."""
    STOP = "stop"
    """Nowhere: the error goes to the client."""


class NextStep(msgspec.Struct, frozen=True):
    """A step and the seconds to wait before it."""

    step: Step
    wait_s: float = 0.0


_STOP = NextStep(Step.STOP)
_NEXT = NextStep(Step.NEXT)
_LARGER = NextStep(Step.LARGER)


def backoff_s(retries: int, chance: float) -> float:
    """Exponential back-off with full jitter: uniform in [0, min(4 s, 0.25 s x 2^retries)); `chance` in [0, 1)."""
    return chance * float(min(_CAP_S, _BASE_S * 2.0 ** min(retries, 10)))


def next_step(error: UpstreamError, *, tries_here: int, has_other: bool, may_retry: bool, chance: float) -> NextStep:
    """The step after `error`.

    `tries_here` counts the attempts made on this deployment, this one included. `has_other` tells of
    a deployment not tried yet; `may_retry` is the deployment's retry budget. A silent deployment (a
    timeout) is never asked twice; a rate limit is waited for only where there is nothing else. What the
    transport sent twice by itself counts as two tries.
    """
    if not error.is_retryable:
        return _STOP
    if isinstance(error, UpstreamUnreachable) and error.was_resent:
        tries_here += 1
    if isinstance(error, ContextTooLong):
        return _LARGER
    if isinstance(error, UpstreamAuthFailed | UpstreamTimeout):
        return _NEXT if has_other else _STOP
    if isinstance(error, UpstreamRateLimited):
        if has_other:
            return _NEXT
        wait_s = error.retry_after_s if error.retry_after_s is not None else backoff_s(tries_here + 1, chance)
        return NextStep(Step.HERE, wait_s) if may_retry and wait_s <= MAX_WAIT_S else _STOP
    if isinstance(error, UpstreamOverloaded | UpstreamUnreachable):
        wait_s = error.retry_after_s if error.retry_after_s is not None else backoff_s(tries_here - 1, chance)
        if tries_here < 2 and may_retry and (wait_s <= 1.0 or not has_other) and wait_s <= MAX_WAIT_S:
            return NextStep(Step.HERE, wait_s)
        return _NEXT if has_other else _STOP
    if isinstance(error, BadUpstreamReply | StreamBroken):
        if has_other:
            return _NEXT
        return NextStep(Step.HERE, backoff_s(tries_here - 1, chance)) if tries_here < 2 and may_retry else _STOP
    return _NEXT if has_other else _STOP


class RetryBudgets:
    """Keeps an outage from being multiplied: retries of a deployment may be a fifth of its recent calls.

    A floor of three retries lets a quiet deployment be retried at all. Recent means the last hundred
    calls, by halving the counts; at most 1024 deployments are remembered.
    """

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def called(self, key: str) -> None:
        """Counts a call."""
        counts = self._counts.get(key)
        if counts is None:
            if len(self._counts) >= _MAX_BUDGETS:
                self._counts.pop(next(iter(self._counts)))
            counts = self._counts[key] = [0, 0]
        counts[0] += 1
        if counts[0] >= _RECENT_CALLS:
            counts[0] //= 2
            counts[1] //= 2

    def retried(self, key: str) -> None:
        """Counts a retry."""
        counts = self._counts.get(key)
        if counts is not None:
            counts[1] += 1

    def has_room(self, key: str) -> bool:
        """True when one more retry stays within the budget."""
        counts = self._counts.get(key)
        return counts is None or counts[1] < max(_RETRY_FLOOR, counts[0] * _RETRY_SHARE)

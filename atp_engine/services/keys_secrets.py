"""How secrets are hashed, how long they count, and what becomes of wrong ones.

`keys` and `keys_admin` share it: client keys and admin tokens are kept alike.
"""

from __future__ import annotations

import hmac
import math
from hashlib import sha256

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.ports import Clock
from atp_engine.limits.rate import TokenBucket
from atp_engine.storage.audit import AuditEntry, AuditLog

LONGEST = 512
"""Longest secret that is looked at, in bytes."""
_FAILURES_PER_MINUTE = 29
"""So that the thirtieth wrong key of a minute is the first to be told to wait."""
_AUDITS_PER_MINUTE = 20
_LONGEST_LIFE_S = 100 * 366 * 86_400.0


class Hasher:
    """HMAC-SHA256 with the data directory's own key: a stolen database alone cannot be searched for secrets."""

    def __init__(self, pepper: bytes) -> None:
        """Without a pepper it is plain SHA-256."""
        self._pepper = pepper
        self.kind = "hmac" if pepper else "sha256"

    def hashed(self, secret: bytes) -> bytes:
        """The hash to keep and to look for."""
        return hmac.digest(self._pepper, secret, "sha256") if self._pepper else sha256(secret).digest()


class Refusals:
    """Counts wrong credentials, audits them at a bounded rate, and says when enough is enough."""

    def __init__(self, clock: Clock, audit: AuditLog | None, actor: str) -> None:
        self._clock = clock
        self._audit = audit
        self._actor = actor
        now = clock.monotonic()
        self._failures = TokenBucket(_FAILURES_PER_MINUTE, now)
        self._audits = TokenBucket(_AUDITS_PER_MINUTE, now)
        self._unrecorded = 0

    def count(self, why: str) -> float:
        """Takes note of a wrong credential; returns the seconds to wait, 0 when there were few."""
        now = self._clock.monotonic()
        wait_s = self._failures.take(now)
        if self._audit is None or self._audits.take(now) > 0.0:
            self._unrecorded += 1
        else:
            more = f" (and {self._unrecorded} more, not recorded singly)" if self._unrecorded else ""
            entry = AuditEntry(self._clock.now(), self._actor, "auth.refused", "", why + more)
            if self._audit.note(entry):
                self._unrecorded = 0
        return wait_s


def expiry(expires_in_s: float | None, now: float) -> float | None:
    """When a secret made now ends. Raises InvalidRequest for a time that is none."""
    if expires_in_s is None:
        return None
    if not 0.0 < expires_in_s <= _LONGEST_LIFE_S:
        raise InvalidRequest(
            "the time until it expires must be positive and under a hundred years", param="expires_in_s"
        )
    return now + expires_in_s


def ends_at(expires_at: float | None, revoked_at: float | None) -> float:
    """UTC epoch seconds from which a secret does not count any more."""
    if revoked_at is not None:
        return -math.inf
    return math.inf if expires_at is None else expires_at

"""What the dashboard's visitors hold: browser sessions and one-time launch codes.

Owned by `auth.Gate`. Secrets are kept as SHA-256 only, everything is bounded and timed by the
monotonic clock, and nothing survives a restart (people log in again).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass

from atp_engine.core.ports import Clock
from atp_engine.services.keys_admin import Badge

SESSION_S = 12 * 3600.0
LAUNCH_CODE_S = 60.0
_MAX_SESSIONS = 64
_MAX_CODES = 16
_MAX_SECRET_CHARS = 512


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret[:_MAX_SECRET_CHARS].encode("utf-8", "replace")).digest()


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A logged-in browser: who opened it, the token its writes must carry, and when it ends (monotonic)."""

    key: bytes
    badge: Badge
    csrf_token: str
    ends_at_s: float

    @property
    def role(self) -> str:
        """What it may do."""
        return self.badge.role


class BrowserSessions:
    """At most 64 sessions of 12 hours; the oldest makes room."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, BrowserSession] = OrderedDict()

    def open(self, badge: Badge) -> tuple[str, BrowserSession]:
        """The cookie's value (256 random bits, never stored) and the session behind it."""
        value = secrets.token_urlsafe(32)
        ends_at_s = self._clock.monotonic() + SESSION_S
        session = BrowserSession(_digest(value), badge, secrets.token_urlsafe(32), ends_at_s)
        while len(self._sessions) >= _MAX_SESSIONS:
            self._sessions.popitem(last=False)
        self._sessions[session.key] = session
        return value, session

    def find(self, cookie: str) -> BrowserSession | None:
        """The session of a cookie, None when unknown or over."""
        session = self._sessions.get(_digest(cookie))
        if session is None or self.is_open(session):
            return session
        self.close(session)
        return None

    def is_open(self, session: BrowserSession) -> bool:
        """True until it, its time or the admin token behind it is over; long streams ask again and again."""
        is_kept = session.key in self._sessions and self._clock.monotonic() < session.ends_at_s
        return is_kept and session.badge.counts()

    def close(self, session: BrowserSession) -> None:
        """Ends it at once, for all tabs."""
        self._sessions.pop(session.key, None)


class LaunchCodes:
    """Codes that open the dashboard once within a minute; made for somebody already authorised."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._codes: OrderedDict[bytes, tuple[Badge, float]] = OrderedDict()

    def issue(self, badge: Badge) -> str:
        """A fresh code (192 random bits) that grants what the badge does."""
        code = secrets.token_urlsafe(24)
        while len(self._codes) >= _MAX_CODES:
            self._codes.popitem(last=False)
        self._codes[_digest(code)] = (badge, self._clock.monotonic() + LAUNCH_CODE_S)
        return code

    def redeem(self, code: str) -> Badge | None:
        """What it grants, once; None when unknown, used or too old."""
        badge, ends_at_s = self._codes.pop(_digest(code), (None, 0.0))
        is_good = badge is not None and badge.counts() and self._clock.monotonic() < ends_at_s
        return badge if is_good else None


def is_same_secret(given: str, expected: str) -> bool:
    """Equality in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))

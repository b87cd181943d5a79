"""Tokens of the admin side, each with its role; in memory as hashes, those that people make kept in the database.

`api/auth` verifies every admin call here. The owner's token of the data directory is `add`ed at the start.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from hmac import compare_digest
from typing import NamedTuple

import msgspec

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.key_views import TokenMade, TokenSummary, TokenWish
from atp_engine.core.ports import Clock
from atp_engine.core.text import safe_text
from atp_engine.services.keys_secrets import LONGEST, Hasher, Refusals, ends_at, expiry
from atp_engine.storage.audit import AuditEntry, AuditLog
from atp_engine.storage.keys_admin import StoredToken, TokenRepository

ROLES = ("viewer", "operator", "admin")
_PREFIX = "atp_admin_"
_SHOWN = len(_PREFIX) + 4
_MOST = 1_000


class Badge(NamedTuple):
    """Who an admin token stands for: kept by what it opened, which ends with it."""

    role: str
    name: str = "an operator"
    counts: Callable[[], bool] = lambda: True
    """False once the token was revoked or has expired."""


class AdminAuth:
    """Verifies tokens and tells their role."""

    def __init__(self, clock: Clock, audit: AuditLog | None = None, hasher: Hasher | None = None) -> None:
        self._clock = clock
        self._hasher = hasher or Hasher(b"")
        self._badges: dict[bytes, tuple[Badge, float]] = {}
        self._refusals = Refusals(clock, audit, "admin")

    def add(self, token: str, role: str = "admin") -> None:
        """Lets a token in."""
        self.admit(self._hasher.hashed(token.encode("utf-8", "replace")), role)

    def admit(self, digest: bytes, role: str, ends_at: float = math.inf, name: str = "an operator") -> None:
        """Lets the token with this hash in until `ends_at` (UTC epoch seconds)."""
        self._badges[digest] = (Badge(role, name, lambda: self._counts(digest)), ends_at)

    def expel(self, digest: bytes) -> None:
        """Lets it in no more."""
        self._badges.pop(digest, None)

    def _counts(self, digest: bytes) -> bool:
        ends_at = self._badges.get(digest, (None, -math.inf))[1]
        return ends_at == math.inf or ends_at > self._clock.now()

    def verify(self, token: str) -> Badge | None:
        """Who a token stands for, None (and audited) when it is not known. The caller slows guessing down."""
        if len(token) <= LONGEST:
            digest = self._hasher.hashed(token.encode("utf-8", "replace"))
            for known, (badge, _) in self._badges.items():
                if compare_digest(known, digest) and badge.counts():
                    return badge
        self._refusals.count("an unknown admin token")
        return None


class AdminTokens:
    """Makes, lists and revokes tokens."""

    def __init__(self, auth: AdminAuth, repository: TokenRepository, clock: Clock, hasher: Hasher) -> None:
        self._auth = auth
        self._repository = repository
        self._clock = clock
        self._hasher = hasher
        self._known: dict[str, StoredToken] = {}

    async def load(self) -> None:
        """Reads the tokens. Raises StorageError."""
        for token in await self._repository.all():
            self._remember(token)

    async def create(self, wish: TokenWish, *, actor: str) -> TokenMade:
        """A new token and its secret, which is told this once.

        Raises InvalidRequest for a wrong wish, StorageError when the token is not on the disk.
        """
        name = safe_text(wish.name, limit=64).strip()
        if not name:
            raise InvalidRequest("a token needs a name", param="name")
        if wish.role not in ROLES:
            raise InvalidRequest(f"a role is one of {', '.join(ROLES)}", param="role")
        if len(self._known) >= _MOST:
            raise InvalidRequest(f"there are {_MOST} tokens already")
        now = self._clock.now()
        secret = _PREFIX + secrets.token_urlsafe(32)
        token = StoredToken(
            f"tok_{secrets.token_hex(6)}",
            self._hasher.hashed(secret.encode()),
            name,
            wish.role,
            secret[:_SHOWN],
            secret[-4:],
            now,
            expiry(wish.expires_in_s, now),
            None,
        )
        await self._repository.add(token, AuditEntry(now, actor, "token.created", token.id, f"{name} ({wish.role})"))
        self._remember(token)
        return TokenMade(_summary(token), secret)

    async def revoke(self, id: str, *, actor: str) -> bool:
        """Ends a token at once; False when there is none that counts.

        Raises StorageError when that is not on the disk yet; the token is refused all the same.
        """
        token = self._known.get(id)
        if token is None or token.revoked_at is not None:
            return False
        now = self._clock.now()
        self._remember(msgspec.structs.replace(token, revoked_at=now))
        await self._repository.revoke(id, now, AuditEntry(now, actor, "token.revoked", id, token.name))
        return True

    def list(self) -> tuple[TokenSummary, ...]:
        """Every token that was made here, the oldest first."""
        return tuple([_summary(token) for token in self._known.values()])

    def _remember(self, token: StoredToken) -> None:
        self._known[token.id] = token
        if token.revoked_at is None:
            name = f"{token.role} {token.name}"
            self._auth.admit(token.digest, token.role, ends_at(token.expires_at, None), name)
        else:
            self._auth.expel(token.digest)


def _summary(token: StoredToken) -> TokenSummary:
    shown = f"{token.prefix}…{token.last_four}"
    return TokenSummary(token.id, token.name, token.role, shown, token.created_at, token.expires_at, token.revoked_at)

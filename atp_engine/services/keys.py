"""Who calls: virtual keys of clients and tokens of the admin side, known by their hashes only.

`api` identifies every call here before it reads a body. A right key always works; wrong ones are counted
together, since on loopback everybody has the same address, and are told to wait when there are too
many. A key is on the disk before it is acknowledged.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import NoReturn

import msgspec

from atp_engine.core.errors import InvalidKey, InvalidRequest, RateLimited
from atp_engine.core.ports import Clock
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller, QoS
from atp_engine.limits.rate import TokenBucket
from atp_engine.storage.audit import AuditEntry, AuditLog
from atp_engine.storage.keys import KeyRepository, StoredKey

_PREFIX = "atp_key_"
_SHOWN = len(_PREFIX) + 4
_LONGEST = 512
"""Longest secret that is looked at, in bytes."""
_FAILURES_PER_MINUTE = 29
"""So that the thirtieth wrong key of a minute is the first to be told to wait."""
_AUDITS_PER_MINUTE = 20
_AUTHORIZATION = b"authorization"
_CREDENTIALS = frozenset({_AUTHORIZATION, b"x-api-key", b"x-goog-api-key"})

_MISSING = (
    "a client key is needed, as `Authorization: Bearer KEY` or `x-api-key: KEY`; the console's first screen has one"
)
_UNKNOWN = "this client key is not known here; the console's first screen has one"
_CONFLICT = "two different keys came with this request; send one"
_SCHEME = "the authorization header must be `Bearer KEY`"


class KeySummary(msgspec.Struct, frozen=True):
    """A key as it may be shown."""

    id: str
    name: str
    project: str
    qos: QoS
    requests_per_minute: int
    """0 means no limit."""
    shown_as: str
    """Its first characters and the last four."""
    created_at: float
    expires_at: float | None
    revoked_at: float | None


class _Known(msgspec.Struct):
    """A key in memory."""

    stored: StoredKey
    caller: Caller
    ends_at: float
    """UTC epoch seconds from which it does not count any more: its expiry or revocation."""


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


class Keys:
    """The client keys: identified from memory, kept in the database."""

    def __init__(self, repository: KeyRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock
        self._known: dict[bytes, _Known] = {}
        self._ends_at: dict[str, float] = {}
        self._by_id: dict[str, _Known] = {}
        self._refusals = Refusals(clock, repository.audit, "client")

    async def load(self) -> None:
        """Reads the keys; must come before `identify`. Raises StorageError."""
        self._known, self._ends_at, self._by_id = {}, {}, {}
        for key in await self._repository.all():
            self._remember(key)

    def identify(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller:
        """The owner of the key in the headers (ASGI: lower-case names).

        `authorization: Bearer`, `x-api-key` and `x-goog-api-key` count alike. Raises InvalidKey when
        there is none, it is unknown or over, or two disagree; RateLimited after too many wrong ones.
        """
        found = b""
        for name, value in headers:
            if name in _CREDENTIALS:
                secret = (self._bearer(value) if name == _AUTHORIZATION else value).strip()
                if found and secret and secret != found:
                    self._refuse(_CONFLICT)
                found = secret or found
        if not found:
            raise InvalidKey(_MISSING)
        digest = sha256(found[:_LONGEST]).digest()
        known = self._known.get(digest)
        if known is None or len(found) > _LONGEST or not compare_digest(known.stored.digest, digest):
            self._refuse(_UNKNOWN)
        if known.ends_at != math.inf and known.ends_at <= self._clock.now():
            self._refuse(f"the client key {known.caller.key_name} is revoked or has expired")
        return known.caller

    def owner(self, key_id: str) -> Caller | None:
        """The caller behind a key's id, also of a key that is over."""
        known = self._by_id.get(key_id)
        return None if known is None else known.caller

    def is_current(self, caller: Caller) -> bool:
        """True while the key that this caller was identified by counts."""
        ends_at = self._ends_at.get(caller.key_id, 0.0)
        return ends_at == math.inf or ends_at > self._clock.now()

    async def ensure_first_key(self, secret: str, name: str = "default") -> None:
        """Registers the key that was made at the first run, unless it is known. Raises StorageError."""
        if _digest(secret) not in self._known:
            await self._add(secret, name, "", QoS.SILVER, 0, None, "engine")

    async def create(
        self,
        name: str,
        *,
        project: str = "",
        qos: QoS = QoS.SILVER,
        requests_per_minute: int = 0,
        expires_at: float | None = None,
        actor: str,
    ) -> tuple[Caller, str]:
        """A new key and its secret, which is told this once.

        Raises InvalidRequest for an empty name, StorageError when the key is not on the disk.
        """
        secret = _PREFIX + secrets.token_urlsafe(32)
        name = safe_text(name, limit=64).strip()
        if not name:
            raise InvalidRequest("a key needs a name", param="name")
        project = safe_text(project, limit=64).strip()
        return await self._add(secret, name, project, qos, requests_per_minute, expires_at, actor), secret

    async def revoke(self, id: str, *, actor: str) -> bool:
        """Ends a key at once; False when there is none that counts.

        Raises StorageError when that is not on the disk yet; the key is refused all the same.
        """
        now = self._clock.now()
        for known in self._known.values():
            if known.stored.id == id and known.stored.revoked_at is None:
                known.stored = msgspec.structs.replace(known.stored, revoked_at=now)
                known.ends_at = self._ends_at[id] = -math.inf
                await self._repository.revoke(id, now, AuditEntry(now, actor, "key.revoked", id, known.stored.name))
                return True
        return False

    def list(self) -> tuple[KeySummary, ...]:
        """Every key, the oldest first."""
        return tuple([_summary(known.stored) for known in self._known.values()])

    async def _add(
        self,
        secret: str,
        name: str,
        project: str,
        qos: QoS,
        requests_per_minute: int,
        expires_at: float | None,
        actor: str,
    ) -> Caller:
        now = self._clock.now()
        key = StoredKey(
            id=f"key_{secrets.token_hex(6)}",
            digest=_digest(secret),
            name=name,
            project=project,
            qos=qos,
            requests_per_minute=requests_per_minute,
            prefix=secret[:_SHOWN],
            last_four=secret[-4:],
            created_at=now,
            expires_at=expires_at,
            revoked_at=None,
        )
        await self._repository.add(key, AuditEntry(now, actor, "key.created", key.id, name))
        return self._remember(key)

    def _remember(self, key: StoredKey) -> Caller:
        caller = Caller(key.id, key.name, key.project, key.qos, key.requests_per_minute)
        ends_at = math.inf if key.expires_at is None else key.expires_at
        if key.revoked_at is not None:
            ends_at = -math.inf
        self._known[key.digest] = self._by_id[key.id] = _Known(key, caller, ends_at)
        self._ends_at[key.id] = ends_at
        return caller

    def _bearer(self, value: bytes) -> bytes:
        if value[:7].lower() == b"bearer ":
            return value[7:]
        if value.strip().lower() not in (b"", b"bearer"):
            self._refuse(_SCHEME)
        return b""

    def _refuse(self, why: str) -> NoReturn:
        wait_s = self._refusals.count(why)
        if wait_s > 0.0:
            raise RateLimited("too many wrong keys; a right one works at once", retry_after_s=max(1.0, wait_s))
        raise InvalidKey(why)


class AdminAuth:
    """The tokens of the admin side, each with its role; in memory, as hashes."""

    def __init__(self, clock: Clock, audit: AuditLog | None = None) -> None:
        self._roles: dict[bytes, str] = {}
        self._refusals = Refusals(clock, audit, "admin")

    def add(self, token: str, role: str = "admin") -> None:
        """Lets a token in as `admin` or `viewer`."""
        self._roles[_digest(token)] = role

    def verify(self, token: str) -> str | None:
        """The role of a token, None (and audited) when it is not known. The caller slows guessing down."""
        if len(token) <= _LONGEST:
            digest = _digest(token)
            for known, role in self._roles.items():
                if compare_digest(known, digest):
                    return role
        self._refusals.count("an unknown admin token")
        return None


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "replace")).digest()


def _summary(key: StoredKey) -> KeySummary:
    return KeySummary(
        id=key.id,
        name=key.name,
        project=key.project,
        qos=key.qos,
        requests_per_minute=key.requests_per_minute,
        shown_as=f"{key.prefix}…{key.last_four}",
        created_at=key.created_at,
        expires_at=key.expires_at,
        revoked_at=key.revoked_at,
    )

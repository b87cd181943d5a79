"""Who calls: virtual keys of clients, known by their hashes only.

`api` identifies every call here before it reads a body. A right key always works; wrong ones are counted
together, since on loopback everybody has the same address, and are told to wait when there are too
many. A key is on the disk before it is acknowledged.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable
from hashlib import sha256
from hmac import compare_digest
from typing import NoReturn

import msgspec
from pydantic import ValidationError

from atp_engine.config.models import WindowConfig
from atp_engine.core.errors import InvalidKey, InvalidRequest, RateLimited
from atp_engine.core.key_views import KeyMade, KeySummary, KeyWindow, KeyWish
from atp_engine.core.ports import Clock
from atp_engine.core.text import safe_text
from atp_engine.core.types import Caller
from atp_engine.services.keys_secrets import LONGEST, Hasher, Refusals, ends_at, expiry
from atp_engine.storage.audit import AuditEntry
from atp_engine.storage.keys import KeyRepository, StoredKey

_PREFIX = "atp_key_"
_SHOWN = len(_PREFIX) + 4
_MOST = 100_000
_MOST_NAMES = 64
_AUTHORIZATION = b"authorization"
_CREDENTIALS = frozenset({_AUTHORIZATION, b"x-api-key", b"x-goog-api-key"})

_MISSING = (
    "a client key is needed, as `Authorization: Bearer KEY` or `x-api-key: KEY`; the console's first screen has one"
)
_UNKNOWN = "this client key is not known here; the console's first screen has one"
_CONFLICT = "two different keys came with this request; send one"
_SCHEME = "the authorization header must be `Bearer KEY`"


class _Known(msgspec.Struct):
    """A key in memory."""

    stored: StoredKey
    caller: Caller
    ends_at: float
    """UTC epoch seconds from which it does not count any more: its expiry or revocation."""


class Keys:
    """The client keys: identified from memory, kept in the database."""

    def __init__(self, repository: KeyRepository, clock: Clock, hasher: Hasher | None = None) -> None:
        self._repository = repository
        self._clock = clock
        self._hasher = hasher or Hasher(b"")
        self._has_plain = False
        self.on_change: Callable[[], None] | None = None
        """Called when a key was made or ended, or got other limits."""
        self._known: dict[bytes, _Known] = {}
        self._by_id: dict[str, _Known] = {}
        self._refusals = Refusals(clock, repository.audit, "client")

    async def load(self) -> None:
        """Reads the keys; must come before `identify`. Raises StorageError."""
        self._known, self._by_id = {}, {}
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
        digest = self._hasher.hashed(found[:LONGEST])
        known = self._known.get(digest)
        if known is None and self._has_plain:
            digest = sha256(found[:LONGEST]).digest()
            known = self._known.get(digest)
        if known is None or len(found) > LONGEST or not compare_digest(known.stored.digest, digest):
            self._refuse(_UNKNOWN)
        if known.ends_at != math.inf and known.ends_at <= self._clock.now():
            self._refuse(f"the client key {known.caller.key_name} is revoked or has expired")
        return known.caller

    def owner(self, key_id: str) -> Caller | None:
        """The caller behind a key's id, also of a key that is over."""
        known = self._by_id.get(key_id)
        return None if known is None else known.caller

    def is_current(self, caller: Caller) -> bool:
        """True while the secret that this caller was identified by counts."""
        known = self._by_id.get(caller.key_id)
        if known is None or known.caller is not caller:
            return False
        return known.ends_at == math.inf or known.ends_at > self._clock.now()

    def limits(self) -> list[tuple[str, WindowConfig]]:
        """The windows that keys which count bring with them, each under a name of its own."""
        found = []
        for known in self._by_id.values():
            key = known.stored
            if key.revoked_at is None:
                for place, window in enumerate(key.windows):
                    name = f"key:{key.id}" if not place else f"key:{key.id}:{place + 1}"
                    found.append((name, _window(window, key.id)))
        return found

    async def ensure_first_key(self, secret: str, name: str = "default") -> None:
        """Registers the key that was made at the first run, unless it is known. Raises StorageError."""
        raw = secret.encode("utf-8", "replace")
        if self._hasher.hashed(raw) not in self._known and sha256(raw).digest() not in self._known:
            await self._add(secret, KeyWish(name), "engine")

    async def create(self, wish: KeyWish, *, actor: str) -> KeyMade:
        """A new key and its secret, which is told this once.

        Raises InvalidRequest for a wrong wish, StorageError when the key is not on the disk.
        """
        if len(self._by_id) >= _MOST:
            raise InvalidRequest(f"there are {_MOST} keys already")
        secret = _PREFIX + secrets.token_urlsafe(32)
        return KeyMade(_summary(await self._add(secret, _checked(wish), actor)), secret)

    async def rotate(self, id: str, *, actor: str) -> KeyMade | None:
        """A new secret for a key, told this once; the old one ends at once. None when there is no such key.

        Raises StorageError when the new one is not on the disk: then the old one still counts.
        """
        known = self._by_id.get(id)
        if known is None or known.stored.revoked_at is not None:
            return None
        secret = _PREFIX + secrets.token_urlsafe(32)
        before = known.stored
        key = msgspec.structs.replace(
            before,
            digest=self._hasher.hashed(secret.encode()),
            hashed=self._hasher.kind,
            prefix=secret[:_SHOWN],
            last_four=secret[-4:],
        )
        entry = AuditEntry(self._clock.now(), actor, "key.rotated", id, before.name)
        await self._repository.replace_secret(key, entry)
        self._known.pop(before.digest, None)
        self._remember(msgspec.structs.replace(key, revoked_at=known.stored.revoked_at))
        return KeyMade(_summary(key), secret)

    async def revoke(self, id: str, *, actor: str) -> bool:
        """Ends a key at once; False when there is none that counts.

        Raises StorageError when that is not on the disk yet; the key is refused all the same.
        """
        now = self._clock.now()
        known = self._by_id.get(id)
        if known is None or known.stored.revoked_at is not None:
            return False
        known.stored = msgspec.structs.replace(known.stored, revoked_at=now)
        known.ends_at = -math.inf
        self._changed()
        await self._repository.revoke(id, now, AuditEntry(now, actor, "key.revoked", id, known.stored.name))
        return True

    def find(self, id: str) -> KeySummary | None:
        """A key by its id."""
        known = self._by_id.get(id)
        return None if known is None else _summary(known.stored)

    def list(self) -> tuple[KeySummary, ...]:
        """Every key, the oldest first."""
        return tuple([_summary(known.stored) for known in self._by_id.values()])

    async def _add(self, secret: str, wish: KeyWish, actor: str) -> StoredKey:
        now = self._clock.now()
        key = StoredKey(
            id=f"key_{secrets.token_hex(6)}",
            digest=self._hasher.hashed(secret.encode("utf-8", "replace")),
            name=wish.name,
            project=wish.project,
            qos=wish.qos,
            requests_per_minute=wish.requests_per_minute,
            prefix=secret[:_SHOWN],
            last_four=secret[-4:],
            created_at=now,
            expires_at=expiry(wish.expires_in_s, now),
            revoked_at=None,
            hashed=self._hasher.kind,
            routes=wish.routes,
            models=wish.models,
            tags=wish.tags,
            windows=wish.windows,
        )
        await self._repository.add(key, AuditEntry(now, actor, "key.created", key.id, wish.name))
        self._remember(key)
        self._changed()
        return key

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    def _remember(self, key: StoredKey) -> None:
        caller = Caller(
            key.id, key.name, key.project, key.qos, key.requests_per_minute, routes=key.routes, models=key.models
        )
        known = _Known(key, caller, ends_at(key.expires_at, key.revoked_at))
        self._known[key.digest] = self._by_id[key.id] = known
        self._has_plain = self._has_plain or key.hashed != self._hasher.kind

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


def _checked(wish: KeyWish) -> KeyWish:
    """The wish with its texts made safe. Raises InvalidRequest."""
    name = safe_text(wish.name, limit=64).strip()
    if not name:
        raise InvalidRequest("a key needs a name", param="name")
    if not 0 <= wish.requests_per_minute <= 10_000_000:
        raise InvalidRequest("requests per minute are 0 (no limit) to 10000000", param="requests_per_minute")
    if len(wish.windows) > 8:
        raise InvalidRequest("a key has at most 8 windows", param="windows")
    for window in wish.windows:
        _window(window, "")
    lists = {}
    for field in ("routes", "models", "tags"):
        names = tuple(safe_text(text, limit=256).strip() for text in getattr(wish, field))
        if len(names) > _MOST_NAMES or not all(names):
            raise InvalidRequest(f"{field} are at most {_MOST_NAMES} names, none of them empty", param=field)
        lists[field] = names
    return msgspec.structs.replace(wish, name=name, project=safe_text(wish.project, limit=64).strip(), **lists)


def _window(window: KeyWindow, key_id: str) -> WindowConfig:
    """A key's window as the config would have it. Raises InvalidRequest, naming the field."""
    values = msgspec.to_builtins(window)
    if all(values[limit] is None for limit in ("max_parallel", "max_tokens", "max_usd", "requests_per_minute")):
        raise InvalidRequest("a window that limits nothing", param="windows")
    try:
        return WindowConfig.model_validate({**values, "scope": "key", "of": (key_id or "new",)})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidRequest(f"windows: {place}: {first['msg']}", param="windows") from None


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
        routes=key.routes,
        models=key.models,
        tags=key.tags,
        windows=key.windows,
    )

"""Pinning a request: what was sent and answered stays, and its ledger lines too, until it is unpinned.

`api/admin_storage` asks. A pin is committed with its audit line before the body store hears of it; a start tells
the store of all pins again, so a crash in between loses nothing.
"""

from __future__ import annotations

from atp_engine.core.errors import InvalidRequest
from atp_engine.core.ports import Clock
from atp_engine.core.storage_views import PinView
from atp_engine.services.live import LiveRequests
from atp_engine.storage.audit import AuditEntry
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.pins import PinRepository
from atp_engine.storage.requests import RequestRepository

MOST = 1_000


class Pins:
    """Sets and tells pins."""

    def __init__(
        self,
        repository: PinRepository,
        requests: RequestRepository,
        live: LiveRequests,
        bodies: BodyStore,
        clock: Clock,
    ) -> None:
        """Reads the pins and tells the body store; blocks for a moment."""
        self._repository = repository
        self._requests = requests
        self._live = live
        self._bodies = bodies
        self._clock = clock
        self._ids = set(repository.ids())
        bodies.pin(tuple(self._ids))

    @property
    def count(self) -> int:
        """How many are pinned."""
        return len(self._ids)

    async def set(self, request_id: str, by: str, *, is_pinned: bool) -> PinView | None:
        """Pins or unpins; None when no such request is known. Doing it twice changes nothing.

        Raises InvalidRequest when too many are pinned, StorageError when it cannot be committed.
        """
        is_known = self._live.get(request_id) is not None or self._live.is_recent(request_id)
        if not (is_known or request_id in self._ids or await self._requests.get(request_id) is not None):
            return None
        if (request_id in self._ids) is not is_pinned:
            if is_pinned and len(self._ids) >= MOST:
                raise InvalidRequest(f"{MOST} requests are pinned already; unpin some first", param="id")
            entry = AuditEntry(self._clock.now(), by, "request.pinned" if is_pinned else "request.unpinned", request_id)
            await self._repository.set(request_id, entry, is_pinned=is_pinned)
            self._ids.add(request_id) if is_pinned else self._ids.discard(request_id)
            self._bodies.pin((request_id,), is_pinned=is_pinned)
        return PinView(request_id, is_pinned, len(self._ids))

    async def all(self) -> tuple[str, ...]:
        """Every pinned request, the newest pin first. Raises StorageError."""
        return await self._repository.all()

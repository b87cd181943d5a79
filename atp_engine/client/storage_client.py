"""The disk and the pins over the admin API; a face makes one around its `EngineClient`.

Calls raise EngineGone or EngineRefused.
"""

from __future__ import annotations

from urllib.parse import quote

from atp_engine.client.engine_client import EngineClient
from atp_engine.core.storage_views import PinView, StorageView


class StorageClient:
    """The calls about the disk."""

    def __init__(self, engine: EngineClient) -> None:
        self._engine = engine

    async def view(self) -> StorageView:
        """What the disk holds, and what bounds it."""
        return await self._engine.call("GET", "/admin/storage", StorageView)

    async def pins(self) -> tuple[str, ...]:
        """Ids of every pinned request, the newest pin first."""
        return await self._engine.call("GET", "/admin/pins", tuple[str, ...])

    async def pin(self, request_id: str, *, is_pinned: bool = True) -> PinView:
        """Pins a request, or lets it go."""
        act = "pin" if is_pinned else "unpin"
        return await self._engine.call("POST", f"/admin/requests/{quote(request_id, safe='')}/{act}", PinView)

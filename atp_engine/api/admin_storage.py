"""`/admin/storage`, `/admin/pins` and `/admin/requests/{id}/pin|unpin`: what the disk holds, and what stays on it."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import NotFound, answer
from atp_engine.api.auth import Call
from atp_engine.services.pins import Pins
from atp_engine.services.retention import Retention


class AdminStorage:
    """The handlers."""

    def __init__(self, retention: Retention, pins: Pins) -> None:
        self._retention = retention
        self._pins = pins

    async def view(self, call: Call) -> Response:
        """What the disk holds, and what bounds it."""
        return answer(await self._retention.view())

    async def pins(self, call: Call) -> Response:
        """Ids of every pinned request, the newest pin first."""
        return answer(await self._pins.all())

    async def pin(self, call: Call) -> Response:
        """Keeps a request's bodies and lines until it is unpinned."""
        return await self._set(call, is_pinned=True)

    async def unpin(self, call: Call) -> Response:
        """Gives a request the age of others again."""
        return await self._set(call, is_pinned=False)

    async def _set(self, call: Call, *, is_pinned: bool) -> Response:
        view = await self._pins.set(str(call.request.path_params["id"]), call.visitor.name, is_pinned=is_pinned)
        if view is None:
            raise NotFound("No such request is known.")
        return answer(view)

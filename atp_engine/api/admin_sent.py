"""`GET /admin/requests/{id}/sent`: what a client sent beside what went up for it."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import NotFound, answer
from atp_engine.api.auth import Call
from atp_engine.services.sent import Sent


class AdminSent:
    """The handler; reading changes nothing."""

    def __init__(self, sent: Sent) -> None:
        self._sent = sent

    async def one(self, call: Call) -> Response:
        """Both sides of a request."""
        found = await self._sent.of(str(call.request.path_params["id"]))
        if found is None:
            raise NotFound("No such request.")
        return answer(found)

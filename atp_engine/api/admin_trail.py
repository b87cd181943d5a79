"""`GET /admin/logs` and `GET /admin/audit`: what the engine said, and who did what."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import answer, limit_of
from atp_engine.api.auth import Call
from atp_engine.core.errors import InvalidRequest
from atp_engine.logs import LEVELS
from atp_engine.services.trail import Trail


class AdminTrail:
    """The handlers."""

    def __init__(self, trail: Trail) -> None:
        self._trail = trail

    async def logs(self, call: Call) -> Response:
        """The latest records, at least as severe as `level` (default info)."""
        query = call.request.query_params
        level = query.get("level", "info")
        if level not in LEVELS:
            raise InvalidRequest(f"level is one of {', '.join(LEVELS)}", param="level")
        return answer(self._trail.logs(level, limit_of(query.get("limit"))))

    async def audit(self, call: Call) -> Response:
        """Acts, newest first; `before` continues a page."""
        query = call.request.query_params
        before = query.get("before") or "0"
        if not before.isdecimal() or len(before) > 15:
            raise InvalidRequest("before is the number of an entry", param="before")
        return answer(await self._trail.acts(limit_of(query.get("limit")), int(before)))

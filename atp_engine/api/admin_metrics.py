"""`GET /admin/metrics`: traffic over time for the charts of both faces."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import answer
from atp_engine.api.auth import Call
from atp_engine.services.statistics import Statistics


class AdminMetrics:
    """The handler."""

    def __init__(self, statistics: Statistics) -> None:
        self._statistics = statistics

    async def window(self, call: Call) -> Response:
        """`window` (default 1h) in sixty steps, and its sums by `group` (default model)."""
        query = call.request.query_params
        return answer(await self._statistics.window(query.get("window", "1h"), query.get("group", "model")))

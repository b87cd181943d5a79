"""`GET /admin/windows`: what every window has used, reserved and left, and when it is free again."""

from __future__ import annotations

from starlette.responses import Response

from atp_engine.api.admin import answer
from atp_engine.api.auth import Call
from atp_engine.services.windows import Windows


class AdminWindows:
    """The handler."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows

    async def all(self, call: Call) -> Response:
        """Every window, in the order of the rules."""
        return answer(self._windows.views())

"""What clients ask before their first call: is somebody there, and who.

Public and cheap: coding agents send `HEAD /` or `HEAD /api/hello` without a credential and go on whatever
comes, but wait for it. A browser at the bare address is sent to the dashboard.
"""

from __future__ import annotations

import msgspec
from starlette.responses import RedirectResponse, Response

from atp_engine.api.auth import Call
from atp_engine.api.guard import PAGE_HEADERS, SHARED_HEADERS


class Preflight:
    """The handlers behind `/`, `/v1` and `/api/hello`."""

    def __init__(self, version: str) -> None:
        """`version` is told to whoever asks."""
        self._about = msgspec.json.encode(
            {
                "name": "atp-console",
                "version": version,
                "openai_base_url": "/v1",
                "anthropic_base_url": "/",
                "dashboard": "/ui/",
            }
        )

    async def about(self, call: Call) -> Response:
        """What this is; people's browsers are sent to the dashboard."""
        if "text/html" in call.request.headers.get("accept", ""):
            return RedirectResponse("/ui/", 303, PAGE_HEADERS)
        return Response(self._about, headers={**SHARED_HEADERS, "content-type": "application/json"})

    async def hello(self, call: Call) -> Response:
        """Claude Code's check that its server can be reached."""
        return Response(b'{"message":"hello"}', headers={**SHARED_HEADERS, "content-type": "application/json"})

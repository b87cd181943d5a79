"""The admin API's calls about sessions, over an engine client's connection."""

from __future__ import annotations

from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from atp_engine.core.session_views import SessionAsk
from atp_engine.core.views import SessionDetail, SessionView

_T = TypeVar("_T")


class Connection(Protocol):
    """What an engine client offers."""

    async def call(self, method: str, target: str, kind: type[_T], *, body: bytes = b"") -> _T:
        """One call."""
        ...


class SessionsClient:
    """Acts on sessions."""

    def __init__(self, client: Connection) -> None:
        self._client = client

    async def detail(self, id: str) -> SessionDetail:
        """A session with its latest requests; EngineRefused(404) when it is not known."""
        return await self._client.call("GET", f"/admin/sessions/{quote(id, safe='')}", SessionDetail)

    async def act(self, id: str, act: str, ask: SessionAsk | None = None) -> SessionView:
        """One of `session_views.ACTS`; EngineRefused(404) when the session is not going on."""
        body = msgspec.json.encode(ask or SessionAsk())
        return await self._client.call("POST", f"/admin/sessions/{quote(id, safe='')}/{act}", SessionView, body=body)

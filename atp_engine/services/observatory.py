"""What faces may ask, in one place: the live snapshot, history, sessions, deployments, vital signs.

`api/admin` is its only caller; it reads through the services that own the state and changes nothing but
by `cancel`.
"""

from __future__ import annotations

from collections.abc import Callable

from atp_engine.bus import EventBus
from atp_engine.core.views import (
    DeploymentView,
    EngineView,
    FirstRun,
    RequestDetail,
    RequestPage,
    RequestView,
    SessionView,
    Snapshot,
    Tail,
)
from atp_engine.services.deployments import Deployments
from atp_engine.services.history import MAX_PAGE, History
from atp_engine.services.live import LiveRequests
from atp_engine.services.sessions import Sessions
from atp_engine.services.vitals import Vitals

_SNAPSHOT_SESSIONS = 200


class Observatory:
    """The reading side of the engine."""

    def __init__(
        self,
        bus: EventBus,
        live: LiveRequests,
        history: History,
        sessions: Sessions,
        deployments: Deployments,
        vitals: Vitals,
        first_run: Callable[[bool], FirstRun],
    ) -> None:
        self.bus = bus
        self._live = live
        self._history = history
        self._sessions = sessions
        self._deployments = deployments
        self._vitals = vitals
        self._first_run = first_run

    def snapshot(self, *, shows_key: bool = True) -> Snapshot:
        """The whole live state as of the bus's present number; its reader is expected to listen next."""
        self.bus.expect()
        return Snapshot(
            seq=self.bus.seq,
            engine=self.status(),
            requests=self._live.views()[:MAX_PAGE],
            sessions=self.sessions(_SNAPSHOT_SESSIONS),
            deployments=self.deployments(),
            first_run=self.first_run(shows_key=shows_key),
        )

    def status(self) -> EngineView:
        """The engine's vital signs."""
        return self._vitals.view()

    async def requests(self, query: str, limit: int, before: str) -> RequestPage:
        """A page of requests, newest first. Raises InvalidRequest on a bad filter."""
        return await self._history.page(query, limit, before)

    async def request(self, id: str) -> RequestDetail | None:
        """Everything known of a request."""
        return await self._history.detail(id)

    def tail(self, id: str) -> Tail | None:
        """The last text of an open request."""
        return self._history.tail(id)

    def cancel(self, id: str, by: str) -> bool:
        """Ends an open request from outside."""
        return self._history.cancel(id, by)

    def sessions(self, limit: int) -> tuple[SessionView, ...]:
        """The live sessions, latest first."""
        return self._sessions.views(limit)

    async def session(self, id: str) -> tuple[SessionView, tuple[RequestView, ...]] | None:
        """A session with its requests, newest first; also one that has left the live map."""
        view = await self._sessions.view(id)
        if view is None:
            return None
        page = await self._history.page("", MAX_PAGE, "", session=id)
        return view, page.requests

    def deployments(self) -> tuple[DeploymentView, ...]:
        """Every deployment with its live state."""
        return self._deployments.views()

    def first_run(self, *, shows_key: bool = True) -> FirstRun:
        """Where to point clients, with the first client key or with a word in its place."""
        return self._first_run(shows_key)

"""What the console knows: a pure, bounded fold of snapshots, events and link losses.

The app feeds it; screens read it on a tick and compare version numbers to see what changed. No
clock, no loop and no widget in here.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from itertools import islice

from atp_console.listing import Listing, Row, insert_row, row_of
from atp_engine.client.follow import Batch, LinkLost
from atp_engine.core.events import (
    AnyEvent,
    DeploymentChanged,
    DeploymentRemoved,
    EngineChanged,
    Gap,
    Notice,
    RequestChanged,
    SessionChanged,
    SessionEnded,
)
from atp_engine.core.views import DeploymentView, EngineView, FirstRun, RequestView, SessionView, Snapshot

REQUEST_CAP = 5_000
SESSION_CAP = 1_000
_NOTICE_CAP = 200
_RATE_POINTS = 120

Update = Snapshot | Batch | LinkLost


class ConsoleState:
    """The live picture. `requests_version` and `link_version` rise with every change of those parts."""

    def __init__(self, request_cap: int = REQUEST_CAP) -> None:
        self._cap = request_cap
        self._rows: dict[str, Row] = {}
        self._ordered: list[Row] = []
        self.listing = Listing(self._rows)
        self.sessions: dict[str, SessionView] = {}
        self.deployments: dict[str, DeploymentView] = {}
        self.engine: EngineView | None = None
        self.first_run: FirstRun | None = None
        self.link: LinkLost | None = None
        self.notices: deque[Notice] = deque(maxlen=_NOTICE_CAP)
        self.rates: deque[float] = deque(maxlen=_RATE_POINTS)
        self.arrived = 0
        """Requests first seen since the console started."""
        self.requests_version = 0
        self.link_version = 0

    @property
    def is_connected(self) -> bool:
        """True once a snapshot has come and no loss after it."""
        return self.engine is not None and self.link is None

    @property
    def request_count(self) -> int:
        """Requests that are held here."""
        return len(self._rows)

    @property
    def oldest_id(self) -> str:
        """The oldest request held, where a page of older ones would continue; empty when none is."""
        return self._ordered[0].view.id if self._ordered else ""

    @property
    def is_full(self) -> bool:
        """True when an older request would have no room."""
        return len(self._rows) >= self._cap

    def request(self, id: str) -> RequestView | None:
        """A request by id."""
        row = self._rows.get(id)
        return row.view if row else None

    def session_requests(self, session_id: str, limit: int) -> list[RequestView]:
        """The latest held requests of a session, newest first."""
        views = (row.view for row in reversed(self._ordered))
        return list(islice((view for view in views if view.session_id == session_id), limit))

    def served_by(self, deployment: str, limit: int) -> list[RequestView]:
        """The latest held requests that a deployment answers or answered, newest first."""
        views = (row.view for row in reversed(self._ordered))
        return list(islice((view for view in views if view.served == deployment), limit))

    def latest_sessions(self, now: float, busy_s: float) -> list[SessionView]:
        """Sessions at work in the last `busy_s` seconds, the youngest first, so that they stay in their
        places while they work; then the others by last use."""

        def place(one: SessionView) -> tuple[int, float, str]:
            is_busy = one.in_flight > 0 or now - one.last_at < busy_s
            return (0, -one.started_at, one.id) if is_busy else (1, -one.last_at, one.id)

        return sorted(self.sessions.values(), key=place)

    def apply(self, update: Update, now: float) -> None:
        """Takes one update of `client.follow`; `now` is UTC epoch seconds."""
        if isinstance(update, Snapshot):
            self._replace(update, now)
        elif isinstance(update, LinkLost):
            self.link = update
            self.link_version += 1
        else:
            for event in update:
                self._apply_event(event, now)

    def add_older(self, views: Iterable[RequestView], now: float) -> int:
        """Adds requests of the past up to the cap, newest first; says how many were new."""
        fresh: list[Row] = []
        for view in views:
            if view.id not in self._rows and len(self._rows) < self._cap:
                row = self._rows[view.id] = row_of(view)
                fresh.append(row)
        for row in fresh:
            place = bisect_left(self._ordered, row.key, key=lambda one: one.key)
            self._ordered.insert(place, row)
            self.listing.changed(row, now, is_new=False)
        self.requests_version += 1
        return len(fresh)

    def _replace(self, snapshot: Snapshot, now: float) -> None:
        self.engine = snapshot.engine
        self.first_run = snapshot.first_run
        self.link = None
        self.sessions = {view.id: view for view in snapshot.sessions[:SESSION_CAP]}
        self.deployments = {view.key: view for view in snapshot.deployments}
        present = {view.id for view in snapshot.requests}
        gone = [row for row in self._ordered if not row.view.state.is_final and row.view.id not in present]
        for row in gone:
            self._remove(row)
        for view in sorted(snapshot.requests, key=lambda one: (one.started_at, one.id)):
            self._put(view, now)
        self.requests_version += 1
        self.link_version += 1

    def _apply_event(self, event: AnyEvent, now: float) -> None:
        match event:
            case RequestChanged():
                self._put(event.request, now)
                self.requests_version += 1
            case SessionChanged():
                self.sessions[event.session.id] = event.session
                if len(self.sessions) > SESSION_CAP:
                    oldest = min(self.sessions.values(), key=lambda one: one.last_at)
                    del self.sessions[oldest.id]
            case SessionEnded():
                self.sessions.pop(event.session_id, None)
            case DeploymentChanged():
                self.deployments[event.deployment.key] = event.deployment
            case DeploymentRemoved():
                self.deployments.pop(event.key, None)
            case EngineChanged():
                self.engine = event.engine
                self.rates.append(event.engine.requests_per_s)
            case Notice():
                self.notices.append(event)
            case Gap():
                pass  # `follow` reads the snapshot again

    def _put(self, view: RequestView, now: float) -> None:
        row = self._rows.get(view.id)
        if row is not None:
            row.view = view
            self.listing.changed(row, now, is_new=False)
            return
        row = self._rows[view.id] = row_of(view)
        insert_row(self._ordered, row)
        self.arrived += 1
        self.listing.changed(row, now, is_new=True)
        if len(self._rows) > self._cap:
            self._remove(self._ordered[0])

    def _remove(self, row: Row) -> None:
        place = bisect_left(self._ordered, row.key, key=lambda one: one.key)
        del self._ordered[place]
        self._rows.pop(row.view.id, None)
        self.listing.removed(row)

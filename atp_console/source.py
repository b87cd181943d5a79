"""Where the console's facts come from: the few calls it needs, and a read-only wrapper around them.

`EngineClient` is the real source; tests replay recorded ones. All calls raise EngineGone or
EngineRefused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from atp_engine.client.errors import EngineRefused
from atp_engine.client.follow import Batch
from atp_engine.core.log_views import AuditPage, LogPage
from atp_engine.core.metrics_views import MetricsView
from atp_engine.core.play_views import PlayAsk, PlayStarted
from atp_engine.core.types import RouteDecision
from atp_engine.core.views import LaunchCode, RequestDetail, RequestPage, Snapshot, Tail, TrialReply


class EngineSource(Protocol):
    """The admin API as the console uses it."""

    async def snapshot(self) -> Snapshot:
        """The whole live state."""
        ...

    def events(self, last_seq: int) -> AsyncIterator[Batch]:
        """Batches of events after `last_seq`; EngineGone when the connection ends."""
        ...

    async def requests(self, query: str, limit: int, before: str) -> RequestPage:
        """A page of requests, newest first."""
        ...

    async def request(self, id: str) -> RequestDetail:
        """Everything about one request."""
        ...

    async def metrics(self, window: str, group: str) -> MetricsView:
        """Traffic of a window, by group."""
        ...

    async def logs(self, level: str, limit: int) -> LogPage:
        """The latest records of the log, newest first."""
        ...

    async def audit(self, limit: int, before: int = 0) -> AuditPage:
        """Acts of operators, newest first."""
        ...

    async def tail(self, id: str) -> Tail:
        """The last text of a request."""
        ...

    async def cancel(self, id: str) -> bool:
        """Ends an open request; False when it was over already."""
        ...

    async def test_request(self, model: str = "") -> TrialReply:
        """Sends one request through the whole walk."""
        ...

    async def play(self, ask: PlayAsk) -> PlayStarted:
        """Sends a prompt to a route or model."""
        ...

    async def replay(self, id: str, model: str = "") -> PlayStarted:
        """Sends a recorded request again."""
        ...

    async def decide(self, id: str, model: str = "") -> RouteDecision:
        """How a recorded request would be routed now."""
        ...

    async def launch_code(self) -> LaunchCode:
        """A one-time code that opens the dashboard."""
        ...

    async def aclose(self) -> None:
        """Closes every connection."""
        ...


class ReadOnlySource:
    """A source on which nothing can be changed: the second lock behind the hidden actions."""

    def __init__(self, source: EngineSource) -> None:
        self.snapshot = source.snapshot
        self.events = source.events
        self.requests = source.requests
        self.request = source.request
        self.tail = source.tail
        self.metrics = source.metrics
        self.logs = source.logs
        self.audit = source.audit
        self.decide = source.decide
        self.aclose = source.aclose

    async def cancel(self, id: str) -> bool:
        """Refused."""
        raise _read_only()

    async def test_request(self, model: str = "") -> TrialReply:
        """Refused."""
        raise _read_only()

    async def play(self, ask: PlayAsk) -> PlayStarted:
        """Refused."""
        raise _read_only()

    async def replay(self, id: str, model: str = "") -> PlayStarted:
        """Refused."""
        raise _read_only()

    async def launch_code(self) -> LaunchCode:
        """Refused."""
        raise _read_only()


def _read_only() -> EngineRefused:
    return EngineRefused(0, "read_only", "this console is attached read-only")

"""Where the console's facts come from: the few calls it needs, and a read-only wrapper around them.

`EngineClient` is the real source; tests replay recorded ones. All calls raise EngineGone or
EngineRefused.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cached_property
from typing import Protocol

from atp_engine.client.config_client import ConfigClient
from atp_engine.client.engine_client import EngineClient
from atp_engine.client.errors import EngineRefused
from atp_engine.client.follow import Batch
from atp_engine.client.keys_client import KeysClient
from atp_engine.client.sessions_client import SessionsClient
from atp_engine.core.config_views import ConfigApplied, ConfigDiff, ConfigHistory, ConfigReport, ConfigText
from atp_engine.core.deployment_views import ProbeReply
from atp_engine.core.key_views import KeyMade, KeySummary, KeyWish
from atp_engine.core.log_views import AuditPage, LogPage
from atp_engine.core.metrics_views import MetricsView
from atp_engine.core.play_views import PlayAsk, PlayStarted
from atp_engine.core.sent_views import SentView
from atp_engine.core.session_views import SessionAsk
from atp_engine.core.types import RouteDecision
from atp_engine.core.views import (
    DeploymentView,
    LaunchCode,
    RequestDetail,
    RequestPage,
    SessionDetail,
    SessionView,
    Snapshot,
    Tail,
    TrialReply,
)
from atp_engine.core.window_views import WindowView


class ConfigSource(Protocol):
    """The config's life as the console uses it."""

    async def history(self, limit: int = 50) -> ConfigHistory:
        """The kept versions, newest first."""
        ...

    async def text(self, version: int | None = None) -> ConfigText:
        """The files of a version, None for the live one, 0 for what stands on the disk."""
        ...

    async def diff(self, before: int | None = None, after: int = 0) -> ConfigDiff:
        """What lies between two versions."""
        ...

    async def check(self, text: str) -> ConfigReport:
        """What a text would do; nothing changes."""
        ...

    async def apply(self, text: str, *, base: str = "", reason: str = "", guard: str | None = None) -> ConfigApplied:
        """Makes a text live; EngineRefused(409) when the file is not `base` any more."""
        ...

    async def rollback(
        self, version: int, *, base: str = "", reason: str = "", guard: str | None = None
    ) -> ConfigApplied:
        """Makes a kept version live again."""
        ...


class KeySource(Protocol):
    """Client keys and windows as the console uses them."""

    async def list(self) -> tuple[KeySummary, ...]:
        """Every key, the oldest first."""
        ...

    async def create(self, wish: KeyWish) -> KeyMade:
        """A new key with its secret."""
        ...

    async def rotate(self, id: str) -> KeyMade:
        """A new secret for a key."""
        ...

    async def revoke(self, id: str) -> bool:
        """Ends a key."""
        ...

    async def windows(self) -> tuple[WindowView, ...]:
        """Every window with its counts."""
        ...


class SessionSource(Protocol):
    """Sessions as the console uses them."""

    async def detail(self, id: str) -> SessionDetail:
        """A session with its latest requests."""
        ...

    async def act(self, id: str, act: str, ask: SessionAsk | None = None) -> SessionView:
        """Ends, pauses, resumes, drops, pins or caps a session."""
        ...


class EngineSource(Protocol):
    """The admin API as the console uses it."""

    @property
    def settings(self) -> ConfigSource:
        """The calls about the config."""
        ...

    @property
    def keys(self) -> KeySource:
        """The calls about keys."""
        ...

    @property
    def talks(self) -> SessionSource:
        """The calls about sessions."""
        ...

    async def act(self, key: str, act: str) -> DeploymentView:
        """Opens, closes, drains, enables or disables a deployment."""
        ...

    async def probe(self, key: str) -> ProbeReply:
        """Asks the vendor's free model list."""
        ...

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

    async def sent(self, id: str) -> SentView:
        """What the client sent beside what went up."""
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


class AttachedSource(EngineClient):
    """A running engine as a source."""

    @cached_property
    def settings(self) -> ConfigClient:
        """The calls about the config."""
        return ConfigClient(self, "console")

    @cached_property
    def keys(self) -> KeysClient:
        """The calls about keys."""
        return KeysClient(self)

    @cached_property
    def talks(self) -> SessionsClient:
        """The calls about sessions."""
        return SessionsClient(self)


class _ReadOnlySessions:
    def __init__(self, source: SessionSource) -> None:
        self.detail = source.detail

    async def act(self, id: str, act: str, ask: SessionAsk | None = None) -> SessionView:
        raise _read_only()


class ReadOnlySource:
    """A source on which nothing can be changed: the second lock behind the hidden actions."""

    def __init__(self, source: EngineSource) -> None:
        self.settings: ConfigSource = _ReadOnlyConfig(source.settings)
        self.keys: KeySource = _ReadOnlyKeys(source.keys)
        self.talks: SessionSource = _ReadOnlySessions(source.talks)
        self.snapshot = source.snapshot
        self.events = source.events
        self.requests = source.requests
        self.request = source.request
        self.sent = source.sent
        self.tail = source.tail
        self.metrics = source.metrics
        self.logs = source.logs
        self.audit = source.audit
        self.decide = source.decide
        self.aclose = source.aclose

    async def cancel(self, id: str) -> bool:
        """Refused."""
        raise _read_only()

    async def act(self, key: str, act: str) -> DeploymentView:
        """Refused."""
        raise _read_only()

    async def probe(self, key: str) -> ProbeReply:
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


class _ReadOnlyConfig:
    def __init__(self, source: ConfigSource) -> None:
        self.history = source.history
        self.text = source.text
        self.diff = source.diff
        self.check = source.check

    async def apply(self, text: str, *, base: str = "", reason: str = "", guard: str | None = None) -> ConfigApplied:
        raise _read_only()

    async def rollback(
        self, version: int, *, base: str = "", reason: str = "", guard: str | None = None
    ) -> ConfigApplied:
        raise _read_only()


class _ReadOnlyKeys:
    def __init__(self, source: KeySource) -> None:
        self.list = source.list
        self.windows = source.windows

    async def create(self, wish: KeyWish) -> KeyMade:
        raise _read_only()

    async def rotate(self, id: str) -> KeyMade:
        raise _read_only()

    async def revoke(self, id: str) -> bool:
        raise _read_only()


def _read_only() -> EngineRefused:
    return EngineRefused(0, "read_only", "this console is attached read-only")

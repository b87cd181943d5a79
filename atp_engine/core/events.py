"""What happened, as values with a rising number: published on the bus, folded by the faces.

A face takes a snapshot at `seq` N and applies the events after it; a `Gap` means events were lost
and the snapshot must be read again.
"""

from __future__ import annotations

import msgspec

from atp_engine.core.views import DeploymentView, EngineView, RequestView, SessionView


class Event(msgspec.Struct, frozen=True, tag_field="type"):
    """Base of all events."""

    seq: int


class RequestChanged(Event, frozen=True, tag="request"):
    """A request began, was decided, failed over, grew or finished; the row replaces the older one."""

    request: RequestView


class SessionChanged(Event, frozen=True, tag="session"):
    """A session began or its sums changed."""

    session: SessionView


class SessionEnded(Event, frozen=True, tag="session_ended"):
    """A session left the live map (TTL or cap); its summary is kept in the database."""

    session_id: str


class DeploymentChanged(Event, frozen=True, tag="deployment"):
    """Health, circuit or figures of a deployment changed."""

    deployment: DeploymentView


class DeploymentRemoved(Event, frozen=True, tag="deployment_removed"):
    """A deployment left the config."""

    key: str


class EngineChanged(Event, frozen=True, tag="engine"):
    """The engine's vital signs, once a second while somebody listens."""

    engine: EngineView


class Notice(Event, frozen=True, tag="notice"):
    """Something people should know: a circuit opened, a config was refused, records were dropped."""

    at: float
    severity: str
    """info, warn or error."""
    code: str
    text: str
    request_id: str = ""


class Gap(Event, frozen=True, tag="gap"):
    """Events before `seq` were dropped for this subscriber; read the snapshot again."""

    dropped: int


AnyEvent = (
    RequestChanged
    | SessionChanged
    | SessionEnded
    | DeploymentChanged
    | DeploymentRemoved
    | EngineChanged
    | Notice
    | Gap
)

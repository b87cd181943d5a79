"""The live stream of the admin API: events as SSE batches, coalesced, at most one write in 100 ms.

`GET /admin/events` answers with an `EventStream`. A face reads the snapshot at seq N, asks for what
came after N (`Last-Event-ID`, or `?after=N` where headers cannot be set) and gets either those events
or a Gap. Publishing never waits for a reader; a stream ends when its reader leaves, its login ends or
the engine stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from atp_engine.api.guard import SHARED_HEADERS
from atp_engine.bus import EventBus, Subscription
from atp_engine.core.events import AnyEvent, DeploymentChanged, EngineChanged, Gap, RequestChanged, SessionChanged
from atp_engine.core.views import RequestView

PACE_S = 0.1
HEARTBEAT_S = 5.0
_HEARTBEAT = b": alive\n\n"
_encode = msgspec.json.Encoder().encode

Matches = Callable[[RequestView], bool]


class Listeners:
    """Counts open streams, so that a forgotten script cannot open them without end."""

    def __init__(self, most: int = 64) -> None:
        self.most = most
        self.open = 0


class _Over(Exception):
    """The stream has a reason to end."""


class EventStream(Response):
    """One open stream of one reader."""

    def __init__(
        self,
        bus: EventBus,
        *,
        after: int | None,
        matches: Matches | None,
        is_allowed: Callable[[], bool],
        stopping: asyncio.Event,
        listeners: Listeners,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        """`after` None starts now. `matches` keeps only such requests and names the others in `hide`
        frames, so that a filtered page can drop a row that stopped to match."""
        super().__init__(
            headers={
                **SHARED_HEADERS,
                "content-type": "text/event-stream",
                "cache-control": "no-store",
                "x-accel-buffering": "no",
            }
        )
        del self.headers["content-length"]
        self._bus = bus
        self._after = after
        self._matches = matches
        self._is_allowed = is_allowed
        self._stopping = stopping
        self._listeners = listeners
        self._heartbeat_s = heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Writes until the reader leaves, loses its permission, or the engine stops."""
        self._listeners.open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with asyncio.TaskGroup() as group:
                group.create_task(_end_on_leave(receive), name="events-reader-leaves")
                group.create_task(_end_on_stop(self._stopping), name="events-engine-stops")
                if scope["method"] == "HEAD":
                    raise _Over
                await self._write(send)
        except* _Over:
            pass
        finally:
            self._listeners.open -= 1
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self, send: Send) -> None:
        with self._bus.subscribe() as subscription:
            first = self._hello() + self._frame(self._missed())
            await send({"type": "http.response.body", "body": first, "more_body": True})
            while True:
                await asyncio.sleep(PACE_S)
                frame = await self._next(subscription)
                if not self._is_allowed():
                    raise _Over
                await send({"type": "http.response.body", "body": frame, "more_body": True})

    def _hello(self) -> bytes:
        """Names the position at once, so that a reader which loses a silent stream can resume it."""
        position = self._bus.seq if self._after is None else self._after
        return b"retry: 1000\nid: %d\n\n" % position

    async def _next(self, subscription: Subscription) -> bytes:
        """The next frame; a heartbeat when nothing has happened for so long."""
        await subscription.wait(self._heartbeat_s)
        return self._frame(subscription.drain()) or _HEARTBEAT

    def _missed(self) -> list[AnyEvent]:
        if self._after is None:
            return []
        missed = self._bus.since(self._after)
        if missed is None:
            return [Gap(seq=self._bus.seq, dropped=max(0, self._bus.seq - self._after))]
        return missed

    def _frame(self, events: list[AnyEvent]) -> bytes:
        kept = coalesce(events)
        if not kept:
            return b""
        last = max(event.seq for event in kept)
        hidden = b""
        if self._matches is not None:
            gone = [e.request.id for e in kept if isinstance(e, RequestChanged) and not self._matches(e.request)]
            kept = [e for e in kept if not (isinstance(e, RequestChanged) and e.request.id in gone)]
            hidden = b"event: hide\ndata: " + _encode(gone) + b"\n\n" if gone else b""
        return hidden + b"id: %d\nevent: batch\ndata: " % last + _encode(kept) + b"\n\n"


def coalesce(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """The same story with fewer events: only the last state per request, session, deployment, engine.

    Order by `seq` is kept; notices, ends and gaps all stay.
    """
    latest: dict[tuple[str, str] | int, AnyEvent] = {}
    for event in events:
        key = _key(event)
        latest.pop(key, None)
        latest[key] = event
    return list(latest.values())


def _key(event: AnyEvent) -> tuple[str, str] | int:
    match event:
        case RequestChanged():
            return ("request", event.request.id)
        case SessionChanged():
            return ("session", event.session.id)
        case DeploymentChanged():
            return ("deployment", event.deployment.key)
        case EngineChanged():
            return ("engine", "")
        case _:
            return id(event)


async def _end_on_leave(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise _Over


async def _end_on_stop(stopping: asyncio.Event) -> None:
    await stopping.wait()
    raise _Over

"""The admin API as typed calls: the one way in which the console speaks to an engine, local or remote.

Every call raises EngineGone or EngineRefused and nothing else. `connect` wires it to the pooled
transport; tests pass their own.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar, overload
from urllib.parse import quote, urlencode

import msgspec

from atp_engine.client.endpoint import Endpoint
from atp_engine.client.errors import EngineGone, EngineRefused
from atp_engine.client.frames import FrameReader
from atp_engine.core.deployment_views import ProbeReply
from atp_engine.core.errors import StreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from atp_engine.core.events import AnyEvent
from atp_engine.core.log_views import AuditPage, LogPage
from atp_engine.core.metrics_views import MetricsView
from atp_engine.core.play_views import PlayAsk, PlayStarted, ReplayAsk
from atp_engine.core.sent_views import SentView
from atp_engine.core.types import RouteDecision
from atp_engine.core.views import (
    CancelReply,
    ConfigView,
    DeploymentView,
    EngineView,
    FirstRun,
    LaunchCode,
    RequestDetail,
    RequestPage,
    SessionDetail,
    SessionView,
    Snapshot,
    Tail,
    TrialReply,
)
from atp_engine.providers.pooled import PooledTransport
from atp_engine.providers.transport import Transport, UpstreamRequest, UpstreamResponse
from atp_engine.system import SystemClock

CONNECT_S = 1.0
ANSWER_S = 10.0
TRIAL_S = 120.0
SILENCE_S = 15.0
_BODY_CAP_BYTES = 64 * 1_048_576
_ERROR_CAP_BYTES = 65_536
BAD_REPLY = "bad_reply"
"""Code of a refusal that we made ourselves: what came is not of our API."""
_VERSION = re.compile(rb'"version"\s*:\s*"([0-9A-Za-z.+_-]{1,40})"')
_VERSION_WITHIN = 65_536
_T = TypeVar("_T")


class _ErrorBody(msgspec.Struct):
    code: str = ""
    message: str = ""


class _ErrorEnvelope(msgspec.Struct):
    error: _ErrorBody


class EngineClient:
    """A client of one engine. Calls may run side by side; cancelling one closes its connection."""

    def __init__(
        self, endpoint: Endpoint, transport: Transport, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """`monotonic` is the transport's clock. Raises EndpointError on an address that cannot be one."""
        self.endpoint = endpoint
        self._origin = endpoint.origin()
        self._transport = transport
        self._monotonic = monotonic
        self._headers = f"Authorization: Bearer {endpoint.token}\r\n".encode("latin-1") if endpoint.token else b""

    async def snapshot(self) -> Snapshot:
        """The whole live state."""
        return await self._get("/admin/snapshot", Snapshot)

    async def status(self) -> EngineView:
        """The engine's vital signs."""
        return await self._get("/admin/status", EngineView)

    async def config(self) -> ConfigView:
        """The configuration in effect."""
        return await self._get("/admin/config", ConfigView)

    async def requests(self, query: str, limit: int, before: str) -> RequestPage:
        """A page of requests that match a filter, newest first; a bad filter is EngineRefused(400)."""
        return await self._get(
            "/admin/requests?" + urlencode({"q": query, "limit": limit, "before": before}), RequestPage
        )

    async def request(self, id: str) -> RequestDetail:
        """Everything about one request; EngineRefused(404) when it is not known."""
        return await self._get(f"/admin/requests/{quote(id, safe='')}", RequestDetail)

    async def tail(self, id: str) -> Tail:
        """The last text of a request."""
        return await self._get(f"/admin/requests/{quote(id, safe='')}/tail", Tail)

    async def cancel(self, id: str) -> bool:
        """Ends an open request; False when it was over already."""
        reply = await self._call("POST", f"/admin/requests/{quote(id, safe='')}/cancel", CancelReply)
        return reply.cancelled

    async def sessions(self, limit: int) -> tuple[SessionView, ...]:
        """The live sessions, the latest first."""
        return await self._get(f"/admin/sessions?limit={limit}", tuple[SessionView, ...])

    async def session(self, id: str) -> SessionDetail:
        """One session with its requests."""
        return await self._get(f"/admin/sessions/{quote(id, safe='')}", SessionDetail)

    async def deployments(self) -> tuple[DeploymentView, ...]:
        """Every deployment with its live state."""
        return await self._get("/admin/deployments", tuple[DeploymentView, ...])

    async def metrics(self, window: str, group: str) -> MetricsView:
        """Traffic of a window (`5m` to `7d`) in steps, and its sums by group."""
        return await self._get("/admin/metrics?" + urlencode({"window": window, "group": group}), MetricsView)

    async def logs(self, level: str, limit: int) -> LogPage:
        """The latest records of the engine's log at least as severe as `level`, newest first."""
        return await self._get("/admin/logs?" + urlencode({"level": level, "limit": limit}), LogPage)

    async def audit(self, limit: int, before: int = 0) -> AuditPage:
        """Acts of operators, newest first; older than number `before` when it is not 0."""
        return await self._get("/admin/audit?" + urlencode({"limit": limit, "before": before}), AuditPage)

    async def act(self, key: str, act: str) -> DeploymentView:
        """Opens, closes, drains, enables or disables a deployment; EngineRefused(404) when it is not known."""
        return await self._call("POST", f"/admin/deployments/{quote(key, safe='/')}/{act}", DeploymentView)

    async def probe(self, key: str) -> ProbeReply:
        """Asks the free model list of a deployment's vendor."""
        target = f"/admin/deployments/{quote(key, safe='/')}/probe"
        return await self._call("POST", target, ProbeReply, answer_s=TRIAL_S)

    async def play(self, ask: PlayAsk) -> PlayStarted:
        """Sends a prompt to a route or model; follow it by its id."""
        return await self._call("POST", "/admin/plays", PlayStarted, body=msgspec.json.encode(ask))

    async def replay(self, id: str, model: str = "") -> PlayStarted:
        """Sends a recorded request again; EngineRefused(409) when its body was not kept whole."""
        body = msgspec.json.encode(ReplayAsk(model))
        return await self._call("POST", f"/admin/requests/{quote(id, safe='')}/replay", PlayStarted, body=body)

    async def decide(self, id: str, model: str = "") -> RouteDecision:
        """How a recorded request would be routed now; calls nothing."""
        asked = "?" + urlencode({"model": model}) if model else ""
        return await self._get(f"/admin/requests/{quote(id, safe='')}/decision{asked}", RouteDecision)

    async def sent(self, id: str) -> SentView:
        """What the client sent beside what went up for it."""
        return await self._get(f"/admin/requests/{quote(id, safe='')}/sent", SentView)

    async def connections(self) -> FirstRun:
        """How clients are pointed at the engine."""
        return await self._get("/admin/connections", FirstRun)

    async def test_request(self, model: str = "") -> TrialReply:
        """Sends one request through the whole walk; empty `model` means the simulated one."""
        body = msgspec.json.encode({"model": model} if model else {})
        return await self._call("POST", "/admin/test-request", TrialReply, body=body, answer_s=TRIAL_S)

    async def launch_code(self) -> LaunchCode:
        """A one-time code that opens the dashboard."""
        return await self._call("POST", "/admin/launch-code", LaunchCode)

    async def events(self, last_seq: int) -> AsyncIterator[tuple[AnyEvent, ...]]:
        """Batches of events after `last_seq`, until the connection is lost: then EngineGone.

        An engine writes at least a heartbeat every 5 s; 15 s of silence count as gone.
        """
        headers = f"Accept: text/event-stream\r\nLast-Event-ID: {last_seq}\r\n".encode()
        response = await self._open("GET", "/admin/events", headers=headers)
        try:
            if response.status != 200:
                raise await _refusal(response)
            reader = FrameReader()
            while True:
                response.set_deadline(self._monotonic() + SILENCE_S, "idle")
                data = await response.read()
                if not data:
                    raise EngineGone("the engine ended the live stream")
                for batch in reader.feed(data):
                    yield batch
        except UpstreamError as error:
            raise self._gone(error) from error
        except ValueError as error:
            raise EngineGone(f"the live stream is not readable: {error}") from error
        finally:
            response.close()

    async def call(self, method: str, target: str, kind: type[_T], *, body: bytes = b"") -> _T:
        """Any other call of the admin API, for clients of a noun of their own."""
        return await self._call(method, target, kind, body=body)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._transport.aclose()

    async def _get(self, target: str, kind: type[_T]) -> _T:
        return await self._call("GET", target, kind)

    async def _call(
        self, method: str, target: str, kind: type[_T], *, body: bytes = b"", answer_s: float = ANSWER_S
    ) -> _T:
        headers = b""
        if method == "POST":
            headers, body = b"Content-Type: application/json\r\n", body or b"{}"
        response = await self._open(method, target, headers=headers, body=body, answer_s=answer_s)
        try:
            if response.status != 200:
                raise await _refusal(response)
            response.set_deadline(self._monotonic() + answer_s, "total")
            raw = await response.read_all(_BODY_CAP_BYTES)
        except UpstreamError as error:
            raise self._gone(error) from error
        finally:
            response.close()
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            stated = _VERSION.search(raw[:_VERSION_WITHIN])
            whose = f" (version {stated[1].decode('ascii')})" if stated is not None else ""
            words = f"the answer{whose} is not of this version's API: {error}"
            raise EngineRefused(0, BAD_REPLY, words) from error

    def _gone(self, error: UpstreamError) -> EngineGone:
        """The transport's failure in words about an engine."""
        if isinstance(error, UpstreamTimeout):
            return EngineGone(f"no sign of life from the engine at {self.endpoint.label}")
        if isinstance(error, UpstreamUnreachable):
            return EngineGone(f"nobody answers at {self.endpoint.label}")
        if isinstance(error, StreamBroken):
            return EngineGone(f"the connection to {self.endpoint.label} was lost")
        return EngineGone(f"what answers at {self.endpoint.label} is no engine")

    async def _open(
        self, method: str, target: str, *, headers: bytes, body: bytes = b"", answer_s: float = ANSWER_S
    ) -> UpstreamResponse:
        request = UpstreamRequest(
            origin=self._origin,
            method=method.encode(),
            target=target.encode(),
            headers=self._headers + headers,
            body=body,
            connect_s=CONNECT_S,
            deadline_at=self._monotonic() + answer_s,
            deadline_limit="total",
        )
        try:
            return await self._transport.open(request)
        except UpstreamError as error:
            raise self._gone(error) from error


_C = TypeVar("_C", bound=EngineClient)


@overload
def connect(endpoint: Endpoint) -> EngineClient: ...
@overload
def connect(endpoint: Endpoint, kind: type[_C]) -> _C: ...
def connect(endpoint: Endpoint, kind: type[EngineClient] = EngineClient) -> EngineClient:
    """A client (of a `kind` of its own) over its own pooled transport; nothing is sent yet. Belongs to the
    loop it is used on.

    Raises EndpointError on an address that cannot be one.
    """
    return kind(endpoint, PooledTransport(SystemClock()))


async def _refusal(response: UpstreamResponse) -> EngineRefused:
    """The engine's own words if it said any, else the bare status."""
    raw = await response.read_all(_ERROR_CAP_BYTES)
    try:
        body = msgspec.json.decode(raw, type=_ErrorEnvelope).error
    except msgspec.DecodeError:
        body = _ErrorBody()
    return EngineRefused(response.status, body.code, body.message or f"the engine answered {response.status}")

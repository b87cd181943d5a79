"""What tests of the HTTP face share: a small observatory over the real bus, an ASGI driver, a server.

`build_face` wires the real app; `ask` drives it without a socket; `serve` runs it under uvicorn.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import uvicorn
from starlette.types import ASGIApp, Message, Scope

from atp_engine.api.app import ClientRoutes, Front, build_app
from atp_engine.api.errors import HeaderList
from atp_engine.api.exchange import HotEndpoints
from atp_engine.api.health import Probe
from atp_engine.bus import EventBus
from atp_engine.config.models import Config
from atp_engine.core.errors import InvalidKey, InvalidRequest
from atp_engine.core.events import DeploymentChanged, EngineChanged, Notice, RequestChanged, SessionChanged
from atp_engine.core.filter import FilterError, parse
from atp_engine.core.types import Caller, PriceState, RequestState, RouteDecision
from atp_engine.core.views import (
    Connection,
    DeploymentView,
    EngineView,
    FirstRun,
    RequestDetail,
    RequestPage,
    RequestView,
    SessionView,
    Snapshot,
    Tail,
    TrialReply,
)
from atp_engine.services.keys_admin import Badge

ADMIN_TOKEN = "atp-admin-token"
VIEWER_TOKEN = "atp-viewer-token"
CLIENT_KEY = "atp-client-key"
JSON = [("content-type", "application/json")]


class SteppedClock:
    """Both clocks under the test's control."""

    def __init__(self, now: float = 1_760_000_000.0) -> None:
        self._now = now
        self._monotonic = 1_000.0

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def step(self, seconds: float) -> None:
        self._now += seconds
        self._monotonic += seconds


_REQUEST = RequestView(
    id="req_0001",
    started_at=1_760_000_000.0,
    state=RequestState.OK,
    session_id="cc-7f3a",
    client="claude-code",
    key_name="laptop",
    dialect="anthropic",
    is_stream=True,
    asked="auto",
    route="auto",
    served="sonnet-4.5",
    model="claude-sonnet-4-5",
    provider="anthropic",
    tries=1,
    http_status=200,
    error_code="",
    error_message="",
    ttft_ms=412.0,
    duration_ms=2_310.0,
    tokens_per_s=71.2,
    prompt_tokens=41_204,
    cache_read_tokens=38_900,
    output_tokens=318,
    reasoning_tokens=0,
    is_usage_estimated=False,
    cost_nusd=12_000_000,
    price_state=PriceState.KNOWN,
    finish_reason="stop",
    has_body=True,
)
_SESSION = SessionView(
    id="cc-7f3a",
    client="claude-code",
    key_name="laptop",
    title="fix the SSE parser",
    started_at=1_760_000_000.0,
    last_at=1_760_000_060.0,
    requests=9,
    in_flight=1,
    errors=0,
    prompt_tokens=371_000,
    output_tokens=2_900,
    cost_nusd=210_000_000,
    price_state=PriceState.KNOWN,
)
_DEPLOYMENT = DeploymentView(
    key="sonnet-4.5",
    provider="anthropic",
    model="claude-sonnet-4-5",
    health="healthy",
    circuit="closed",
    retry_in_s=0.0,
    in_flight=1,
    requests=412,
    error_rate=0.002,
    p50_ms=1_210.0,
    p95_ms=2_900.0,
    ttft_p95_ms=900.0,
    tokens_per_s=70.1,
    input_usd=3.0,
    output_usd=15.0,
    price_source="bundled 2026-11",
    context_tokens=200_000,
    is_local=False,
    last_error="",
    routes=("auto",),
)
_ENGINE = EngineView(
    version="0.1.0",
    pid=4711,
    started_at=1_759_988_000.0,
    uptime_s=11_520.0,
    url="http://127.0.0.1:7443",
    config_path="atp.toml",
    config_version=12,
    config_problems=(),
    in_flight=0,
    queued=0,
    requests_total=0,
    requests_per_s=0.0,
    error_share=0.0,
    p50_ms=None,
    p95_ms=None,
    cost_per_hour_nusd=0,
    cost_today_nusd=0,
    unknown_cost_today=0,
    recorder_lag_ms=3.0,
    dropped={},
    storage_state="ok",
)
_FIRST_RUN = FirstRun(
    connections=(
        Connection("Claude Code", ("export ANTHROPIC_BASE_URL=http://127.0.0.1:7443", "claude")),
        Connection(
            "OpenAI SDK", ("export OPENAI_BASE_URL=http://127.0.0.1:7443/v1",), "Any key works until you make one."
        ),
    ),
    found=("OpenAI key in OPENAI_API_KEY", "Ollama at 127.0.0.1:11434 (3 models)"),
    providers=("openai", "ollama"),
)


def row(**changes: object) -> RequestView:
    """A finished request row with the given fields changed."""
    return msgspec.structs.replace(_REQUEST, **changes)


def session_row(**changes: object) -> SessionView:
    """A live session with the given fields changed."""
    return msgspec.structs.replace(_SESSION, **changes)


def deployment_row(**changes: object) -> DeploymentView:
    """A healthy deployment with the given fields changed."""
    return msgspec.structs.replace(_DEPLOYMENT, **changes)


def engine_view(**changes: object) -> EngineView:
    """A calm engine with the given fields changed."""
    return msgspec.structs.replace(_ENGINE, **changes)


@dataclass
class StagedObservatory:
    """The observatory's calls over plain lists: a test stages what there is to see."""

    clock: SteppedClock
    bus: EventBus = field(default_factory=EventBus)
    engine: EngineView = _ENGINE
    rows: dict[str, RequestView] = field(default_factory=dict)
    details: dict[str, RequestDetail] = field(default_factory=dict)
    live_sessions: dict[str, SessionView] = field(default_factory=dict)
    live_deployments: dict[str, DeploymentView] = field(default_factory=dict)
    tails: dict[str, Tail] = field(default_factory=dict)
    cancelled: list[tuple[str, str]] = field(default_factory=list)
    noted: list[tuple[str, ...]] = field(default_factory=list)

    def clear(self) -> None:
        """Back to an engine that has seen nothing."""
        self.engine = msgspec.structs.replace(_ENGINE, url=self.engine.url)
        for staged in (self.rows, self.details, self.live_sessions, self.live_deployments, self.tails):
            staged.clear()
        self.cancelled.clear()
        self.noted.clear()

    def put(self, view: RequestView) -> None:
        """A request came or changed: kept, and told on the bus."""
        self.rows[view.id] = view
        self.bus.publish(lambda seq: RequestChanged(seq=seq, request=view))

    def put_session(self, view: SessionView) -> None:
        self.live_sessions[view.id] = view
        self.bus.publish(lambda seq: SessionChanged(seq=seq, session=view))

    def put_deployment(self, view: DeploymentView) -> None:
        self.live_deployments[view.key] = view
        self.bus.publish(lambda seq: DeploymentChanged(seq=seq, deployment=view))

    def put_engine(self, view: EngineView) -> None:
        self.engine = view
        self.bus.publish(lambda seq: EngineChanged(seq=seq, engine=view))

    def notice(self, severity: str, code: str, text: str) -> None:
        at = self.clock.now()
        self.bus.publish(lambda seq: Notice(seq=seq, at=at, severity=severity, code=code, text=text))

    def snapshot(self, *, shows_key: bool = True) -> Snapshot:
        latest = tuple(sorted(self.rows.values(), key=lambda view: view.started_at, reverse=True))
        return Snapshot(
            seq=self.bus.seq,
            engine=self.engine,
            requests=latest[:500],
            sessions=self.sessions(100),
            deployments=self.deployments(),
            first_run=_FIRST_RUN,
        )

    def status(self) -> EngineView:
        return self.engine

    async def requests(self, query: str, limit: int, before: str) -> RequestPage:
        try:
            matches = parse(query).matches
        except FilterError as error:
            raise InvalidRequest(str(error), param="q") from error
        latest = sorted(self.rows.values(), key=lambda view: (view.started_at, view.id), reverse=True)
        found = [view for view in latest if matches(view, self.clock.now()) and (not before or view.id < before)]
        page = tuple(found[:limit])
        return RequestPage(page, page[-1].id if len(found) > limit else "")

    async def request(self, id: str) -> RequestDetail | None:
        if id in self.details:
            return msgspec.structs.replace(self.details[id], request=self.rows[id])
        view = self.rows.get(id)
        if view is None:
            return None
        return detail_of(view)

    def tail(self, id: str) -> Tail | None:
        return self.tails.get(id)

    def cancel(self, id: str, by: str) -> bool:
        view = self.rows.get(id)
        if view is None or view.state.is_final:
            return False
        self.cancelled.append((id, by))
        self.put(msgspec.structs.replace(view, state=RequestState.CANCELLED, duration_ms=900.0, http_status=499))
        return True

    def sessions(self, limit: int) -> tuple[SessionView, ...]:
        return tuple(sorted(self.live_sessions.values(), key=lambda view: view.last_at, reverse=True))[:limit]

    async def session(self, id: str) -> tuple[SessionView, tuple[RequestView, ...]] | None:
        view = self.live_sessions.get(id)
        if view is None:
            return None
        return view, tuple(request for request in self.rows.values() if request.session_id == id)

    def deployments(self) -> tuple[DeploymentView, ...]:
        return tuple(self.live_deployments.values())

    def first_run(self, *, shows_key: bool = True) -> FirstRun:
        return _FIRST_RUN


def detail_of(view: RequestView, *, decision: RouteDecision | None = None, **changes: object) -> RequestDetail:
    """A request's page with only its row known, or more by `changes`."""
    detail = RequestDetail(
        request=view,
        decision=decision,
        attempts=(),
        request_body=None,
        response_body=None,
        dropped_fields=(),
        position=1,
        session_requests=1,
        previous_id="",
        next_id="",
    )
    return msgspec.structs.replace(detail, **changes)


@dataclass
class Face:
    """The app with everything a test may want to reach."""

    app: Front
    observatory: StagedObservatory
    clock: SteppedClock
    stopping: asyncio.Event
    port: int
    trials: list[str]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


async def _well() -> str:
    return ""


def _identify(headers: HeaderList) -> Caller:
    if (b"authorization", f"Bearer {CLIENT_KEY}".encode()) in headers:
        return Caller("key_1", "laptop")
    raise InvalidKey("A client key is needed.")


def build_face(
    *,
    port: int = 7443,
    config: Callable[[], Config] | None = None,
    probes: dict[str, Probe] | None = None,
    hot: HotEndpoints | None = None,
    client_routes: ClientRoutes = (),
    observatory: StagedObservatory | None = None,
    try_model: Callable[[str], Awaitable[TrialReply]] | None = None,
) -> Face:
    """The real app over a staged observatory; every argument has a working default."""
    clock = observatory.clock if observatory else SteppedClock()
    staged = observatory or StagedObservatory(clock)
    staged.engine = msgspec.structs.replace(staged.engine, url=f"http://127.0.0.1:{port}")
    stopping = asyncio.Event()
    numbers = itertools.count(1)
    roles = {ADMIN_TOKEN: "admin", VIEWER_TOKEN: "viewer"}
    plain = Config()
    trials: list[str] = []

    async def answer_trial(model: str) -> TrialReply:
        trials.append(model)
        staged.put(row(id="req_trial", client="dashboard", asked=model or "sim-fast", started_at=clock.now() + 1))
        return TrialReply("req_trial", 200, "Hello from the simulated model.")

    app = build_app(
        observatory=cast(Any, staged),
        verify_admin=lambda token: Badge(roles[token]) if token in roles else None,
        identify_client=_identify,
        config=config or (lambda: plain),
        port=port,
        probes=probes if probes is not None else {"database": _well, "config": _well, "providers": _well},
        facts={"sqlite_version": "3.40.1"},
        metrics_text=lambda: "atp_requests_total 0\n",
        try_model=try_model or answer_trial,
        clock=clock,
        new_id=lambda: f"req_face_{next(numbers)}",
        stopping=stopping,
        hot=hot or {},
        note_act=lambda *act: staged.noted.append(act),
        client_routes=client_routes,
    )
    return Face(app, staged, clock, stopping, port, trials)


@dataclass(frozen=True)
class Answer:
    """What came back from the app."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def scope_of(
    method: str, path: str, headers: Sequence[tuple[str, str]], *, host: str | None, server: tuple[str, int | None]
) -> Scope:
    """An HTTP scope as uvicorn makes it: lower-case header names, path decoded, query apart."""
    path, _, query = path.partition("?")
    pairs = [("host", host), *headers] if host is not None else list(headers)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "server": server,
        "client": ("127.0.0.1", 50_000),
        "state": {},
    }


async def ask(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    host: str | None = "127.0.0.1:7443",
    server: tuple[str, int | None] = ("127.0.0.1", 7443),
    token: str = "",
) -> Answer:
    """One whole request through an ASGI app; the caller never leaves early."""
    sent: list[Message] = []
    inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if inbox:
            return inbox.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def send(message: Message) -> None:
        sent.append(message)

    all_headers = [*headers, ("authorization", f"Bearer {token}")] if token else list(headers)
    scope = scope_of(method, path, all_headers, host=host, server=server)
    async with asyncio.timeout(5):
        await app(scope, receive, send)
    start = sent[0]
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer(start["status"], pairs, b"".join(message.get("body", b"") for message in sent[1:]))


@dataclass
class Listener:
    """The reading end of an open event stream: what came so far, and ways to wait for more."""

    task: asyncio.Task[None]
    is_slow: bool = False
    status: int = 0
    raw: bytes = b""
    writes: int = 0
    is_over: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def frames(self) -> list[dict[str, str]]:
        """Whole frames that carry an event, as field -> value."""
        parsed = [
            dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith((":", "retry")))
            for frame in self.raw.decode().split("\n\n")[:-1]
        ]
        return [frame for frame in parsed if "event" in frame]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event of every batch."""
        return [e for frame in self.frames if frame["event"] == "batch" for e in msgspec.json.decode(frame["data"])]

    async def until(self, is_enough: Callable[[Listener], bool]) -> None:
        """Waits up to 5 s for something to be true about what came."""
        async with asyncio.timeout(5):
            while not is_enough(self):
                self.changed.clear()
                await self.changed.wait()


@asynccontextmanager
async def listen(
    app: ASGIApp,
    path: str = "/admin/events",
    *,
    headers: Sequence[tuple[str, str]] = (),
    token: str = ADMIN_TOKEN,
    is_slow: bool = False,
) -> AsyncIterator[Listener]:
    """An open event stream for the time of the block; a slow reader takes nothing until `may_go_on`."""
    is_asked = False

    async def receive() -> Message:
        nonlocal is_asked
        if not is_asked:
            is_asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await listener.left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            listener.status = message["status"]
        else:
            listener.raw += message.get("body", b"")
            listener.writes += 1
            listener.is_over = not message.get("more_body", False)
        listener.changed.set()
        if listener.is_slow and listener.writes:
            await listener.may_go_on.wait()

    async def run() -> None:
        await app(scope, receive, send)

    all_headers = [*headers, ("authorization", f"Bearer {token}")] if token else list(headers)
    scope = scope_of("GET", path, all_headers, host="127.0.0.1:7443", server=("127.0.0.1", 7443))
    task = asyncio.create_task(run(), name="test-listener")
    listener = Listener(task, is_slow)
    try:
        await listener.until(lambda it: it.writes > 0)
        yield listener
    finally:
        listener.left.set()
        listener.may_go_on.set()
        async with asyncio.timeout(5):
            await task


def free_socket(port: int = 0) -> socket.socket:
    """A listening socket on a free loopback port, or on one that was used before."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    return listener


@asynccontextmanager
async def serve(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Runs an app under uvicorn on a bound socket for the time of the block."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
        interface="asgi3",
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(sockets=[listener]), name="test-server")
    try:
        async with asyncio.timeout(5):
            while not server.started:  # noqa: ASYNC110 - uvicorn tells by a flag only
                await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task

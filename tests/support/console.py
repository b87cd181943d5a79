"""What console tests share: rows with sensible values, and a source that replays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from atp_engine.client.errors import EngineGone, EngineRefused
from atp_engine.client.follow import Batch
from atp_engine.core.events import AnyEvent
from atp_engine.core.log_views import AuditPage, AuditView, LogLine, LogPage
from atp_engine.core.metrics_views import MetricsView, TrafficPoint
from atp_engine.core.play_views import PlayAsk, PlayStarted
from atp_engine.core.types import PriceState, RequestState, RouteDecision
from atp_engine.core.views import (
    Connection,
    DeploymentView,
    EngineView,
    FirstRun,
    LaunchCode,
    RequestDetail,
    RequestPage,
    RequestView,
    SessionView,
    Snapshot,
    Tail,
    TrialReply,
)
from atp_engine.logs import LEVELS

NOW = 1_760_000_000.0
"""The instant at which scripted consoles stand still: 2025-10-09 08:53:20 UTC."""

_REQUEST = RequestView(
    id="req_01jq8v3k2m0001",
    started_at=NOW - 4,
    state=RequestState.OK,
    session_id="cc-7f3a",
    client="claude-code",
    key_name="laptop",
    dialect="anthropic",
    is_stream=True,
    asked="auto",
    route="auto",
    served="sonnet",
    model="claude-sonnet-4-5",
    provider="anthropic",
    tries=1,
    http_status=200,
    error_code="",
    error_message="",
    ttft_ms=412.0,
    duration_ms=4_870.0,
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


def request_view(**changes: object) -> RequestView:
    """A finished row with the given fields changed."""
    return msgspec.structs.replace(_REQUEST, **changes)


_SESSION = SessionView(
    id="cc-7f3a",
    client="claude-code",
    key_name="laptop",
    title="keep the last partial frame when the SSE parser yields",
    started_at=NOW - 900,
    last_at=NOW - 2,
    requests=9,
    in_flight=0,
    errors=0,
    prompt_tokens=318_204,
    output_tokens=9_120,
    cost_nusd=210_000_000,
    price_state=PriceState.KNOWN,
)
_DEPLOYMENT = DeploymentView(
    key="sonnet",
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
    routes=("auto", "code"),
)
_ENGINE = EngineView(
    version="0.1.0",
    pid=4711,
    started_at=NOW - 11_520,
    uptime_s=11_520.0,
    url="http://127.0.0.1:7443",
    config_path="~/.config/atp/atp.toml",
    config_version=12,
    config_problems=(),
    in_flight=3,
    queued=1,
    requests_total=3_481,
    requests_per_s=12.4,
    error_share=0.004,
    p50_ms=1_100.0,
    p95_ms=2_900.0,
    cost_per_hour_nusd=1_830_000_000,
    cost_today_nusd=14_200_000_000,
    unknown_cost_today=3,
    recorder_lag_ms=12.0,
    dropped={"events": 0, "records": 0},
    storage_state="ok",
)
FIRST_RUN = FirstRun(
    connections=(
        Connection(
            "Claude Code", ("export ANTHROPIC_BASE_URL=http://127.0.0.1:7443", "export ANTHROPIC_AUTH_TOKEN=atp-local")
        ),
        Connection(
            "OpenAI SDK", ("export OPENAI_BASE_URL=http://127.0.0.1:7443/v1", "export OPENAI_API_KEY=atp-local")
        ),
        Connection("Codex", ("codex -c model_provider=atp -c model_providers.atp.base_url=http://127.0.0.1:7443/v1",)),
        Connection("curl", ("curl http://127.0.0.1:7443/v1/models -H 'authorization: Bearer atp-local'",)),
    ),
    found=(
        "Anthropic key in ANTHROPIC_API_KEY",
        "OpenAI key in OPENAI_API_KEY",
        "Ollama at 127.0.0.1:11434 (3 models)",
    ),
    providers=("anthropic", "openai", "ollama", "simulated"),
)


def session_view(**changes: object) -> SessionView:
    """A session with the given fields changed."""
    return msgspec.structs.replace(_SESSION, **changes)


def deployment_view(**changes: object) -> DeploymentView:
    """A healthy deployment with the given fields changed."""
    return msgspec.structs.replace(_DEPLOYMENT, **changes)


def engine_view(**changes: object) -> EngineView:
    """A calm engine with the given fields changed."""
    return msgspec.structs.replace(_ENGINE, **changes)


def snapshot_of(requests: Iterable[RequestView] = (), **changes: object) -> Snapshot:
    """A snapshot at event 1 with the given requests, newest first."""
    whole = Snapshot(
        seq=1, engine=engine_view(), requests=tuple(requests), sessions=(), deployments=(), first_run=FIRST_RUN
    )
    return msgspec.structs.replace(whole, **changes)


NO_TRAFFIC = TrafficPoint(0, 0, {}, 0, 0, 0, 0, None, None, None, None, None, None)


class ReplaySource:
    """An engine that follows a script: it answers from values and streams what a test `sends`.

    `go_away` breaks the stream and refuses everything until `come_back`. What was asked of it to
    change is in `acts`.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.state = snapshot
        self.details: dict[str, RequestDetail] = {}
        self.tails: dict[str, Tail] = {}
        self.older: list[RequestView] = []
        self.acts: list[tuple[str, str]] = []
        self.traffic = MetricsView("", 15.0, NOW - 885.0, "", (NO_TRAFFIC,) * 60, (), is_partial=False)
        self.plays: dict[str, str] = {}
        self.log_lines: list[LogLine] = []
        self.audited: list[AuditView] = []
        self.windows_read: list[tuple[str, str]] = []
        self.snapshots_read = 0
        self.reason_gone = ""
        self._queue: asyncio.Queue[Batch | None] = asyncio.Queue()

    def send(self, *make: Callable[[int], AnyEvent]) -> None:
        """Streams one batch; each event is made from its number."""
        batch: list[AnyEvent] = []
        for one in make:
            self.state = msgspec.structs.replace(self.state, seq=self.state.seq + 1)
            batch.append(one(self.state.seq))
        self._queue.put_nowait(tuple(batch))

    def go_away(self, reason: str = "connection refused") -> None:
        """From now on nobody answers."""
        self.reason_gone = reason
        self._queue.put_nowait(None)

    def come_back(self) -> None:
        """Answers again."""
        self.reason_gone = ""

    def _check(self) -> None:
        if self.reason_gone:
            raise EngineGone(self.reason_gone)

    async def snapshot(self) -> Snapshot:
        """The scripted state."""
        self._check()
        self.snapshots_read += 1
        return self.state

    async def events(self, last_seq: int) -> AsyncIterator[Batch]:
        """What is sent."""
        while True:
            batch = await self._queue.get()
            self._check()
            if batch is not None:
                yield batch

    async def requests(self, query: str, limit: int, before: str) -> RequestPage:
        """Pages of `older`, newest first."""
        self._check()
        rest = [view for view in self.older if view.id < before]
        return RequestPage(tuple(rest[:limit]), rest[limit - 1].id if len(rest) > limit else "")

    async def metrics(self, window: str, group: str) -> MetricsView:
        """The scripted window, as if it were the one asked for."""
        self._check()
        self.windows_read.append((window, group))
        return msgspec.structs.replace(self.traffic, window=window, group=group)

    async def logs(self, level: str, limit: int) -> LogPage:
        """The scripted records of this level and worse."""
        self._check()
        least = LEVELS.index(level)
        return LogPage(tuple(one for one in self.log_lines if LEVELS.index(one.level) >= least)[:limit], 0)

    async def audit(self, limit: int, before: int = 0) -> AuditPage:
        """The scripted acts."""
        self._check()
        return AuditPage(tuple(self.audited[:limit]), 0)

    async def play(self, ask: PlayAsk) -> PlayStarted:
        """Taken note of; the request is the one scripted for this model."""
        self._check()
        self.acts.append(("play", f"{ask.model}: {ask.prompt}"))
        return PlayStarted(self.plays[ask.model], ask.model)

    async def replay(self, id: str, model: str = "") -> PlayStarted:
        """As `play`."""
        self._check()
        self.acts.append(("replay", f"{id} on {model}"))
        return PlayStarted(self.plays[model], model, is_redacted=True)

    async def decide(self, id: str, model: str = "") -> RouteDecision:
        """The recorded decision, made again."""
        self._check()
        decision = self.details[id].decision
        assert decision is not None
        return decision

    async def request(self, id: str) -> RequestDetail:
        """A scripted detail."""
        self._check()
        if id not in self.details:
            raise EngineRefused(404, "not_found", "No such request.")
        return self.details[id]

    async def tail(self, id: str) -> Tail:
        """A scripted tail."""
        self._check()
        if id not in self.tails:
            raise EngineRefused(404, "not_found", "No such request.")
        return self.tails[id]

    async def cancel(self, id: str) -> bool:
        """Noted."""
        self._check()
        self.acts.append(("cancel", id))
        return True

    async def test_request(self, model: str = "") -> TrialReply:
        """Noted."""
        self._check()
        self.acts.append(("test", model))
        return TrialReply("req_test", 200, "Hello from the simulated model.")

    async def launch_code(self) -> LaunchCode:
        """Noted."""
        self._check()
        self.acts.append(("launch", ""))
        return LaunchCode("code-1", 60.0)

    async def aclose(self) -> None:
        """Nothing is open."""

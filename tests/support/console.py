"""What console tests share: rows with sensible values, and a source that replays a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

import msgspec

from atp_engine.client.errors import EngineGone, EngineRefused
from atp_engine.client.follow import Batch
from atp_engine.core.config_views import (
    ConfigApplied,
    ConfigChange,
    ConfigComplaint,
    ConfigDiff,
    ConfigFile,
    ConfigHistory,
    ConfigReport,
    ConfigText,
    ConfigVersion,
    Replay,
)
from atp_engine.core.deployment_views import ProbeReply
from atp_engine.core.events import AnyEvent
from atp_engine.core.key_views import KeyMade, KeySummary, KeyWish
from atp_engine.core.log_views import AuditPage, AuditView, LogLine, LogPage
from atp_engine.core.metrics_views import MetricsView, TrafficPoint
from atp_engine.core.play_views import PlayAsk, PlayStarted
from atp_engine.core.sent_views import SentView
from atp_engine.core.session_views import SessionAsk
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
    SessionDetail,
    SessionView,
    Snapshot,
    Tail,
    TrialReply,
)
from atp_engine.core.window_views import WindowView
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
        self.sent_views: dict[str, SentView] = {}
        self.older: list[RequestView] = []
        self.acts: list[tuple[str, str]] = []
        self.traffic = MetricsView("", 15.0, NOW - 885.0, "", (NO_TRAFFIC,) * 60, (), is_partial=False)
        self.plays: dict[str, str] = {}
        self.settings = ReplayConfig(self)
        self.keys = ReplayKeys(self)
        self.talks = ReplaySessions(self)
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

    async def act(self, key: str, act: str) -> DeploymentView:
        """Taken note of."""
        self._check()
        self.acts.append((act, key))
        return next(view for view in self.state.deployments if view.key == key)

    async def probe(self, key: str) -> ProbeReply:
        """A list that names the model."""
        self._check()
        self.acts.append(("probe", key))
        view = next(view for view in self.state.deployments if view.key == key)
        return ProbeReply(view, True, True, 12.0, True, f"{key} answers and lists its model")

    async def play(self, ask: PlayAsk) -> PlayStarted:
        """Taken note of; the request is the one scripted for this model."""
        self._check()
        self.acts.append(("play", f"{ask.model}: {ask.prompt}"))
        return PlayStarted(self._play(ask.model), ask.model)

    async def replay(self, id: str, model: str = "") -> PlayStarted:
        """As `play`."""
        self._check()
        self.acts.append(("replay", f"{id} on {model}"))
        return PlayStarted(self._play(model), model, is_redacted=True)

    def _play(self, model: str) -> str:
        if model not in self.plays:
            raise EngineRefused(404, "model_not_found", "No such model.")
        return self.plays[model]

    async def decide(self, id: str, model: str = "") -> RouteDecision:
        """The recorded decision, made again."""
        self._check()
        decision = (await self.request(id)).decision
        assert decision is not None
        return decision

    async def request(self, id: str) -> RequestDetail:
        """A scripted detail."""
        self._check()
        if id not in self.details:
            raise EngineRefused(404, "not_found", "No such request.")
        return self.details[id]

    async def sent(self, id: str) -> SentView:
        """What is scripted as sent."""
        self._check()
        if id not in self.sent_views:
            raise EngineRefused(404, "not_found", "No such request.")
        return self.sent_views[id]

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


class ReplayConfig:
    """The config's life by script: a text is wrong when it holds `WRONG`, and changes what its diff says."""

    def __init__(self, source: ReplaySource) -> None:
        self._source = source
        self.texts = {7: '[server]\nport = 7443\n\n[routes.auto]\ndeployments = ["fast", "large"]\n'}
        self.is_changed_underneath = False

    @property
    def _version(self) -> int:
        return max(self.texts)

    async def text(self, version: int | None = None) -> ConfigText:
        """A version's text."""
        self._source._check()
        number = version or self._version
        return ConfigText(number, f"digest-{number}", (ConfigFile("atp.toml", self.texts[number]),))

    async def history(self, limit: int = 50) -> ConfigHistory:
        """The versions, newest first."""
        made = [
            ConfigVersion(
                number, NOW - 60 * (20 - number), "console (an operator)", "edited in the console", "live",
                ("route auto changed",), f"digest-{number}", number == self._version,
            )
            for number in sorted(self.texts, reverse=True)
        ]  # fmt: skip
        return ConfigHistory(self._version, tuple(made))

    async def diff(self, before: int | None = None, after: int = 0) -> ConfigDiff:
        """Two lines for any two versions."""
        first, last = before or self._version, after or self._version
        text = "" if first == last else f"--- v{first}\n+++ v{last}\n-port = 7443\n+port = 7444"
        return ConfigDiff(first, last, text, ())

    async def check(self, text: str) -> ConfigReport:
        """What the text would do."""
        self._source._check()
        for number, line in enumerate(text.splitlines(), 1):
            if "WRONG" in line:
                place = line.index("WRONG") + 1
                told = ConfigComplaint("atp.toml", number, place, "server.port", "must be a number", "like 7443", "")
                return ConfigReport(is_valid=False, problems=(told,))
        if text == self.texts[self._version]:
            return ConfigReport(is_valid=True, problems=())
        change = ConfigChange("route", "auto", "changed", 'deployments: ["fast", "large"] to ["large"]')
        return ConfigReport(True, (), ("no price is known for large",), (change,), Replay(500, 15.5, ()))

    async def apply(self, text: str, *, base: str = "", reason: str = "", guard: str | None = None) -> ConfigApplied:
        """Keeps it as the next version."""
        self._source._check()
        if self.is_changed_underneath or base != f"digest-{self._version}":
            raise EngineRefused(409, "config_conflict", "atp.toml was changed by somebody else")
        self._source.acts.append(("config.apply", text))
        self.texts[self._version + 1] = text
        return ConfigApplied(self._version, await self.check(text), 300.0)

    async def rollback(
        self, version: int, *, base: str = "", reason: str = "", guard: str | None = None
    ) -> ConfigApplied:
        """The old text as the next version."""
        self._source._check()
        self._source.acts.append(("config.rollback", str(version)))
        self.texts[self._version + 1] = self.texts[version]
        return ConfigApplied(self._version, ConfigReport(is_valid=True, problems=()), 0.0)


class ReplaySessions:
    """Sessions by script: an act changes the view as the engine would."""

    def __init__(self, source: ReplaySource) -> None:
        self._source = source

    def _view(self, id: str) -> SessionView:
        self._source._check()
        for view in self._source.state.sessions:
            if view.id == id:
                return view
        raise EngineRefused(404, "not_found", "No such session is going on.")

    async def detail(self, id: str) -> SessionDetail:
        """The session with the requests of the snapshot."""
        view = self._view(id)
        return SessionDetail(view, tuple(one for one in self._source.state.requests if one.session_id == id))

    async def act(self, id: str, act: str, ask: SessionAsk | None = None) -> SessionView:
        """Taken note of, and done to the view."""
        view, wish = self._view(id), ask or SessionAsk()
        value = wish.deployment or wish.qos or ("" if wish.max_usd is None else f"{wish.max_usd:g}")
        self._source.acts.append((f"session.{act}", f"{id} {value}".strip()))
        held = {"pause": "paused", "resume": "", "drop": "dropped"}
        changes: dict[str, object] = {"hold": held[act]} if act in held else {}
        if act == "pin":
            changes = {"pinned": wish.deployment}
        elif act == "qos":
            changes = {"qos": wish.qos}
        elif act == "budget":
            changes = {"budget_usd": wish.max_usd}
        after = msgspec.structs.replace(view, **changes)
        rest = [after if one.id == id else one for one in self._source.state.sessions if act != "end" or one.id != id]
        self._source.state = msgspec.structs.replace(self._source.state, sessions=tuple(rest))
        return after


class ReplayKeys:
    """Keys and windows by script."""

    def __init__(self, source: ReplaySource) -> None:
        self._source = source
        self.all: list[KeySummary] = []
        self.budgets: list[WindowView] = []

    async def list(self) -> tuple[KeySummary, ...]:
        """The scripted keys."""
        self._source._check()
        return tuple(self.all)

    async def windows(self) -> tuple[WindowView, ...]:
        """The scripted windows."""
        self._source._check()
        return tuple(self.budgets)

    async def create(self, wish: KeyWish) -> KeyMade:
        """A key after the wish."""
        self._source._check()
        self._source.acts.append(("key.create", f"{wish.name} {wish.qos} {wish.project}".strip()))
        made = KeySummary(
            f"key_{len(self.all)}", wish.name, wish.project, wish.qos, 0, "atp_key_9…7777", NOW, None, None
        )
        self.all.append(made)
        return KeyMade(made, "atp_key_secret_shown_once")

    async def rotate(self, id: str) -> KeyMade:
        """The same key, another secret."""
        self._source._check()
        self._source.acts.append(("key.rotate", id))
        return KeyMade(next(one for one in self.all if one.id == id), "atp_key_rotated_shown_once")

    async def revoke(self, id: str) -> bool:
        """Ends it."""
        self._source._check()
        self._source.acts.append(("key.revoke", id))
        self.all = [msgspec.structs.replace(one, revoked_at=NOW) if one.id == id else one for one in self.all]
        return True

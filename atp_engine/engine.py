"""The composition root: a config and a place on disk become a running engine; start, apply, drain, stop.

`atp_console.cli` builds it for `serve`; tests build it on temporary directories. Construction order is
the dependency order; nothing here decides anything about a request.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from atp_engine.api.app import build_app
from atp_engine.api.listen import bind_tcp, bind_unix
from atp_engine.api.llm import ChatEndpoint
from atp_engine.api.models import ModelList
from atp_engine.api.server import EngineServer, build_server
from atp_engine.bus import EventBus
from atp_engine.client.endpoint import EngineRecord
from atp_engine.config.connections import connections
from atp_engine.config.load import Environment, Loaded, load
from atp_engine.config.paths import Paths, ensure_token, prepare, write_private
from atp_engine.config.restart import until_restart
from atp_engine.config.secrets import resolve_all
from atp_engine.config.watch import Watch
from atp_engine.core.errors import ConfigError, ConfigProblem
from atp_engine.core.events import EngineChanged, Notice
from atp_engine.core.ports import Clock, Rng
from atp_engine.core.types import Dialect
from atp_engine.core.views import FirstRun
from atp_engine.metrics.catalog import Catalog
from atp_engine.providers.registry import kinds
from atp_engine.routing.health import HealthBook
from atp_engine.routing.router import Router
from atp_engine.services.admission import Door
from atp_engine.services.assembly import Assembly, ProxiedTransport
from atp_engine.services.attempts import Attempts
from atp_engine.services.captures import Captures
from atp_engine.services.completions import Completions
from atp_engine.services.deployments import Deployments
from atp_engine.services.history import History
from atp_engine.services.keys import AdminAuth, Keys
from atp_engine.services.live import LiveRequests
from atp_engine.services.meters import Meters
from atp_engine.services.observatory import Observatory
from atp_engine.services.recorder import Recorder
from atp_engine.services.runtime import RuntimeRef
from atp_engine.services.sessions import Sessions
from atp_engine.services.trial import Trial
from atp_engine.services.vitals import Identity, Vitals
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.database import Database
from atp_engine.storage.keys import KeyRepository
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.sessions import SessionRepository
from atp_engine.system import RequestIds, SystemClock

VERSION = installed_version("atp-console")
_TICK_S = 0.25
_log = logging.getLogger("atp_engine")


class Engine:
    """One engine on one data directory; build with `Engine(...)`, then `await run()`."""

    def __init__(
        self,
        loaded: Loaded,
        paths: Paths,
        environment: Environment,
        *,
        proxied: ProxiedTransport,
        read: Callable[[], Loaded] | None = None,
        found: tuple[str, ...] = (),
        clock: Clock | None = None,
        rng: Rng | None = None,
    ) -> None:
        """Opens everything that can fail: database, sockets, credentials. Blocks for a moment.

        Raises ConfigError, StorageError or CannotListen with plain lines; nothing is left open then
        but what the process's end closes. `proxied` makes the transport of providers behind a proxy,
        `read` gives the config anew after an edit, `found` is what the first run detected.
        """
        prepare(paths)
        self._paths = paths
        self._path = loaded.path
        self._environment = environment
        self._read = read or partial(load, loaded.path, kinds())
        self._found = found
        self._proxied = proxied
        self._clock = clock = clock or SystemClock()
        self._rng = rng = rng or random.Random()  # noqa: S311 - jitter and shares, no secrets
        config = loaded.config
        self._new_id = RequestIds("req", clock.now())
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._is_forced = False
        self._server: EngineServer | None = None
        self.bus = EventBus()
        self._database = Database.open(paths.database, clock)
        self._sockets = [bind_tcp(config.server.host, config.server.port)]
        self.port: int = self._sockets[0].getsockname()[1]
        self._sockets.append(bind_unix(paths.socket))
        self._build_state(loaded)
        self._build_services(loaded)
        self._build_faces()

    def _build_state(self, loaded: Loaded) -> None:
        """What outlives a config: stores, sessions, health, counters."""
        config, clock = loaded.config, self._clock
        self._assembly = Assembly(clock, self._proxied)
        secrets, problems = resolve_all(config, loaded.path, self._environment)
        self._runtime = RuntimeRef(self._assembly.build(config, 1, secrets))
        self._warnings = tuple(str(problem) for problem in problems)
        self._repository = RequestRepository(self._database)
        self._bodies = BodyStore(
            self._paths.bodies_dir,
            clock,
            max_bytes=config.cache.max_body_store_bytes,
            ttl_s=config.storage.body_ttl_h * 3600.0,
            bodies_per_s=config.storage.bodies_per_s,
        )
        self._sessions = Sessions(config.sessions, clock, self.bus, SessionRepository(self._database))
        keys = KeyRepository(self._database)
        self._keys = Keys(keys, clock)
        self._admin = AdminAuth(clock, keys.audit)
        self._health = HealthBook(self._rng)
        self._health.apply(config.health)
        self._live = LiveRequests(self.bus, clock)
        self._live.remember(list(reversed(self._repository.recent(500))))
        self._meters = Meters(Catalog(VERSION), clock.monotonic())
        self._door = Door(config.limits, clock)

    def _build_services(self, loaded: Loaded) -> None:
        """The walk, and what looks at it."""
        clock = self._clock
        self._captures = Captures(self._bodies, loaded.config.storage)
        self._recorder = Recorder(clock, self._live, self._sessions, self._repository, self._captures, self._meters)
        self._recorder.apply(loaded.config)
        attempts = Attempts(clock, self._rng, Router(), self._health, self._live, asyncio.sleep)
        self._completions = Completions(self._runtime, self._sessions, self._door, attempts, self._recorder)
        self._deployments = Deployments(self._runtime, self._health, clock, self.bus)
        identity = Identity(VERSION, self.url, str(loaded.path), clock.now(), clock.monotonic())
        self._vitals = Vitals(
            identity, clock, self._runtime, self._door, self._meters, self._database, self._repository
        )
        self._vitals.config_warnings = self._warnings
        self._vitals.watch_drops("bodies", lambda: self._bodies.skipped + self._bodies.lost)
        self._vitals.watch_damage(lambda: _told("the database", self._database.quarantined))
        self._vitals.watch_damage(lambda: _told("the store of bodies", self._bodies.quarantined))
        self._vitals.watch_drops("sessions", lambda: self._sessions.evicted)
        self.observatory = Observatory(
            self.bus,
            self._live,
            History(clock, self._live, self._repository, self._bodies),
            self._sessions,
            self._deployments,
            self._vitals,
            self._first_run,
        )

    def _build_faces(self) -> None:
        """The HTTP face on the bound sockets."""
        hot = {
            ("POST", path): ChatEndpoint(
                dialect,
                self._completions,
                self._keys,
                self._new_id,
                lambda: self._runtime.current.config.server.max_body_bytes,
            )
            for path, dialect in (
                ("/v1/chat/completions", Dialect.OPENAI_CHAT),
                ("/v1/messages", Dialect.ANTHROPIC),
            )
        }
        models = ModelList(self._runtime, self._health, self._clock)
        self._app = build_app(
            observatory=self.observatory,
            verify_admin=self._admin.verify,
            identify_client=self._keys.identify,
            config=lambda: self._runtime.current.config,
            port=self.port,
            probes={"database": self._probe_database, "config": self._probe_config, "providers": self._probe_providers},
            facts={"sqlite_version": self._database.sqlite_version},
            metrics_text=self._metrics_text,
            try_model=Trial(self._completions, self._runtime, self._new_id).run,
            clock=self._clock,
            new_id=self._new_id,
            stopping=self._stopping,
            hot=hot,
            client_routes=(("GET", "/v1/models", models.all), ("GET", "/v1/models/{id:path}", models.one)),
        )

    @property
    def url(self) -> str:
        """Address for clients; a wildcard bind is told as loopback."""
        host = self._runtime.current.config.server.host
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{host}:{self.port}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works but needs somebody, in whole sentences."""
        return self._vitals.view().warnings

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `request_stop`, then drains and closes everything; calls `on_ready` when it answers."""
        try:
            await self._open()
            await self._serve(on_ready)
        finally:
            await self._close()
        _log.info("stopped")

    async def _serve(self, on_ready: Callable[[], None]) -> None:
        server = self._config_server()
        serving = self._spawn("server", server.serve(sockets=self._sockets))
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells it no other way
            await asyncio.sleep(0.002)
        self._write_record()
        self._spawn("ticker", self._tick())
        self._spawn("config-watch", self._watch_config())
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()
        on_ready()
        _log.info("serving", extra={"url": self.url, "version": VERSION})
        await self._stopping.wait()
        await self._drain(server)
        await serving

    def apply(self, loaded: Loaded) -> None:
        """Makes a checked config live: builds everything new, then swaps one reference.

        Requests in flight keep what they began with; health carries over by deployment. What is bound
        or opened once stays until a restart. Raises ConfigError and changes nothing when it cannot be.
        """
        current = self._runtime.current
        config, waits = until_restart(current.config, loaded.config)
        secrets, problems = resolve_all(config, loaded.path, self._environment)
        runtime = self._runtime.current = self._assembly.build(config, current.version + 1, secrets)
        self._door.apply(config.limits)
        self._recorder.apply(config)
        self._sessions.apply(config.sessions)
        self._health.apply(config.health)
        self._health.carry_over(runtime.table)
        said = [str(problem) for problem in problems]
        said += [waits] if waits else []
        self._vitals.config_problems, self._vitals.config_warnings = (), tuple(said)
        self.notice("info", "config_applied", f"config version {runtime.version} is live")

    async def reload(self) -> None:
        """Reads the file again and applies it; a bad one changes nothing and is told where people look."""
        try:
            loaded = await asyncio.to_thread(self._read)
            if not loaded.config.model_fields_set:  # an editor's file between its two steps
                raise ConfigError([ConfigProblem(str(loaded.path), 0, 0, "", "is empty")])
            self.apply(loaded)
        except ConfigError as error:
            self._vitals.config_problems = tuple(str(problem) for problem in error.problems)
            self.notice("error", "config_refused", f"the config was not applied: {error.problems[0]}")

    async def _watch_config(self) -> None:
        with Watch(self._path) as watch:
            while True:
                await watch.changed()
                try:
                    await self.reload()
                except Exception:  # the task's boundary: what serves goes on serving
                    _log.exception("applying the config failed by a bug")
                    self.notice("error", "config_refused", "the config was not applied, by a bug; the log has it")

    def request_stop(self) -> None:
        """Begins the stop; a second call cuts the drain short. Safe to call from a signal handler."""
        if self._stopping.is_set():
            self._is_forced = True
        self._stopping.set()

    async def _open(self) -> None:
        await self._keys.load()
        await self._sessions.load()
        self._admin.add(ensure_token(self._paths.admin_token, "atp_admin_"))
        self._client_key = ensure_token(self._paths.client_key, "atp_key_")
        await self._keys.ensure_first_key(self._client_key)
        await self._vitals.refresh()
        for text in self._vitals.damage():
            _log.error(text)

    def _config_server(self) -> EngineServer:
        settings = self._runtime.current.config.server
        self._server = build_server(
            self._app,
            new_id=self._new_id,
            header_timeout_s=settings.header_timeout_s,
            body_timeout_s=settings.body_timeout_s,
            write_timeout_s=settings.write_timeout_s,
            drain_s=settings.drain_s + 2.0,
        )
        return self._server

    def _write_record(self) -> None:
        pid = self.observatory.status().pid
        record = EngineRecord(pid=pid, url=self.url, socket=str(self._paths.socket), version=VERSION)
        write_private(self._paths.endpoint_file, msgspec.json.encode(record))

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Starts a named task; one that dies by a bug is logged, told and ends the engine."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.critical("the task %s died; stopping", task.get_name(), exc_info=error)
            self._stopping.set()

    async def _tick(self) -> None:
        """Everything that happens by time: progress for faces, expiry, sweeps, sums."""
        count = 0
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self._stopping.wait()
            count += 1
            self._live.announce_progress()
            if count % 2 == 0:
                self._deployments.announce_changes()
            if count % 4 == 0:
                self._door.expire()
                self._sessions.sweep()
                if self.bus.has_listeners:
                    self.bus.publish(lambda seq: EngineChanged(seq, self._vitals.view()))
            if count % 8 == 0 and self._database.state() == "ok":
                await self._vitals.refresh()

    async def _drain(self, server: EngineServer) -> None:
        """Lets open requests finish for `server.drain_s`, then ends them with an error they can see."""
        server.should_exit = True
        settings = self._runtime.current.config.server
        deadline = self._clock.monotonic() + settings.drain_s
        while len(self._live) and self._clock.monotonic() < deadline and not self._is_forced:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for live in self._live.open_requests():
            self.observatory.cancel(live.id, "the engine, which is stopping")
        for _ in range(50):
            if not len(self._live):
                break
            await asyncio.sleep(0.02)
        server.force_exit = bool(len(self._live)) or self._is_forced

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._sessions.aclose()
        await self._assembly.aclose()
        await self._bodies.aclose()
        await self._database.aclose()
        for path in (self._paths.endpoint_file, self._paths.socket):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        for bound in self._sockets:
            bound.close()

    def _first_run(self) -> FirstRun:
        config = self._runtime.current.config
        route = "auto" if "auto" in config.routes else next(iter(self._runtime.current.table.names()), "")
        return FirstRun(connections(self.url, self._client_key, route), self._found, tuple(config.providers))

    def _metrics_text(self) -> str:
        def refresh(catalog: Catalog) -> None:
            self._vitals.set_gauges(catalog)
            self._deployments.set_gauges(catalog)
            catalog.sessions.child().set(len(self._sessions))
            stats = self._assembly.pooled.stats()
            catalog.connections.child("open").set(stats.open)
            catalog.connections.child("idle").set(stats.idle)

        return self._meters.text(refresh).decode()

    async def _probe_database(self) -> str:
        state = self._database.state()
        if state != "ok":
            return state
        await self._database.read(lambda connection: connection.execute("SELECT 1").fetchone())
        return "warning: what was damaged is set aside, see atp-console status" if self._vitals.damage() else ""

    async def _probe_config(self) -> str:
        refused, wanting = len(self._vitals.config_problems), len(self._vitals.config_warnings)
        if refused:
            return f"warning: the file is not applied, it has {refused} problems, see atp-console status"
        return f"warning: {wanting} things are wanting, see atp-console status" if wanting else ""

    async def _probe_providers(self) -> str:
        now = self._clock.monotonic()
        specs = self._runtime.current.table.deployments.values()
        if not specs:
            return ""
        return "" if any(self._health.is_callable(spec.key, now) for spec in specs) else "every deployment is kept away"

    def notice(self, severity: str, code: str, text: str) -> None:
        """Tells people and the log about something that no single request explains."""
        _log.log(logging.WARNING if severity != "info" else logging.INFO, text, extra={"code": code})
        self.bus.publish(lambda seq: Notice(seq, self._clock.now(), severity, code, text))


def _told(what: str, quarantined: Path | None) -> str:
    return f"{what} was damaged; it is kept as {quarantined} and a new one was started" if quarantined else ""


def run(engine: Engine, signals: tuple[signal.Signals, ...], on_ready: Callable[[], None]) -> None:
    """Runs an engine on a loop of its own until one of the signals; blocks."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in signals:
            loop.add_signal_handler(number, engine.request_stop)
        await engine.run(on_ready)

    uvloop.run(serve())

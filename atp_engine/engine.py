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
from typing import Any

import msgspec
import uvloop

from atp_engine.api.listen import bind_tcp, bind_unix
from atp_engine.api.server import EngineServer, build_server
from atp_engine.client.endpoint import EngineRecord
from atp_engine.config.files import Amend, ConfigFiles, TextEdit
from atp_engine.config.load import Environment, Loaded
from atp_engine.config.paths import Paths, ensure_token, prepare, write_private
from atp_engine.config.watch import Watch
from atp_engine.core.events import EngineChanged
from atp_engine.core.ports import Clock, Rng
from atp_engine.faces import build_front
from atp_engine.parts import VERSION, Parts
from atp_engine.providers.registry import kinds
from atp_engine.services.assembly import ProxiedTransport
from atp_engine.services.live import STOPPING
from atp_engine.storage.database import Database
from atp_engine.system import SystemClock, keep_freed_memory, raise_open_files

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
        edit: TextEdit,
        amend: Amend = lambda loaded: loaded,
        found: tuple[str, ...] = (),
        clock: Clock | None = None,
        rng: Rng | None = None,
    ) -> None:
        """Opens everything that can fail: database, sockets, credentials. Blocks for a moment.

        Raises ConfigError, StorageError or CannotListen with plain lines; nothing is left open then
        but what the process's end closes. `proxied` makes the transport of providers behind a proxy,
        `edit` changes one value of a config text, `amend` puts the command line's wishes over a config, `found`
        is what the first run detected.
        """
        prepare(paths)
        self._paths = paths
        self._path = loaded.path
        self._clock = clock = clock or SystemClock()
        config = loaded.config
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._is_forced = False
        self._server: EngineServer | None = None
        database = Database.open(paths.database, clock)
        self._sockets = [bind_tcp(config.server.host, config.server.port)]
        self.port: int = self._sockets[0].getsockname()[1]
        self._sockets.append(bind_unix(paths.socket))
        self.url = _url(config.server.host, self.port)
        self._parts = Parts(
            loaded,
            paths,
            environment,
            database=database,
            url=self.url,
            clock=clock,
            rng=rng or random.Random(),  # noqa: S311 - jitter and shares, no secrets
            proxied=proxied,
            found=found,
            files=ConfigFiles(loaded.path, kinds(), environment.aliases, amend, edit),
        )
        self.bus = self._parts.bus
        self.observatory = self._parts.observatory
        self._app = build_front(self._parts, self.port, self._stopping)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What works but needs somebody, in whole sentences."""
        return self._parts.vitals.view().warnings

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `request_stop`, then drains and closes everything; calls `on_ready` when it answers."""
        logging.getLogger().addHandler(self._parts.log_ring)
        self._parts.playground.spawn = self._spawn
        try:
            await self._open()
            await self._serve(on_ready)
        finally:
            await self._close()
            logging.getLogger().removeHandler(self._parts.log_ring)
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

    async def reload(self) -> None:
        """Reads the config again and applies it; a bad one changes nothing and is told where people look."""
        try:
            await self._parts.configuration.reload()
        except Exception:  # the task's boundary: what serves goes on serving
            _log.exception("applying the config failed by a bug")
            self._parts.notices.tell("error", "config_refused", "the config was not applied, by a bug; the log has it")

    async def _watch_config(self) -> None:
        configuration = self._parts.configuration
        with Watch(self._path, configuration.secret_files) as watch:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(configuration.reread_s):
                        await watch.changed()
                await self.reload()

    def request_stop(self) -> None:
        """Begins the stop; a second call cuts the drain short. Safe to call from a signal handler."""
        if self._stopping.is_set():
            self._is_forced = True
        self._stopping.set()

    async def _open(self) -> None:
        await self._parts.keys.load()
        await self._parts.tokens.load()
        self._parts.windows.apply_keys(self._parts.keys.limits())
        await self._parts.windows.start()
        await self._parts.sessions.load()
        self._parts.admin.add(ensure_token(self._paths.admin_token, "atp_admin_"))
        self._parts.client_key = ensure_token(self._paths.client_key, "atp_key_")
        await self._parts.keys.ensure_first_key(self._parts.client_key)
        await self._parts.configuration.open()
        await self._parts.vitals.refresh()
        for text in self._parts.vitals.damage():
            _log.error(text)

    def _config_server(self) -> EngineServer:
        settings = self._parts.runtime.current.config.server
        self._server = build_server(
            self._app,
            new_id=self._parts.new_id,
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
            self._parts.live.announce_progress()
            if count % 2 == 0:
                self._parts.deployments.announce_changes()
            if count % 4 == 0:
                self._parts.door.expire()
                self._parts.slots.expire()
                self._parts.windows.tick()
                self._parts.sessions.sweep()
                self._parts.responses.sweep()
                self._parts.retention.sweep()
                self._parts.statistics.sweep()
                self._parts.ledger.sweep()
                if self.bus.has_listeners:
                    self.bus.publish(lambda seq: EngineChanged(seq, self._parts.vitals.view()))
            if count % 8 == 0 and self._parts.database.state() == "ok":
                await self._parts.vitals.refresh()
                await self._parts.configuration.watch_guard()

    async def _drain(self, server: EngineServer) -> None:
        """Lets open requests finish for `server.drain_s`, then ends them with an error they can see."""
        server.should_exit = True
        settings = self._parts.runtime.current.config.server
        deadline = self._clock.monotonic() + settings.drain_s
        while len(self._parts.live) and self._clock.monotonic() < deadline and not self._is_forced:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for live in self._parts.live.open_requests():
            self.observatory.cancel(live.id, STOPPING)
        for _ in range(50):
            if not len(self._parts.live):
                break
            await asyncio.sleep(0.02)
        server.force_exit = bool(len(self._parts.live)) or self._is_forced

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._parts.aclose()
        for path in (self._paths.endpoint_file, self._paths.socket):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
        for bound in self._sockets:
            bound.close()


def _url(host: str, port: int) -> str:
    """Address for clients; a wildcard bind is told as loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{host}:{port}"


def run(engine: Engine, signals: tuple[signal.Signals, ...], on_ready: Callable[[], None]) -> None:
    """Runs an engine on a loop of its own until one of the signals; blocks."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        for number in signals:
            loop.add_signal_handler(number, engine.request_stop)
        await engine.run(on_ready)

    raise_open_files()
    keep_freed_memory()
    uvloop.run(serve())

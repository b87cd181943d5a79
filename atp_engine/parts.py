"""What an engine is made of: state that outlives a config, and the services over it, in dependency order.

`engine` builds it once; `faces` puts the HTTP face on it. Nothing here decides anything about a request.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version as installed_version
from pathlib import Path

from atp_engine.bus import EventBus
from atp_engine.config.connections import connections
from atp_engine.config.files import ConfigFiles
from atp_engine.config.load import Environment, Loaded
from atp_engine.config.paths import Paths, ensure_token
from atp_engine.core.ports import Clock, Rng
from atp_engine.core.views import FirstRun
from atp_engine.logs import LogRing
from atp_engine.metrics.catalog import Catalog
from atp_engine.routing.health import HealthBook
from atp_engine.routing.router import Router
from atp_engine.services.admission import Door
from atp_engine.services.asking import Asking
from atp_engine.services.assembly import Assembly, ProxiedTransport
from atp_engine.services.attempts import Attempts
from atp_engine.services.captures import Captures
from atp_engine.services.completions import Completions
from atp_engine.services.configuration import Configuration
from atp_engine.services.configuration_books import Books
from atp_engine.services.configuration_stage import Stage
from atp_engine.services.deployments import Deployments
from atp_engine.services.disk import Disk
from atp_engine.services.estimates import Estimates
from atp_engine.services.history import History
from atp_engine.services.keys import Keys
from atp_engine.services.keys_admin import AdminAuth, AdminTokens
from atp_engine.services.keys_secrets import Hasher
from atp_engine.services.ledger import Ledger
from atp_engine.services.live import LiveRequests
from atp_engine.services.meters import Meters
from atp_engine.services.notices import Notices
from atp_engine.services.observatory import Observatory
from atp_engine.services.pins import Pins
from atp_engine.services.playground import Playground
from atp_engine.services.recorder import Recorder
from atp_engine.services.responses import Responses
from atp_engine.services.retention import Retention
from atp_engine.services.runtime import Runtime
from atp_engine.services.sent import Sent
from atp_engine.services.session_acts import SessionActs
from atp_engine.services.sessions import Sessions
from atp_engine.services.slots import Slots
from atp_engine.services.statistics import Statistics
from atp_engine.services.switches import Switches
from atp_engine.services.trail import Trail
from atp_engine.services.trial import Trial
from atp_engine.services.vitals import Identity, Vitals
from atp_engine.services.window_leases import Leases
from atp_engine.services.windows import Windows
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.config_history import ConfigRepository
from atp_engine.storage.config_traffic import ConfigTraffic
from atp_engine.storage.database import Database
from atp_engine.storage.estimates import latest_counts
from atp_engine.storage.feedback import FeedbackRepository
from atp_engine.storage.keys import KeyRepository
from atp_engine.storage.keys_admin import TokenRepository
from atp_engine.storage.ledger import LedgerRepository
from atp_engine.storage.pins import PinRepository
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.responses import ResponseRepository
from atp_engine.storage.sessions import SessionRepository
from atp_engine.storage.windows import WindowRepository
from atp_engine.system import RequestIds

VERSION = installed_version("atp-console")


class Parts:
    """Everything of one engine but its sockets and its life."""

    client_key = ""
    """The first key, for the lines to paste; known once the engine has opened."""

    def __init__(
        self,
        loaded: Loaded,
        paths: Paths,
        environment: Environment,
        *,
        database: Database,
        url: str,
        clock: Clock,
        rng: Rng,
        proxied: ProxiedTransport,
        found: tuple[str, ...],
        files: ConfigFiles,
    ) -> None:
        """Opens the body store and resolves the credentials; raises ConfigError or StorageError."""
        self.clock = clock
        self.url = url
        self._rng = rng
        self._found = found
        self.database = database
        self._files = files
        self.bus = EventBus()
        self.notices = Notices(self.bus, clock)
        self.new_id = RequestIds("req", clock.now())
        self._build_state(loaded, paths, environment, proxied)
        self._build_services(loaded)

    def _build_state(self, loaded: Loaded, paths: Paths, environment: Environment, proxied: ProxiedTransport) -> None:
        """What outlives a config: stores, sessions, health, counters."""
        config, clock = loaded.config, self.clock
        self.assembly = Assembly(clock, proxied)
        self._books = Books(ConfigRepository(self.database), clock)
        version = self._books.version_of(self._files.named(loaded.files))
        self._stage = Stage(environment, self.assembly, loaded, version, self._take)
        self.runtime = self._stage.runtime
        self.repository = RequestRepository(self.database)
        self.feedback = FeedbackRepository(self.database)
        self._places = (paths.data_dir, paths.bodies_dir)
        self.bodies = BodyStore(
            paths.bodies_dir,
            clock,
            max_bytes=config.cache.max_body_store_bytes,
            ttl_s=config.storage.body_ttl_h * 3600.0,
            error_ttl_s=config.storage.error_body_ttl_h * 3600.0,
            bodies_per_s=config.storage.bodies_per_s,
        )
        self.sessions = Sessions(config.sessions, clock, self.bus, SessionRepository(self.database))
        keys = KeyRepository(self.database)
        hasher = Hasher(ensure_token(paths.data_dir / "keys.pepper", "atp_pepper_").encode())
        self.keys = Keys(keys, clock, hasher)
        leases = Leases(WindowRepository(self.database), self.repository, clock)
        self.windows = Windows(config, leases, self.repository, clock, self.bus, self.keys.owner)
        self.keys.on_change = lambda: self.windows.apply_keys(self.keys.limits())
        self.admin = AdminAuth(clock, keys.audit, hasher)
        self.tokens = AdminTokens(self.admin, TokenRepository(self.database), clock, hasher)
        self.log_ring = LogRing()
        self.trail = Trail(self.log_ring, keys.audit, clock)
        self.health = HealthBook(self._rng)
        self.health.apply(config.health)
        self.live = LiveRequests(self.bus, clock)
        self.live.remember(list(reversed(self.repository.recent(500))))
        self.meters = Meters(Catalog(VERSION), clock.monotonic())
        self.door = Door(config.limits, clock)
        self.slots = Slots(config.limits, clock, self._rng, self.health, self.door)

    def _build_services(self, loaded: Loaded) -> None:
        """The walk, and what looks at it."""
        clock = self.clock
        captures = Captures(self.bodies, loaded.config.storage)
        self.estimates = Estimates(latest_counts(self.database))
        self.recorder = Recorder(
            clock, self.live, self.sessions, self.repository, captures, self.meters, self.estimates
        )
        self.recorder.apply(loaded.config)
        attempts = Attempts(clock, self._rng, Router(), self.health, self.live, asyncio.sleep, self.slots)
        self.completions = Completions(self.runtime, self.sessions, self.door, attempts, self.recorder, self.windows)
        kept = ResponseRepository(self.database)
        self.responses = Responses(self.completions, self.runtime, kept, clock)
        self.asking = Asking(self.runtime, attempts, self.health, self.estimates, clock)
        history = History(clock, self.live, self.repository, self.bodies, self.feedback, self.runtime)
        self.sent = Sent(history, self.bodies, self.runtime)
        self.playground = Playground(self.completions, attempts, self.runtime, history, self.new_id)
        self.trial = Trial(self.completions, self.runtime, self.new_id)
        self.pins = Pins(PinRepository(self.database), self.repository, self.live, self.bodies, clock)
        self.disk = Disk(
            self.database,
            self.bodies,
            self._places,
            self.runtime,
            clock,
            self.notices.tell,
            lambda: self.windows.is_active,
        )
        self.retention = Retention(self.database, self.bodies, self.disk, self.pins, self.runtime, clock)
        self.statistics = Statistics(self.database, clock)
        self.ledger = Ledger(LedgerRepository(self.database), self.windows, self.runtime, clock)
        self.deployments = Deployments(self.runtime, self.health, self.slots, self.estimates, clock, self.bus)
        self.switches = Switches(self.runtime, self.health, self.slots, self.deployments, self.trail.note, clock)
        self.session_acts = SessionActs(
            self.sessions, self.live, self.windows, self.runtime, self.trail.note, self.notices.tell
        )
        identity = Identity(VERSION, self.url, str(loaded.path), clock.now(), clock.monotonic())
        self.vitals = Vitals(identity, clock, self.runtime, self.door, self.meters, self.database, self.repository)
        traffic = ConfigTraffic(self.database)
        self.configuration = Configuration(
            self._files, self._stage, self._books, traffic, self.vitals.say_config, self.notices.tell
        )
        self.vitals.watch_drops("bodies", lambda: self.bodies.skipped + self.bodies.lost)
        self.vitals.watch_damage(lambda: _told("the database", self.database.quarantined))
        self.vitals.watch_damage(lambda: _told("the store of bodies", self.bodies.quarantined))
        self.vitals.watch_trouble(self.disk.warnings)
        self.vitals.watch_drops("responses", lambda: self.responses.lost)
        self.vitals.watch_drops("sessions", lambda: self.sessions.evicted)
        self.observatory = Observatory(
            self.bus,
            self.live,
            history,
            self.sessions,
            self.deployments,
            self.vitals,
            self._first_run,
        )

    def _take(self, runtime: Runtime) -> None:
        """Gives the settings of a new config to everything that keeps some of its own."""
        config = runtime.config
        self.door.apply(config.limits)
        self.windows.apply(config)
        self.recorder.apply(config)
        self.sessions.apply(config.sessions)
        self.health.apply(config.health)
        self.health.carry_over(runtime.table)
        self.slots.apply(config.limits, runtime.table)

    def _first_run(self, shows_key: bool) -> FirstRun:
        config = self.runtime.current.config
        route = "auto" if "auto" in config.routes else next(iter(self.runtime.current.table.names()), "")
        key = self.client_key if shows_key else "YOUR_KEY"
        return FirstRun(connections(self.url, key, route), self._found, tuple(config.providers))

    def metrics_text(self) -> str:
        """The Prometheus exposition, gauges refreshed."""

        def refresh(catalog: Catalog) -> None:
            self.vitals.set_gauges(catalog)
            self.deployments.set_gauges(catalog)
            catalog.sessions.child().set(len(self.sessions))
            self.disk.set_gauges(catalog)
            stats = self.assembly.pooled.stats()
            catalog.connections.child("open").set(stats.open)
            catalog.connections.child("idle").set(stats.idle)

        return self.meters.text(refresh).decode()

    async def aclose(self) -> None:
        """Flushes and closes sessions, transports, bodies and the database, in this order."""
        await self.windows.aclose()
        await self.sessions.aclose()
        await self.assembly.aclose()
        await self.bodies.aclose()
        await self.database.aclose()


def _told(what: str, quarantined: Path | None) -> str:
    return f"{what} was damaged; it is kept as {quarantined} and a new one was started" if quarantined else ""

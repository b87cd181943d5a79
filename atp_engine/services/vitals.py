"""The engine's own vital signs: one view for the header of every face, and the gauges of `/metrics`.

The ticker refreshes what needs the database every few seconds; everything else is read as it stands.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import msgspec

from atp_engine.core.ports import Clock
from atp_engine.core.views import EngineView
from atp_engine.metrics.catalog import Catalog
from atp_engine.services.admission import Door
from atp_engine.services.meters import Meters
from atp_engine.services.runtime import RuntimeRef
from atp_engine.storage.database import Database
from atp_engine.storage.requests import RequestRepository
from atp_engine.storage.summaries import Totals


class Identity(msgspec.Struct, frozen=True):
    """What does not change while the engine runs."""

    version: str
    url: str
    config_path: str
    started_at: float
    started_mono: float


class Vitals:
    """Builds the `EngineView`."""

    def __init__(
        self,
        identity: Identity,
        clock: Clock,
        runtime: RuntimeRef,
        door: Door,
        meters: Meters,
        database: Database,
        repository: RequestRepository,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._runtime = runtime
        self._door = door
        self._meters = meters
        self._database = database
        self._repository = repository
        self._today: Totals | None = None
        self._drops: dict[str, Callable[[], int]] = {
            "records": lambda: database.dropped,
            "rate_buckets": lambda: door.dropped_buckets,
        }
        self.config_problems: tuple[str, ...] = ()
        """Why the newest file text is not live."""
        self.config_warnings: tuple[str, ...] = ()
        """What the live config asks for and does not have."""
        self._damage: list[Callable[[], str]] = []
        self._trouble: list[Callable[[], tuple[str, ...]]] = []

    def say_config(self, problems: tuple[str, ...], warnings: tuple[str, ...]) -> None:
        """Takes why the newest config text is not live, and what the live one lacks."""
        self.config_problems, self.config_warnings = problems, warnings

    def watch_drops(self, buffer: str, count: Callable[[], int]) -> None:
        """Adds a bounded buffer's counter of lost entries."""
        self._drops[buffer] = count

    def watch_damage(self, tell: Callable[[], str]) -> None:
        """Adds what may have been found broken and set aside: a sentence, empty while it is sound."""
        self._damage.append(tell)

    def damage(self) -> tuple[str, ...]:
        """What was found broken and set aside; told until the next start."""
        return tuple(told for tell in self._damage if (told := tell()))

    def watch_trouble(self, tell: Callable[[], tuple[str, ...]]) -> None:
        """Adds what may be in trouble now: sentences, none while it is well."""
        self._trouble.append(tell)

    async def refresh(self) -> None:
        """Reads today's sums from the database."""
        self._today = await self._repository.today(self._clock.now())

    def view(self) -> EngineView:
        """The vital signs now."""
        identity = self._identity
        now = self._clock.monotonic()
        minute = self._meters.last_minute(now)
        today = self._today
        return EngineView(
            version=identity.version,
            pid=os.getpid(),
            started_at=identity.started_at,
            uptime_s=now - identity.started_mono,
            url=identity.url,
            config_path=identity.config_path,
            config_version=self._runtime.current.version,
            config_problems=self.config_problems,
            in_flight=self._door.in_flight,
            queued=self._door.queued,
            requests_total=self._meters.requests_total,
            requests_per_s=minute.requests_per_s,
            error_share=minute.error_share,
            p50_ms=minute.p50_ms,
            p95_ms=minute.p95_ms,
            cost_per_hour_nusd=minute.cost_per_hour_nusd,
            cost_today_nusd=today.cost_nusd if today is not None else 0,
            unknown_cost_today=today.unknown_cost if today is not None else 0,
            recorder_lag_ms=self._database.lag_ms(),
            dropped={name: count() for name, count in self._drops.items()},
            storage_state=self._database.state(),
            warnings=tuple(text for tell in self._trouble for text in tell()) + self.damage() + self.config_warnings,
        )

    def set_gauges(self, catalog: Catalog) -> None:
        """Brings the engine's gauges up to date for a scrape."""
        catalog.in_flight.child().set(self._door.in_flight)
        catalog.recorder_lag.child().set(self._database.lag_ms() / 1000.0)
        catalog.config_version.child().set(self._runtime.current.version)
        for buffer, count in self._drops.items():
            catalog.dropped.child(buffer).value = count()

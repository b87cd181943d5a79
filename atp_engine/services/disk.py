"""Keeps the data directory below its cap, and says loudly when that or a full disk costs something.

The ticker calls `sweep` every second; the look at the files is in a thread. What gives way first: bodies of
successes, of errors, pinned ones, then answers kept for `/v1/responses`, at last the oldest ledger lines - but
none that a window may still have to be counted from.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from atp_engine.core.ports import Clock
from atp_engine.metrics.catalog import Catalog
from atp_engine.services.runtime import RuntimeRef
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.database import Database
from atp_engine.storage.disk import MIB, Shares, Usage, measure, share
from atp_engine.storage.retention import RetentionRepository

_log = logging.getLogger("atp_engine")
_DAY_S = 86_400.0
_COUNTED_S = 33 * _DAY_S
"""A month's window, and a day for the time zone: lines of that age are needed where windows are."""
_CALM_S = 60.0
"""So long there must have been room again before it is said."""
_MOST_STEPS = 16
_LEVELS = ("", "bodies make room", "answers kept for /v1/responses make room", "the oldest ledger lines make room")

Tell = Callable[[str, str, str], None]
"""Severity, code, text."""


class Disk:
    """Looks, hands out shares, tells."""

    def __init__(
        self,
        database: Database,
        bodies: BodyStore,
        places: tuple[Path, Path],
        runtime: RuntimeRef,
        clock: Clock,
        tell: Tell,
        has_windows: Callable[[], bool],
    ) -> None:
        """`places` are the data directory and that of bodies."""
        self.usage: Usage | None = None
        """As of the last look."""
        self.answers = self.requests = 0
        """Deleted to make room, since the start."""
        self._database = database
        self._repository = RetentionRepository(database)
        self._bodies = bodies
        self._places = places
        self._runtime = runtime
        self._clock = clock
        self._tell = tell
        self._has_windows = has_windows
        self._now = clock.now()
        self._look: asyncio.Future[Usage] | None = None
        self._shares: Shares | None = None
        self._bound = 0
        self._steps = 1
        self._is_relieving = False
        self._level = 0
        self._calm_since = clock.monotonic()
        self._given_up = 0
        self._states = {"database": "ok", "body store": "ok"}

    def sweep(self, now: float) -> None:
        """Looks again, unless the last look is still under way; never waits. `now` is UTC epoch seconds, believed."""
        self._now = now
        self._tell_states()
        if self._look is None:
            self._look = self.measured()
            self._look.add_done_callback(self._looked)

    def measured(self) -> asyncio.Future[Usage]:
        """What a look says, when it is done."""
        look = partial(measure, self._places[0], self._database.path, self._places[1])
        return asyncio.get_running_loop().run_in_executor(None, look)

    @property
    def given_up(self) -> dict[str, int]:
        """What made room before its time since the start, by kind."""
        successes, errors, *pinned = self._bodies.deleted
        return {
            "successes": successes,
            "errors": errors,
            "pinned": sum(pinned),
            "answers": self.answers,
            "ledger": self.requests,
        }

    def pressure(self) -> str:
        """Why room is made now and by what, for people; empty while there is room."""
        usage, config = self.usage, self._runtime.current.config.storage
        if not self._level or usage is None:
            return ""
        if usage.free < config.min_free_bytes:
            return f"the disk has {usage.free // MIB} MiB left (storage.min_free_bytes): {_LEVELS[self._level]}"
        most = f"{config.max_disk_bytes // MIB} MiB (storage.max_disk_bytes)"
        return f"the data directory has {usage.total // MIB} of {most}: {_LEVELS[self._level]}"

    def warnings(self) -> tuple[str, ...]:
        """What to say until it is over, a sentence each."""
        return tuple(
            text
            for text in (
                *(f"{what}: {state}" for what, state in self._states.items() if state != "ok"),
                self.pressure(),
            )
            if text
        )

    def set_gauges(self, catalog: Catalog) -> None:
        """Brings the gauges up to date, as of the last look."""
        usage = self.usage
        if usage is not None:
            for kind, size in (
                ("database", usage.database),
                ("log", usage.database_log),
                ("bodies", usage.bodies + usage.bodies_log),
                ("others", usage.others),
            ):
                catalog.storage_bytes.child(kind).set(size)
            catalog.disk_free.child().set(usage.free)
        catalog.storage_limit.child().set(self._runtime.current.config.storage.max_disk_bytes)
        for kind, count in self.given_up.items():
            catalog.given_up.child(kind).value = count

    def _looked(self, look: asyncio.Future[Usage]) -> None:
        self._look = None
        if look.cancelled():
            return
        error = look.exception()
        if error is not None:
            _log.warning("the size of the data directory cannot be told: %s", error)
            return
        self.usage = look.result()
        self._apply(self.usage)

    def _apply(self, usage: Usage) -> None:
        config = self._runtime.current.config
        self._steps = 1 if self._database.state() == "ok" else min(self._steps + 1, _MOST_STEPS)
        shares = share(
            usage,
            config.storage.max_disk_bytes,
            pages=self._database.page_bytes,
            ceiling=self._bodies.ceiling,
            most_bodies=config.cache.max_body_store_bytes,
            largest=config.storage.body_max_bytes,
            min_free=config.storage.min_free_bytes,
            steps=self._steps,
        )
        before, self._shares = self._shares, shares
        if before is None or shares.bodies != before.bodies:
            self._bodies.limit(shares.bodies)
        if before is None or self._bodies.ceiling > max(before.bodies, usage.bodies + MIB):
            # the body store has not taken its share yet: what held before holds on
            self._database.limit(self._bound, shares.database_log, None)
        else:
            self._bound = shares.database
            relief = self._repository.relief(self._before(), self._relieved) if shares.is_short else None
            self._database.limit(shares.database, shares.database_log, relief)
            if shares.is_short and not self._is_relieving and self._database.state() == "ok":
                self._is_relieving = self._repository.relieve_soon(self._before(), self._relieved)
        self._judge(usage, shares, config.cache.max_body_store_bytes)

    def _before(self) -> float:
        return self._now - (_COUNTED_S if self._has_windows() else _DAY_S)

    def _relieved(self, answers: int, requests: int) -> None:
        """Runs in the writer's thread, the only one that counts here."""
        self.answers += answers
        self.requests += requests
        self._is_relieving = False

    def _judge(self, usage: Usage, shares: Shares, most_bodies: int) -> None:
        """Says when something begins to make room, and when nothing has for a minute."""
        level = 0
        if shares.is_short:
            level = 3 if self.requests or not self.answers else 2
        elif shares.bodies < most_bodies and usage.bodies + MIB >= shares.bodies and any(self._bodies.deleted):
            level = 1
        given_up = sum(self.given_up.values())
        now = self._clock.monotonic()
        if level or given_up != self._given_up:
            self._calm_since = now
        self._given_up = given_up
        if level > self._level:
            self._level = level
            self._tell("error" if level == 3 else "warn", "disk_cap", self.pressure())
        elif self._level and now - self._calm_since >= _CALM_S:
            self._level = 0
            self._tell("info", "disk_cap_over", "the data directory has room again, nothing makes room any more")

    def _tell_states(self) -> None:
        states = {"database": self._database.state(), "body store": self._bodies.state()}
        for what, state in states.items():
            before = self._states[what]
            if state != "ok" and before == "ok":
                self._tell("error", "storage_degraded", f"{what}: {state}")
            elif state == "ok" and before != "ok":
                self._tell("info", "storage_recovered", f"{what}: it can be written again, what waited is written")
        self._states = states

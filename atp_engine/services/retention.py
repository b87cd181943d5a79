"""How long requests and their ledger lines are kept, and what the disk holds.

The ticker calls `sweep` every second; one small chunk is in the writer's queue at a time, and an idle engine looks
once a minute. A clock that jumps deletes nothing: time is believed as windows believe it.
"""

from __future__ import annotations

from atp_engine.core.ports import Clock
from atp_engine.core.storage_views import StorageView
from atp_engine.limits.window_calendar import BelievedTime
from atp_engine.services.disk import Disk
from atp_engine.services.pins import Pins
from atp_engine.services.runtime import RuntimeRef
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.database import Database
from atp_engine.storage.retention import CHUNK, RetentionRepository

_LOOK_S = 60.0
_DAY_S = 86_400.0


class Retention:
    """Deletes by age; tells sizes."""

    def __init__(
        self, database: Database, bodies: BodyStore, disk: Disk, pins: Pins, runtime: RuntimeRef, clock: Clock
    ) -> None:
        self.deleted = 0
        """Requests deleted since the start."""
        self._database = database
        self._repository = RetentionRepository(database)
        self._bodies = bodies
        self._disk = disk
        self._pins = pins
        self._runtime = runtime
        self._clock = clock
        self._time = BelievedTime(clock.now(), clock.monotonic())
        self._is_waiting = False
        self._looks_at = clock.monotonic()

    def sweep(self) -> None:
        """Queues the next chunk when it is time; never waits."""
        now = self._clock.monotonic()
        believed = self._time.at(self._clock.now(), now)
        self._disk.sweep(believed)
        if self._is_waiting or now < self._looks_at or self._database.state() != "ok":
            return
        self._looks_at = now + _LOOK_S
        before = believed - self._runtime.current.config.storage.ledger_ttl_days * _DAY_S
        self._is_waiting = self._repository.delete_soon(before, self._took)

    def _took(self, count: int) -> None:
        """Runs in the writer's thread: single assignments."""
        self.deleted += count
        if count == CHUNK:
            self._looks_at = 0.0
        self._is_waiting = False

    async def view(self) -> StorageView:
        """What is on the disk now. Raises StorageError."""
        config = self._runtime.current.config
        usage = self._disk.usage = await self._disk.measured()
        trouble = self._database.state()
        return StorageView(
            database_bytes=usage.database,
            wal_bytes=usage.database_log,
            bodies_bytes=usage.bodies + usage.bodies_log,
            max_bodies_bytes=config.cache.max_body_store_bytes,
            free_bytes=usage.free,
            oldest_at=await self._repository.oldest_at(),
            ledger_ttl_days=config.storage.ledger_ttl_days,
            deleted=self.deleted,
            state=self._bodies.state() if trouble == "ok" else trouble,
            data_bytes=usage.total,
            max_disk_bytes=config.storage.max_disk_bytes,
            given_up=self._disk.given_up,
            pressure=self._disk.pressure(),
            pinned=self._pins.count,
        )

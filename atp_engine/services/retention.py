"""How long requests and their ledger lines are kept, and what the disk holds.

The ticker calls `sweep` every second; one small chunk is in the writer's queue at a time, and an idle engine looks
once a minute.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from atp_engine.core.ports import Clock
from atp_engine.core.storage_views import StorageView
from atp_engine.services.runtime import RuntimeRef
from atp_engine.storage.bodies import BodyStore
from atp_engine.storage.database import Database
from atp_engine.storage.retention import CHUNK, RetentionRepository

_LOOK_S = 60.0
_DAY_S = 86_400.0


class Retention:
    """Deletes by age; tells sizes."""

    def __init__(
        self, database: Database, bodies: BodyStore, bodies_dir: Path, runtime: RuntimeRef, clock: Clock
    ) -> None:
        self.deleted = 0
        """Requests deleted since the start."""
        self._database = database
        self._repository = RetentionRepository(database)
        self._bodies = bodies
        self._bodies_dir = bodies_dir
        self._runtime = runtime
        self._clock = clock
        self._is_waiting = False
        self._looks_at = clock.monotonic()

    def sweep(self) -> None:
        """Queues the next chunk when it is time; never waits."""
        now = self._clock.monotonic()
        if self._is_waiting or now < self._looks_at or self._database.state() != "ok":
            return
        self._looks_at = now + _LOOK_S
        before = self._clock.now() - self._runtime.current.config.storage.ledger_ttl_days * _DAY_S
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
        path = self._database.path
        sizes = await asyncio.get_running_loop().run_in_executor(None, _sizes, path, self._bodies_dir)
        trouble = self._database.state()
        return StorageView(
            *sizes[:3],
            max_bodies_bytes=config.cache.max_body_store_bytes,
            free_bytes=sizes[3],
            oldest_at=await self._repository.oldest_at(),
            ledger_ttl_days=config.storage.ledger_ttl_days,
            deleted=self.deleted,
            state=self._bodies.state() if trouble == "ok" else trouble,
        )


def _sizes(database: Path, bodies: Path) -> tuple[int, int, int, int]:
    found = sum(_size(file) for file in bodies.iterdir()) if bodies.is_dir() else 0
    wal = database.with_name(f"{database.name}-wal")
    return _size(database), _size(wal), found, shutil.disk_usage(database.parent).free


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0

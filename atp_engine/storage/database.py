"""The database as the repositories hold it: queue a write, await a commit, read beside the writer.

One file, one writing connection in one thread, two read-only connections in two threads. Everything
here is called on the event loop's thread and none of it blocks, `open` and `read_now` excepted.

What survives: an awaited commit survives the death of the process. A power loss may take the commits
since the last checkpoint (WAL with synchronous=NORMAL), never older ones and never the file's
soundness; writes marked `is_synced` (keys, audit) are forced to the disk and survive that too.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from atp_engine.core.errors import StorageError
from atp_engine.core.ports import Clock
from atp_engine.storage.batch import Write
from atp_engine.storage.opening import Opened, configure, is_damage, open_file, release_lock, suspect
from atp_engine.storage.rollups import lines_behind, roll_up
from atp_engine.storage.stretches import SIZE, take_in, untaken
from atp_engine.storage.summaries import pending, summarise
from atp_engine.storage.tables import ATTEMPTS, REQUESTS
from atp_engine.storage.writer import Chore, Writer

T = TypeVar("T")

_READERS = 2
_WRITE_WAIT_MS = 250
_READ_WAIT_MS = 1_000
_READ_CACHE_KB = 512
"""Of each reader; the pages are in the system's cache anyhow, and a quarter of SQLite's own is enough."""
_TICK_S = 0.5


class Database:
    """The open database; make it with `open`, end it with `aclose`."""

    def __init__(
        self, path: Path, opened: Opened, clock: Clock, *, capacity: int, wait_s: float, summarise_every: int
    ) -> None:
        self.path = path
        self.quarantined = opened.quarantined
        """Where a damaged file was moved at start; None when there was none. Say so loudly."""
        self.damage = opened.damage
        self._clock = clock
        self._capacity = capacity
        self._lock = opened.lock
        self._wait_s = wait_s
        self._readers: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        for _ in range(_READERS):
            self._readers.put(_connect_reader(path))
        self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="atp-reader")
        configure(opened.connection, _WRITE_WAIT_MS)
        chores = (
            Chore(REQUESTS, summarise_every, summarise, pending(opened.connection)),
            Chore(ATTEMPTS, max(1, summarise_every // 8), roll_up, lines_behind(opened.connection)),
            Chore(REQUESTS, min(SIZE, summarise_every), take_in, untaken(opened.connection)),
        )
        self._writer = Writer(path, opened.connection, clock, capacity=capacity, patience_s=wait_s, chores=chores)
        self._scans: set[sqlite3.Connection] = set()
        self._waiting: deque[Write] = deque()
        self._tick = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        clock: Clock,
        *,
        capacity: int = 20_000,
        wait_s: float = 2.0,
        summarise_every: int = 8_192,
    ) -> Database:
        """Opens or creates the file, up to half a second longer when it is large; blocks.

        `capacity` is the most writes that wait in memory, `wait_s` the longest wait of a `commit`.
        Raises StorageError with one plain line when the file cannot be used; a damaged one is moved
        aside and `quarantined` says where.
        """
        opened = open_file(path, clock)
        try:
            return cls(path, opened, clock, capacity=capacity, wait_s=wait_s, summarise_every=summarise_every)
        except sqlite3.Error as error:
            opened.connection.close()
            release_lock(opened.lock)
            raise StorageError(f"cannot use the database {path}: {error}") from error

    @property
    def sqlite_version(self) -> str:
        """Version of the SQLite library in this process."""
        return sqlite3.sqlite_version

    def submit(self, write: Write) -> bool:
        """Queues a write that nobody waits for; committed within about 50 ms. False when dropped."""
        return self._writer.add(write)

    async def commit(self, write: Write) -> None:
        """Returns once the write is committed, together with all that was queued meanwhile.

        Raises StorageError when the row is refused, when it is not committed within `wait_s`, or at
        once when an outage has lasted longer than that already. A write with `is_kept` is then still
        committed as soon as it can be. Cancelling stops the waiting, not the write.
        """
        writer = self._writer
        if writer.trouble_since is not None and self._is_long_outage():
            if write.is_kept:
                writer.add(write)
            raise self._not_committed()
        waiter = write.waiter = asyncio.get_running_loop().create_future()
        write.tick = self._tick
        if not writer.add(write):
            raise StorageError("the database is closed" if self._is_closed else "the queue of the database is full")
        waiting = self._waiting
        while waiting and waiting[0].waiter.done():  # type: ignore[union-attr]
            waiting.popleft()
        waiting.append(write)
        if self._timer is None:
            self._timer = waiter.get_loop().call_later(_TICK_S, self._lose_patience)
        await waiter

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `query` on a read-only connection in a reader's thread, inside one snapshot.

        Raises StorageError when the database cannot be read.
        """
        return await self.read_soon(query)

    def read_soon(self, query: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """As `read`, begun at once, for somebody who does not wait for it."""
        if self._is_closed:
            raise StorageError("the database is closed")
        return asyncio.get_running_loop().run_in_executor(self._threads, self.read_now, query)

    async def scan(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Runs `query` on a connection and in a thread of its own, for what reads long: no other reader waits. It
        takes its snapshots itself. Raises StorageError; cancelling ends it soon."""
        if self._is_closed:
            raise StorageError("the database is closed")
        connection = _connect_reader(self.path)

        def run() -> T:
            try:
                return query(connection)
            finally:
                connection.close()

        running = asyncio.get_running_loop().run_in_executor(None, run)
        self._scans.add(connection)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            _interrupt(connection)
            running.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            raise
        except sqlite3.Error as error:
            raise StorageError(f"the database cannot be read: {error}") from error
        finally:
            self._scans.discard(connection)

    def read_now(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """As `read`, in the caller's own thread: for building services before the engine serves."""
        connection = self._readers.get()
        try:
            connection.execute("BEGIN")
            try:
                return query(connection)
            finally:
                if connection.in_transaction:
                    connection.execute("COMMIT")
        except sqlite3.Error as error:
            if is_damage(error):
                suspect(self.path)
            raise StorageError(f"the database cannot be read: {error}") from error
        finally:
            self._readers.put(connection)

    def limit(self, max_bytes: int, max_log_bytes: int, relief: Callable[[sqlite3.Connection], None] | None) -> None:
        """Bounds the file and its log, each in bytes: beyond, writes wait as on a full disk. `relief` makes room
        in the writer's thread as long as they do."""
        self._writer.relief = relief
        self._writer.limit(max_bytes, max_log_bytes)

    @property
    def page_bytes(self) -> tuple[int, int]:
        """Size of the file once its log is empty, and how much of it is used by nothing; looked at now and then."""
        return self._writer.page_bytes, self._writer.free_bytes

    @property
    def dropped(self) -> int:
        """Writes lost so far: the queue was full, or the database refused them."""
        return self._writer.refused + self._writer.lost

    @property
    def queue_depth(self) -> int:
        """Writes not committed yet."""
        return len(self._writer)

    def lag_ms(self) -> float:
        """Age of the oldest write that is not committed; 0 when all are."""
        oldest_at = self._writer.oldest_at()
        return 0.0 if oldest_at is None else max(0.0, (self._clock.monotonic() - oldest_at) * 1000.0)

    def state(self) -> str:
        """`ok`, or `degraded: ` and why, for people."""
        trouble = self._writer.trouble
        if trouble:
            waiting = f"{self.queue_depth} of {self._capacity} writes wait"
            return f"degraded: the database cannot be written, {trouble} ({waiting})"
        return "ok"

    async def aclose(self) -> None:
        """Commits what is queued, checkpoints and closes; after `wait_s` of an outage what is left is lost."""
        if self._is_closed:
            return
        self._is_closed = True
        for connection in self._scans:
            _interrupt(connection)
        await asyncio.get_running_loop().run_in_executor(None, self._close)
        if self._timer is not None:
            self._timer.cancel()

    def _close(self) -> None:
        self._threads.shutdown()
        for _ in range(_READERS):
            self._readers.get().close()
        self._writer.close()
        release_lock(self._lock)

    def _is_long_outage(self) -> bool:
        since = self._writer.trouble_since
        return since is not None and self._clock.monotonic() - since > self._wait_s

    def _not_committed(self) -> StorageError:
        why = self._writer.trouble or "the disk is slow"
        return StorageError(f"not committed to the database within {self._wait_s:g} s: {why}")

    def _lose_patience(self) -> None:
        """Every half second while somebody waits: ends the waits that have taken too long.

        Counting ticks costs a commit nothing, and bounds the wait even when the disk hangs.
        """
        self._tick += 1
        patience = max(1, round(self._wait_s / _TICK_S))
        waiting = self._waiting
        while waiting:
            waiter = waiting[0].waiter
            if waiter is not None and not waiter.done():
                if self._tick - waiting[0].tick <= patience:
                    break
                waiter.set_exception(self._not_committed())
            waiting.popleft()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._lose_patience) if waiting else None


def _interrupt(connection: sqlite3.Connection) -> None:
    with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed already
        connection.interrupt()


def _connect_reader(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        configure(connection, _READ_WAIT_MS)
        connection.execute(f"PRAGMA cache_size=-{_READ_CACHE_KB}")
    except BaseException:
        connection.close()
        raise
    return connection

"""The one thread that writes: takes what is queued, one transaction for all of it, then wakes who waits.

`Database` owns it and calls it from the event loop's thread only. Whatever happens to a batch, it is
committed once or kept: a full or locked disk makes it wait, `trouble` says so, and writing goes on by
itself when the trouble is over.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from atp_engine.core.errors import StorageError
from atp_engine.core.ports import Clock
from atp_engine.storage.batch import Batches, Failures, Waiter, Write, is_outage
from atp_engine.storage.opening import is_damage, suspect
from atp_engine.storage.tables import Table

_log = logging.getLogger(__name__)

_BATCH = 4_096
_GATHER_S = 0.05
_SHARE_S = 0.001
"""How long a commit waits for company when the one before had some: at one request at a time, not at all."""
_RETRY_S = 0.1
_CHECKPOINT_PAGES = 4_000
_LOOK_PAGES = 250
"""After about this much written the sizes are read anew."""


_LOG_LOOK_PAGES = 100
"""As `_LOOK_PAGES`, for the size of the log: looking costs more than a small commit should."""


class Chore(msgspec.Struct, eq=False):
    """Work in a transaction of its own, due whenever a table has got `every` more rows."""

    table: Table
    every: int
    run: Callable[[sqlite3.Connection], None]
    pending: int = 0


class LogHeld(sqlite3.OperationalError):
    """The log of commits is as long as it may be, and a reader keeps it from being emptied."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY


class Writer:
    """The thread, its connection and its queue."""

    def __init__(
        self,
        path: Path,
        connection: sqlite3.Connection,
        clock: Clock,
        *,
        capacity: int,
        patience_s: float,
        chores: tuple[Chore, ...],
    ) -> None:
        self._path = path
        self._connection = connection
        self._clock = clock
        self._capacity = capacity
        self._patience_s = patience_s
        self._chores = chores
        self._batches = Batches(connection)
        self._queue: deque[Write] = deque()
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_idle = False
        self._is_urgent = False
        self._is_crowded = False
        self._is_closing = False
        self._batch: list[Write] = []
        self._queued_at = 0.0
        self._batch_at = 0.0
        self._pages = 0
        self._seen_pages = _LOOK_PAGES
        self._most_pages = self._limited_to = 0
        self._most_log_bytes = self._log_pages = 0
        self._log = path.with_name(f"{path.name}-wal")
        self._page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
        self.relief: Callable[[sqlite3.Connection], None] | None = None
        """What makes room, in a transaction of its own, before each further try while the disk is full."""
        self.page_bytes = self.free_bytes = 0
        """Of all pages, and of those that are empty; looked at now and then."""
        self.refused = 0
        """Writes that found the queue full or closed."""
        self.lost = 0
        """Writes without a waiter that the database refused."""
        self.trouble = ""
        self.trouble_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="atp-writer", daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        return len(self._queue) + len(self._batch)

    def add(self, write: Write) -> bool:
        """Queues a write; False, counted, when the queue is full or closed. A waiter makes it urgent."""
        writes = self._queue
        if not writes:
            self._queued_at = self._clock.monotonic()
        if len(writes) >= self._capacity or self._is_closing:
            self.refused += 1
            return False
        writes.append(write)
        if write.waiter is not None:
            if not self._is_urgent:
                self._is_urgent = True
                self._bell.put(None)
        elif self._is_idle:
            self._is_idle = False
            self._bell.put(None)
        return True

    def limit(self, max_bytes: int, max_log_bytes: int) -> None:
        """Bounds the file and its log from the next batch on: beyond, the disk counts as full. 0 is no bound."""
        self._most_log_bytes = max_log_bytes
        self._most_pages = -(-max_bytes // self._page_size)

    def oldest_at(self) -> float | None:
        """Monotonic time at which the oldest uncommitted write was queued; None when all is committed."""
        if self._batch:
            return self._batch_at
        return self._queued_at if self._queue else None

    def close(self) -> None:
        """Commits what is queued, checkpoints, closes the connection; blocks until that is done."""
        self._is_closing = True
        self._bell.put(None)
        self._thread.join()

    def _run(self) -> None:
        """The thread, and the boundary for what nobody expected: it ends, visibly."""
        try:
            while self._gather():
                self._commit()
                self._do_chores()
        except Exception:
            _log.exception("the thread that writes the database ended by a bug")
            self.trouble = "its thread ended by a bug, see the log"
            self.trouble_since = self._clock.monotonic()
        try:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            _log.warning("the last checkpoint failed, the next start makes up for it: %s", error)
        self._connection.close()

    def _gather(self) -> bool:
        """Waits for work and takes it; False when closing and nothing is left.

        Records that nobody waits for gather for 50 ms. Others are written at once, unless several came
        together last time: then they wait a millisecond for those in flight, and share one commit and
        one call into the loop.
        """
        writes = self._queue
        while not writes:
            if self._is_closing:
                return False
            self._is_idle = True
            if not writes:
                self._bell.get()
            self._is_idle = False
        if not self._is_urgent and not self._is_closing:
            self._wait(_GATHER_S)
        elif self._is_crowded and not self._is_closing:
            time.sleep(_SHARE_S)
        self._is_urgent = False
        self._batch_at = self._queued_at
        self._batch = [writes.popleft() for _ in range(min(len(writes), _BATCH))]
        self._is_crowded = len(self._batch) > 1
        return True

    def _wait(self, timeout_s: float) -> None:
        """Sleeps, at most until something urgent comes."""
        try:
            self._bell.get(timeout=timeout_s)
        except queue.Empty:
            return

    def _commit(self) -> None:
        """Writes the batch, however long that takes, and tells the waiters; the thread's boundary.

        In an outage it goes on trying even when nobody wants the batch any more: that is how the end
        of the outage is noticed.
        """
        while self._batch or self.trouble_since is not None:
            try:
                self._bound()
                failures = self._batches.write(self._batch)
            except Exception as error:
                if not is_outage(error):
                    _log.exception("a batch of records was lost by a bug")
                    return self._give_up(error)
                if not self._may_retry(error):
                    return self._give_up(error)
                if not self._has_relieved(error):
                    self._wait(_RETRY_S)
            else:
                self._recover()
                return self._settle(failures)
        return None

    def _bound(self) -> None:
        """Keeps to the limits. Raises LogHeld when the log may not grow."""
        connection = self._connection
        if self._most_pages != self._limited_to:
            self._limited_to = self._most_pages
            connection.execute(f"PRAGMA max_page_count={self._most_pages or 0xFFFFFFFE}")
        if self._most_log_bytes and self._log_pages >= _LOG_LOOK_PAGES:
            if _size(self._log) > self._most_log_bytes:
                (is_held, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                if is_held:
                    raise LogHeld("a long read holds the log of commits, which is as long as it may be")
            self._log_pages = 0

    def _has_relieved(self, error: Exception) -> bool:
        """Makes room where that can be; False when it cannot, or did not help."""
        relief, connection = self.relief, self._connection
        if relief is None or getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
            return False
        before = self.free_bytes
        try:
            connection.execute("BEGIN IMMEDIATE")
            relief(connection)
            connection.execute("COMMIT")
            self._look()
        except Exception as failed:  # the thread goes on trying, and the outage is told already
            _log.warning("no room could be made in the database: %s", failed)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            return False
        return self.free_bytes > before

    def _look(self) -> None:
        """Takes the sizes anew; on a disk where even that fails they stay."""
        self._seen_pages = 0
        with suppress(sqlite3.Error):
            self.free_bytes, self.page_bytes = (
                self._page_size * int(self._connection.execute(f"PRAGMA {count}").fetchone()[0])
                for count in ("freelist_count", "page_count")
            )

    def _settle(self, failures: Failures) -> None:
        """Wakes every waiter of the batch with one call into the loop."""
        batch, self._batch = self._batch, []
        pages = 6 + len(batch) // 8  # about what a commit adds to the log
        self._pages += pages
        self._seen_pages += pages
        self._log_pages += pages
        loop: asyncio.AbstractEventLoop | None = None
        done: list[tuple[Waiter, Exception | None]] = []
        for place, write in enumerate(batch):
            error = failures.get(place) if failures else None
            if error is None and write.on_commit is not None:
                write.on_commit()
            waiter = write.waiter
            if waiter is not None:
                if loop is None:
                    loop = waiter.get_loop()
                done.append((waiter, error))
            elif error is not None:
                self.lost += 1
                _log.error("the database refused a record: %s", error)
        if loop is not None:
            try:
                loop.call_soon_threadsafe(_wake, done)
            except RuntimeError:  # the loop is closed, nobody waits any more
                _log.debug("the waiters of a commit went with their loop")

    def _give_up(self, error: Exception) -> None:
        self._settle(dict.fromkeys(range(len(self._batch)), error))

    def _may_retry(self, error: Exception) -> bool:
        """Notes the outage; False when the engine wants to stop and has waited long enough."""
        now = self._clock.monotonic()
        if self.trouble_since is None:
            self.trouble_since = now
            _log.error("the database cannot be written: %s", error)
            if isinstance(error, sqlite3.Error) and is_damage(error):
                suspect(self._path)
        self.trouble = _plain(error)
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            self._look()
        return not self._is_closing or now - self.trouble_since < self._patience_s

    def _recover(self) -> None:
        if self.trouble_since is not None:
            self.trouble_since = None
            self.trouble = ""
            _log.warning("the database can be written again")

    def _do_chores(self) -> None:
        """Derived rows and the checkpoint, after the waiters are awake; failing now only puts them off."""
        connection = self._connection
        rows = self._batches.rows
        try:
            for chore in self._chores:
                chore.pending += rows.get(chore.table, 0)
            rows.clear()
            for chore in self._chores:
                if chore.pending >= chore.every:
                    connection.execute("BEGIN IMMEDIATE")
                    chore.run(connection)
                    connection.execute("COMMIT")
                    self._pages += chore.pending // 4
                    chore.pending = 0
            if self._seen_pages >= _LOOK_PAGES:
                self._look()
            if self._pages >= _CHECKPOINT_PAGES:
                self._pages = 0
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            _log.warning("a chore of the database was put off: %s", error)
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _wake(done: list[tuple[Waiter, Exception | None]]) -> None:
    for waiter, error in done:
        if waiter.done():
            continue
        if error is None:
            waiter.set_result(None)
        else:
            refused = StorageError(f"the database refused the record: {error}")
            refused.__cause__ = error
            waiter.set_exception(refused)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _plain(error: Exception) -> str:
    if isinstance(error, LogHeld):
        return str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process has locked it"
    if code == sqlite3.SQLITE_FULL:
        return "the disk is full"
    if isinstance(error, sqlite3.Error) and is_damage(error):
        return "the file is damaged; a restart sets it aside"
    return str(error)

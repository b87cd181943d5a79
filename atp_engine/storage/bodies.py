"""Request and response bodies on disk: compressed, capped in bytes and age, never in traffic's way.

The recorder puts bodies that are redacted already, the observatory gets them. `put` only queues for the
store's thread, and skips, counted, what is over the configured rate or finds the queue full. Successes go first,
by age and when bytes are short, then errors; pinned ones stay. A store that cannot be used says so by `state` and
loses bodies, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from pathlib import Path
from typing import Literal, get_args

import msgspec

from atp_engine.core.errors import StorageError
from atp_engine.core.ports import Clock
from atp_engine.storage.body_shelf import FAILURES, PINNED, RANKS, BodyShelf
from atp_engine.storage.opening import is_damage

_log = logging.getLogger(__name__)

Kind = Literal["request", "response", "head"]
Bodies = tuple[bytes | None, bytes | None]
_Found = tuple[bytes | None, ...]

_BATCH = 64
_QUEUED_BODIES = 4_096
_QUEUED_BYTES = 64 * 1024 * 1024
_EXPIRE_S = 60.0


class _Put(msgspec.Struct, eq=False):
    request_id: str
    kind: Kind
    body: bytes
    is_error: bool


class _Get(msgspec.Struct, eq=False):
    keys: tuple[str, ...]
    waiter: asyncio.Future[_Found]


class _Pin(msgspec.Struct, eq=False):
    request_ids: tuple[str, ...]
    is_pinned: bool


class _Limit(msgspec.Struct, eq=False):
    max_bytes: int


_Job = _Put | _Get | _Pin | _Limit


class BodyStore:
    """The bodies in one directory."""

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        *,
        max_bytes: int,
        ttl_s: float,
        bodies_per_s: float,
        error_ttl_s: float | None = None,
    ) -> None:
        """Starts the thread, which makes and opens the directory. Errors are kept like successes when
        `error_ttl_s` is not given."""
        self.skipped = 0
        """Bodies not taken: over the rate, or the queue was full."""
        self.lost = 0
        """Bodies taken that could not be written."""
        self.quarantined: Path | None = None
        """Where a damaged store was moved, once the thread has met it."""
        self.ceiling = max_bytes
        """Bytes that the file does not pass, besides its log, until `limit` asks for less and it has shrunk."""
        self.deleted: tuple[int, ...] = (0,) * len(RANKS)
        """Bodies that made room before their time, by rank, since the start."""
        self._pinned: set[str] = set()
        self._most_bytes = max_bytes
        self._directory = directory
        self._clock = clock
        self._max_bytes = max_bytes
        self._ttls_s = (ttl_s, ttl_s if error_ttl_s is None else error_ttl_s)
        self._rate = bodies_per_s
        self._tokens = max(1.0, bodies_per_s)
        self._filled_at = clock.monotonic()
        self._last_id = ""
        self._is_last_taken = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._bytes_in = 0
        self._bytes_out = 0
        self._trouble = ""
        self._is_shrinking = False
        self._expired_at = self._filled_at
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="atp-bodies", daemon=True)
        self._thread.start()

    def configure(self, *, max_bytes: int, ttl_s: float, bodies_per_s: float, error_ttl_s: float | None = None) -> None:
        """Takes changed settings; times hold for bodies to come, a smaller cap is reached in small steps."""
        self._max_bytes = max_bytes
        self._ttls_s = (ttl_s, ttl_s if error_ttl_s is None else error_ttl_s)
        self._rate = bodies_per_s
        self.limit(self._most_bytes)

    def limit(self, max_bytes: int) -> None:
        """Bounds the file further, below what `configure` allows, because others need the disk; see `ceiling`."""
        self._most_bytes = max_bytes
        self._jobs.put(_Limit(max_bytes))

    def pin(self, request_ids: tuple[str, ...], *, is_pinned: bool = True) -> None:
        """Queues that bodies of these requests stay, or no more, whether they are here already or come later."""
        if is_pinned:
            self._pinned.update(request_ids)
        else:
            self._pinned.difference_update(request_ids)
        if not self._is_closed:
            self._jobs.put(_Pin(request_ids, is_pinned))

    def is_pinned(self, request_id: str) -> bool:
        """Bodies of this request stay."""
        return request_id in self._pinned

    def has_room(self) -> bool:
        """A request that began now would have its bodies taken; a guess that saves copying them for nothing."""
        self._refill()
        return self._tokens >= 1.0 and not self._is_closed and not self._is_full(0)

    def put(self, request_id: str, kind: Kind, body: bytes, *, is_error: bool = False) -> bool:
        """Queues a body; False when it is skipped. Never blocks.

        The rate counts requests: what else there is of a request follows its first body when it comes next.
        """
        if self._is_closed or self._is_full(len(body)) or not self._is_within_rate(request_id):
            self.skipped += 1
            return False
        self._bytes_in += len(body)
        self._jobs.put(_Put(request_id, kind, body, is_error))
        return True

    async def get(self, request_id: str) -> Bodies:
        """The request's body and the response's, each None when it is not kept.

        Sees everything put before. Raises StorageError when the store is closed or cannot be read.
        """
        request, response = await self._read(f"{request_id}/request", f"{request_id}/response")
        return request, response

    async def head(self, request_id: str) -> bytes | None:
        """The client's headers as they were put; raises as `get`."""
        (head,) = await self._read(f"{request_id}/head")
        return head

    async def _read(self, *keys: str) -> _Found:
        if self._is_closed:
            raise StorageError("the body store is closed")
        waiter: asyncio.Future[_Found] = asyncio.get_running_loop().create_future()
        self._jobs.put(_Get(keys, waiter))
        return await waiter

    def state(self) -> str:
        """`ok`, or `degraded: ` and why, for people."""
        return f"degraded: bodies are not kept, {self._trouble}" if self._trouble else "ok"

    async def aclose(self) -> None:
        """Writes what is queued and closes the store."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _is_full(self, size: int) -> bool:
        return self._jobs.qsize() >= _QUEUED_BODIES or self._bytes_in - self._bytes_out + size > _QUEUED_BYTES

    def _refill(self) -> None:
        now = self._clock.monotonic()
        self._tokens = min(max(1.0, self._rate), self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now

    def _is_within_rate(self, request_id: str) -> bool:
        if request_id != self._last_id:
            self._refill()
            self._last_id = request_id
            self._is_last_taken = self._tokens >= 1.0
            if self._is_last_taken:
                self._tokens -= 1.0
        return self._is_last_taken

    def _run(self) -> None:
        """The thread. Each step is a boundary of its own: what fails costs bodies, never the thread."""
        shelf = self._open()
        while True:
            jobs = self._take()
            for job in jobs:
                if isinstance(job, _Pin):
                    self._mark(shelf, job)
            puts = [job for job in jobs if isinstance(job, _Put)]
            if puts:
                self._write(shelf, puts)
            for job in jobs:
                if isinstance(job, _Get):
                    _answer(job.waiter, self._find(shelf, job.keys))
            if shelf is not None:
                self._tidy(shelf)
            if None in jobs:
                break
        if shelf is not None:
            shelf.close()

    def _open(self) -> BodyShelf | None:
        try:
            shelf = BodyShelf(self._directory)
        except Exception as error:
            self._note(error, None)
            return None
        self.quarantined = shelf.quarantined
        if shelf.quarantined is not None:
            _log.error("the body store was damaged and is set aside at %s", shelf.quarantined)
        return shelf

    def _take(self) -> list[_Job | None]:
        """Waits for jobs, a minute at most, and takes what is there."""
        jobs: list[_Job | None] = []
        try:
            jobs.append(self._jobs.get(timeout=0.0 if self._is_shrinking else _EXPIRE_S))
            while len(jobs) < _BATCH:
                jobs.append(self._jobs.get_nowait())
        except queue.Empty:
            pass
        return jobs

    def _write(self, shelf: BodyShelf | None, puts: list[_Put]) -> None:
        try:
            if shelf is None:
                self.lost += len(puts)
                return
            bodies = [(f"{put.request_id}/{put.kind}", put.body, self._rank(put)) for put in puts]
            self.skipped += shelf.write(bodies, self._ttls_s, min(self._max_bytes, self._most_bytes))
            self._trouble = ""
        except Exception as error:
            self.lost += len(puts)
            self._note(error, shelf)
        finally:
            self._bytes_out += sum([len(put.body) for put in puts])

    def _find(self, shelf: BodyShelf | None, keys: tuple[str, ...]) -> _Found | StorageError:
        if shelf is None:
            return (None,) * len(keys)
        try:
            return tuple([shelf.read(key) for key in keys])
        except Exception as error:
            self._note(error, shelf)
            failed = StorageError(f"the body store cannot be read: {error}")
            failed.__cause__ = error
            return failed

    def _rank(self, put: _Put) -> int:
        return (PINNED if put.request_id in self._pinned else 0) + put.is_error

    def _mark(self, shelf: BodyShelf | None, job: _Pin) -> None:
        if shelf is None:
            return
        keys = [f"{request_id}/{kind}" for request_id in job.request_ids for kind in get_args(Kind)]
        try:
            shelf.pin(keys) if job.is_pinned else shelf.unpin(keys, self._ttls_s)
        except Exception as error:
            self._note(error, shelf)

    def _tidy(self, shelf: BodyShelf) -> None:
        """One chunk of what is too much and one of what is too old; the next follows after the jobs that wait."""
        try:
            most = min(self._max_bytes, self._most_bytes)
            self._is_shrinking = shelf.shrink(most)
            self.ceiling = max(shelf.volume(), most)
            now = self._clock.monotonic()
            if now - self._expired_at >= _EXPIRE_S:
                if shelf.expire(self._clock.now()):
                    self._is_shrinking = True
                else:
                    self._expired_at = now
            self.deleted = tuple(shelf.deleted)
        except Exception as error:
            self._is_shrinking = False
            self._note(error, shelf)

    def _note(self, error: Exception, shelf: BodyShelf | None) -> None:
        """Keeps the reason for `state`; a store that turns out damaged is set aside at once."""
        if not self._trouble:
            _log.error("the body store failed: %s", error, exc_info=not isinstance(error, FAILURES))
        self._trouble = str(error) or type(error).__name__
        if shelf is not None and isinstance(error, sqlite3.Error) and is_damage(error):
            try:
                shelf.renew()
                self.quarantined = shelf.quarantined
            except Exception as failed:
                _log.error("the damaged body store could not be set aside: %s", failed)


def _answer(waiter: asyncio.Future[_Found], found: _Found | StorageError) -> None:
    def settle() -> None:
        if waiter.done():
            return
        if isinstance(found, StorageError):
            waiter.set_exception(found)
        else:
            waiter.set_result(found)

    try:
        waiter.get_loop().call_soon_threadsafe(settle)
    except RuntimeError:  # the loop is closed, nobody waits any more
        _log.debug("who asked for a body went with the loop")

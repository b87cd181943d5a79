"""The body store's side of the thread: bodies compressed into diskcache, found, pinned, counted and deleted.

Made, used and closed in one thread, which `bodies` owns; the directory belongs to it alone. What goes first is the
order of `RANKS`, the oldest first within a rank; every deletion is a small transaction of its own.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

import diskcache
import zstandard

from atp_engine.core.errors import StorageError
from atp_engine.storage.body_disk import BytesDisk

FAILURES = (sqlite3.Error, OSError, diskcache.Timeout)
"""What a disk that is full, locked or broken raises here."""
_LEVEL = 3
_LARGEST = 64 * 1024 * 1024
"""A stored body that claims to inflate beyond this was not written by us."""
RANKS = ("successes", "errors", "pinned successes", "pinned errors")
"""What a body's tag says, and the order in which bodies give way."""
PINNED = 2
"""From this rank on bodies have no age, and give way to nothing but a smaller cap."""
LOG_BYTES = 8 * 1024 * 1024
"""What the log of commits may hold besides the bodies of one transaction."""
_CHUNK_ROWS = 128
_CHUNK_BYTES = 1024 * 1024
_ROW_BYTES = 512
"""Of a row besides its body, in the table and its indexes."""
_SETTINGS = {
    "eviction_policy": "least-recently-stored",
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 1,
    "sqlite_mmap_size": 0,
    "sqlite_cache_size": 512,
    "sqlite_secure_delete": 1,
    "sqlite_journal_size_limit": LOG_BYTES // 2,
}
Body = tuple[str, bytes, int]
"""Key, bytes, rank."""
_OLDEST = "SELECT rowid, tag, length(value) FROM Cache WHERE tag < ? ORDER BY tag, rowid LIMIT ?"
_OVER_TIME = "SELECT rowid, tag, length(value) FROM Cache WHERE expire_time < ? ORDER BY expire_time LIMIT ?"
_PIN = "UPDATE Cache SET tag = tag + 2, expire_time = NULL WHERE key = ? AND raw = 1 AND tag < 2"
_UNPIN = (
    "UPDATE Cache SET tag = tag - 2, expire_time = store_time + CASE tag WHEN 2 THEN ? ELSE ? END "
    "WHERE key = ? AND raw = 1 AND tag >= 2"
)


class BodyShelf:
    """An open directory of bodies."""

    def __init__(self, directory: Path) -> None:
        """Opens or makes the directory, for its owner only; a damaged one is moved to `quarantined`.

        Raises one of FAILURES, or StorageError, when there is no way to.
        """
        self.quarantined: Path | None = None
        self.deleted = [0] * len(RANKS)
        """Bodies that made room before their time, by rank."""
        self._directory = directory
        try:
            self._cache = _open(directory)
        except (sqlite3.DatabaseError, TypeError, ValueError, AttributeError):
            # whatever a damaged or altered settings table makes diskcache stumble over
            self.quarantined = _set_aside(directory)
            self._cache = _open(directory)
        self._upkeep = _connect(directory)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def renew(self) -> None:
        """Moves a directory that turned out damaged aside and starts a fresh one. Raises as the constructor."""
        self.close()
        self.quarantined = _set_aside(self._directory)
        self._cache = _open(self._directory)
        self._upkeep = _connect(self._directory)

    def write(self, bodies: list[Body], ttls_s: tuple[float, float], max_bytes: int) -> int:
        """Stores bodies, a few in each transaction, for as long as their rank lasts; how many found no room.

        `ttls_s` are those of successes and of errors. Older bodies make room as long as they are not pinned, so
        the file never passes `max_bytes`. Raises FAILURES; what was stored before stays.
        """
        left_out = 0
        most = min(_CHUNK_BYTES, max_bytes // 4)
        batch: list[Body] = []
        size = 0
        for key, body, rank in bodies:
            packed = self._compressor.compress(body)
            if batch and size + len(packed) > most:
                left_out += self._write(batch, size, ttls_s, max_bytes)
                batch, size = [], 0
            batch.append((key, packed, rank))
            size += len(packed) + _ROW_BYTES
        if batch:
            left_out += self._write(batch, size, ttls_s, max_bytes)
        return left_out

    def _write(self, batch: list[Body], size: int, ttls_s: tuple[float, float], max_bytes: int) -> int:
        size += size // 8 + 65_536  # pages are not filled to the last byte
        while self.volume() + size > max_bytes:
            if not self._delete(_OLDEST, PINNED, is_early=True):
                return len(batch)
        with self._cache.transact():
            for key, packed, rank in batch:
                self._cache.set(key, packed, expire=None if rank >= PINNED else ttls_s[rank], tag=rank)
        self._empty_log()
        return 0

    def read(self, key: str) -> bytes | None:
        """A body, None when it is not kept or not ours. Raises FAILURES."""
        body = self._cache.get(key)
        if body is None:
            return None
        try:
            if not 0 <= zstandard.frame_content_size(body) <= _LARGEST:
                return None
            return self._decompressor.decompress(body)
        except zstandard.ZstdError:
            return None

    def pin(self, keys: list[str]) -> None:
        """Takes bodies out of age; those that are not kept, or pinned already, stay as they are. Raises FAILURES."""
        with self._upkeep:
            self._upkeep.execute("BEGIN IMMEDIATE")
            self._upkeep.executemany(_PIN, [(key,) for key in keys])

    def unpin(self, keys: list[str], ttls_s: tuple[float, float]) -> None:
        """Gives bodies the age of their rank again. Raises FAILURES."""
        with self._upkeep:
            self._upkeep.execute("BEGIN IMMEDIATE")
            self._upkeep.executemany(_UNPIN, [(*ttls_s, key) for key in keys])

    def volume(self) -> int:
        """Bytes of the file once its log is empty. Raises FAILURES."""
        (pages,) = self._upkeep.execute("PRAGMA page_count").fetchone()
        (size,) = self._upkeep.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(size)

    def shrink(self, max_bytes: int) -> bool:
        """Deletes one chunk of what goes first when there is too much; True when more must go. Raises FAILURES."""
        if self.volume() <= max_bytes or not self._delete(_OLDEST, len(RANKS), is_early=True):
            return False
        return self.volume() > max_bytes

    def expire(self, now: float) -> bool:
        """Deletes one chunk of what is over its time, UTC epoch seconds; True when there may be more.
        Raises FAILURES."""
        return self._delete(_OVER_TIME, now)

    def _delete(self, query: str, bound: float, *, is_early: bool = False) -> bool:
        rows: list[int] = []
        size = 0
        for rowid, rank, length in self._upkeep.execute(query, (bound, _CHUNK_ROWS)).fetchall():
            rows.append(rowid)
            size += length if type(length) is int else 0
            if is_early and type(rank) is int and 0 <= rank < len(RANKS):
                self.deleted[rank] += 1
            if size > _CHUNK_BYTES:
                break
        if rows:
            with self._upkeep:
                self._upkeep.execute("BEGIN IMMEDIATE")
                self._upkeep.executemany("DELETE FROM Cache WHERE rowid = ?", [(row,) for row in rows])
            self._empty_log()
        return bool(rows)

    def _empty_log(self) -> None:
        """Nobody else reads here, so the log can always be emptied."""
        log = self._directory / f"{diskcache.core.DBNAME}-wal"
        if log.stat().st_size > LOG_BYTES // 2:
            self._upkeep.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    def close(self) -> None:
        """Closes the directory."""
        self._upkeep.close()
        self._cache.close()


def _open(directory: Path) -> diskcache.Cache:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    path = directory / diskcache.core.DBNAME
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if file.exists():
            file.chmod(0o600)
    _check_settings(path)
    return diskcache.Cache(str(directory), timeout=1, disk=BytesDisk, **_SETTINGS)


def _connect(directory: Path) -> sqlite3.Connection:
    """For what diskcache has no words for: its table in the order of ranks. Used between its transactions."""
    connection = sqlite3.connect(directory / diskcache.core.DBNAME, timeout=1, isolation_level=None)
    for pragma in ("trusted_schema=OFF", "mmap_size=0", "cache_size=-256", "secure_delete=1", "synchronous=1"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("UPDATE Cache SET tag = 0 WHERE tag IS NULL")  # from before there were ranks
    return connection


def _check_settings(path: Path) -> None:
    """Raises ValueError when the settings in the file are not ones that we or diskcache put there.

    diskcache makes attributes and pragmas of whatever it finds in that table.
    """
    connection = sqlite3.connect(path)
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'Settings'").fetchone()
        found = connection.execute("SELECT key, value FROM Settings").fetchall() if tables[0] else []
    finally:
        connection.close()
    known = {**diskcache.DEFAULT_SETTINGS, **diskcache.core.METADATA, **_SETTINGS}
    for key, value in found:
        if key not in known or type(value) is not type(known[key]) or (type(value) is str and value != known[key]):
            raise ValueError(f"the body store has a setting that is not ours: {key!r}")


def _set_aside(directory: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    target = directory.with_name(f"{directory.name}.corrupt-{stamp}")
    if target.exists():
        raise StorageError(f"the body store {directory} is damaged and {target.name} is taken")
    directory.rename(target)
    return target

"""The body store's side of the thread: bodies compressed into diskcache, found, counted and culled.

Made, used and closed in one thread, which `bodies` owns; the directory belongs to it alone.
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
_STEP = 8 * 1024 * 1024
_SETTINGS = {
    "eviction_policy": "least-recently-stored",
    "cull_limit": 0,
    "statistics": 0,
    "tag_index": 0,
    "sqlite_mmap_size": 0,
    "sqlite_cache_size": 512,
    "sqlite_secure_delete": 1,
}


class BodyShelf:
    """An open directory of bodies."""

    def __init__(self, directory: Path) -> None:
        """Opens or makes the directory, for its owner only; a damaged one is moved to `quarantined`.

        Raises one of FAILURES, or StorageError, when there is no way to.
        """
        self.quarantined: Path | None = None
        self._directory = directory
        try:
            self._cache = _open(directory)
        except (sqlite3.DatabaseError, TypeError, ValueError, AttributeError):
            # whatever a damaged or altered settings table makes diskcache stumble over
            self.quarantined = _set_aside(directory)
            self._cache = _open(directory)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._decompressor = zstandard.ZstdDecompressor()

    def renew(self) -> None:
        """Moves a directory that turned out damaged aside and starts a fresh one. Raises as the constructor."""
        self._cache.close()
        self.quarantined = _set_aside(self._directory)
        self._cache = _open(self._directory)

    def write(self, bodies: list[tuple[str, bytes]], ttl_s: float) -> None:
        """Stores bodies under their keys in one transaction; all or none. Raises FAILURES."""
        compressed = [(key, self._compressor.compress(body)) for key, body in bodies]
        with self._cache.transact():
            for key, body in compressed:
                self._cache.set(key, body, expire=ttl_s)

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

    def shrink(self, max_bytes: int) -> bool:
        """Removes the oldest, at most about 8 MiB of them; True when more must go. Raises FAILURES."""
        volume = int(self._cache.volume())
        if volume <= max_bytes:
            return False
        target = max(max_bytes, volume - _STEP)
        self._cache.size_limit = target
        self._cache.cull()
        return target > max_bytes

    def expire(self) -> None:
        """Removes what is over its time. Raises FAILURES."""
        self._cache.expire()

    def close(self) -> None:
        """Closes the directory."""
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

"""Opening the database file: permissions, one writer at a time, damage set aside, schema up to date.

`Database.open` calls it once, before the engine serves. A damaged file is never thrown away and never
replaced in silence: it is renamed with its write-ahead log, and the caller is told.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from atp_engine.core.errors import StorageError
from atp_engine.core.ports import Clock
from atp_engine.storage.migrations import APPLICATION_ID, migrate

if sys.platform != "win32":
    import fcntl

_HEADER = b"SQLite format 3\x00"
_OPENING_WAIT_MS = 5_000
_CHECK_S = 0.5
"""How long the check at start may take (about 200 MB); a larger file that passes until then is trusted,
unless damage was met in it before."""
_CHECK_FULLY_S = 600.0
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class Opened:
    """The writing connection, the lock that makes it the only one, and what was set aside."""

    connection: sqlite3.Connection
    lock: int
    """File descriptor that holds the lock until closed; -1 where the system has none."""
    quarantined: Path | None
    damage: str
    """Why the old file was set aside, empty when it was not."""


class _Damaged(Exception):
    """The file is not a sound database.

    Its connection stays open until the file was renamed: closing it earlier would let SQLite merge the
    write-ahead log into the damaged file and delete it.
    """

    def __init__(self, why: str, connection: sqlite3.Connection | None = None) -> None:
        super().__init__(why)
        self.connection = connection

    def close(self) -> None:
        """Lets go of the file."""
        if self.connection is not None:
            self.connection.close()


def open_file(path: Path, clock: Clock) -> Opened:
    """Opens or creates the database at `path`, readable by its owner only.

    Raises StorageError with one plain line: a directory that cannot be written, a file that another
    engine, another program or a newer version owns.
    """
    _make_directory(path)
    lock = _take_lock(path)
    try:
        quarantined: Path | None = None
        damage = ""
        try:
            connection = _open_sound(path)
        except _Damaged as error:
            damage = str(error)
            try:
                quarantined = _set_aside(path, clock.now())
            finally:
                error.close()
            connection = _open_sound(path)
    except _Damaged as error:
        error.close()
        release_lock(lock)
        raise StorageError(f"cannot start a new database at {path}: {error}") from error
    except BaseException:
        release_lock(lock)
        raise
    return Opened(connection, lock, quarantined, damage)


def configure(connection: sqlite3.Connection, wait_ms: int) -> None:
    """What every connection of ours needs: distrust of the file's content, a bounded wait, no mmap."""
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", f"busy_timeout={wait_ms}"):
        connection.execute(f"PRAGMA {pragma}")


def release_lock(lock: int) -> None:
    """Lets another engine open the file."""
    if lock >= 0:
        os.close(lock)


def _make_directory(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot create the directory {path.parent}: {error.strerror}") from error
    if path.exists() and not path.is_file():
        raise StorageError(f"{path} is not a file")


def _take_lock(path: Path) -> int:
    if sys.platform == "win32":
        return -1
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write in the directory {path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        by = f" (pid {holder})" if holder.isdigit() else ""
        raise StorageError(
            f"another engine{by} is using the database {path}; stop it, or give this one its own --data-dir"
        ) from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % os.getpid(), 0)
    return lock


def _open_sound(path: Path) -> sqlite3.Connection:
    _check_header(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        configure(connection, _OPENING_WAIT_MS)
        _check_content(connection, _CHECK_FULLY_S if _suspicion(path).exists() else _CHECK_S)
        _claim(connection, path)
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise StorageError(f"the file system of {path} cannot hold a write-ahead log")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA cache_size=-8000")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA wal_autocheckpoint=20000")  # a backstop: the writer does it between commits
        connection.execute("PRAGMA journal_size_limit=67108864")
        migrate(connection)
    except _Damaged:
        raise
    except sqlite3.Error as error:
        if is_damage(error):
            raise _Damaged(str(error), connection) from error
        connection.close()
        raise StorageError(f"cannot use the database {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    _suspicion(path).unlink(missing_ok=True)
    return connection


def suspect(path: Path) -> None:
    """Notes that damage was met in the file, so that the next start looks at all of it."""
    with contextlib.suppress(OSError):
        _suspicion(path).touch(0o600)


def is_damage(error: sqlite3.Error) -> bool:
    """True when the error says that the file's content is broken."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE


def _check_header(path: Path) -> None:
    """Creates the file if need be, makes it private, and looks at its first bytes."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"cannot write the database {path}: {error.strerror}") from error
    try:
        header = os.read(descriptor, len(_HEADER))
    finally:
        os.close(descriptor)
    log = _beside(path, "-wal")
    for file in (path, log, _beside(path, "-shm")):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            file.chmod(0o600)
    if header and header != _HEADER:
        raise _Damaged("the file is not a database")
    if not header and log.exists() and log.stat().st_size:
        raise _Damaged("the file is empty but its write-ahead log is not")


def _check_content(connection: sqlite3.Connection, limit_s: float) -> None:
    """A quick check of the whole file, given up after a while: a start must not take long."""
    timer = threading.Timer(limit_s, connection.interrupt)
    timer.start()
    try:
        (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            return
        raise
    finally:
        timer.cancel()
        timer.join()
    if result != "ok":
        raise _Damaged(str(result).splitlines()[0], connection)


def _claim(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if owner == APPLICATION_ID:
        return
    if owner or tables:
        raise StorageError(f"{path} is a database of another program")
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # counts only before anything is in the file
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


def _set_aside(path: Path, now: float) -> Path:
    """Renames the file and its log to `<name>.corrupt-<utc>`; the shared memory file is worthless."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    count = 1
    while target.exists():
        count += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{count}")
    try:
        path.rename(target)
        with contextlib.suppress(FileNotFoundError):
            _beside(path, "-wal").rename(_beside(target, "-wal"))
        _beside(path, "-shm").unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"the database {path} is damaged and cannot be set aside: {error.strerror}") from error
    return target


def _suspicion(path: Path) -> Path:
    return _beside(path, ".suspect")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)

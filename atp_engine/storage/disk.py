"""How large the data directory is, and who may grow by how much, so that the whole never passes its cap.

`measure` looks at the disk, in a thread; `share` is arithmetic. `services/disk` calls both and hands the shares to
the database and to the body store, which keep to them by themselves between two looks.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from atp_engine.storage.body_shelf import LOG_BYTES

MIB = 1024 * 1024
_SLACK = 4 * MIB
"""What tokens, log files and the like may grow by between two looks."""
_BATCH = 12 * MIB
"""What one batch may add to the database's log after it was found short enough."""
_MOST_FILES = 10_000


class Usage(msgspec.Struct, frozen=True):
    """Bytes in the data directory by kind, and what is left on the disk for this user."""

    database: int
    database_log: int
    bodies: int
    bodies_log: int
    others: int
    free: int

    @property
    def total(self) -> int:
        """The whole directory."""
        return self.database + self.database_log + self.bodies + self.bodies_log + self.others


class Shares(msgspec.Struct, frozen=True):
    """Bytes that each may reach."""

    database: int
    database_log: int
    bodies: int
    is_short: bool
    """All bodies are gone and it is not enough: the database needs room within itself."""


def measure(directory: Path, database: Path, bodies: Path) -> Usage:
    """Looks at every file; one that comes or goes meanwhile does not matter."""
    sizes = {"database": 0, "database_log": 0, "bodies": 0, "bodies_log": 0, "others": 0}
    left = _MOST_FILES
    folders = [str(directory)]
    while folders and left > 0:
        folder = folders.pop()
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries[:left]:
            left -= 1
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    sizes[_kind(entry, database, bodies)] += entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue
    return Usage(**sizes, free=shutil.disk_usage(database.parent).free)


def _kind(entry: os.DirEntry[str], database: Path, bodies: Path) -> str:
    folder = os.path.dirname(entry.path)  # noqa: PTH120 - a Path for each file costs five times as much
    if folder == str(bodies):
        return "bodies" if entry.name == "cache.db" else "bodies_log"
    if folder == str(database.parent) and entry.name.startswith(database.name):
        rest = entry.name[len(database.name) :]
        return {"": "database", "-wal": "database_log", "-shm": "database_log"}.get(rest, "others")
    return "others"


def share(
    usage: Usage,
    cap: int,
    *,
    pages: tuple[int, int],
    ceiling: int,
    most_bodies: int,
    largest: int,
    min_free: int,
    steps: int = 1,
) -> Shares:
    """What each may reach: the database first, with room to grow until the next look, bodies what it leaves.

    `pages` are the bytes of the database's pages and of the empty ones, `ceiling` is what the body store may reach
    until it has taken a new share, `most_bodies` what it is allowed at most, `largest` one body. `steps` of growth
    are given, more of them the longer a batch waits that is larger than one.
    """
    log = min(max(cap // 16, 4 * MIB), 32 * MIB)
    room = max(0, cap - usage.others - log - _BATCH - LOG_BYTES - 2 * largest - _SLACK)
    growth = min(max(room // 10, 4 * MIB), 64 * MIB)
    file = max(usage.database, pages[0])
    used = file - pages[1]
    bodies = min(max(0, room - max(file, used + growth * steps)), most_bodies)
    if usage.free < min_free:
        bodies = min(bodies, max(0, usage.bodies - (min_free - usage.free)))
    bodies -= bodies % MIB  # so that it does not change with every look
    return Shares(max(room - max(ceiling, bodies), MIB), log, bodies, room - used < growth and ceiling <= MIB)

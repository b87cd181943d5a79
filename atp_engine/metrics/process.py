"""What the process uses: memory, processor time and file descriptors, read cheaply.

Called by the catalog once per scrape. Memory and descriptors come from Linux's /proc and are unknown
(None) elsewhere.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import msgspec

_STATM = Path("/proc/self/statm")
_DESCRIPTORS = Path("/proc/self/fd")


class ProcessVitals(msgspec.Struct, frozen=True):
    """Use of the process so far; None where the system does not tell."""

    cpu_s: float
    resident_bytes: int | None
    open_files: int | None


def read_process() -> ProcessVitals:
    """The figures as of now."""
    times = os.times()
    return ProcessVitals(times.user + times.system, _resident_bytes(), _open_files())


def _resident_bytes() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * mmap.PAGESIZE
    except (OSError, ValueError, IndexError):
        return None


def _open_files() -> int | None:
    """Since Linux 6.2 the size of the directory is the count, without a listing of it."""
    try:
        return _DESCRIPTORS.stat().st_size or sum(1 for _ in _DESCRIPTORS.iterdir())
    except OSError:
        return None

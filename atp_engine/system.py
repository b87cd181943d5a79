"""The operating system's clock and the engine's identifiers, as the ports of `core` want them.

Built once by `engine` and by faces that need a clock; tests pass their own.
"""

from __future__ import annotations

import ctypes
import resource
import secrets
import time

_MALLOPT = ((-1, 16 << 20), (-3, 1 << 20), (-8, 2))
"""M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of glibc (malloc.h), and what they are set to."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class SystemClock:
    """The wall clock and the monotonic clock of this machine."""

    now = staticmethod(time.time)
    """UTC epoch seconds."""
    monotonic = staticmethod(time.monotonic)
    """Seconds since some fixed instant."""


def raise_open_files() -> int:
    """Lets the process open as many files as it may at most, and returns how many that is.

    A shell's usual soft limit of 1024 is two sockets for each of 500 streams and nothing else.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):  # a system may refuse what it states as its own hard limit (macOS)
        return soft
    return hard


def keep_freed_memory() -> bool:
    """Lets the C library keep up to 16 MiB of freed memory, and says whether it can be told.

    Else what a body of 32 KiB needed goes back to the system with every request and is faulted in
    again page by page: 5 to 9 page faults each, now 0.1. Two arenas are enough for a loop and a writer.
    Only glibc can be told; musl and macOS do as they like.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    answers = [mallopt(option, value) for option, value in _MALLOPT]
    return answers == [1] * len(answers)


class RequestIds:
    """Ids such as `req_1mb3k2v9q0a7f00004`: start of the process, chance, and a counter.

    They sort by time within and across processes (the clock not being set back) and never repeat:
    the first nine characters are the start in milliseconds, four are random, the rest counts.
    """

    __slots__ = ("_count", "_prefix")

    def __init__(self, prefix: str, started_at: float) -> None:
        boot = "".join(secrets.choice(_ALPHABET) for _ in range(4))
        self._prefix = f"{prefix}_{_base32(int(started_at * 1000), 9)}{boot}"
        self._count = 0

    def __call__(self) -> str:
        """The next id."""
        self._count += 1
        return f"{self._prefix}{self._count:08x}"


def _base32(value: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        value, digit = divmod(value, 32)
        digits = _ALPHABET[digit] + digits
    return digits

"""Time limits of many waits kept by one timer, instead of a timer for each.

The pooled transport watches its answers and queued callers here. A limit is never early and at most
one tick (50 ms) late; the timer runs only while something is watched.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from atp_engine.core.ports import Clock

TICK_S = 0.05


class Expiring(Protocol):
    """Something with a limit."""

    deadline_at: float
    """Monotonic instant, 0 is off."""

    def expire(self) -> None:
        """Called on each tick after the limit, until it is moved, switched off or forgotten."""
        ...


class Sweeper:
    """Calls `expire` on whatever in `watched` is past its limit. Add with `watch`, discard directly."""

    def __init__(self, clock: Clock) -> None:
        self.watched: set[Expiring] = set()
        self._monotonic = clock.monotonic
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, item: Expiring) -> None:
        """Starts to look at the item's limit; harmless when it is watched already."""
        self.watched.add(item)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def stop(self) -> None:
        """Forgets everything."""
        self.watched.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        if not self.watched:
            self._timer = None
            return
        self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        now = self._monotonic()
        for item in [item for item in self.watched if 0.0 < item.deadline_at <= now]:
            item.expire()

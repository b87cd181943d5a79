"""Those who wait for room in a window (`on_exceed = "queue"`), first come, first served per window.

`windows` lets them join and wakes them when something was given back or time went on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from atp_engine.core.errors import QueueFull, WindowExceeded
from atp_engine.limits.window import Hold, Lack, OnExceed, Window


class _Waiter:
    __slots__ = ("future", "lack", "nusd", "tokens", "windows")

    def __init__(self, windows: tuple[Window, ...], tokens: int, nusd: int, lack: Lack) -> None:
        self.future: asyncio.Future[Hold] = asyncio.get_running_loop().create_future()
        self.windows = windows
        self.tokens = tokens
        self.nusd = nusd
        self.lack = lack


class Waiting:
    """The queue; at most as many as may wait for a place in the engine."""

    def __init__(
        self,
        attempt: Callable[[tuple[Window, ...], int, int], Hold | Lack],
        exceeded: Callable[[Lack], WindowExceeded],
    ) -> None:
        self._try = attempt
        self._exceeded = exceeded
        self._waiters: list[_Waiter] = []
        self._most = 0
        self._timeout_s = 0.0

    @property
    def is_any(self) -> bool:
        """Somebody waits."""
        return bool(self._waiters)

    def configure(self, most: int, timeout_s: float) -> None:
        """Takes new bounds; nobody is thrown out."""
        self._most = most
        self._timeout_s = timeout_s

    def behind(self, windows: tuple[Window, ...]) -> Lack | None:
        """What those who wait already lack, when it is in one of these windows: no newcomer passes them."""
        if not self._waiters:
            return None
        return next((waiter.lack for waiter in self._waiters if waiter.lack.window in windows), None)

    async def join(self, windows: tuple[Window, ...], tokens: int, nusd: int, lack: Lack) -> Hold:
        """Waits for room. Raises WindowExceeded after `limits.queue_timeout_s`, QueueFull when too many wait.

        Cancelling leaves nothing reserved.
        """
        if len(self._waiters) >= self._most:
            raise QueueFull(f"{len(self._waiters)} requests wait for windows already", retry_after_s=1.0)
        waiter = _Waiter(windows, tokens, nusd, lack)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await waiter.future
        except BaseException as error:
            future = waiter.future
            if future.done() and not future.cancelled() and future.exception() is None:
                future.result().release()
            if isinstance(error, TimeoutError):
                raise self._exceeded(waiter.lack) from None
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self.wake()

    def wake(self) -> None:
        """Lets in those who fit now, in the order in which they came; a window that one lacks is closed to
        those behind."""
        closed: set[Window] = set()
        left: list[_Waiter] = []
        for waiter in self._waiters:
            if waiter.future.done():
                continue
            if not closed.isdisjoint(waiter.windows):
                left.append(waiter)
                continue
            found = self._try(waiter.windows, waiter.tokens, waiter.nusd)
            if isinstance(found, Hold):
                waiter.future.set_result(found)
            elif found.window.rule.on_exceed is not OnExceed.QUEUE:
                waiter.future.set_exception(self._exceeded(found))
            else:
                waiter.lack = found
                closed.add(found.window)
                left.append(waiter)
        self._waiters = left

"""Answers that fall due piece by piece: the waits, deadlines and endings of a simulated call.

`simulated` makes the pieces; this paces them like a socket would deliver them, without a task or a
timer of its own. Cancelling a wait leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import msgspec

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamTimeout
from atp_engine.core.ports import Clock

Sleep = Callable[[float], Awaitable[None]]

TICK_S = 0.01
"""Streams move in ticks of this at least, on a common grid: many of them wake the loop together."""
_FOREVER_S = 3_600.0


class Piece(msgspec.Struct, frozen=True):
    """Bytes that are due a while after the call began."""

    due_s: float
    body: bytes


class Pacer:
    """The waits of one call, each cut short by the deadline in force."""

    __slots__ = ("_sleep", "began", "deadline_at", "deadline_limit", "now")

    def __init__(self, clock: Clock, sleep: Sleep, deadline_at: float, deadline_limit: str) -> None:
        self.now = clock.monotonic
        self._sleep = sleep
        self.began = clock.monotonic()
        self.deadline_at = deadline_at
        self.deadline_limit = deadline_limit

    async def until(self, at: float) -> None:
        """Waits for monotonic `at`; lets other tasks run in any case.

        Raises UpstreamTimeout at the deadline when that comes first.
        """
        now = self.now()
        if self.deadline_at and self.deadline_at <= max(at, now):
            if now < self.deadline_at:
                await self._sleep(self.deadline_at - now)
            raise UpstreamTimeout(
                f"the simulated model took too long ({self.deadline_limit})", limit=self.deadline_limit
            )
        await self._sleep(max(0.0, at - now))

    async def forever(self) -> None:
        """Waits for the deadline; without one, until cancelled."""
        while True:
            await self.until(self.now() + _FOREVER_S)


class SimulatedResponse:
    """Implements `UpstreamResponse` over pieces that fall due one after the other."""

    def __init__(
        self, status: int, headers: list[tuple[bytes, bytes]], pieces: Iterator[Piece], pacer: Pacer, interruption: str
    ) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces
        self._pacer = pacer
        self._interruption = interruption
        self._next: Piece | None = next(pieces, None)
        self._is_closed = False

    def header(self, name: bytes) -> bytes:
        """First value of a header, empty when missing."""
        return next((value for known, value in self.headers if known == name), b"")

    def set_deadline(self, at: float, limit: str) -> None:
        """From now on a `read` that waits past monotonic `at` raises UpstreamTimeout(limit); 0 is off."""
        self._pacer.deadline_at = at
        self._pacer.deadline_limit = limit

    async def read(self) -> bytes:
        """Everything that is due, at least one piece; empty at the orderly end. See `UpstreamResponse`."""
        if self._is_closed:
            raise StreamBroken("the answer was closed")
        if self._next is None:
            return await self._end()
        due = self._pacer.began + self._next.due_s
        if due > self._pacer.now():
            due = _on_grid(due)
            await self._pacer.until(due)
        first, self._next = self._next.body, next(self._pieces, None)
        return first + self._due_by(max(due, self._pacer.now()) - self._pacer.began)

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """See `UpstreamResponse.pump`."""
        while piece := await self.read():
            if not take(piece):
                return True
        return False

    def whole(self) -> bytes | None:
        """See `UpstreamResponse.whole`; never known beforehand here."""
        return None

    async def read_all(self, cap_bytes: int) -> bytes:
        """The whole body; raises BadUpstreamReply above the cap, else like `read`."""
        body = bytearray()
        while piece := await self.read():
            body += piece
            if len(body) > cap_bytes:
                self.close()
                raise BadUpstreamReply(f"the answer is longer than {cap_bytes} bytes")
        return bytes(body)

    def close(self) -> None:
        """Ends the answer; may be called again."""
        self._is_closed = True
        self._next = None

    def _due_by(self, due_s: float) -> bytes:
        taken: list[bytes] = []
        while self._next is not None and self._next.due_s <= due_s:
            taken.append(self._next.body)
            self._next = next(self._pieces, None)
        return b"".join(taken)

    async def _end(self) -> bytes:
        if self._interruption == "stall":
            await self._pacer.forever()
        if self._interruption == "cut":
            raise StreamBroken("the simulated connection was lost")
        return b""


def _on_grid(at: float) -> float:
    return -(-at // TICK_S) * TICK_S

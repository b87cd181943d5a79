"""One accepted connection of the wall's upstream, raw: it can reset, half-close, stop reading, and knows
at once when the other side has left, also while nobody reads.

`upstream` makes one per connection; the steps of a script write to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable
from typing import cast

_READ_AHEAD = 1 << 20
_LOOK_S = 0.05


class WireClosed(Exception):
    """The other side has left, or we have."""


class Wire(asyncio.Protocol):
    """Bytes in, bytes out; used by one task."""

    def __init__(self, number: int, on_open: Callable[[Wire], None]) -> None:
        self.number = number
        self.sent_bytes = 0
        self.left_at: float | None = None
        """Monotonic instant at which the other side closed or reset."""
        self.is_over = False
        """Our side ended the connection."""
        self.has_left = asyncio.Event()
        self.on_leave: Callable[[], None] = lambda: None
        """Called when the other side leaves."""
        self._on_open = on_open
        self._received = bytearray()
        self._arrived = asyncio.Event()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._transport: asyncio.Transport | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins to serve."""
        self._transport = cast("asyncio.Transport", transport)
        self._on_open(self)

    def data_received(self, data: bytes) -> None:
        """Keeps what came; a reader that does not take it stops the socket."""
        self._received += data
        self._arrived.set()
        if len(self._received) > _READ_AHEAD:
            self.stop_reading()

    def eof_received(self) -> bool:
        """The other side will send no more; our half stays open."""
        self._leave()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._leave()
        self._transport = None

    def pause_writing(self) -> None:
        """The other side reads too slowly."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._may_write.set()

    # What scripts call.

    async def read_until(self, end: bytes, limit: int) -> bytes:
        """Everything up to and with `end`. Raises WireClosed when the other side leaves before, or over `limit`."""
        while (found := self._received.find(end)) < 0:
            if len(self._received) > limit:
                raise WireClosed
            await self._more()
        return self._take(found + len(end))

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes. Raises WireClosed when the other side leaves before."""
        taken = bytearray()
        while len(taken) < count:
            if not self._received:
                await self._more()
            taken += self._take(min(count - len(taken), len(self._received)))
        return bytes(taken)

    async def send(self, data: bytes) -> None:
        """Writes, waiting while the other side does not read. Raises WireClosed when it has left."""
        transport = self._transport
        if transport is None or self.has_left.is_set() or transport.is_closing():
            raise WireClosed
        transport.write(data)
        self.sent_bytes += len(data)
        if not self._may_write.is_set():
            await self._may_write.wait()
        if self.has_left.is_set():
            raise WireClosed

    async def wait(self, seconds: float) -> None:
        """Waits. Raises WireClosed as soon as the other side leaves."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.has_left.wait()
        if self.has_left.is_set():
            raise WireClosed

    def stop_reading(self) -> None:
        """Takes nothing more from the socket."""
        if self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()

    async def wait_unread(self, seconds: float) -> None:
        """Waits without reading. Raises WireClosed when the other side leaves, which the kernel alone knows."""
        self.stop_reading()
        poll = select.poll()
        if self._transport is not None:
            poll.register(self._transport.get_extra_info("socket").fileno(), getattr(select, "POLLRDHUP", 0))
        for _ in range(max(1, round(seconds / _LOOK_S))):
            if poll.poll(0):
                self._leave()
            await self.wait(_LOOK_S)

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        self.is_over = True
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def half_close(self) -> None:
        """Sends FIN and goes on reading."""
        if self._transport is not None and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """Closes in an orderly way after what was sent."""
        self.is_over = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drops the connection now."""
        self.is_over = True
        if self._transport is not None:
            self._transport.abort()

    async def _more(self) -> None:
        if self.has_left.is_set() or self._transport is None:
            raise WireClosed
        self._arrived.clear()
        if not self._transport.is_reading():
            self._transport.resume_reading()
        await self._arrived.wait()
        if not self._received:
            raise WireClosed

    def _take(self, count: int) -> bytes:
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _leave(self) -> None:
        if self.left_at is None:
            self.left_at = time.monotonic()
        self.has_left.set()
        self._arrived.set()
        self._may_write.set()
        self.on_leave()

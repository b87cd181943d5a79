"""The connections to one origin: at most so many, the last used first, callers served in order.

`pooled.PooledTransport` keeps one pool per origin. A *place* is the right to have a connection; it is
taken before connecting and given back when the socket is gone, so open sockets never exceed the cap.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable

from atp_engine.core.errors import UpstreamTimeout, UpstreamUnreachable
from atp_engine.providers.connection import Connection
from atp_engine.providers.deadlines import Sweeper
from atp_engine.providers.sockets import TlsContexts, keep_alive, why_unreachable
from atp_engine.providers.transport import Origin, UpstreamRequest

IDLE_S = 50.0
_KEEP_ALIVE_TIMEOUT = re.compile(rb"timeout\s*=\s*(\d{1,6})", re.IGNORECASE)

_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})


class _Caller:
    """A caller in the queue; its future gives a free connection, or None for a place to connect."""

    __slots__ = ("_limit", "deadline_at", "future")

    def __init__(self, request: UpstreamRequest, future: asyncio.Future[Connection | None]) -> None:
        self.deadline_at = request.deadline_at
        self._limit = request.deadline_limit
        self.future = future

    def expire(self) -> None:
        """The limit has passed in the queue."""
        if not self.future.done():
            message = "no connection to the upstream became free in time"
            self.future.set_exception(UpstreamTimeout(message, limit=self._limit))


class OriginPool:
    """Connections to one origin, and the queue for them."""

    def __init__(self, origin: Origin, sweeper: Sweeper, monotonic: Callable[[], float], tls: TlsContexts) -> None:
        self.origin = origin
        self.sweeper = sweeper
        self._head_middle = b" HTTP/1.1\r\nhost: " + host_header(origin) + b"\r\naccept-encoding: identity\r\n"
        self.places = 0
        """Open connections and those being opened."""
        self.idle: dict[Connection, None] = {}
        self.queue: deque[_Caller] = deque()
        self._connections: set[Connection] = set()
        self._monotonic = monotonic
        self._tls = tls
        self._evicting: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._all_lost: asyncio.Future[None] | None = None

    @property
    def is_unused(self) -> bool:
        """No connection and nobody waiting for one."""
        return not self.places and not self.queue

    def head(self, request: UpstreamRequest) -> bytes:
        """The request line and headers as sent."""
        has_length = request.body or request.method not in _BODILESS
        length = b"content-length: %d\r\n\r\n" % len(request.body) if has_length else b"\r\n"
        return b"".join((request.method, b" ", request.target, self._head_middle, request.headers, length))

    def take(self) -> Connection | None:
        """The idle connection used last, if any is still good."""
        idle = self.idle
        while idle:
            connection, _ = idle.popitem()
            if connection.idle_until > self._monotonic():
                return connection
            connection.kill()
        return None

    async def obtain(self, request: UpstreamRequest, *, is_fresh: bool) -> Connection:
        """A free connection, waiting in order for a place when all are taken; `is_fresh` connects
        anew instead of taking an idle one.

        Raises UpstreamUnreachable, or UpstreamTimeout naming the limit. Cancelling gives back
        whatever was granted.
        """
        is_first = False
        while True:
            if self._is_closed:
                raise UpstreamUnreachable("the connection pool is closed")
            if not is_fresh and (connection := self.take()) is not None:
                return connection
            if self.places < self.origin.max_connections:
                self.places += 1
                return await self._connect(request)
            granted = await self._wait(request, is_first=is_first or is_fresh)
            if granted is None:
                return await self._connect(request)
            if not granted.is_lost:
                return granted
            is_first = True  # it died on the way here

    def release(self, connection: Connection, keep_alive: bytes) -> None:
        """Takes back a connection whose exchange is over: for the first caller, or to be idle."""
        if self._is_closed:
            connection.kill()
            return
        queue = self.queue
        while queue:
            future = queue.popleft().future
            if not future.done():
                future.set_result(connection)
                return
        keep_s = _keep_s(keep_alive) if keep_alive else IDLE_S
        connection.idle_until = self._monotonic() + keep_s
        self.idle[connection] = None
        if self._evicting is None:
            self._evicting = connection.loop.call_later(keep_s, self._evict)

    def withdraw(self, connection: Connection) -> None:
        """The connection is not to be used again."""
        self.idle.pop(connection, None)

    def lost(self, connection: Connection) -> None:
        """The socket is gone; its place is for the next caller."""
        self.idle.pop(connection, None)
        self._connections.discard(connection)
        if connection.holds_place:
            connection.holds_place = False
            self._free_place()
        if self._all_lost is not None and not self._connections and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def aclose(self) -> None:
        """Closes every connection and turns the queue away; returns when the sockets are gone."""
        self._is_closed = True
        if self._evicting is not None:
            self._evicting.cancel()
            self._evicting = None
        for caller in self.queue:
            if not caller.future.done():
                caller.future.set_exception(UpstreamUnreachable("the connection pool is closed"))
        if self._connections:
            self._all_lost = asyncio.get_running_loop().create_future()
            for connection in tuple(self._connections):
                connection.fail(UpstreamUnreachable("the connection pool is closed"))
            await self._all_lost

    async def _wait(self, request: UpstreamRequest, *, is_first: bool) -> Connection | None:
        caller = _Caller(request, asyncio.get_running_loop().create_future())
        if is_first:
            self.queue.appendleft(caller)
        else:
            self.queue.append(caller)
        if caller.deadline_at:
            self.sweeper.watch(caller)
        try:
            return await caller.future
        except (asyncio.CancelledError, GeneratorExit):
            self._give_back(caller.future)
            raise
        finally:
            self.sweeper.watched.discard(caller)
            if caller in self.queue:
                self.queue.remove(caller)

    def _give_back(self, future: asyncio.Future[Connection | None]) -> None:
        """A cancelled caller passes on what it was granted in the same turn of the loop."""
        if not future.done() or future.cancelled() or future.exception() is not None:
            return
        granted = future.result()
        if granted is None:
            self._free_place()
        elif not granted.is_lost:
            self.release(granted, b"")

    def _free_place(self) -> None:
        queue = self.queue
        while queue:
            future = queue.popleft().future
            if not future.done():
                future.set_result(None)
                return
        self.places -= 1

    async def _connect(self, request: UpstreamRequest) -> Connection:
        """Opens a connection on a place already taken."""
        connection: Connection | None = None
        limit_s, limit = self._connect_limit(request)
        try:
            async with asyncio.timeout(limit_s) as timeout:
                connection = await self._open_socket()
        except TimeoutError as error:
            if timeout.expired():
                raise UpstreamTimeout("connecting to the upstream took too long", limit=limit) from error
            raise UpstreamUnreachable("the upstream cannot be reached") from error
        except (OSError, ValueError) as error:
            raise UpstreamUnreachable(why_unreachable(error)) from error
        finally:
            if connection is None:
                self._free_place()
        if connection.is_lost or self._is_closed:
            connection.kill()
            self._free_place()
            raise UpstreamUnreachable("the upstream closed the connection at once")
        connection.holds_place = True
        self._connections.add(connection)
        return connection

    def _connect_limit(self, request: UpstreamRequest) -> tuple[float | None, str]:
        """Seconds left to connect (None is for ever) and the name of that limit."""
        connect_s = request.connect_s or None
        if request.deadline_at:
            left_s = max(request.deadline_at - self._monotonic(), 0.0)
            if connect_s is None or left_s < connect_s:
                return left_s, request.deadline_limit
        return connect_s, "connect"

    async def _open_socket(self) -> Connection:
        origin = self.origin
        loop = asyncio.get_running_loop()
        connection = Connection(self, loop)
        if origin.unix_path:
            await loop.create_unix_connection(lambda: connection, origin.unix_path)
        else:
            tls = await self._tls.get(origin.ca_file) if origin.scheme == "https" else None
            transport, _ = await loop.create_connection(lambda: connection, origin.host, origin.port, ssl=tls)
            keep_alive(transport)
        return connection

    def _evict(self) -> None:
        """Closes what has been idle too long, oldest first, and looks again when the next is due."""
        self._evicting = None
        now = self._monotonic()
        for connection in [one for one in self.idle if one.idle_until <= now]:
            connection.kill()
        if self.idle:
            due_s = min(one.idle_until for one in self.idle) - now
            self._evicting = asyncio.get_running_loop().call_later(max(due_s, 0.1), self._evict)


def host_header(origin: Origin) -> bytes:
    """The Host value: IPv6 in brackets, no default port, `localhost` for a unix socket."""
    if origin.unix_path:
        return b"localhost"
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    is_default = origin.port == (443 if origin.scheme == "https" else 80)
    return (host if is_default else f"{host}:{origin.port}").encode("idna" if not host.isascii() else "ascii")


def _keep_s(keep_alive: bytes) -> float:
    """How long an idle connection is kept, from a Keep-Alive header: a second less than promised."""
    found = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
    return min(IDLE_S, max(float(found[1]) - 1.0, 0.0)) if found else IDLE_S

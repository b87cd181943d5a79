"""Our own HTTP/1.1 client: pooled connections on httptools, for upstreams and for a local engine's
unix socket. The engine's router and the console's client hold one each.

Every limit of an exchange is kept by one shared sweeper; nothing on the way of a call starts a task
or a timer.
"""

from __future__ import annotations

import asyncio

import msgspec

from atp_engine.core.errors import UpstreamError, UpstreamUnreachable
from atp_engine.core.ports import Clock
from atp_engine.providers.connection import PooledResponse
from atp_engine.providers.deadlines import Sweeper
from atp_engine.providers.pool import OriginPool
from atp_engine.providers.sockets import TlsContexts
from atp_engine.providers.transport import Origin, UpstreamRequest


class TransportStats(msgspec.Struct, frozen=True):
    """Connections over all origins at this instant."""

    open: int
    """Sockets open or being opened."""
    idle: int
    waiting: int
    """Calls that wait for a connection because the cap is reached."""
    origins: int
    """Places on the network that are remembered."""


class PooledTransport:
    """Implements `Transport`. Belongs to the event loop it is first used on."""

    def __init__(self, clock: Clock) -> None:
        self._monotonic = clock.monotonic
        self._sweeper = Sweeper(clock)
        self._pools: dict[Origin, OriginPool] = {}
        self._tls = TlsContexts()
        self._is_closed = False

    async def open(self, request: UpstreamRequest) -> PooledResponse:
        """Sends and waits for the headers; see `Transport.open`.

        A call on a reused connection that dies without a byte of answer is sent once more, on a new
        connection: the upstream closed it while it was idle. A retry goes to a new connection at once.
        """
        pool = self._pools.get(request.origin) or self._add_pool(request.origin)
        is_fresh = request.is_retry
        while True:
            connection = None if is_fresh else pool.take()
            if connection is None:
                connection = await pool.obtain(request, is_fresh=is_fresh)
            response = connection.send(pool.head(request), request.body, is_bodiless=request.method == b"HEAD")
            if request.deadline_at:
                response.deadline_at, response.deadline_limit = request.deadline_at, request.deadline_limit
                self._sweeper.watch(response)
            response.waiter = waiter = connection.loop.create_future()
            try:
                await waiter
            except (asyncio.CancelledError, GeneratorExit):
                response.close()
                raise
            if response.status:
                return response
            if is_fresh or connection.uses == 1 or not connection.was_silent:
                raise _failure(response, was_resent=is_fresh and not request.is_retry)
            is_fresh = True

    def stats(self) -> TransportStats:
        """Counts for metrics."""
        pools = self._pools.values()
        return TransportStats(
            open=sum(pool.places for pool in pools),
            idle=sum(len(pool.idle) for pool in pools),
            waiting=sum(len(pool.queue) for pool in pools),
            origins=len(pools),
        )

    async def aclose(self) -> None:
        """Closes every connection; calls in progress fail with UpstreamUnreachable or StreamBroken."""
        self._is_closed = True
        for pool in tuple(self._pools.values()):
            await pool.aclose()
        self._pools.clear()
        self._sweeper.stop()

    def _add_pool(self, origin: Origin) -> OriginPool:
        if self._is_closed:
            raise UpstreamUnreachable("the client is closed")
        for known, pool in tuple(self._pools.items()):  # origins of an earlier configuration
            if pool.is_unused:
                del self._pools[known]
        pool = OriginPool(origin, self._sweeper, self._monotonic, self._tls)
        self._pools[origin] = pool
        return pool


def _failure(response: PooledResponse, *, was_resent: bool) -> UpstreamError:
    error = response.error or UpstreamUnreachable("the upstream closed the connection before it answered")
    if isinstance(error, UpstreamUnreachable):
        error.was_resent = was_resent
    return error

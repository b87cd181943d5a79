"""One HTTP/1.1 connection to an upstream and the answer that is arriving on it.

`pool.OriginPool` makes connections, `pooled.PooledTransport` sends on them. A connection carries one
exchange at a time and goes back to its pool the moment the answer's last byte has arrived, whether
or not somebody has read it; anything unexpected on the wire closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import httptools

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from atp_engine.providers.sockets import reset_on_close

if TYPE_CHECKING:
    from atp_engine.providers.pool import OriginPool

HEADER_CAP_BYTES = 65_536
HELD_CAP_BYTES = 262_144
_JOINED_CAP_BYTES = 65_536
_MANY_PIECES = 64
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"content-encoding", b"keep-alive"})


class PooledResponse:
    """An exchange: first the wait for its headers, then the body. Implements `UpstreamResponse`."""

    status = 0
    deadline_at = 0.0
    deadline_limit = ""
    waiter: asyncio.Future[bool] | None = None
    taker: Callable[[bytes], bool] | None = None
    error: UpstreamError | None = None
    problem = ""
    """Why the headers cannot be accepted, empty when they can."""
    is_complete = False
    is_to_eof = True
    """The body's end is the end of the connection: neither a length nor chunks were announced."""
    content_bytes = -1
    keep_alive = b""
    held_bytes = 0
    """Bytes that have arrived and were not read yet."""

    def __init__(self, connection: Connection, *, is_bodiless: bool) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.connection: Connection | None = connection
        self.is_bodiless = is_bodiless
        """The answer to a HEAD call: its headers may tell of a body that does not come."""
        self.pieces: list[bytes] = []

    def header(self, name: bytes) -> bytes:
        """First value of a header, empty when missing; `name` in lower case."""
        for known, value in self.headers:
            if known == name:
                return value
        return b""

    def set_deadline(self, at: float, limit: str) -> None:
        """From now on a `read` that waits past monotonic `at` raises UpstreamTimeout(limit); 0 is off."""
        self.deadline_at = at
        self.deadline_limit = limit
        if at and self.connection is not None:
            self.connection.sweeper.watch(self)

    def expire(self) -> None:
        """The limit has passed: ends the wait if there is one. Called by the sweeper."""
        if self.waiter is not None and self.connection is not None:
            self.connection.fail(UpstreamTimeout("the upstream took too long", limit=self.deadline_limit))

    async def read(self) -> bytes:
        """What has arrived of the body; see `UpstreamResponse.read`."""
        while True:
            if self.pieces:
                return self._take()
            if self.is_complete:
                return b""
            if self.error is not None:
                raise self.error
            if self.connection is None:
                raise StreamBroken("the answer was closed before its end")
            self.waiter = waiter = self.connection.loop.create_future()
            try:
                await waiter
            except (asyncio.CancelledError, GeneratorExit):
                self.close()
                raise

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """See `UpstreamResponse.pump`: `take` is called from the socket's callback."""
        while True:
            while self.pieces:
                if not take(self._take()):
                    return True
            if self.is_complete:
                return False
            if self.error is not None:
                raise self.error
            if self.connection is None:
                raise StreamBroken("the answer was closed before its end")
            self.taker = take
            self.waiter = waiter = self.connection.loop.create_future()
            try:
                if await waiter:
                    return True
            except (asyncio.CancelledError, GeneratorExit):
                self.close()
                raise
            finally:
                self.taker = None

    def deliver(self) -> None:
        """Gives what has arrived to whoever pumps, else wakes the task that waits for it."""
        take = self.taker
        if take is None:
            self.wake()
            return
        pieces = self.pieces
        try:
            if len(pieces) == 1 and (self.connection is None or not self.connection.is_paused):
                self.held_bytes = 0
                goes_on = take(pieces.pop())  # `_take` without the call
            else:
                goes_on = not pieces or take(self._take())
        except Exception as bug:  # it is the waiting task's, and is raised there
            self.taker = None
            if self.waiter is not None and not self.waiter.done():
                self.waiter.set_exception(bug)
            return
        if not goes_on or self.is_complete:
            self.wake(is_stopped=not goes_on)

    def whole(self) -> bytes | None:
        """The rest of the body when all of it has arrived; see `UpstreamResponse.whole`."""
        if not self.is_complete or self.error is not None:
            return None
        pieces = self.pieces
        self.held_bytes = 0
        return pieces.pop() if len(pieces) == 1 else self._take()

    async def read_all(self, cap_bytes: int) -> bytes:
        """The whole body; see `UpstreamResponse.read_all`."""
        if self.content_bytes > cap_bytes:
            self.close()
            raise BadUpstreamReply("the upstream's answer is too large")
        if self.is_complete and len(self.pieces) == 1 and self.held_bytes <= cap_bytes:
            return self._take()
        pieces = []
        total = 0
        while piece := await self.read():
            total += len(piece)
            if total > cap_bytes:
                self.close()
                raise BadUpstreamReply("the upstream's answer is too large")
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Ends the exchange; the socket closes now unless the answer had arrived in full."""
        if self.held_bytes:
            self.drop_body()
        if self.connection is not None:
            self.connection.fail(StreamBroken("the answer was closed before its end"))

    def drop_body(self) -> None:
        """Forgets bytes that are not part of the answer."""
        self.pieces.clear()
        self.held_bytes = 0

    def note_framing(self, name: bytes, value: bytes) -> None:
        """Takes over a header that says how the body is carried."""
        if name == b"keep-alive":
            self.keep_alive = value
        elif name == b"content-length":
            self.is_to_eof = False
            self.content_bytes = int(value) if value.strip().isdigit() else -1
        elif name == b"content-encoding":
            if value.strip().lower() not in (b"identity", b""):
                self.problem = "the upstream's answer is compressed"
        elif value.strip().lower() == b"chunked":
            self.is_to_eof = False
        else:
            self.problem = "the upstream's answer has an unknown transfer encoding"

    def wake(self, *, is_stopped: bool = False) -> None:
        """Lets the waiting task look again; `is_stopped` ends its pumping."""
        self.taker = None
        waiter = self.waiter
        if waiter is not None:
            self.waiter = None
            if not waiter.done():
                waiter.set_result(is_stopped)

    def _take(self) -> bytes:
        pieces = self.pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.held_bytes = 0
        connection = self.connection
        if connection is not None and connection.is_paused:
            connection.resume()
        return piece


class Connection(asyncio.Protocol):
    """The socket's side: feeds the parser, fills the exchange in progress, notices the end."""

    def __init__(self, pool: OriginPool, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.sweeper = pool.sweeper
        self.holds_place = False
        """Counts against the pool's cap until the socket is gone."""
        self.is_lost = False
        self.is_paused = False
        self.uses = 0
        self.idle_until = 0.0
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._response: PooledResponse | None = None
        self._overhead_bytes = 0
        """Bytes of headers; then bytes since the last piece of body."""
        self._is_reusable = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._get_status = self._parser.get_status_code
        self._should_keep_alive = self._parser.should_keep_alive

    def send(self, head: bytes, body: bytes, *, is_bodiless: bool) -> PooledResponse:
        """Writes a call and starts its exchange; the connection must be free and not lost."""
        assert self._transport is not None and self._response is None  # noqa: S101
        response = PooledResponse(self, is_bodiless=is_bodiless)
        self._response = response
        self._headers = []
        self._overhead_bytes = 0
        self.uses += 1
        if len(body) <= _JOINED_CAP_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        return response

    @property
    def was_silent(self) -> bool:
        """No byte of the last exchange's answer arrived."""
        return self._overhead_bytes == 0

    def kill(self) -> None:
        """Closes the socket now; unsent bytes are dropped."""
        self._pool.withdraw(self)
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: UpstreamError) -> None:
        """Ends the exchange in progress with an error and resets the connection: an upstream that does
        not read would never see it closed, and the kernel would keep what was not sent."""
        response = self._detach()
        if response is not None:
            response.error = error
            response.wake()
            if self._transport is not None:
                reset_on_close(self._transport)
        self.kill()

    def resume(self) -> None:
        """Reads from the socket again."""
        self.is_paused = False
        if self._transport is not None and not self.is_lost:
            self._transport.resume_reading()

    def _pause(self) -> None:
        if self._transport is not None:
            self.is_paused = True
            self._transport.pause_reading()

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remembers the socket."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class does not derive from it

    def data_received(self, data: bytes) -> None:
        """Takes bytes from the upstream."""
        response = self._response
        if response is None:  # nobody asked: a parting message, or an answer too many
            self.kill()
            return
        had_status = response.status
        held = response.held_bytes
        try:
            self._feed(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._overhead_bytes += len(data)
            self._fail_parse(response, error)
            return
        if not had_status and not self._accept_head(response, len(data)):
            return
        if response.is_complete:
            self._finish(response)
        else:
            arrived = response.held_bytes
            if arrived == held:
                self._overhead_bytes += len(data)
                if self._overhead_bytes > HEADER_CAP_BYTES:
                    self.fail(StreamBroken("the upstream sends framing without a body"))
                    return
            else:
                self._overhead_bytes = 1
                if len(response.pieces) > _MANY_PIECES:  # small pieces weigh more than their bytes
                    response.pieces = [b"".join(response.pieces)]
                if arrived > HELD_CAP_BYTES and not self.is_paused:
                    self._pause()
        response.deliver()

    def eof_received(self) -> None:
        """The upstream will send nothing more: the end of a body without a length, else a failure."""
        response = self._response
        if response is not None and response.status and response.is_to_eof:
            response.is_complete = True
            self._is_reusable = False
            self._finish(response)
            response.wake()
        else:
            self._fail_lost(None)
            self.kill()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self.is_lost = True
        self._fail_lost(exc)
        self._pool.lost(self)
        self._transport = None
        # The parser holds this connection's methods: without the cycle both are freed now.
        del self._parser, self._feed, self._get_status, self._should_keep_alive

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A message starts; a second answer to one call ends the connection."""
        response = self._response
        if response is None or response.is_complete:
            raise httptools.HttpParserError("an answer that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer (its list is dropped)."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The headers are there; those of interim answers are skipped."""
        status = self._get_status()
        headers = self._headers
        self._headers = []
        response = self._response
        if status >= 200 and response is not None:
            response.status = status
            response.headers = headers
            for name, value in headers:
                if name == b"content-length" and value.isdigit():
                    response.is_to_eof = False
                    response.content_bytes = int(value)
                elif name in _FRAMING:
                    response.note_framing(name, value)
            if response.is_bodiless:
                response.is_complete = True

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        response = self._response
        if response is not None:
            response.pieces.append(body)
            response.held_bytes += len(body)

    def on_message_complete(self) -> None:
        """The last byte of an answer, or the end of an interim one."""
        response = self._response
        if response is not None and response.status:
            response.is_complete = True
            self._is_reusable = self._should_keep_alive()

    # The ends of an exchange.

    def _accept_head(self, response: PooledResponse, fed_bytes: int) -> bool:
        """Checks headers that may be complete now; True when the body's turn has come."""
        self._overhead_bytes += fed_bytes
        if self._overhead_bytes > HEADER_CAP_BYTES:
            size = sum(len(name) + len(value) + 4 for name, value in response.headers)
            if not response.status or size > HEADER_CAP_BYTES:
                response.problem = "the upstream's headers are too large"
        if response.problem:
            response.status = 0
            self.fail(BadUpstreamReply(response.problem))
            return False
        if not response.status:
            return False
        response.deadline_at = 0.0
        return True

    def _detach(self) -> PooledResponse | None:
        response = self._response
        if response is not None:
            self._response = None
            response.connection = None
            self.sweeper.watched.discard(response)
        return response

    def _finish(self, response: PooledResponse) -> None:
        """The answer is whole: frees the connection for the next call, or closes it."""
        self._response = None
        response.connection = None
        self.sweeper.watched.discard(response)
        if response.is_bodiless:
            response.drop_body()
            self._is_reusable = False
        transport = self._transport
        if not self._is_reusable or transport is None or transport.get_write_buffer_size():
            self.kill()
            return
        if self.is_paused:
            self.resume()
        self._pool.release(self, response.keep_alive)

    def _fail_parse(self, response: PooledResponse, cause: Exception) -> None:
        if response.is_complete:  # what follows the answer is wrong, not the answer
            self._is_reusable = False
            self._finish(response)
            response.wake()
            return
        error: UpstreamError
        if response.status and not response.problem:
            error = StreamBroken("the upstream's answer broke off: its framing is wrong")
        else:
            response.status = 0
            error = BadUpstreamReply("the upstream did not answer with HTTP/1.1")
        error.__cause__ = cause
        self.fail(error)

    def _fail_lost(self, cause: Exception | None) -> None:
        response = self._detach()
        if response is None:
            return
        if response.status:
            response.error = StreamBroken("the upstream closed the connection before the end of its answer")
        else:
            response.error = UpstreamUnreachable("the upstream closed the connection before it answered")
        response.error.__cause__ = cause
        response.wake()

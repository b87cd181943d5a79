"""uvicorn as the engine runs it: our protocol with receive deadlines and disconnect calls, our signals.

`engine` builds the server on ready sockets (TCP and unix). The protocol closes connections that do
not deliver a request in time, which uvicorn alone never does, and tells a running LLM call at once
when its client has left, so that no task has to watch `receive`. What is not HTTP is refused in JSON
with a request id, and a refusal is never lost to bytes that are still on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from atp_engine.api.errors import HeaderList, Problem, dialect_of, render_problem
from atp_engine.core.ports import NewId

DISCONNECT = "atp.on_disconnect"
"""Scope key: a callable without arguments, set by an endpoint, called when the client has left."""

EXCHANGE = "atp.exchange"
"""Scope key: the `Exchange` of the request, for endpoints that answer many times a second."""

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line and headers together."""

_MIN_BODY_RATE = 8 * 1024
_LINGER_S = 2.0
"""How long the rest of a refused request is read and dropped, so that its answer is not reset away."""
_MALFORMED = Problem(400, "invalid_request", "This is not a well-formed HTTP/1.1 request.")
_HEAD_TOO_LONG = Problem(431, "invalid_request", "The request's headers are over the limit of 64 KiB.")
_TOO_SLOW = Problem(408, "invalid_request", "The request did not arrive in time.")
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_log = logging.getLogger("atp_engine.server")


class Exchange:
    """The answering side of one request, without ASGI messages: head and body as bytes, straight to the
    socket. An endpoint uses either this or `send`, never both. Heads are ready lines; whoever renders
    them keeps control characters out of values."""

    __slots__ = ("_cycle", "_flow", "_protocol", "_transport")

    def __init__(self, cycle: RequestResponseCycle, protocol: EngineProtocol) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._protocol = protocol
        self._transport = cycle.transport

    @property
    def has_left(self) -> bool:
        """The client is gone; nobody will read an answer."""
        return self._cycle.disconnected

    def refuse(self, status: int, headers: HeaderList, body: bytes, *, is_last: bool) -> None:
        """A whole answer to a request that may not have been read; `is_last` ends the connection."""
        cycle = self._cycle
        if is_last or (cycle.more_body and cycle.waiting_for_100_continue):
            cycle.keep_alive = False  # a body that was never asked for may or may not come
        self.reply(STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in headers]), body)

    def reply(self, head: bytes, body: bytes) -> None:
        """A whole answer; `head` is the status line and the header lines, Content-Length among them."""
        cycle = self._cycle
        if cycle.disconnected:
            return
        cycle.response_started = True
        self._transport.write(head + self._tail() + body)
        self._finish()

    def begin(self, head: bytes) -> None:
        """The head of a chunked answer."""
        if not self._cycle.disconnected:
            self._cycle.response_started = True
            self._transport.write(head + b"transfer-encoding: chunked\r\n" + self._tail())

    async def write(self, body: bytes) -> None:
        """One chunk; waits while the client reads too slowly. Does nothing once the client has left."""
        if self._flow.write_paused and not self._cycle.disconnected:
            await self._flow.drain()
        if not self._cycle.disconnected:
            self._transport.write(b"%x\r\n%b\r\n" % (len(body), body))

    def end(self, body: bytes) -> None:
        """The last chunk and the end of the answer."""
        if self._cycle.disconnected:
            return
        self._transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n")
        self._finish()

    def _tail(self) -> bytes:
        cycle = self._cycle
        lines = b"".join([b"%b: %b\r\n" % header for header in cycle.default_headers])
        return lines + (b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n")

    def _finish(self) -> None:
        cycle = self._cycle
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self._protocol.close(is_more_expected=cycle.more_body)
        cycle.on_response()


class EngineProtocol(HttpToolsProtocol):
    """One client connection."""

    header_timeout_s = 10.0
    body_timeout_s = 30.0
    new_id: NewId

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receive_timer: asyncio.TimerHandle | None = None
        self._linger_timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None
        self._is_deaf = False
        self._is_receiving = False
        self._is_in_head = False
        self._piece_bytes = 0
        self._head_bytes = 0
        self._body_started_at = 0.0
        self._body_bytes = 0
        self.url = b""
        self.headers = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._receive_timer = self.loop.call_later(self.header_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_receive_timer()
        if self._linger_timer is not None:
            self._linger_timer.cancel()
        super().connection_lost(exc)
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
            on_disconnect: Callable[[], None] | None = running.scope.get(DISCONNECT)  # type: ignore[assignment]
            if on_disconnect is not None:
                on_disconnect()

    def data_received(self, data: bytes) -> None:
        """Only a request that does not arrive in one piece needs a timer."""
        if self._is_deaf:
            return
        self._unset_keepalive_if_required()
        self._piece_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._resume(data, error)
        if self._is_receiving:
            self._expect_more()
        elif self._receive_timer is not None:
            self._stop_receive_timer()

    def _expect_more(self) -> None:
        if self._is_in_head and not self._is_deaf:
            self._head_bytes = self._head_bytes + self._piece_bytes if self._head_bytes else self._head_so_far()
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_HEAD_TOO_LONG)
        if self._receive_timer is None and not self._is_deaf:
            self._receive_timer = self.loop.call_later(self.header_timeout_s, self._too_slow)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if self._head_bytes or self._piece_bytes > MAX_HEAD_BYTES:
            self._head_bytes = self._head_so_far()
            if self._head_bytes > MAX_HEAD_BYTES:
                raise ValueError("the head is too long")  # which the parser turns into its own error
        super().on_headers_complete()
        self.cycle.scope[EXCHANGE] = Exchange(self.cycle, self)  # type: ignore[literal-required]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_receiving = self._is_in_head = True
        self._body_bytes = self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if not self._body_bytes:
            self._body_started_at = self.loop.time()
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        self._is_receiving = False
        super().on_message_complete()

    def close(self, *, is_more_expected: bool) -> None:
        """Ends the connection after what was written.

        While more of a request is on its way the writing side is ended first and the rest is dropped for
        a moment: closing with unread bytes resets the connection, and the answer can go with it.
        """
        if not is_more_expected or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._is_deaf = True
        self.pipeline.clear()
        self._stop_receive_timer()
        self.flow.resume_reading()
        self.transport.write_eof()
        self._linger_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _head_so_far(self) -> int:
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def _resume(self, data: bytes, error: Exception) -> None:
        """Serves requests that ask for another protocol as if they had not (RFC 9110, 7.8); refuses the rest."""
        while isinstance(error, httptools.HttpParserUpgrade):
            data = data[error.args[0] :]
            try:
                self._expect_body()
                self.parser.feed_data(data)
                return
            except (httptools.HttpParserError, httptools.HttpParserUpgrade) as next_error:
                error = next_error
        self._refuse(_HEAD_TOO_LONG if self._head_bytes > MAX_HEAD_BYTES else _MALFORMED)

    def _expect_body(self) -> None:
        """Has the body read that the parser would pass over as another protocol's bytes.

        The call's task has not begun yet, so a new parser can still read it, in the same framing.
        """
        framing = [header for header in self.headers if header[0] in _FRAMING and header[1] != b"0"]
        if framing:
            self.cycle.more_body = self._is_receiving = True
            self.cycle.message_event.clear()
            self.parser = httptools.HttpRequestParser(_BodyFirst(self))
            self.parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % one for one in framing) + b"\r\n")

    def _refuse(self, problem: Problem) -> None:
        """Answers what is no request, or none that can be read to its end, and ends the connection.

        An answer that is being given to an earlier request is finished first, and a request that was
        answered early gets no second one.
        """
        running = self._running
        if running is not None and not running.response_complete:
            if running is not self.cycle or not running.more_body:
                running.keep_alive = False
                self._is_deaf = True
                self.pipeline.clear()
                return self._stop_receive_timer()
            running.disconnected = True
            running.message_event.set()
        elif running is not None and running.more_body:
            return self.close(is_more_expected=True)
        path = self.url.partition(b"?")[0].decode("latin-1")
        status, lines, body = render_problem(problem, dialect_of(path, self.headers), self.new_id())
        head = b"".join([b"%b: %b\r\n" % header for header in (*lines, (b"connection", b"close"))])
        self.transport.write(STATUS_LINE[status] + head + b"\r\n" + body)
        _log.info("refused what is no request: %s", problem.message)
        return self.close(is_more_expected=True)

    def _stop_receive_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None

    def _too_slow(self) -> None:
        """The request is not there in time: bodies that keep a pace of 8 KiB/s get more of it."""
        self._receive_timer = None
        if self.transport.is_closing():
            return
        if self._body_bytes:
            elapsed = self.loop.time() - self._body_started_at
            if elapsed < self.body_timeout_s or self._body_bytes / elapsed >= _MIN_BODY_RATE:
                self._receive_timer = self.loop.call_later(1.0, self._too_slow)
                return
        if self._is_receiving:
            self._refuse(_TOO_SLOW)
        else:  # nothing has come at all
            self.transport.close()


class _BodyFirst:
    """Callbacks of a parser that begins at the body of a request whose head is known."""

    def __init__(self, protocol: EngineProtocol) -> None:
        self._protocol = protocol
        self._is_in_body = False
        self.on_body = protocol.on_body
        self.on_message_complete = protocol.on_message_complete

    def on_message_begin(self) -> None:
        if self._is_in_body:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._is_in_body:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_in_body:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._is_in_body:
            self._protocol.on_headers_complete()
        self._is_in_body = True


class EngineServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the engine."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command line installs the handlers; a server inside a program takes none."""
        yield


def build_server(
    app: Any, *, new_id: NewId, header_timeout_s: float, body_timeout_s: float, drain_s: float
) -> EngineServer:
    """A server for `serve(sockets=[...])`; set `should_exit` to stop it within `drain_s`."""
    protocol = type(
        "ConfiguredProtocol",
        (EngineProtocol,),
        {"header_timeout_s": header_timeout_s, "body_timeout_s": body_timeout_s, "new_id": staticmethod(new_id)},
    )
    return EngineServer(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            loop="none",
            lifespan="off",
            interface="asgi3",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=max(1, int(drain_s)),
            backlog=2048,
        )
    )

"""uvicorn as the engine runs it: our protocol with receive deadlines and disconnect calls, our signals.

`engine` builds the server on ready sockets (TCP and unix). The protocol closes connections that do
not deliver a request in time, which uvicorn alone never does, and tells a running LLM call at once
when its client has left, so that no task has to watch `receive`. What is not HTTP is refused in JSON
with a request id, and a refusal is never lost to bytes that are still on their way. Requests to the
hot endpoints become an `Exchange` here and never pass ASGI; the app serves all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from atp_engine.api.app import Front
from atp_engine.api.body_first import framing_of, parser_of_body
from atp_engine.api.errors import HeaderList, Problem, dialect_of, render_problem
from atp_engine.api.exchange import Exchange, HotEndpoint, too_large
from atp_engine.api.guard import Guard
from atp_engine.api.heads import KnownHead, known_head
from atp_engine.api.hot_table import HotTable
from atp_engine.api.lane import Lane
from atp_engine.core.ports import NewId

MAX_HEAD_BYTES = 64 * 1024
"""Longest request line and headers together."""

_MIN_BODY_RATE = 8 * 1024
_MOST_UNLIKE = 8
_LINGER_S = 2.0
"""How long the rest of a refused request is read and dropped, so that its answer is not reset away."""
_MALFORMED = Problem(400, "invalid_request", "This is not a well-formed HTTP/1.1 request.")
_HEAD_TOO_LONG = Problem(431, "invalid_request", "The request's headers are over the limit of 64 KiB.")
_STOPPING = Problem(503, "backpressure", "The engine is stopping.")
_TOO_SLOW = Problem(408, "invalid_request", "The request did not arrive in time.")
_log = logging.getLogger("atp_engine.server")


class EngineProtocol(HttpToolsProtocol):
    """One client connection."""

    header_timeout_s = 10.0
    body_timeout_s = 30.0
    write_timeout_s = 60.0
    new_id: NewId
    guard: Guard
    hot: HotTable

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unheard = asyncio.Event()
        """Rung by uvicorn for what goes on in a request; no task of an exchange waits for it."""
        self.is_kept = True
        """The connection outlives the request whose headers were read last."""
        self.judged: Any = None
        """What an endpoint learned from the headers of an earlier request, which clients repeat."""
        self.length: bytes | None = None
        """The Content-Length; kept apart from the other headers, which do not change, until ASGI needs it."""
        self._plain_headers: HeaderList = []
        self._plain_fields: dict[bytes, bytes] = {}
        self._known: KnownHead | None = None
        self._unlike = 0  # heads in a row that were not as the one before
        self._lane = Lane(self.loop, self.tasks)
        self._idle_since = 0.0
        self._default_headers: HeaderList = []
        self._tail = b""
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
        self._unset_keepalive_if_required()
        self._lane.end()
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            if isinstance(running, Exchange):
                running.left()
            running.message_event.set()
        self.cycle = self._running = None  # type: ignore[assignment]  # they hold the connection: no cycle keeps a body

    def data_received(self, data: bytes) -> None:
        """Only a request that does not arrive in one piece needs a timer."""
        if self._is_deaf:
            return
        is_at_head = not self._is_receiving
        if is_at_head and self._known is not None and self._take_known(self._known, data):
            return
        self._piece_bytes = len(data)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._resume(data, error)
        if self._running is not None and not self._running.response_complete:
            if is_at_head and self._unlike < _MOST_UNLIKE:
                self._get_to_know(data)
            self._start_exchange()
        if self._is_receiving:
            self._expect_more()
        elif self._receive_timer is not None:
            self._stop_receive_timer()

    def _take_known(self, known: KnownHead, data: bytes) -> bool:
        """Takes a whole request whose head is as the one before, without the parser, which stays between two
        messages; False when it is not one, or another is still being answered."""
        running = self._running
        if running is None or running is not self.cycle or not running.response_complete:
            return False
        found = known.split(data)
        if found is None or not self.guard.is_plain(known.fields):
            return False
        self._unlike = 0
        self.url, self.headers, (self.length, body_at) = known.url, known.headers, found
        self.is_kept, self.expect_100_continue = True, False
        exchange = self.cycle = self._running = known.endpoint.judge(self, known.query)
        exchange.more_body = False
        if exchange.refusal is None:
            exchange.size = len(data) - body_at
            exchange.parts.append(data[body_at:])
        self._start_exchange()
        return True

    def _get_to_know(self, data: bytes) -> None:
        """Remembers the head of the request that has just come whole; not of clients that never repeat one."""
        self._known, exchange, fields = None, self._running, self._plain_fields
        if not isinstance(exchange, Exchange) or exchange is not self.cycle or self._is_receiving:
            return
        if exchange.keep_alive and len(fields) == len(self.headers) and self.guard.is_plain(fields):
            self._known = known_head(data, self.length, self.url, self.headers, fields, exchange)
            self._unlike += 1

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
        endpoint = self._endpoint()
        if endpoint is None:
            self._begin_asgi()
            return
        query = self.url.partition(b"?")[2]
        self.is_kept = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        exchange = endpoint.judge(self, query)
        before, self.cycle = self.cycle, exchange
        if before is None or before.response_complete:
            if self.expect_100_continue:
                self._start_asgi_task(exchange, endpoint)
            else:
                self._running = exchange
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, endpoint))  # type: ignore[arg-type]

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.length = None
        self._is_receiving = self._is_in_head = True
        self._body_bytes = self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length" and self.length is None:
            self.length = value
        else:
            self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        if not self._body_bytes:
            self._body_started_at = self.loop.time()
        self._body_bytes += len(body)
        exchange = self.cycle
        if not isinstance(exchange, Exchange):
            super().on_body(body)
        elif exchange.refusal is None and not exchange.response_complete:
            exchange.size += len(body)
            exchange.add(body)
            if exchange.size > exchange.limit:
                exchange.refusal = too_large(exchange.limit)

    def on_message_complete(self) -> None:
        self._is_receiving = False
        if isinstance(self.cycle, Exchange):
            self.cycle.more_body = False
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """uvicorn's, but one timer for all the idle times of a connection instead of one for each."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            self._start_exchange()
            return
        self._idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idling(self.timeout_keep_alive)

    def timeout_keep_alive_handler(self) -> None:
        """Closes the connection when nothing was asked of it for the keep-alive time."""
        self.timeout_keep_alive_task = None
        if self._is_receiving or not (self.cycle is None or self.cycle.response_complete):
            return
        left_s = self._idle_since + self.timeout_keep_alive - self.loop.time()
        if left_s > 0.0:
            self._watch_idling(left_s)
        elif not self.transport.is_closing():
            self.transport.close()

    def _watch_idling(self, left_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(left_s, self.timeout_keep_alive_handler)

    def shutdown(self) -> None:
        """The engine stops: answers that are being given are finished, requests that are not there yet refused."""
        if self._linger_timer is not None:
            self.transport.close()
        elif self._is_receiving and not self._is_deaf:
            self._refuse(_STOPPING)
            self.transport.close()
        else:
            super().shutdown()

    def tail(self, is_kept: bool) -> bytes:
        """The last header lines of an answer, the date among them, and the blank line."""
        headers = self.server_state.default_headers
        if headers is not self._default_headers:
            self._default_headers = headers
            self._tail = b"".join([b"%b: %b\r\n" % header for header in headers]) + b"\r\n"
        return self._tail if is_kept else b"connection: close\r\n" + self._tail

    def _endpoint(self) -> HotEndpoint | None:
        """The hot endpoint that was asked for, None when it is another or the guard has an objection."""
        found = self.hot.find(self.url)
        if found is None:
            return None
        method, endpoint = found
        if self.parser.get_method() != method:
            return None
        headers = self.headers
        if headers != self._plain_headers:
            self._plain_headers, self._plain_fields = headers, dict(headers)
        fields = self._plain_fields
        guard = self.guard
        if len(fields) != len(headers) or not guard.is_plain(fields):
            head = {"method": method.decode(), "path": self.url.decode("latin-1"), "headers": headers}
            if guard.check({**head, "server": self.server}) is not None:
                return None  # the front refuses it
        self.expect_100_continue = fields.get(b"expect", b"").lower() == b"100-continue"
        return endpoint

    def _begin_asgi(self) -> None:
        url, headers = self.url, self.headers
        if self.length is not None:
            headers.append((b"content-length", self.length))
        super().on_message_begin()
        self.url = url
        self.headers.extend(headers)
        self.expect_100_continue = any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in headers
        )
        super().on_headers_complete()

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
        """It is this request's turn; an exchange begins when all of it is there."""
        self._running = cycle
        if not isinstance(cycle, Exchange):
            super()._start_asgi_task(cycle, app)
        elif cycle.waiting_for_100_continue and cycle.more_body and cycle.refusal is None:
            cycle.waiting_for_100_continue = False
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _start_exchange(self) -> None:
        """Starts the task of the exchange whose turn it is, when there is something to do for it."""
        exchange = self._running
        if not isinstance(exchange, Exchange) or exchange.is_started or exchange.disconnected:
            return
        if exchange.more_body and exchange.refusal is None:
            return
        exchange.is_started = True
        self._lane.start(exchange)

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
        framing = framing_of(self.headers, self.length if isinstance(self.cycle, Exchange) else None)
        if framing:
            self.cycle.more_body = self._is_receiving = True
            self.cycle.message_event.clear()
            self.parser = parser_of_body(self, framing)

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


class EngineServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the engine."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The command line installs the handlers; a server inside a program takes none."""
        yield


def build_server(
    app: Front, *, new_id: NewId, header_timeout_s: float, body_timeout_s: float, write_timeout_s: float, drain_s: float
) -> EngineServer:
    """A server for `serve(sockets=[...])`; set `should_exit` to stop it within `drain_s`."""
    protocol = type(
        "ConfiguredProtocol",
        (EngineProtocol,),
        {
            "header_timeout_s": header_timeout_s,
            "body_timeout_s": body_timeout_s,
            "write_timeout_s": write_timeout_s,
            "new_id": staticmethod(new_id),
            "guard": app.guard,
            "hot": HotTable(app.hot),
        },
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

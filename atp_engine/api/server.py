"""uvicorn as the engine runs it: our protocol with receive deadlines and disconnect calls, our signals.

`engine` builds the server on ready sockets (TCP and unix). The protocol closes connections that do
not deliver a request in time, which uvicorn alone never does, and tells a running LLM call at once
when its client has left, so that no task has to watch `receive`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

DISCONNECT = "atp.on_disconnect"
"""Scope key: a callable without arguments, set by an endpoint, called when the client has left."""

EXCHANGE = "atp.exchange"
"""Scope key: the `Exchange` of the request, for endpoints that answer many times a second."""

_MIN_BODY_RATE = 8 * 1024
_log = logging.getLogger("atp_engine.server")


class Exchange:
    """The answering side of one request, without ASGI messages: head and body as bytes, straight to the
    socket. An endpoint uses either this or `send`, never both. Heads are ready lines; whoever renders
    them keeps control characters out of values."""

    __slots__ = ("_cycle", "_flow", "_transport")

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self._flow = cycle.flow
        self._transport = cycle.transport

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
            self._transport.close()
        cycle.on_response()


class EngineProtocol(HttpToolsProtocol):
    """One client connection."""

    header_timeout_s = 10.0
    body_timeout_s = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receive_timer: asyncio.TimerHandle | None = None
        self._is_receiving = False
        self._body_started_at = 0.0
        self._body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._receive_timer = self.loop.call_later(self.header_timeout_s, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_receive_timer()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None and not cycle.response_complete:
            on_disconnect: Callable[[], None] | None = cycle.scope.get(DISCONNECT)  # type: ignore[assignment]
            if on_disconnect is not None:
                on_disconnect()

    def data_received(self, data: bytes) -> None:
        """Only a request that does not arrive in one piece needs a timer."""
        super().data_received(data)
        if self._is_receiving:
            if self._receive_timer is None:
                self._receive_timer = self.loop.call_later(self.header_timeout_s, self._too_slow)
        elif self._receive_timer is not None:
            self._stop_receive_timer()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self.cycle is not None:
            self.cycle.scope[EXCHANGE] = Exchange(self.cycle)  # type: ignore[typeddict-unknown-key]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_receiving = True
        self._body_bytes = 0

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        if not self._body_bytes:
            self._body_started_at = self.loop.time()
        self._body_bytes += len(body)

    def on_message_complete(self) -> None:
        self._is_receiving = False
        super().on_message_complete()

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
        _log.info("closed a connection that did not deliver its request in time")
        self.transport.close()


class EngineServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the engine."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:  # type: ignore[override]
        """The command line installs the handlers; a server inside a program takes none."""
        yield


def build_server(app: Any, *, header_timeout_s: float, body_timeout_s: float, drain_s: float) -> EngineServer:
    """A server for `serve(sockets=[...])`; set `should_exit` to stop it within `drain_s`."""
    protocol = type(
        "ConfiguredProtocol",
        (EngineProtocol,),
        {"header_timeout_s": header_timeout_s, "body_timeout_s": body_timeout_s},
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

"""One request and its answer at a hot endpoint, without ASGI: bytes in from the parser, bytes out to the socket.

`server` makes an exchange when a request's headers name a hot endpoint, gathers the body and starts one
task for it; the endpoint reads and answers through it. ASGI's scope, events and messages cost a third of
a small request, and the LLM endpoints need nothing of them. Everything else is served by Starlette.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from atp_engine.api.errors import HeaderList
from atp_engine.core.errors import ATPError, PayloadTooLarge

if TYPE_CHECKING:
    from atp_engine.api.server import EngineProtocol


_MOST_PARTS = 64
"""Parts of a body that are kept as they came; what follows is gathered in one buffer."""


class HotEndpoint(Protocol):
    """What answers at a path without ASGI. Refuses nothing by exception: it renders its own errors."""

    def judge(self, protocol: EngineProtocol, query: bytes) -> Exchange:
        """Takes the request whose headers the protocol has; what is wrong with them is in `refusal`.

        What it learns from headers it may keep in `protocol.judged` for the next request.
        """
        ...

    def serve(self, exchange: Any) -> Coroutine[Any, Any, None]:
        """Answers, once the body is there or the exchange is refused."""
        ...


HotEndpoints = Mapping[tuple[str, str], HotEndpoint]
"""Endpoints by (method, path) that check their caller's key themselves, such as the LLM calls."""


class Exchange(RequestResponseCycle):
    """A request and its answer. Heads of answers are ready lines; whoever renders them keeps control
    characters out of values. It stands in uvicorn's bookkeeping where a cycle of ASGI would."""

    disconnected = False
    response_started = False
    response_complete = False
    more_body = True
    is_started = False
    """Its task is running."""
    size = 0
    """Bytes of body so far."""
    limit = 0
    """Most bytes of body."""
    refusal: ATPError | None = None
    """Why the request is not served; nothing more of it is read then."""

    task: asyncio.Task[None] | None = None

    def __init__(self, endpoint: HotEndpoint, protocol: EngineProtocol, query: bytes) -> None:
        self.endpoint = endpoint
        self.protocol = protocol
        self.transport = protocol.transport
        self.flow = protocol.flow
        self.message_event = protocol.unheard
        self.keep_alive = protocol.is_kept
        self.waiting_for_100_continue = protocol.expect_100_continue
        self.query = query
        self.parts: list[bytes | bytearray] = []

    def left(self) -> None:
        """The client has left while its call was running."""

    def add(self, part: bytes) -> None:
        """Keeps a part of the body; many small ones weigh no more than what they hold."""
        parts = self.parts
        if len(parts) < _MOST_PARTS:
            parts.append(part)
            return
        if len(parts) == _MOST_PARTS:
            parts.append(bytearray())
        parts[_MOST_PARTS] += part

    def whole_body(self) -> bytes:
        """The body as it came."""
        parts = self.parts
        return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)

    def refuse(self, status: int, headers: HeaderList, body: bytes, *, is_last: bool) -> None:
        """A whole answer to a request that may not have been read; `is_last` ends the connection."""
        if is_last or (self.more_body and self.waiting_for_100_continue):
            self.keep_alive = False  # a body that was never asked for may or may not come
        self.reply(STATUS_LINE[status] + b"".join([b"%b: %b\r\n" % header for header in headers]), body)

    def reply(self, head: bytes, body: bytes) -> None:
        """A whole answer; `head` is the status line and the header lines, Content-Length among them."""
        if not self.disconnected:
            self.transport.write(b"".join((head, self.protocol.tail(self.keep_alive), body)))
            self._finish()

    def begin(self, head: bytes) -> None:
        """The head of a chunked answer."""
        if not self.disconnected:
            self.transport.write(head + b"transfer-encoding: chunked\r\n" + self.protocol.tail(self.keep_alive))

    def end(self, body: bytes) -> None:
        """The last chunk and the end of the answer."""
        if not self.disconnected:
            self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n")
            self._finish()

    def _finish(self) -> None:
        self.response_complete = True
        if not self.keep_alive:
            self.protocol.close(is_more_expected=self.more_body)
        self.protocol.on_response_complete()


def too_large(limit: int) -> PayloadTooLarge:
    """The refusal of a body over the limit."""
    return PayloadTooLarge(f"the request body is over the limit of {limit} bytes")


def path_of(url: bytes) -> bytes:
    """The path of a request's target, without query and escapes; empty when it has none."""
    if b"?" not in url and b"%" not in url and url[:1] == b"/":
        return url
    try:
        path: bytes = httptools.parse_url(url).path or b""
    except httptools.HttpParserInvalidURLError:
        return b""
    return unquote_to_bytes(path)

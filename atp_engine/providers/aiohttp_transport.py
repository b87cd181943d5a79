"""The second implementation of `Transport`, over aiohttp: for providers behind an HTTP or SOCKS proxy,
and for those whose config asks for it.

It keeps one aiohttp session per origin so that the cap on connections is the origin's own. Several
times slower than `pooled`, equal in what it promises.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace

import aiohttp
import aiohttp_socks
from yarl import URL

from atp_engine.core.errors import BadUpstreamReply, StreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from atp_engine.core.ports import Clock
from atp_engine.providers.connection import HEADER_CAP_BYTES
from atp_engine.providers.pool import IDLE_S
from atp_engine.providers.sockets import TlsContexts, why_unreachable
from atp_engine.providers.transport import Origin, UpstreamRequest

_READ_BUFFER_BYTES = 65_536
_PIECE_BYTES = 65_536
_UNSET_HEADERS = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_PROXY_FAILED = (
    aiohttp.ClientHttpProxyError,
    aiohttp.ClientProxyConnectionError,
    aiohttp_socks.ProxyError,
    aiohttp_socks.ProxyConnectionError,
)
_DIED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


class AiohttpResponse:
    """Implements `UpstreamResponse` over aiohttp's answer."""

    def __init__(self, response: aiohttp.ClientResponse, clock: Clock) -> None:
        self.status = response.status
        self.headers = [(name.lower(), value) for name, value in response.raw_headers]
        self._response = response
        self._clock = clock
        self._deadline_at = 0.0
        self._deadline_limit = ""
        self._is_over = False
        self._closed = self._watch_connection()

    def header(self, name: bytes) -> bytes:
        """First value of a header, empty when missing; `name` in lower case."""
        return next((value for known, value in self.headers if known == name), b"")

    def set_deadline(self, at: float, limit: str) -> None:
        """See `UpstreamResponse.set_deadline`."""
        self._deadline_at = at
        self._deadline_limit = limit

    async def read(self) -> bytes:
        """See `UpstreamResponse.read`."""
        if self._is_over:
            raise StreamBroken("the answer was closed before its end")
        try:
            async with asyncio.timeout(_left_s(self._deadline_at, self._clock)) as timeout:
                piece = await self._response.content.readany()
        except TimeoutError as error:
            self.close()
            if timeout.expired():
                raise UpstreamTimeout("the upstream took too long", limit=self._deadline_limit) from error
            raise StreamBroken("the upstream's answer broke off") from error
        except (aiohttp.ClientError, OSError) as error:
            self.close()
            raise StreamBroken("the upstream closed the connection before the end of its answer") from error
        except (asyncio.CancelledError, GeneratorExit):
            self.close()
            raise
        if not piece and self._was_reset():
            self._is_over = True
            raise StreamBroken("the upstream closed the connection before the end of its answer")
        return piece

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
        """See `UpstreamResponse.read_all`."""
        pieces = []
        total = self._response.content_length or 0
        if total <= cap_bytes:
            total = 0
            while piece := await self.read():
                total += len(piece)
                if total > cap_bytes:
                    break
                pieces.append(piece)
        if total > cap_bytes:
            self.close()
            raise BadUpstreamReply("the upstream's answer is too large")
        return b"".join(pieces)

    def close(self) -> None:
        """See `UpstreamResponse.close`."""
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._is_over = True
            self._response.close()

    def _watch_connection(self) -> asyncio.Future[None] | None:
        """Ends a wait for the body when the connection closes: aiohttp itself (3.14.5) goes on waiting
        after a chunk it cannot parse."""
        content = self._response.content
        connection = self._response.connection
        closed = connection.protocol.closed if connection is not None and connection.protocol is not None else None
        if closed is None or content.is_eof():
            return None

        def end(closed: asyncio.Future[None]) -> None:
            cause = None if closed.cancelled() else closed.exception()
            if not content.is_eof() and content.exception() is None:
                content.set_exception(aiohttp.ClientPayloadError("connection closed"), cause or ConnectionError())

        def unwatch() -> None:
            closed.remove_done_callback(end)

        closed.remove_done_callback(_retrieve)  # one for the connection's life, not one for each answer
        closed.add_done_callback(_retrieve)
        closed.add_done_callback(end)
        content.on_eof(unwatch)
        return closed

    def _was_reset(self) -> bool:
        """The connection of a body without a length was not closed in an orderly way."""
        closed = self._closed
        if closed is None or not closed.done() or closed.cancelled() or closed.exception() is None:
            return False
        return not self.header(b"content-length") and not self.header(b"transfer-encoding")


class AiohttpTransport:
    """Implements `Transport`; `proxy` is an `http(s)://` or `socks5(h)://` URL, credentials included.

    `socks5h` lets the proxy resolve names. The client must be made and used on one event loop.
    """

    def __init__(self, clock: Clock, proxy: str | None = None) -> None:
        self._clock = clock
        self._proxy = proxy
        self._is_socks = proxy is not None and proxy.startswith("socks")
        self._sessions: dict[Origin, aiohttp.ClientSession] = {}
        self._tls = TlsContexts()
        self._is_closed = False

    async def open(self, request: UpstreamRequest) -> AiohttpResponse:
        """See `Transport.open`; a reused connection that died without an answer is tried once more."""
        session = self._sessions.get(request.origin) or await self._add_session(request.origin)
        trace = SimpleNamespace(is_reused=False)
        try:
            async with asyncio.timeout(_left_s(request.deadline_at, self._clock)) as timeout:
                try:
                    response = await self._send(session, request, trace)
                except _DIED as error:
                    if request.is_retry or not trace.is_reused or isinstance(error, aiohttp.ClientConnectorError):
                        raise
                    response = await self._send(session, request, trace)
        except (TimeoutError, aiohttp_socks.ProxyTimeoutError) as error:
            if timeout.expired():
                raise UpstreamTimeout("the upstream took too long", limit=request.deadline_limit) from error
            raise UpstreamTimeout("connecting to the upstream took too long", limit="connect") from error
        except (aiohttp.ClientError, *_PROXY_FAILED, OSError, ValueError) as error:
            raise _open_failure(error) from error
        problem = _head_problem(response)
        if problem:
            response.close()
            raise BadUpstreamReply(problem)
        return AiohttpResponse(response, self._clock)

    async def aclose(self) -> None:
        """Closes every connection."""
        self._is_closed = True
        sessions = tuple(self._sessions.values())
        self._sessions.clear()
        for session in sessions:
            await session.close()

    async def _send(
        self, session: aiohttp.ClientSession, request: UpstreamRequest, trace: SimpleNamespace
    ) -> aiohttp.ClientResponse:
        trace.is_reused = False
        origin = request.origin
        host = f"[{origin.host}]" if ":" in origin.host else origin.host
        authority = "localhost" if origin.unix_path else f"{host}:{origin.port}"
        url = URL(f"{origin.scheme}://{authority}{request.target.decode('latin-1')}", encoded=True)
        headers = [("Accept-Encoding", "identity")]
        for line in request.headers.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                headers.append((name, value.strip()))
        body: bytes | AsyncIterator[bytes] | None = request.body or None
        if len(request.body) > _PIECE_BYTES:
            headers.append(("Content-Length", str(len(request.body))))
            body = _pieces(request.body)
        return await session.request(
            request.method.decode("latin-1"),
            url,
            data=body,
            headers=headers,
            skip_auto_headers=_UNSET_HEADERS,
            allow_redirects=False,
            proxy=None if self._is_socks else self._proxy,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=request.connect_s or None, ceil_threshold=float("inf")
            ),
            trace_request_ctx=trace,
        )

    async def _add_session(self, origin: Origin) -> aiohttp.ClientSession:
        if self._is_closed:
            raise UpstreamUnreachable("the client is closed")
        try:
            tls = await self._tls.get(origin.ca_file) if origin.scheme == "https" else True
        except OSError as error:
            raise UpstreamUnreachable(why_unreachable(error)) from error
        if (known := self._sessions.get(origin)) is not None:
            return known
        connector: aiohttp.BaseConnector
        if origin.unix_path:
            connector = aiohttp.UnixConnector(origin.unix_path, limit=origin.max_connections, keepalive_timeout=IDLE_S)
        elif self._is_socks and self._proxy is not None:
            connector = aiohttp_socks.ProxyConnector.from_url(
                self._proxy.replace("socks5h:", "socks5:", 1),
                rdns=self._proxy.startswith("socks5h:"),
                limit=origin.max_connections,
                keepalive_timeout=IDLE_S,
                ssl=tls,
            )
        else:
            connector = aiohttp.TCPConnector(
                limit=origin.max_connections, keepalive_timeout=IDLE_S, ssl=tls, socket_factory=_make_socket
            )
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            read_bufsize=_READ_BUFFER_BYTES,
            max_line_size=HEADER_CAP_BYTES,
            max_field_size=HEADER_CAP_BYTES,
            max_headers=4_096,
            trace_configs=[tracing],
        )
        self._sessions[origin] = session
        return session


def _retrieve(closed: asyncio.Future[None]) -> None:
    """Marks the reason of a closed connection as seen, or the loop complains about it."""
    if not closed.cancelled():
        closed.exception()


class _LoopSocket(socket.socket):
    """A socket that the garbage collector does not close.

    aiohttp hands a connected socket to the event loop; cancelled at that moment, uvloop (0.22.1) closes
    the descriptor and the dropped object would close the same number again, by then another's.
    """

    def __del__(self) -> None:
        self.detach()


def _make_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    return _LoopSocket(family, kind, protocol)


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.is_reused = True


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    view = memoryview(body)
    for start in range(0, len(body), _PIECE_BYTES):
        yield bytes(view[start : start + _PIECE_BYTES])


def _left_s(deadline_at: float, clock: Clock) -> float | None:
    return max(deadline_at - clock.monotonic(), 0.0) if deadline_at else None


def _head_problem(response: aiohttp.ClientResponse) -> str:
    """Why the headers cannot be accepted, empty when they can."""
    if response.status < 200:
        return "the upstream did not answer with HTTP/1.1"
    size = 0
    for name, value in response.raw_headers:
        size += len(name) + len(value) + 4
        if name.lower() == b"content-encoding" and value.strip().lower() not in (b"identity", b""):
            return "the upstream's answer is compressed"
        if name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return "the upstream's answer has an unknown transfer encoding"
    return "the upstream's headers are too large" if size > HEADER_CAP_BYTES else ""


def _open_failure(error: Exception) -> UpstreamError:
    """The class of a call that got no answer; texts name neither host nor proxy."""
    if isinstance(error, _PROXY_FAILED):
        return UpstreamUnreachable("the proxy cannot be reached or refused to connect")
    if isinstance(error, aiohttp.ClientResponseError):
        return BadUpstreamReply("the upstream did not answer with HTTP/1.1")
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(error, aiohttp.ClientConnectorError):
        return UpstreamUnreachable(why_unreachable(cause))
    if isinstance(error, _DIED):
        return UpstreamUnreachable("the upstream closed the connection before it answered")
    return UpstreamUnreachable("the upstream cannot be reached")

"""A scripted HTTP upstream on raw sockets: it does exactly what a test says, down to the byte.

    async with Upstream(answer(b"{}"), then=[reset()]) as upstream: ...

Each request that arrives runs the next script of `then`, afterwards the first argument for ever. A
script writes to the `Wire` of its connection. What came in is in `requests` and `connections`;
`until` waits for something to be true about them. Everything runs on the test's own loop.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from atp_engine.providers.transport import Origin


@dataclass
class SeenRequest:
    """A request as it arrived; header names in lower case, the last of equal ones wins."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    """Number of the connection it came on, from 0."""
    head: bytes


@dataclass
class Wire:
    """One accepted connection; scripts write to it."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[SeenRequest] = field(default_factory=list)
    sent_bytes: int = 0
    has_left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client closed or reset its side."""
    is_over: bool = False

    async def send(self, chunk: bytes) -> None:
        """Writes and waits until the kernel took it; raises ConnectionError when the client left."""
        self.writer.write(chunk)
        await self.writer.drain()
        await asyncio.sleep(0)  # drain returns at once over TLS after a reset, whose callback must run
        self.sent_bytes += len(chunk)

    async def drip(self, chunk: bytes, gap_s: float = 0.0) -> None:
        """Sends byte by byte, each in its own turn of the loop (or `gap_s` apart)."""
        for position in range(len(chunk)):
            await self.send(chunk[position : position + 1])
            await asyncio.sleep(gap_s)

    def reset(self) -> None:
        """Ends the connection with a TCP reset."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.is_over = True
        self.writer.transport.abort()

    def half_close(self) -> None:
        """Sends FIN but goes on reading."""
        self.writer.write_eof()

    def close(self) -> None:
        """Closes in an orderly way after what was sent."""
        self.is_over = True
        self.writer.close()


Script = Callable[[Wire, SeenRequest], Awaitable[None]]
OnConnect = Callable[[Wire], Awaitable[None]]


class _Peer(asyncio.StreamReaderProtocol):
    """Tells at once when the client has left, also while nobody reads."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._wire: Wire | None = None
        super().__init__(asyncio.StreamReader(), self._accept)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._wire = Wire(len(self._upstream.connections), reader, writer)
        await self._upstream.serve(self._wire)

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        self._leave()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._leave()
        super().connection_lost(exc)

    def _leave(self) -> None:
        if self._wire is not None:
            self._wire.has_left.set()
        self._upstream.changed.set()


class Upstream:
    """The server. `tls` is a server context (see `Authority`), `unix_path` replaces TCP; `on_connect`
    takes a whole connection before any request is read (a server that never reads)."""

    def __init__(
        self,
        always: Script | None = None,
        *,
        then: Iterable[Script] = (),
        tls: ssl.SSLContext | None = None,
        ca_file: str = "",
        unix_path: str = "",
        on_connect: OnConnect | None = None,
    ) -> None:
        self.always = always or answer()
        self.then: deque[Script] = deque(then)
        self.requests: list[SeenRequest] = []
        self.connections: list[Wire] = []
        self.port = 0
        self._tls = tls
        self._ca_file = ca_file
        self._unix_path = unix_path
        self._on_connect = on_connect
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._unix_path:
            self._server = await loop.create_unix_server(lambda: _Peer(self), self._unix_path)
        else:
            self._server = await loop.create_server(lambda: _Peer(self), "127.0.0.1", 0, ssl=self._tls)
            self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stops listening and cuts every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None
            for _ in range(8):  # what was accepted a moment ago becomes a task
                await asyncio.sleep(0)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for wire in self.connections:
            wire.writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)

    def origin(self, *, max_connections: int = 256, host: str = "127.0.0.1", scheme: str = "") -> Origin:
        """Where a transport connects to reach this upstream; `scheme` may lie about it."""
        return Origin(
            scheme=scheme or ("https" if self._tls else "http"),
            host=host,
            port=self.port,
            unix_path=self._unix_path,
            ca_file=self._ca_file,
            max_connections=max_connections,
        )

    @property
    def url(self) -> str:
        """Base URL without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def open_count(self) -> int:
        """Connections that the client has not left."""
        return sum(1 for wire in self.connections if not wire.has_left.is_set())

    async def until(self, is_so: Callable[[Upstream], bool], within_s: float = 5.0) -> None:
        """Waits until `is_so(self)`; fails the test with TimeoutError otherwise."""
        async with asyncio.timeout(within_s):
            while not is_so(self):
                self.changed.clear()
                await self.changed.wait()

    async def serve(self, wire: Wire) -> None:
        """Runs one connection; called for each that is accepted."""
        self.connections.append(wire)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.changed.set()
        try:
            if self._on_connect is not None:
                await self._on_connect(wire)
            await self._answer_all(wire)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            wire.writer.transport.abort()
        except asyncio.CancelledError:  # only `stop` cancels, and this is the task's first function
            wire.writer.transport.abort()
        finally:
            self._tasks.discard(task)
            wire.writer.close()

    async def _answer_all(self, wire: Wire) -> None:
        while not wire.is_over:
            request = await _read_request(wire)
            if request is None:
                return
            wire.requests.append(request)
            self.requests.append(request)
            self.changed.set()
            script = self.then.popleft() if self.then else self.always
            await script(wire, request)


async def _read_request(wire: Wire) -> SeenRequest | None:
    try:
        head = await wire.reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in fields)}
    if headers.get("transfer-encoding") == "chunked":
        body = await _read_chunked(wire.reader)
    else:
        body = await wire.reader.readexactly(int(headers.get("content-length", "0")))
    return SeenRequest(method, target, headers, body, wire.number, head)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


# Scripts.


def head(status: int = 200, *headers: str) -> bytes:
    """A status line and headers, ended."""
    return "\r\n".join([f"HTTP/1.1 {status} Words", *headers, "", ""]).encode("latin-1")


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


LAST_CHUNK = b"0\r\n\r\n"


def answer(body: bytes = b"{}", status: int = 200, *headers: str) -> Script:
    """A whole answer with its length, JSON unless a content-type is among the headers."""
    kind = () if any(one.lower().startswith("content-type") for one in headers) else ("content-type: application/json",)
    return raw(head(status, f"content-length: {len(body)}", *kind, *headers) + body)


def raw(*pieces: bytes, is_last: bool = False) -> Script:
    """These bytes, a piece at a time; `is_last` closes the connection afterwards."""

    async def script(wire: Wire, _: SeenRequest) -> None:
        for piece in pieces:
            await wire.send(piece)
            await asyncio.sleep(0)
        if is_last:
            wire.close()

    return script


def chunked(*pieces: bytes, status: int = 200, headers: Iterable[str] = ()) -> Script:
    """An answer in chunks, each sent by itself."""
    return raw(head(status, "transfer-encoding: chunked", *headers), *(chunk(piece) for piece in pieces), LAST_CHUNK)


def sse(*events: bytes, status: int = 200) -> Script:
    """A chunked event stream; each event gets its blank line."""
    return chunked(*(event + b"\n\n" for event in events), status=status, headers=["content-type: text/event-stream"])


def until_eof(*pieces: bytes, status: int = 200) -> Script:
    """A body that ends with the connection."""
    return raw(head(status, "connection: close"), *pieces, is_last=True)


def reset(*pieces: bytes) -> Script:
    """Sends the pieces, then resets; without pieces it resets before any byte."""

    async def script(wire: Wire, _: SeenRequest) -> None:
        for piece in pieces:
            await wire.send(piece)
            await asyncio.sleep(0.01)  # a reset may overtake bytes that the client has not read
        wire.reset()

    return script


def hang(*pieces: bytes) -> Script:
    """Sends the pieces, then nothing until the client leaves."""

    async def script(wire: Wire, _: SeenRequest) -> None:
        for piece in pieces:
            await wire.send(piece)
        await wire.has_left.wait()
        wire.is_over = True

    return script


def drip(message: bytes, gap_s: float = 0.0) -> Script:
    """Sends the message byte by byte."""

    async def script(wire: Wire, _: SeenRequest) -> None:
        await wire.drip(message, gap_s)

    return script


async def never_read(wire: Wire) -> None:
    """`on_connect`: takes the connection and reads nothing until the client leaves."""
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


async def say_nothing(wire: Wire) -> None:
    """`on_connect`: takes the connection and whatever comes, and waits until the client leaves."""
    await wire.has_left.wait()
    wire.is_over = True


class Authority:
    """A private certificate authority for tests: `server` is a context for 127.0.0.1 and localhost."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca_file = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_file)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(self.server)

"""The seam to the network: what an HTTP client for upstreams must do. Two clients implement it.

`pooled` is our own HTTP/1.1 client on httptools, `aiohttp_transport` serves proxies. One contract
suite (`tests/unit/providers/test_transport_contract.py`) runs over both. `providers/http` and
`client/` call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import msgspec


class Origin(msgspec.Struct, frozen=True, cache_hash=True):
    """Where to connect; `unix_path` replaces host and port when set."""

    scheme: str
    host: str
    port: int
    unix_path: str = ""
    ca_file: str = ""
    """PEM file with extra certificate authorities, empty for the system's."""
    max_connections: int = 256


class UpstreamRequest(msgspec.Struct, frozen=True):
    """One HTTP call. `headers` are ready header lines (`name: value\\r\\n` each, latin-1) without
    Host, Content-Length and Accept-Encoding, which the transport adds (`identity`)."""

    origin: Origin
    method: bytes
    target: bytes
    """Path and query."""
    headers: bytes
    body: bytes
    connect_s: float
    """Limit to connect, 0 is off; raises UpstreamTimeout(limit="connect")."""
    deadline_at: float
    """Monotonic instant by which the answer's headers must be there, 0 is off."""
    deadline_limit: str
    """Name of that limit in the error: ttft or total."""
    is_retry: bool = False
    """The same call failed a moment ago: sent once, on a new connection where that can be had."""


class UpstreamResponse(Protocol):
    """An answer whose headers have arrived and whose body is still to be read, by one task."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case."""

    def header(self, name: bytes) -> bytes:
        """First value of a header, empty when missing."""
        ...

    def set_deadline(self, at: float, limit: str) -> None:
        """From now on a `read` that waits past monotonic `at` raises UpstreamTimeout(limit); 0 is off."""
        ...

    async def read(self) -> bytes:
        """The bytes of the body that have arrived, at least one; empty at the orderly end.

        Raises StreamBroken when the connection ends early or lies about its length, UpstreamTimeout
        past the deadline. Reading less than arrives pauses the socket (at most 256 KiB are held).
        Cancelling leaves the response usable only for `close`.
        """
        ...

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Gives what arrives of the body to `take`, piece by piece and as soon as it can, until `take` says
        False (then True is returned) or the body ends in order (False).

        `take` must not wait; what it raises is raised here. Else like `read`.
        """
        ...

    def whole(self) -> bytes | None:
        """The rest of the body when its end has arrived in order already, else None: then `read` it."""
        ...

    async def read_all(self, cap_bytes: int) -> bytes:
        """The whole body; raises BadUpstreamReply above the cap, else like `read`."""
        ...

    def close(self) -> None:
        """Gives the connection back when the body was read to its end, else closes the socket now.
        May be called again."""
        ...


class Transport(Protocol):
    """An HTTP client with pooled connections."""

    async def open(self, request: UpstreamRequest) -> UpstreamResponse:
        """Sends and waits for the headers.

        A call on a reused connection that dies without a byte of answer is sent once more, unless it is
        a retry. Raises UpstreamUnreachable (refused, reset before headers, TLS or name failure),
        UpstreamTimeout (connect, or the deadline), BadUpstreamReply (not HTTP, headers over 64 KiB,
        an encoded body). Redirects are returned, never followed. Cancelling closes the socket.
        """
        ...

    async def aclose(self) -> None:
        """Closes every connection."""
        ...

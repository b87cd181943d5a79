"""What both transports need around a socket: verifying TLS contexts, keepalive, words for a failure.

`pool` and `aiohttp_transport` call it. Certificates and host names are always checked.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct


class TlsContexts:
    """Verifying client contexts by CA file (empty: the system's), each loaded once, off the loop."""

    def __init__(self) -> None:
        self._known: dict[str, ssl.SSLContext] = {}
        self._lock = asyncio.Lock()

    async def get(self, ca_file: str) -> ssl.SSLContext:
        """The context; raises OSError when the file cannot be read or holds no certificate."""
        async with self._lock:
            context = self._known.get(ca_file)
            if context is None:
                context = await asyncio.to_thread(_load, ca_file)
                self._known[ca_file] = context
        return context


def _load(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def keep_alive(transport: asyncio.BaseTransport) -> None:
    """Turns on TCP keepalive: a peer that vanished is noticed after a minute."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        number = getattr(socket, option, None)
        if number is not None:
            sock.setsockopt(socket.IPPROTO_TCP, number, value)


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Makes the socket's close a TCP reset, which the peer sees even while it does not read."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def why_unreachable(error: Exception) -> str:
    """The kind of failure in words that name neither host nor address."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "the upstream's TLS certificate is not trusted"
    if isinstance(error, ssl.SSLError):
        return "the TLS handshake with the upstream failed"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "the upstream's host name cannot be resolved"
    if isinstance(error, ConnectionRefusedError):
        return "the upstream refused the connection"
    return "the upstream cannot be reached"

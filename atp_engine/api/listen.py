"""The engine's sockets: one TCP address and one private unix socket, bound before anything starts.

A taken port is told with who holds it and a free one to try; the engine never moves to another by
itself.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

from atp_engine.core.errors import ATPError


class CannotListen(ATPError):
    """The address cannot be bound; the message is one plain line that says what to do."""

    code = "configuration_error"


def bind_tcp(host: str, port: int) -> socket.socket:
    """A bound, not yet listening TCP socket. Raises CannotListen."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}: {error.strerror}; set server.host to an address of this machine"
        ) from None
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise CannotListen(_explain(host, port, error)) from None
    sock.setblocking(False)
    return sock


def bind_unix(path: Path) -> socket.socket:
    """A bound unix socket that only its owner may use; a stale one is replaced. Raises CannotListen.

    The caller holds the data directory's lock, so whatever lies at the path is left over.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        sock.bind(str(path))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise CannotListen(f"cannot make the socket {path}: {error.strerror}") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        holder = _holder(port)
        by = f" by {holder}" if holder else ""
        return f"port {port} on {host} is in use{by}; free it or choose another: --port {_free_port(host)}"
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than this user has; choose one above 1023, such as --port 7443"
    return f"cannot listen on {host}:{port}: {error.strerror}; set server.host to an address of this machine"


def _free_port(host: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return 0
        port: int = probe.getsockname()[1]
        return port


def _holder(port: int) -> str:
    """Name and process id of whoever listens on the port, where Linux lets us see it, else empty."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        try:
            for descriptor in (process / "fd").iterdir():
                if str(descriptor.readlink()) in inodes:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue
    return ""

"""Who may speak to this server at all: exact Host names, same-origin browsers, JSON bodies.

The front (`api/app.py`) calls `Guard.check` for every request before it is routed, health and static
files included, because loopback is no boundary against a page in the owner's browser. It reads the
raw scope only; nothing here ever builds a URL from the Host header, and no CORS header exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from starlette.types import Scope

from atp_engine.api.errors import Problem
from atp_engine.config.models import Config, ServerConfig

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SHARED_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
}
"""On every answer of the admin API, the pages and the static files."""
PAGE_HEADERS = {
    **SHARED_HEADERS,
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cache-control": "no-store",
}

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_SOCKET_HOSTS = frozenset({b"localhost", b"engine"})
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({b"same-origin", b"none"})
_JSON_TYPES = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_WATCHED = frozenset({b"host", b"origin", b"sec-fetch-site", b"content-type"})

_WRONG_HOST = Problem(
    421,
    "misdirected_request",
    "This server does not answer for that Host. Use the address it listens on, "
    "or add the name and port to server.allowed_hosts in the config.",
)
_FOREIGN = Problem(403, "permission_denied", "Requests from other web origins are refused.")
_NOT_JSON = Problem(415, "unsupported_media_type", "The body must be JSON with `content-type: application/json`.")
_REPEATED = Problem(400, "invalid_request", "A header that may come once was sent twice.")


def allowed_hosts(server: ServerConfig, port: int) -> frozenset[bytes]:
    """Every Host value accepted over TCP, lower case, with the port that is really bound.

    Loopback names, the configured address and `server.allowed_hosts`; names without a port only for
    port 80, where HTTP clients leave it out.
    """
    host = server.host.lower()
    names = {*_LOOPBACK, f"[{host}]" if ":" in host else host} - {"0.0.0.0", "[::]"}  # noqa: S104 - taken out, not bound
    values = {f"{name}:{port}" for name in names}
    if port == 80:
        values |= names
    values |= {name.lower() for name in server.allowed_hosts}
    return frozenset(value.encode("latin-1", "replace") for value in values)


class Guard:
    """Checks the head of a request, in under a microsecond when there is nothing to refuse."""

    def __init__(self, config: Callable[[], Config], port: int) -> None:
        """`config` gives the live snapshot: a changed `allowed_hosts` counts from the next request."""
        self._current = config
        self._port = port
        self._config = config()
        self._hosts = allowed_hosts(self._config.server, port)

    def is_plain(self, fields: Mapping[bytes, bytes]) -> bool:
        """True when `check` surely has no objection to a request with these headers, none of them repeated."""
        config = self._current()
        if config is not self._config:
            self._config, self._hosts = config, allowed_hosts(config.server, self._port)
        return (
            fields.get(b"host") in self._hosts
            and fields.get(b"content-type") in _JSON_TYPES
            and b"origin" not in fields
            and b"sec-fetch-site" not in fields
        )

    def check(self, scope: Scope) -> Problem | None:
        """None when the request may be routed, else the refusal to send."""
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _WATCHED:
                if name in found:
                    return _REPEATED
                found[name] = value
        host = found.get(b"host", b"")
        config = self._current()
        if config is not self._config:
            self._config, self._hosts = config, allowed_hosts(config.server, self._port)
        if host not in self._hosts and not self._is_known_host(host, scope):
            return _WRONG_HOST
        if (b"origin" in found or b"sec-fetch-site" in found) and _is_foreign(found, host):
            return None if b"origin" not in found and _is_visit(scope) else _FOREIGN
        kind = found.get(b"content-type", b"")
        if kind in _JSON_TYPES or scope["method"] in _SAFE_METHODS or _is_json(kind):
            return None
        return _NOT_JSON

    def _is_known_host(self, host: bytes, scope: Scope) -> bool:
        """The slow half: a Unix socket (its server address has no port), or capital letters."""
        address: Any = scope.get("server")
        if address is None or address[1] is None:
            return host.lower() in _SOCKET_HOSTS
        return host.lower() in self._hosts


def _is_foreign(found: dict[bytes, bytes], host: bytes) -> bool:
    """True unless the browser says the request comes from a page of this very origin, or from none.

    `same-site` counts as foreign: another port of this machine is the same site to a browser.
    """
    origin = found.get(b"origin")
    if origin is not None and origin.lower() not in (b"http://" + host.lower(), b"https://" + host.lower()):
        return True
    return found.get(b"sec-fetch-site", b"none") not in _OWN_SITES


def _is_visit(scope: Scope) -> bool:
    """True when a person follows a link from elsewhere to a page: shown in a tab of its own, unreadable."""
    headers = dict(scope["headers"])
    return (
        scope["method"] in ("GET", "HEAD")
        and headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest", b"document") == b"document"
        and (scope["path"] == "/" or scope["path"].startswith("/ui"))
    )


def _is_json(kind: bytes) -> bool:
    return kind.split(b";", 1)[0].strip().lower() == b"application/json"

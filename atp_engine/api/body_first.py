"""A parser that begins at the body of a request whose head is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from atp_engine.api.errors import HeaderList

if TYPE_CHECKING:
    from atp_engine.api.server import EngineProtocol

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def framing_of(headers: HeaderList, length: bytes | None) -> HeaderList:
    """The headers that say how a body is carried; `length` is a Content-Length kept apart. Empty for no body."""
    framing = [header for header in headers if header[0] in _FRAMING and header[1] != b"0"]
    if length is not None and length != b"0":
        framing.append((b"content-length", length))
    return framing


def parser_of_body(protocol: EngineProtocol, framing: HeaderList) -> httptools.HttpRequestParser:
    """A parser for the body that is framed so, and for the requests that follow."""
    parser = httptools.HttpRequestParser(_BodyFirst(protocol))
    parser.feed_data(b"POST / HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % one for one in framing) + b"\r\n")
    return parser


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

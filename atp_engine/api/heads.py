"""The head of a connection's last request, to know the next one by its bytes: clients repeat themselves.

A head that is the same to the byte but for its Content-Length means the same, and need not be parsed again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from atp_engine.api.errors import HeaderList

if TYPE_CHECKING:
    from atp_engine.api.exchange import Exchange, HotEndpoint

_LONGEST = 8 * 1024
_SPECIAL = (b"transfer-encoding", b"upgrade", b"expect")
"""Heads with these take the parser's way."""
_MOST_DIGITS = 12
_LENGTH = b"\r\ncontent-length:"


class KnownHead(msgspec.Struct, frozen=True):
    """What a request at a hot endpoint came with, and what was read from it."""

    start: bytes
    """Up to the digits of the Content-Length."""
    rest: bytes
    """From behind those digits to the end of the head."""
    url: bytes
    headers: HeaderList
    """In lower case, without the Content-Length."""
    fields: dict[bytes, bytes]
    endpoint: HotEndpoint
    query: bytes

    def split(self, data: bytes) -> tuple[bytes, int] | None:
        """The Content-Length and where the body begins, when `data` is one whole request with this head."""
        start = self.start
        if not data.startswith(start):
            return None
        at = len(start)
        end = data.find(b"\r", at, at + _MOST_DIGITS + 1)
        length = data[at:end]
        if not length.isdigit() or not data.startswith(self.rest, end):
            return None
        body_at = end + len(self.rest)
        return (length, body_at) if len(data) - body_at == int(length) else None


def known_head(
    data: bytes, length: bytes | None, url: bytes, headers: HeaderList, fields: dict[bytes, bytes], exchange: Exchange
) -> KnownHead | None:
    """The head in `data`, which the parser has taken; None unless `data` is exactly one request with a body of
    that length and nothing special about it."""
    end = data.find(b"\r\n\r\n") + 4
    if not 4 <= end <= _LONGEST or length is None or not length.isdigit() or len(data) - end != int(length):
        return None
    head = data[:end].lower()
    if head.count(_LENGTH[2:-1]) != 1 or any(word in head for word in _SPECIAL):
        return None
    name_end = head.find(_LENGTH) + len(_LENGTH)
    at = head.find(length, name_end)
    if name_end < len(_LENGTH) or at < 0 or head[name_end:at].strip(b" \t") or head[at + len(length)] != 13:
        return None
    start, rest = data[:at], data[at + len(length) : end]
    return KnownHead(start, rest, url, headers, fields, exchange.endpoint, url.partition(b"?")[2])

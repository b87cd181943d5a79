"""A client's header lines as they may be kept: credentials and whatever is named like one are `***`.

`captures` stores the text beside the bodies, `sent` reads it. Made once per head, for clients repeat theirs.
"""

from __future__ import annotations

import re

import msgspec

from atp_engine.core.redact import MARK, redact
from atp_engine.services.attempt import Head, Headers

MOST = 64
_LONGEST = 1_024
_SECRET = re.compile(r"key|token|secret|auth|cookie|passw|credential|signature", re.IGNORECASE)


class KeptHead(msgspec.Struct, frozen=True):
    """What is stored."""

    query: str
    headers: tuple[tuple[str, str], ...]


_DECODER = msgspec.json.Decoder(KeptHead)


def told(headers: Headers) -> tuple[tuple[str, str], ...]:
    """Header lines as text without credentials, at most 64 of them."""
    return tuple(_told(name, value) for name, value in headers[:MOST])


def written(head: Head, query: bytes) -> bytes:
    """The text to store for a call."""
    if query:
        return msgspec.json.encode(KeptHead(redact(query[:_LONGEST].decode("latin-1")), told(head.headers)))
    if head.kept is None:
        head.kept = msgspec.json.encode(KeptHead("", told(head.headers)))
    return head.kept


def read(stored: bytes) -> KeptHead | None:
    """What was stored; None when it is not readable."""
    try:
        return _DECODER.decode(stored)
    except msgspec.DecodeError:
        return None


def _told(name: bytes, value: bytes) -> tuple[str, str]:
    title = name[:_LONGEST].decode("latin-1")
    text = value.decode("latin-1")
    if _SECRET.search(title):
        return title, MARK
    line = redact(f"{title}: {text}")
    _, _, kept = line.partition(": ")
    return title, kept[:_LONGEST]

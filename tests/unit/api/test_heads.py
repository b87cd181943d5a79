"""A request is known by its head's bytes only where the parser would read the same."""

from __future__ import annotations

from typing import Any

import pytest

from atp_engine.api.exchange import Exchange
from atp_engine.api.heads import KnownHead, known_head

_HEAD = b"POST /v1/messages HTTP/1.1\r\nhost: a\r\nContent-Length: %b\r\nx-key: k\r\n\r\n"


class _Exchange(Exchange):
    def __init__(self) -> None:
        self.endpoint: Any = None
        self.query = b"beta=true"


def _known(data: bytes, length: bytes) -> KnownHead | None:
    return known_head(data, length, b"/v1/messages", [(b"x-key", b"k")], {b"x-key": b"k"}, _Exchange())


def test_a_repeated_head_is_known_whatever_the_length_of_its_body() -> None:
    known = _known(_HEAD % b"5" + b"hello", b"5")
    assert known is not None
    for body in (b"hello", b"", b"x" * 12_345, b"\r\n\r\nPOST / HTTP/1.1\r\n"):
        length = str(len(body)).encode()
        data = _HEAD % length + body
        assert known.split(data) == (length, len(data) - len(body))


@pytest.mark.parametrize(
    "data",
    [
        _HEAD % b"5" + b"hell",
        _HEAD % b"5" + b"hello" + _HEAD % b"5",
        _HEAD % b"+5" + b"hello",
        _HEAD % b"5 " + b"hello",
        _HEAD % b"" + b"hello",
        _HEAD % b"5\r\ncontent-length: 5" + b"hello",
        _HEAD % b"5\r\ntransfer-encoding: chunked" + b"hello",
        (_HEAD % b"5").replace(b"x-key: k", b"x-key: l") + b"hello",
        (_HEAD % b"5").replace(b"/v1/messages", b"/v1/message") + b"hello",
        (_HEAD % b"5")[:-2],
        (_HEAD % b"5")[:-20],
        b"",
    ],
)
def test_anything_else_goes_to_the_parser(data: bytes) -> None:
    known = _known(_HEAD % b"5" + b"hello", b"5")
    assert known is not None and known.split(data) is None


@pytest.mark.parametrize(
    ("data", "length"),
    [
        (_HEAD % b"5" + b"hell", b"5"),
        (_HEAD % b"5" + b"hello" + _HEAD % b"5" + b"hello", b"5"),
        (b"\r\n\r\n" + _HEAD % b"5" + b"hello", b"5"),
        ((_HEAD % b"5").replace(b"x-key", b"expect") + b"hello", b"5"),
        ((_HEAD % b"5").replace(b"x-key: k", b"transfer-encoding: chunked") + b"hello", b"5"),
        ((_HEAD % b"5").replace(b"x-key: k", b"connection: upgrade") + b"hello", b"5"),
        ((_HEAD % b"5").replace(b"x-key: k", b"content-length: 5") + b"hello", b"5"),
        ((_HEAD % b"5").replace(b"x-key: k", b"x-key: " + b"k" * 9000) + b"hello", b"5"),
        (b"POST / HTTP/1.1\r\nhost: a\r\n\r\n", b""),
    ],
)
def test_what_is_not_one_plain_request_is_not_remembered(data: bytes, length: bytes) -> None:
    assert _known(data, length) is None

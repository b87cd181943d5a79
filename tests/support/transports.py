"""Both upstream clients for tests, and short ways to make a call and to state its failure."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from atp_engine.core.errors import UpstreamError
from atp_engine.providers.aiohttp_transport import AiohttpTransport
from atp_engine.providers.pooled import PooledTransport
from atp_engine.providers.transport import Origin, Transport, UpstreamRequest


class RunningClock:
    """The machine's clocks, plus whatever a test adds."""

    def __init__(self) -> None:
        self.added_s = 0.0

    def now(self) -> float:
        """UTC epoch seconds."""
        return time.time() + self.added_s

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic() + self.added_s


def make_transport(kind: str) -> Transport:
    """`pooled` or `aiohttp`."""
    return PooledTransport(RunningClock()) if kind == "pooled" else AiohttpTransport(RunningClock())


def call(
    origin: Origin,
    body: bytes = b"{}",
    *,
    method: bytes = b"POST",
    target: bytes = b"/v1/chat",
    headers: bytes = b"content-type: application/json\r\n",
    within_s: float = 0.0,
    limit: str = "ttft",
    connect_s: float = 5.0,
) -> UpstreamRequest:
    """A call to the origin; `within_s` is its deadline from now, 0 is off."""
    return UpstreamRequest(
        origin=origin,
        method=method,
        target=target,
        headers=headers,
        body=body,
        connect_s=connect_s,
        deadline_at=time.monotonic() + within_s if within_s else 0.0,
        deadline_limit=limit,
    )


@contextmanager
def failing(kind: type[UpstreamError], *, limit: str = "") -> Iterator[None]:
    """The block fails with exactly this class, in words that name no place on the network."""
    with pytest.raises(UpstreamError) as caught:
        yield
    error = caught.value
    assert type(error) is kind, f"{error!r} from {error.__cause__!r}"
    assert getattr(error, "limit", "") == limit
    for secret in ("127.0.0.1", "localhost", "http:", "https:", "Errno"):
        assert secret not in error.public_message

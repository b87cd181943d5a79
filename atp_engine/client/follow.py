"""Snapshot, then deltas, for ever: the reading half of a live face, reconnects included.

`follow` yields a Snapshot first and after every loss (a gap, a restart), batches of events between,
and a LinkLost whenever the engine is away. A face folds the three and never sees a socket.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol, cast

from atp_engine.client.errors import EngineError, EngineGone, EngineRefused
from atp_engine.core.events import AnyEvent, Gap
from atp_engine.core.views import Snapshot

Batch = tuple[AnyEvent, ...]

_PAUSES_S = (0.1, 0.25, 0.5, 1.0)
_REFUSED_PAUSE_S = 2.0
_GAP_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The engine is away: what happened, and in how many seconds it is tried again."""

    reason: str
    retry_s: float
    is_refused: bool = False
    """It answers, but not to us: a wrong token or another program on that port."""
    status: int = 0
    """HTTP status of the refusal; 0 when what came was not of our API."""
    code: str = ""


class Followed(Protocol):
    """The two calls that `follow` needs."""

    async def snapshot(self) -> Snapshot:
        """The whole live state; raises EngineError."""
        ...

    def events(self, last_seq: int) -> AsyncIterator[Batch]:
        """Batches after `last_seq`; raises EngineError when the connection ends."""
        ...


async def follow(
    source: Followed, *, pause: Callable[[float], Awaitable[object]] = asyncio.sleep
) -> AsyncIterator[Snapshot | Batch | LinkLost]:
    """Never ends by itself; cancelling it closes the stream. `pause` waits between tries."""
    failures = 0
    while True:
        try:
            snapshot = await source.snapshot()
            failures = 0
            yield snapshot
            async with aclosing(cast(AsyncGenerator[Batch, None], source.events(snapshot.seq))) as batches:
                async for batch in batches:
                    if any(isinstance(event, Gap) for event in batch):
                        break
                    yield batch
            await pause(_GAP_PAUSE_S)
        except EngineError as error:
            is_refused = not isinstance(error, EngineGone)
            retry_s = _REFUSED_PAUSE_S if is_refused else _PAUSES_S[min(failures, len(_PAUSES_S) - 1)]
            failures += 1
            status, code = (error.status, error.code) if isinstance(error, EngineRefused) else (0, "")
            yield LinkLost(error.message, retry_s, is_refused, status, code)
            await pause(retry_s)

"""Waiting for what another thread or task brings about, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Returns once `condition` holds. Raises TimeoutError when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the other side may be a thread or a file
            await asyncio.sleep(0.005)


async def until_answered(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """As `until`, for a condition that has to be asked for. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(0.005)

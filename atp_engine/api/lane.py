"""The one task in which a connection's exchanges are answered, one after the other.

A task of its own for each would be made, registered and thrown away with every request.
"""

from __future__ import annotations

import asyncio

from atp_engine.api.exchange import Exchange


class Lane:
    """Answers the exchanges of one connection. The task is among `tasks` while it answers, so that a stop of
    the server waits for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tasks: set[asyncio.Task[None]]) -> None:
        self._loop = loop
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._bell: asyncio.Future[Exchange | None] | None = None
        """Waits for the next exchange."""
        self._is_used = False
        self._is_over = False

    def start(self, exchange: Exchange) -> None:
        """Answers, from the loop's next turn on."""
        bell = self._bell
        if bell is None:
            self._begin(exchange)
            return
        self._bell = None
        task = exchange.task = self._task
        if task is not None:
            self._tasks.add(task)
        bell.set_result(exchange)

    def end(self) -> None:
        """The connection is gone: no exchange will come."""
        self._is_over = True
        bell, self._bell = self._bell, None
        if bell is not None and not bell.done():
            bell.set_result(None)

    def _begin(self, exchange: Exchange) -> None:
        """With a task: the lane's with the second exchange, one of its own for the first, and for any that
        comes while the one before is being wound up."""
        is_second, self._is_used = self._is_used and self._task is None, True
        work = self._run(exchange) if is_second else exchange.endpoint.serve(exchange)
        task = exchange.task = self._loop.create_task(work)
        self._tasks.add(task)
        if is_second:
            self._task = task
        task.add_done_callback(self._tasks.discard)

    async def _run(self, exchange: Exchange | None) -> None:
        task = self._task
        assert task is not None  # noqa: S101
        loop, tasks = self._loop, self._tasks
        while exchange is not None:
            await exchange.endpoint.serve(exchange)
            tasks.discard(task)
            if self._is_over:
                break
            exchange = None  # while it waits, nothing of the last request is kept
            bell: asyncio.Future[Exchange | None] = loop.create_future()
            self._bell = bell
            exchange = await bell
            del bell
        self._task = None

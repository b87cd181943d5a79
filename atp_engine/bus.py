"""Bounded fan-out of events: publishing never waits, a slow subscriber loses the oldest and is told.

The engine's services publish; `api/events` subscribes once per open stream. Used on one event loop
only. Events get their number here, so numbers rise without holes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from atp_engine.core.events import AnyEvent, Gap

_HISTORY = 2048
_QUEUE = 4096


class Subscription:
    """One listener's bounded queue; `drain` gives what came since, preceded by a Gap if any was lost."""

    def __init__(self, capacity: int) -> None:
        self._queue: deque[AnyEvent] = deque(maxlen=capacity)
        self._capacity = capacity
        self._lost = 0
        self.dropped_total = 0
        self._wake = asyncio.Event()

    def offer(self, event: AnyEvent) -> None:
        """Appends an event; the oldest makes room."""
        if len(self._queue) == self._capacity:
            self._lost += 1
            self.dropped_total += 1
        self._queue.append(event)
        self._wake.set()

    async def wait(self, timeout_s: float) -> None:
        """Returns when something is queued or the time is over."""
        if self._queue:
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return

    def drain(self) -> list[AnyEvent]:
        """Takes everything queued, oldest first."""
        events: list[AnyEvent] = list(self._queue)
        self._queue.clear()
        if self._lost:
            first = events[0].seq if events else 0
            events.insert(0, Gap(seq=first, dropped=self._lost))
            self._lost = 0
        return events


class EventBus:
    """Numbers events, keeps the last 2048 for resuming listeners, and hands them to subscribers."""

    def __init__(self, history: int = _HISTORY) -> None:
        self._seq = 0
        self._history: deque[AnyEvent] = deque(maxlen=history)
        self._subscriptions: set[Subscription] = set()
        self.has_listeners = False
        """Somebody listens or is about to: work that only feeds faces can be skipped otherwise."""
        self._expected = 0

    @property
    def seq(self) -> int:
        """Number of the last event."""
        return self._seq

    def expect(self) -> None:
        """A snapshot was read, so its reader will subscribe soon: the next events are kept for it, as many
        as the history holds."""
        self._expected = self._history.maxlen or 0
        self.has_listeners = True

    def skip(self) -> None:
        """Passes over an event that nobody would hear: the number rises and the history is void, so that a
        listener who comes back later is told to read the snapshot."""
        self._seq += 1
        if self._history:
            self._history.clear()

    def publish(self, make: Callable[[int], AnyEvent]) -> None:
        """Builds the event with its number and offers it to everybody; without listeners it is skipped."""
        if not self._subscriptions:
            self._expected -= 1
            if self._expected <= 0:
                self.has_listeners = False
                self.skip()
                return
        self._seq += 1
        event = make(self._seq)
        self._history.append(event)
        for subscription in self._subscriptions:
            subscription.offer(event)

    def since(self, seq: int) -> list[AnyEvent] | None:
        """The events after `seq`, or None when they are not kept any more (read the snapshot)."""
        if seq > self._seq:
            return None
        if seq == self._seq:
            return []
        if not self._history or self._history[0].seq > seq + 1:
            return None
        return [event for event in self._history if event.seq > seq]

    @contextmanager
    def subscribe(self, capacity: int = _QUEUE) -> Iterator[Subscription]:
        """A subscription for the time of the block."""
        subscription = Subscription(capacity)
        self._subscriptions.add(subscription)
        self.has_listeners = True
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            self._expected = 0
            self.has_listeners = bool(self._subscriptions)

"""The engine's door at run time: the futures of those who wait, around the pure maths of `limits`.

`completions` is admitted or waits once per request and releases the permit on every exit path. The engine's ticker
calls `expire`. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from atp_engine.config.models import LimitsConfig
from atp_engine.core.errors import AdmissionError, QueueFull, RateLimited
from atp_engine.core.ports import Clock
from atp_engine.core.types import Caller
from atp_engine.limits.admission import ADMITTED, Admission, Step
from atp_engine.limits.fair_queue import Ticket


class Permit:
    """A place in flight; `release` gives it back once, further calls do nothing."""

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door: Door | None = door

    def release(self) -> None:
        """Gives the place to whoever waits."""
        door, self._door = self._door, None
        if door is not None:
            door.release()


class Door:
    """Admits, queues and refuses."""

    def __init__(self, limits: LimitsConfig, clock: Clock) -> None:
        self._clock = clock
        self._limits = limits
        self._admission = Admission(limits.max_parallel, limits.max_queued, limits.queue_timeout_s)
        self._waiting: dict[Ticket, asyncio.Future[None]] = {}

    @property
    def in_flight(self) -> int:
        """Requests admitted and not released."""
        return self._admission.in_flight

    @property
    def queued(self) -> int:
        """Requests that wait for a place."""
        return self._admission.queued

    @property
    def dropped_buckets(self) -> int:
        """Rate buckets forgotten because there were too many keys."""
        return self._admission.dropped_buckets

    def admit(self, caller: Caller) -> Permit | None:
        """A permit at once, None when there is no place now: then `wait`.

        Raises RateLimited with a Retry-After; a refusal burns nothing.
        """
        per_minute = caller.requests_per_minute or self._limits.requests_per_minute
        verdict = self._admission.decide(
            caller.key_id, caller.qos, per_minute, self._clock.monotonic(), may_queue=False
        )
        if verdict is ADMITTED:
            return Permit(self)
        if verdict.step is Step.RATE_LIMITED:
            raise RateLimited(verdict.reason, retry_after_s=verdict.retry_after_s)
        return None

    async def wait(self, caller: Caller) -> Permit:
        """A permit after a wait in the fair queue.

        Raises QueueFull or RateLimited with a Retry-After; a refusal burns nothing. Cancelling gives the
        place in the queue back.
        """
        now = self._clock.monotonic()
        verdict = self._admission.decide(caller.key_id, caller.qos, self._per_minute(caller), now)
        if verdict.step is Step.ADMIT:
            return Permit(self)
        if verdict.step is Step.RATE_LIMITED:
            raise RateLimited(verdict.reason, retry_after_s=verdict.retry_after_s)
        ticket = verdict.ticket
        if ticket is None:
            raise QueueFull(verdict.reason, retry_after_s=verdict.retry_after_s)
        if verdict.displaced is not None:
            self._refuse(verdict.displaced, "a request of a class with a claim took this place in the queue")
        future = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        try:
            await future
        except asyncio.CancelledError:
            was_admitted = future.done() and not future.cancelled() and future.exception() is None
            if not self._admission.leave(ticket) and was_admitted:
                self.release()
            raise
        finally:
            self._waiting.pop(ticket, None)
        return Permit(self)

    def _per_minute(self, caller: Caller) -> int:
        return caller.requests_per_minute or self._limits.requests_per_minute

    def release(self) -> None:
        """A place is free: those who wait get it."""
        granted = self._admission.release(self._clock.monotonic())
        if granted:
            self._grant(granted)

    def expire(self) -> None:
        """Refuses those who waited too long; called once a second."""
        for ticket in self._admission.expire(self._clock.monotonic()):
            self._refuse(ticket, f"no place became free within {self._limits.queue_timeout_s:g} s")

    def apply(self, limits: LimitsConfig) -> None:
        """Takes new limits after a config change; nobody is thrown out."""
        self._limits = limits
        self._grant(
            self._admission.resize(
                limits.max_parallel, limits.max_queued, limits.queue_timeout_s, self._clock.monotonic()
            )
        )

    def _grant(self, tickets: Iterable[Ticket]) -> None:
        """Wakes the admitted; one whose client left in the same moment passes its place on."""
        pending = list(tickets)
        while pending:
            future = self._waiting.get(pending.pop())
            if future is not None and not future.done():
                future.set_result(None)
            else:
                pending.extend(self._admission.release(self._clock.monotonic()))

    def _refuse(self, ticket: Ticket, reason: str) -> None:
        future = self._waiting.get(ticket)
        if future is not None and not future.done():
            error: AdmissionError = QueueFull(reason, retry_after_s=self._admission.retry_after_s())
            future.set_exception(error)

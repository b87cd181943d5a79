"""The engine's door at run time: the futures of those who wait, around the pure maths of `limits`.

`completions` is admitted or waits once per request and releases the permit on every exit path. A request
that waits for a deployment's slot (`slots`) parks its permit: who waits holds nothing. The engine's ticker
calls `expire`. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Protocol

from atp_engine.config.models import LimitsConfig
from atp_engine.core.errors import AdmissionError, QueueFull, RateLimited
from atp_engine.core.ports import Clock
from atp_engine.core.types import Caller
from atp_engine.limits.admission import ADMITTED, Admission, Step
from atp_engine.limits.fair_queue import Room, Ticket


class Waiter(Protocol):
    """A request as a queue sees it; where it stands and how long it waited is told there."""

    caller: Caller
    place: Callable[[], int] | None
    queue_wait_ms: float


class Waiting:
    """The futures of everybody who waits in a queue of the engine, and the room they share."""

    def __init__(self, max_queued: int, clock: Clock) -> None:
        self.room = Room(max_queued)
        self._clock = clock
        self._futures: dict[Ticket, asyncio.Future[object]] = {}

    def begin(self, ticket: Ticket) -> asyncio.Future[object]:
        """Lets the ticket be settled from now on; `outcome` must follow."""
        future = self._futures[ticket] = asyncio.get_running_loop().create_future()
        return future

    async def outcome(self, ticket: Ticket, position: Callable[[Ticket], int], waiter: Waiter | None) -> object:
        """What `settle` says of the ticket, or the error of `refuse`; the waiter's place is told meanwhile."""
        future = self._futures.get(ticket) or self.begin(ticket)
        began = self._clock.monotonic()
        if waiter is not None:
            waiter.place = lambda: position(ticket)
        try:
            return await future
        except asyncio.CancelledError as error:
            if future.done() and not future.cancelled() and future.exception() is None:
                raise Granted(future.result()) from error
            raise
        finally:
            del self._futures[ticket]
            if waiter is not None:
                waiter.place = None
                waiter.queue_wait_ms += (self._clock.monotonic() - began) * 1000.0

    def settle(self, ticket: Ticket, result: object) -> bool:
        """Ends a wait; False when its client left in the same moment."""
        future = self._futures.get(ticket)
        if future is None or future.done():
            return False
        future.set_result(result)
        return True

    def refuse(self, ticket: Ticket, error: AdmissionError) -> None:
        """Ends a wait with an error."""
        future = self._futures.get(ticket)
        if future is not None and not future.done():
            future.set_exception(error)


class Granted(asyncio.CancelledError):
    """A wait was cancelled in the moment in which it was granted `result`, which must be given back."""

    def __init__(self, result: object) -> None:
        super().__init__()
        self.result = result


class Permit:
    """A place in flight; `release` gives it back once, further calls do nothing."""

    __slots__ = ("_door", "_is_parked")

    def __init__(self, door: Door) -> None:
        self._door: Door | None = door
        self._is_parked = False

    def release(self) -> None:
        """Gives the place to whoever waits."""
        door, self._door = self._door, None
        if door is not None and not self._is_parked:
            door.release()

    def refund(self, caller: Caller) -> None:
        """Nothing was done for the request: what it counted in its key's rate is given back. Before `release`."""
        if self._door is not None:
            self._door.refund(caller)

    def park(self) -> None:
        """Lends the place to others while the request waits for something else."""
        if self._door is not None and not self._is_parked:
            self._is_parked = True
            self._door.release()

    async def unpark(self, caller: Caller, deadline_at: float) -> None:
        """Takes a place again, ahead of nobody of its class. Raises QueueFull when none comes free in time."""
        if self._door is not None and self._is_parked:
            await self._door.rejoin(caller, deadline_at)
            self._is_parked = False


class Door:
    """Admits, queues and refuses."""

    def __init__(self, limits: LimitsConfig, clock: Clock) -> None:
        self._clock = clock
        self._limits = limits
        self.waiting = Waiting(limits.max_queued, clock)
        """All who wait, here and for slots."""
        self._admission = Admission(limits.max_parallel, self.waiting.room, limits.queue_timeout_s)

    @property
    def in_flight(self) -> int:
        """Requests admitted and not released."""
        return self._admission.in_flight

    @property
    def queued(self) -> int:
        """Requests that wait, for a place or for a slot."""
        return self.waiting.room.size

    @property
    def dropped_buckets(self) -> int:
        """Rate buckets forgotten because there were too many keys."""
        return self._admission.dropped_buckets

    def admit(self, caller: Caller) -> Permit | None:
        """A permit at once, None when there is no place now: then `wait`.

        Raises RateLimited with a Retry-After; a refusal burns nothing.
        """
        verdict = self._admission.decide(
            caller.key_id, caller.qos, self._per_minute(caller), self._clock.monotonic(), may_queue=False
        )
        if verdict is ADMITTED:
            return Permit(self)
        if verdict.step is Step.RATE_LIMITED:
            raise RateLimited(verdict.reason, retry_after_s=verdict.retry_after_s)
        return None

    async def wait(self, caller: Caller, waiter: Waiter | None = None) -> Permit:
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
            self._refuse_displaced(verdict.displaced)
        await self._granted(ticket, waiter)
        return Permit(self)

    async def rejoin(self, caller: Caller, deadline_at: float) -> None:
        """A place for a request that had parked its own; it waits among the others of its class.

        Raises QueueFull when none comes free in time.
        """
        ticket = self._admission.rejoin(caller.key_id, caller.qos, self._clock.monotonic(), deadline_at)
        if ticket is not None:
            await self._granted(ticket, None)

    async def _granted(self, ticket: Ticket, waiter: Waiter | None) -> None:
        try:
            await self.waiting.outcome(ticket, self._admission.position, waiter)
        except Granted:
            self.release()
            raise
        except asyncio.CancelledError:
            self._admission.leave(ticket)
            raise

    def displaced(self, ticket: Ticket) -> None:
        """A waiting request lost its place to one with a claim: it is refused, its rate given back."""
        self._admission.displaced(ticket)
        self._refuse_displaced(ticket)

    def _refuse_displaced(self, ticket: Ticket) -> None:
        self._refuse(ticket, "a request of a class with a claim took this place in the queue")

    def refund(self, caller: Caller) -> None:
        """Uncounts an admitted request in its key's rate."""
        if self._per_minute(caller):
            self._admission.give_back(caller.key_id)

    def retry_after_s(self) -> float:
        """When one more is likely to be admitted."""
        return self._admission.retry_after_s()

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
            if not self.waiting.settle(pending.pop(), None):
                pending.extend(self._admission.release(self._clock.monotonic()))

    def _refuse(self, ticket: Ticket, reason: str) -> None:
        self.waiting.refuse(ticket, QueueFull(reason, retry_after_s=self._admission.retry_after_s()))

"""Whether a request starts now, waits, or is refused: request rates, places in flight and the queue.

Pure maths: the service that owns it holds the futures of those who wait, and calls `release` on every
exit path. A refusal, at once or after a wait, consumes nothing.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from atp_engine.core.types import QoS
from atp_engine.limits.fair_queue import FairQueue, Room, Ticket
from atp_engine.limits.rate import RequestRates

MIN_RETRY_S = 1.0
MAX_RETRY_S = 60.0
_FIRST_GAP_S = 0.02
_WEIGHT = 0.1
"""Share of the newest gap in the average time between two places that come free."""


class Step(StrEnum):
    """What happens to a request."""

    ADMIT = "admit"
    QUEUE = "queue"
    RATE_LIMITED = "rate_limited"
    QUEUE_FULL = "queue_full"


class Verdict(msgspec.Struct, frozen=True):
    """A step with its reason; `retry_after_s` goes with a refusal, `ticket` with a wait.

    `displaced` is a waiting request that lost its place to this one and must be refused by the caller.
    """

    step: Step
    reason: str = ""
    retry_after_s: float = 0.0
    ticket: Ticket | None = None
    displaced: Ticket | None = None


ADMITTED = Verdict(Step.ADMIT)
"""The one verdict that lets a request start now."""
_WOULD_WAIT = Verdict(Step.QUEUE)


class Admission:
    """The engine's door. Times are monotonic seconds."""

    def __init__(self, max_parallel: int, max_queued: int | Room, queue_timeout_s: float) -> None:
        self._max_parallel = max_parallel
        self._queue_timeout_s = queue_timeout_s
        self._queue = FairQueue(max_queued)
        self._rates = RequestRates()
        self._freed_at: float | None = None
        self._gap_s = _FIRST_GAP_S
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """Requests that wait."""
        return len(self._queue)

    @property
    def dropped_buckets(self) -> int:
        """Rate buckets forgotten because there were too many keys."""
        return self._rates.dropped

    def waiting(self) -> dict[QoS, int]:
        """Requests that wait, by class."""
        return self._queue.waiting()

    def decide(
        self, key: str, qos: QoS, per_minute: int, now: float, cost: float = 1.0, *, may_queue: bool = True
    ) -> Verdict:
        """Admits (a place is taken), queues or refuses a request of `key`.

        Without `may_queue` a request that would have to wait changes nothing: the step is QUEUE, with no
        ticket.

        `per_minute` is the key's request rate, 0 for none; `cost` counts within the key's turns only.
        """
        if per_minute > 0:
            wait_s = self._rates.wait_s(key, per_minute, now)
            if wait_s:
                reason = f"{per_minute} requests per minute are used up"
                return Verdict(Step.RATE_LIMITED, reason, retry_after_s=wait_s)
        if self.in_flight < self._max_parallel and not len(self._queue):
            self.in_flight += 1
            if per_minute > 0:
                self._rates.take(key, per_minute, now)
            return ADMITTED
        if not may_queue:
            return _WOULD_WAIT
        if self._queue_timeout_s <= 0:
            return self._full(f"all {self._max_parallel} places in flight are taken")
        ticket, displaced = self._queue.push(key, qos, now, now + self._queue_timeout_s, cost)
        if ticket is None:
            return self._full(
                f"all {self._max_parallel} places in flight and {self._queue.most} in the queue are taken"
            )
        self._rates.take(key, per_minute, now)
        ticket.is_counted = True
        if displaced is not None:
            self.displaced(displaced)
        reason = f"all {self._max_parallel} places in flight are taken"
        return Verdict(Step.QUEUE, reason, ticket=ticket, displaced=displaced)

    def give_back(self, key: str) -> None:
        """Uncounts an admitted request in the key's rate: nothing was done for it."""
        self._rates.give_back(key)

    def rejoin(self, key: str, qos: QoS, now: float, deadline_at: float) -> Ticket | None:
        """A request that gave its place back while it waited for something else takes one again.

        None when it has one at once; else it waits among the others, and a full queue does not refuse it.
        """
        if self.in_flight < self._max_parallel and not len(self._queue):
            self.in_flight += 1
            return None
        return self._queue.push(key, qos, now, deadline_at, is_forced=True)[0]

    def release(self, now: float) -> list[Ticket]:
        """An admitted request is done; returns those admitted in its place (usually one).

        Their places are taken already: an owner that finds one of them gone (its client left in the same
        moment) releases again.
        """
        is_busy = self.in_flight >= self._max_parallel
        if is_busy and self._freed_at is not None:
            self._gap_s += _WEIGHT * (now - self._freed_at - self._gap_s)
        self._freed_at = now if is_busy else None
        self.in_flight -= 1
        return self._grant(now) if len(self._queue) else []

    def leave(self, ticket: Ticket) -> bool:
        """A waiting client left; False when the request had already been admitted or refused (then an
        admitted one must be released)."""
        return self._queue.remove(ticket)

    def expire(self, now: float) -> list[Ticket]:
        """Requests that waited too long: to be refused; their rate tokens are given back."""
        late = self._queue.expire(now)
        for ticket in late:
            self.displaced(ticket)
        return late

    def displaced(self, ticket: Ticket) -> None:
        """A waiting request lost its place: what it counted in its key's rate is given back."""
        if ticket.is_counted:
            self._rates.give_back(ticket.key)

    def resize(self, max_parallel: int, max_queued: int, queue_timeout_s: float, now: float) -> list[Ticket]:
        """New limits after a config change; returns those admitted by more room. Nobody is thrown out."""
        self._max_parallel = max_parallel
        self._queue_timeout_s = queue_timeout_s
        self._queue.most = max_queued
        return self._grant(now)

    def position(self, ticket: Ticket) -> int:
        """1-based place in the queue, 0 when it does not wait any more."""
        return self._queue.position(ticket)

    def retry_after_s(self) -> float:
        """When a place is likely to be free for one more, from the recent pace: 1 to 60 s."""
        return min(MAX_RETRY_S, max(MIN_RETRY_S, self._gap_s * (len(self._queue) + 1)))

    def _grant(self, now: float) -> list[Ticket]:
        granted: list[Ticket] = []
        while self.in_flight < self._max_parallel:
            ticket = self._queue.pop(now)
            if ticket is None:
                break
            self.in_flight += 1
            granted.append(ticket)
        return granted

    def _full(self, reason: str) -> Verdict:
        return Verdict(Step.QUEUE_FULL, reason, retry_after_s=self.retry_after_s())

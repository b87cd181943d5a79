"""The slots of deployments at run time: who may call now, who waits for a slot, what the answers teach.

`attempts` asks for a slot only when `HealthBook.acquire` has refused one; the uncontended call costs nothing
here. A lease is the slot: it is held to the end of the stream, and a stream is never cut for a better class.
What was learned stays with the deployment's key over config reloads.
"""

from __future__ import annotations

import asyncio
from math import ceil

from atp_engine.config.models import LimitsConfig
from atp_engine.core.errors import AdmissionError, QueueFull, RateLimited
from atp_engine.core.ports import Clock, Rng
from atp_engine.core.types import AttemptOutcome, DeploymentSpec, QoS
from atp_engine.limits.aimd import Bounds
from atp_engine.limits.fair_queue import CLASSES, Ticket
from atp_engine.limits.gate import Gate
from atp_engine.routing.health import MAX_DEPLOYMENTS, DeploymentHealth, HealthBook, Lease
from atp_engine.routing.table import RoutingTable
from atp_engine.services.admission import Door, Granted, Permit, Waiter

TIMER_SLACK_S = 0.005
"""The loop's timers have milliseconds and may be early by one."""


class Slots:
    """One gate per deployment, all in the engine's one bounded room of waiting requests."""

    def __init__(self, limits: LimitsConfig, clock: Clock, rng: Rng, health: HealthBook, door: Door) -> None:
        self._limits = limits
        self._clock = clock
        self._rng = rng
        self._health = health
        self._door = door
        self._waiting = door.waiting
        self._bounds = _bounds(limits)
        self._gates: dict[str, Gate] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def adopt(self, spec: DeploymentSpec, health: DeploymentHealth) -> Gate:
        """The deployment's gate, made at its first call; states its limit."""
        gate = self._gates.get(spec.key)
        if gate is None:
            if len(self._gates) >= MAX_DEPLOYMENTS:
                self._forget_one()
            is_learning = self._limits.adaptive.is_on
            gate = self._gates[spec.key] = Gate(
                spec.key, self._waiting.room, self._bounds, spec.max_parallel, is_learning=is_learning
            )
        health.limit = gate.limit
        return gate

    def queued(self) -> dict[str, int]:
        """How many wait for each deployment, those without left out."""
        return {key: len(gate.line) for key, gate in self._gates.items() if len(gate.line)}

    def waiting_by_class(self) -> dict[QoS, int]:
        """How many wait in all queues of the engine, by class."""
        queues = self._waiting.room.queues
        return {qos: sum(queue.count(qos) for queue in queues) for qos in CLASSES}

    def heard(self, health: DeploymentHealth, latency_ms: float) -> None:
        """The deployment delivered: a stream's first content, or a whole answer, after `latency_ms`."""
        gate = self._gates.get(health.key)
        if gate is None or not gate.is_learning:
            return
        limit = gate.learned.good(latency_ms)
        if limit != health.limit:
            health.limit = limit
            if health.waiting:
                self.advance(health)

    def failed(self, health: DeploymentHealth, outcome: AttemptOutcome, started_at: float, now: float) -> None:
        """A call that began at `started_at` failed."""
        gate = self._gates.get(health.key)
        if gate is not None and gate.is_learning:
            health.limit = gate.learned.bad(outcome, started_at, now, self._rng)

    async def wait(self, spec: DeploymentSpec, waiter: Waiter, permit: Permit) -> Lease | None:
        """A slot after a wait in the fair queue; None when the deployment was taken out meanwhile: decide anew.

        The permit is parked while it waits. Raises RateLimited while the deployment rests for longer than
        the request may wait, QueueFull when the queue is full or no slot comes free in time. Cancelling gives
        up the place in the queue, or the slot.
        """
        now = self._clock.monotonic()
        health = self._health.of(spec.key)
        gate = self._gates.get(spec.key) or self.adopt(spec, health)
        caller = waiter.caller
        deadline_at = now + self._limits.queue_timeout_s - waiter.queue_wait_ms * 0.001
        if health.is_rate_limited(now) and health.resting_until >= deadline_at:
            raise self._refusal(health, now)
        if deadline_at <= now:
            raise self._refusal(health, now)
        ticket, displaced = gate.line.push(caller.key_id, caller.qos, now, deadline_at)
        if ticket is None:
            raise QueueFull(
                f"{_full(health)}, and all {self._limits.max_queued} places in the queue",
                retry_after_s=self._door.retry_after_s(),
            )
        if displaced is not None:
            self._door.displaced(displaced)
        health.waiting = len(gate.line)
        future = self._waiting.begin(ticket)
        self.advance(health)
        if not future.done():
            permit.park()
        lease = await self._outcome(gate, health, ticket, waiter)
        if lease is not None:
            try:
                await permit.unpark(caller, deadline_at)
            except BaseException:
                self._give_back(lease)
                raise
        else:
            await permit.unpark(caller, deadline_at)
        return lease

    async def _outcome(self, gate: Gate, health: DeploymentHealth, ticket: Ticket, waiter: Waiter) -> Lease | None:
        try:
            found = await self._waiting.outcome(ticket, gate.line.position, waiter)
        except Granted as granted:
            if isinstance(granted.result, Lease):
                self._give_back(granted.result)
            raise
        except asyncio.CancelledError:
            gate.line.remove(ticket)
            raise
        finally:
            health.waiting = len(gate.line)
        return found if isinstance(found, Lease) else None

    def advance(self, health: DeploymentHealth) -> None:
        """Gives the free slots to those who wait, as far as the deployment may be called."""
        gate = self._gates.get(health.key)
        if gate is None:
            return
        line = gate.line
        while len(line):
            now = self._clock.monotonic()
            if health.is_shut():
                self.evict(health)
            elif health.is_rate_limited(now):
                self._arm(health, now)
                break
            elif 0 < health.limit <= health.in_flight:
                break
            else:
                self._grant(health, line.pop(now), now)
        health.waiting = len(line)

    def evict(self, health: DeploymentHealth) -> None:
        """Sends all who wait to decide anew: the deployment was taken out."""
        gate = self._gates.get(health.key)
        health.waiting = 0
        if gate is not None:
            for ticket in gate.line.clear():
                self._waiting.settle(ticket, None)

    def expire(self) -> None:
        """Refuses those who waited too long; called once a second."""
        now = self._clock.monotonic()
        for gate in self._gates.values():
            late = gate.line.expire(now)
            if not late:
                continue
            health = self._health.of(gate.key)
            health.waiting = len(gate.line)
            error = self._refusal(health, now)
            for ticket in late:
                self._waiting.refuse(ticket, error)

    def apply(self, limits: LimitsConfig, table: RoutingTable) -> None:
        """Takes the limits of a new config; nobody is thrown out, and what was learned is kept."""
        self._limits = limits
        self._bounds = _bounds(limits)
        for key, gate in list(self._gates.items()):
            spec = table.deployments.get(key)
            gate.apply(self._bounds, spec.max_parallel if spec is not None else 0, is_learning=limits.adaptive.is_on)
            health = self._health.get(key)
            if health is not None:
                health.limit = gate.limit
                self.advance(health)
            if key not in table and self._is_idle(gate):
                self._forget(gate)

    def _grant(self, health: DeploymentHealth, ticket: Ticket | None, now: float) -> None:
        if ticket is None:
            return
        lease = self._health.acquire(health.key, now, is_last_resort=True, is_granted=True)
        if not self._waiting.settle(ticket, lease) and lease is not None:
            self._health.record(lease, AttemptOutcome.CANCELLED, None, 0.0, now)

    def _give_back(self, lease: Lease) -> None:
        self._health.record(lease, AttemptOutcome.CANCELLED, None, 0.0, self._clock.monotonic())
        self.advance(lease.health)

    def _arm(self, health: DeploymentHealth, now: float) -> None:
        """Looks again when the deployment's rest is over."""
        if health.key not in self._timers:
            wait_s = health.resting_until - now + TIMER_SLACK_S
            self._timers[health.key] = asyncio.get_running_loop().call_later(wait_s, self._rested, health)

    def _rested(self, health: DeploymentHealth) -> None:
        del self._timers[health.key]
        self.advance(health)

    def _refusal(self, health: DeploymentHealth, now: float) -> AdmissionError:
        if health.is_rate_limited(now):
            rest_s = health.resting_until - now
            return RateLimited(f"{health.key} rests after a rate limit, {ceil(rest_s)} s left", retry_after_s=rest_s)
        waited = f"{_full(health)} and none came free within {self._limits.queue_timeout_s:g} s"
        return QueueFull(waited, retry_after_s=self._door.retry_after_s())

    def _is_idle(self, gate: Gate) -> bool:
        health = self._health.get(gate.key)
        return not len(gate.line) and (health is None or not health.in_flight)

    def _forget_one(self) -> None:
        gate = next((gate for gate in self._gates.values() if self._is_idle(gate)), None)
        if gate is not None:
            self._forget(gate)

    def _forget(self, gate: Gate) -> None:
        gate.line.close()
        del self._gates[gate.key]


def _full(health: DeploymentHealth) -> str:
    return f"all {health.limit} slots of {health.key} are taken"


def _bounds(limits: LimitsConfig) -> Bounds:
    adaptive = limits.adaptive
    return Bounds(adaptive.base, adaptive.cap, adaptive.floor, adaptive.latency_target_s * 1000.0)

"""Slots at run time: classes before a full deployment, who makes room, what a reload keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from atp_engine.config.models import LimitsConfig
from atp_engine.core.errors import QueueFull
from atp_engine.core.types import AttemptOutcome, Caller, QoS
from atp_engine.routing.health import HealthBook, Lease
from atp_engine.services.admission import Door, Permit
from atp_engine.services.slots import Slots
from tests.support.manual_clock import ManualClock
from tests.support.routing_facts import Dice, table_of

LIMITS: dict[str, object] = {"max_queued": 2, "adaptive": {"base": 1}}
TABLE = table_of(
    {"providers": {"p": {"kind": "custom"}}, "deployments": {"a": {"provider": "p", "model": "m"}}, "limits": LIMITS}
)
SPEC = TABLE.deployments["a"]


class Asker:
    """A request that waits; what it was granted."""

    place: Callable[[], int] | None = None
    queue_wait_ms = 0.0

    def __init__(self, desk: Desk, name: str, qos: QoS) -> None:
        self.caller = Caller(name, name, qos=qos)
        admitted = desk.door.admit(self.caller)
        assert admitted is not None
        self.permit: Permit = admitted
        self.task = asyncio.create_task(desk.slots.wait(SPEC, self, self.permit))


class Desk:
    """One deployment with one slot, which is taken."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        limits = LimitsConfig.model_validate(LIMITS)
        self.book = HealthBook(Dice(0.5))
        self.door = Door(limits, self.clock)
        self.slots = Slots(limits, self.clock, Dice(0.5), self.book, self.door)
        self.slots.adopt(SPEC, self.book.of("a"))
        self.held = self.book.acquire("a", 0.0)

    def finish(self, lease: Lease | None) -> None:
        assert lease is not None
        self.book.record(lease, AttemptOutcome.OK, 1.0, 1.0, self.clock.monotonic())
        self.slots.advance(lease.health)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_gold_is_granted_before_silver_and_bronze_and_pushes_a_bronze_one_out_of_a_full_queue() -> None:
    desk = Desk()
    bronze = [Asker(desk, name, QoS.BRONZE) for name in ("b1", "b2")]
    await settled()
    assert [one.place() for one in bronze if one.place is not None] == [1, 2]
    assert desk.door.in_flight == 0, "who waits holds no place"
    gold = Asker(desk, "g", QoS.GOLD)
    await settled()
    assert gold.place is not None
    assert gold.place() == 1
    displaced = [one for one in bronze if one.task.done()]
    assert len(displaced) == 1
    with pytest.raises(QueueFull, match="a class with a claim"):
        await displaced[0].task
    desk.finish(desk.held)
    lease = await gold.task
    assert desk.door.in_flight == 1, "only who is granted a slot has a place again"
    desk.finish(lease)
    (left,) = [one for one in bronze if one not in displaced]
    desk.finish(await left.task)
    assert (desk.book.of("a").in_flight, desk.book.of("a").waiting, desk.door.queued) == (0, 0, 0)


async def test_a_client_that_leaves_in_the_moment_of_its_grant_passes_the_slot_on() -> None:
    desk = Desk()
    first, second = Asker(desk, "1", QoS.SILVER), Asker(desk, "2", QoS.SILVER)
    await settled()
    desk.finish(desk.held)
    first.task.cancel()
    desk.finish(await second.task)
    assert first.task.cancelled()
    first.permit.release()
    second.permit.release()
    assert (desk.book.of("a").in_flight, desk.book.of("a").waiting, desk.door.in_flight) == (0, 0, 0)


async def test_a_reload_keeps_what_was_learned_and_more_room_is_given_at_once() -> None:
    desk = Desk()
    waiting = Asker(desk, "1", QoS.SILVER)
    await settled()
    for _ in range(6):
        desk.slots.heard(desk.book.of("a"), 40_000.0)  # late: teaches nothing
    assert not waiting.task.done()
    desk.slots.heard(desk.book.of("a"), 10.0)
    assert await waiting.task is not None
    desk.slots.apply(LimitsConfig.model_validate(LIMITS), TABLE)
    assert desk.book.of("a").limit == 2
    desk.slots.failed(desk.book.of("a"), AttemptOutcome.OVERLOADED, 1.0, 2.0)
    assert desk.book.of("a").limit == 1


async def test_a_wait_that_is_too_long_is_refused_and_the_line_is_empty_again() -> None:
    desk = Desk()
    waiting = Asker(desk, "1", QoS.SILVER)
    await settled()
    desk.clock.advance(31.0)
    desk.slots.expire()
    with pytest.raises(QueueFull, match="within 30 s"):
        await waiting.task
    assert waiting.queue_wait_ms == pytest.approx(31_000.0)
    assert desk.book.of("a").waiting == 0

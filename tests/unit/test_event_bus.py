"""The bus: numbers without holes, bounded queues, and a truthful answer to who was away."""

from __future__ import annotations

import asyncio

from atp_engine.bus import EventBus
from atp_engine.core.events import Gap, SessionEnded


def ended(seq: int) -> SessionEnded:
    return SessionEnded(seq, f"s-{seq}")


def publish(bus: EventBus, count: int) -> None:
    for _ in range(count):
        bus.publish(ended)


def test_a_listener_gets_every_event_in_order_with_rising_numbers() -> None:
    bus = EventBus()
    with bus.subscribe() as subscription:
        publish(bus, 3)
        assert [event.seq for event in subscription.drain()] == [1, 2, 3]
        assert subscription.drain() == []


def test_a_slow_listener_loses_the_oldest_and_is_told_how_many() -> None:
    bus = EventBus()
    with bus.subscribe(capacity=2) as subscription:
        publish(bus, 5)
        gap, *events = subscription.drain()
        assert gap == Gap(seq=4, dropped=3)
        assert [event.seq for event in events] == [4, 5]


def test_without_listeners_nothing_is_built_and_who_was_away_must_read_the_snapshot() -> None:
    bus = EventBus()
    with bus.subscribe():
        publish(bus, 2)
    built: list[int] = []
    bus.publish(lambda seq: built.append(seq) or ended(seq))  # type: ignore[func-returns-value]
    assert built == []
    assert bus.seq == 3
    assert bus.since(2) is None
    assert bus.since(3) == []


def test_a_listener_that_comes_back_in_time_resumes_without_a_hole() -> None:
    bus = EventBus()
    with bus.subscribe():
        publish(bus, 4)
        missed = bus.since(2)
        assert missed is not None
        assert [event.seq for event in missed] == [3, 4]
        assert bus.since(99) is None


def test_the_reader_of_a_snapshot_finds_the_events_after_it_although_nobody_listened_yet() -> None:
    bus = EventBus()
    publish(bus, 7)
    seq = bus.seq
    bus.expect()
    publish(bus, 3)
    missed = bus.since(seq)
    assert missed is not None
    assert [event.seq for event in missed] == [8, 9, 10]


def test_a_reader_that_never_comes_is_not_waited_for_for_ever() -> None:
    bus = EventBus(history=4)
    bus.expect()
    publish(bus, 10)
    assert not bus.has_listeners
    assert bus.since(0) is None


async def test_waiting_ends_with_an_event_or_with_the_time() -> None:
    bus = EventBus()
    with bus.subscribe() as subscription:
        await asyncio.wait_for(subscription.wait(0.01), 1.0)
        waiting = asyncio.create_task(subscription.wait(5.0))
        await asyncio.sleep(0)
        publish(bus, 1)
        await asyncio.wait_for(waiting, 1.0)
        assert len(subscription.drain()) == 1

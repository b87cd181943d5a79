from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from random import Random

import pytest

from atp_engine.core.types import QoS
from atp_engine.limits.admission import Admission, Step
from atp_engine.limits.fair_queue import Ticket


def test_places_are_given_until_they_are_taken_then_requests_wait_then_they_are_refused() -> None:
    door = Admission(max_parallel=2, max_queued=1, queue_timeout_s=30)
    steps = [door.decide("k", QoS.SILVER, 0, 0.0) for _ in range(5)]
    assert [verdict.step for verdict in steps] == [
        Step.ADMIT,
        Step.ADMIT,
        Step.QUEUE,
        Step.QUEUE_FULL,
        Step.QUEUE_FULL,
    ]
    assert steps[2].reason == "all 2 places in flight are taken"
    assert steps[3].reason == "all 2 places in flight and 1 in the queue are taken"
    assert all(1 <= verdict.retry_after_s <= 60 for verdict in steps[3:])
    assert (door.in_flight, door.queued) == (2, 1)


def test_a_place_that_comes_free_goes_to_the_next_in_line() -> None:
    door = Admission(1, 10, 30)
    door.decide("a", QoS.SILVER, 0, 0.0)
    waiting = door.decide("b", QoS.SILVER, 0, 0.0).ticket
    assert waiting is not None
    assert door.position(waiting) == 1
    assert door.release(1.0) == [waiting]
    assert door.in_flight == 1
    assert not door.leave(waiting)
    assert door.release(2.0) == []
    assert door.in_flight == 0


def test_a_refusal_consumes_no_rate() -> None:
    door = Admission(1, 0, 30)
    assert door.decide("a", QoS.SILVER, 2, 0.0).step is Step.ADMIT
    for _ in range(10):
        assert door.decide("a", QoS.SILVER, 2, 0.0).step is Step.QUEUE_FULL
    door.release(0.0)
    assert door.decide("a", QoS.SILVER, 2, 0.0).step is Step.ADMIT
    refused = door.decide("a", QoS.SILVER, 2, 0.0)
    assert refused.step is Step.RATE_LIMITED
    assert refused.retry_after_s == pytest.approx(30.0)
    assert refused.reason == "2 requests per minute are used up"
    assert door.in_flight == 1


def test_a_rate_limited_request_takes_neither_place_nor_queue() -> None:
    door = Admission(5, 5, 30)
    steps = [door.decide("a", QoS.SILVER, 3, 0.0).step for _ in range(50)]
    assert steps.count(Step.ADMIT) == 3
    assert (door.in_flight, door.queued) == (3, 0)
    assert door.decide("b", QoS.SILVER, 3, 0.0).step is Step.ADMIT


def test_waiting_too_long_and_being_displaced_give_the_rate_back() -> None:
    door = Admission(1, 1, 10)
    door.decide("hog", QoS.SILVER, 0, 0.0)
    first = door.decide("a", QoS.BRONZE, 1, 0.0)
    assert first.step is Step.QUEUE
    pushed = door.decide("g", QoS.GOLD, 1, 0.0)
    assert pushed.displaced is first.ticket
    assert pushed.ticket is not None
    assert door.expire(10.0) == [pushed.ticket]
    assert door.decide("a", QoS.BRONZE, 1, 10.0).step is Step.QUEUE
    assert door.expire(20.0) != []
    assert door.decide("g", QoS.GOLD, 1, 20.0).step is Step.QUEUE


def test_without_a_queue_time_nobody_waits() -> None:
    door = Admission(1, 10, 0)
    door.decide("a", QoS.SILVER, 0, 0.0)
    assert door.decide("a", QoS.SILVER, 0, 0.0).step is Step.QUEUE_FULL


def test_more_room_admits_at_once_and_less_room_throws_nobody_out() -> None:
    door = Admission(4, 10, 30)
    for _ in range(8):
        door.decide("a", QoS.SILVER, 0, 0.0)
    assert len(door.resize(6, 10, 30, 0.0)) == 2
    assert door.resize(1, 0, 30, 0.0) == []
    assert [door.release(0.0) for _ in range(5)] == [[]] * 5
    assert len(door.release(0.0)) == 1
    assert door.in_flight == 1


def test_the_time_to_retry_follows_the_pace_of_a_busy_engine() -> None:
    door = Admission(1, 2, 1e6)
    for second in range(200):
        door.decide("a", QoS.SILVER, 0, second * 5.0)
        if door.queued:
            door.release(second * 5.0)
    assert door.retry_after_s() == pytest.approx(5.0 * (door.queued + 1), rel=0.1)


class Run:
    """Three classes and fifty keys at one door, each with its own appetite, for some simulated time."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.door = Admission(max_parallel=20, max_queued=400, queue_timeout_s=120)
        self.keys = [(f"gold{n}", QoS.GOLD, 0.6) for n in range(10)]
        self.keys += [(f"silver{n}", QoS.SILVER, 1.0 + 5.0 * (n < 3)) for n in range(20)]
        self.keys += [(f"bronze{n}", QoS.BRONZE, 1.0 + 5.0 * (n < 3)) for n in range(20)]
        self.served: dict[str, int] = defaultdict(int)
        self.waits: dict[QoS, list[float]] = defaultdict(list)
        self.passed_over = 0
        self.outstanding: set[Ticket] = set()
        self.steps: dict[Step, int] = defaultdict(int)

    def go(self, seconds: float) -> None:
        events: list[tuple[float, int, str]] = []
        by_key = {key: (qos, rate) for key, qos, rate in self.keys}
        for number, (key, _, rate) in enumerate(self.keys):
            heappush(events, (self.rng.expovariate(rate), number, key))
        number = len(self.keys)
        since_bronze = 0
        while events:
            now, _, key = heappop(events)
            number += 1
            if key == "":
                granted = self.door.release(now)
                for ticket in granted:
                    self.outstanding.discard(ticket)
                    if ticket.qos is QoS.BRONZE:
                        is_gold_waiting = self.door.waiting()[QoS.GOLD] > 0
                        self.passed_over += is_gold_waiting and since_bronze < 7
                        since_bronze = 0
                    else:
                        since_bronze += 1
                    self.start(ticket.key, ticket.qos, now - ticket.enqueued_at)
                    heappush(events, (now + self.rng.uniform(0.5, 1.5), number, ""))
                continue
            if now > seconds:
                continue
            qos, rate = by_key[key]
            verdict = self.door.decide(key, qos, 0, now)
            self.steps[verdict.step] += 1
            if verdict.step is Step.ADMIT:
                self.start(key, qos, 0.0)
                heappush(events, (now + self.rng.uniform(0.5, 1.5), number, ""))
            if verdict.ticket is not None:
                self.outstanding.add(verdict.ticket)
            if verdict.displaced is not None:
                self.outstanding.discard(verdict.displaced)
            heappush(events, (now + self.rng.expovariate(rate), number + 1_000_000, key))
            for late in self.door.expire(now):
                self.outstanding.discard(late)

    def start(self, key: str, qos: QoS, wait: float) -> None:
        self.served[key] += 1
        self.waits[qos].append(wait)

    def jain(self, qos: QoS) -> float:
        counts = [self.served[key] for key, of, _ in self.keys if of is qos]
        return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


@pytest.mark.parametrize("seed", [1, 2])
def test_three_classes_and_fifty_keys_share_fairly_and_nothing_starves(seed: int) -> None:
    run = Run(seed)
    run.go(300.0)
    assert run.jain(QoS.GOLD) >= 0.95
    assert run.jain(QoS.SILVER) >= 0.95
    assert run.jain(QoS.BRONZE) >= 0.95
    assert min(run.served.values()) > 0
    assert len(run.served) == 50
    assert run.passed_over == 0
    assert max(run.waits[QoS.GOLD]) < 2.0
    assert sum(run.waits[QoS.GOLD]) / len(run.waits[QoS.GOLD]) < sum(run.waits[QoS.BRONZE]) / len(run.waits[QoS.BRONZE])
    assert run.door.in_flight == 0
    assert run.door.queued == 0
    assert run.steps[Step.QUEUE_FULL] > 0

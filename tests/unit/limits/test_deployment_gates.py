"""The slots of deployments: what is learned from answers, who shares the room, and that the line is fair."""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from random import Random

import pytest

from atp_engine.core.types import AttemptOutcome, QoS
from atp_engine.limits.admission import Admission, Step
from atp_engine.limits.aimd import Bounds, LearnedLimit
from atp_engine.limits.fair_queue import FairQueue, Room, Ticket
from atp_engine.limits.gate import UNLIMITED, Gate
from tests.support.routing_facts import Dice

MIDDLE = Dice(0.5)
"""No jitter."""


def test_a_limit_starts_at_four_grows_by_one_per_answer_in_time_and_ends_at_sixty_four() -> None:
    learned = LearnedLimit(Bounds())
    assert learned.limit == 4
    assert learned.good(100.0) == 5
    assert learned.good(30_000.0) == 5, "not in time"
    assert [learned.good(1.0) for _ in range(100)][-1] == 64


@pytest.mark.parametrize("outcome", [AttemptOutcome.RATE_LIMITED, AttemptOutcome.OVERLOADED, AttemptOutcome.TIMEOUT])
def test_trouble_halves_the_limit_once_per_wave_down_to_one(outcome: AttemptOutcome) -> None:
    learned = LearnedLimit(Bounds(base=16))
    assert learned.bad(outcome, started_at=1.0, now=2.0, rng=MIDDLE) == 8
    assert learned.bad(outcome, started_at=1.5, now=2.1, rng=MIDDLE) == 8, "sent before the cut"
    for second in range(3, 12):
        learned.bad(outcome, started_at=float(second), now=second + 0.5, rng=MIDDLE)
    assert learned.limit == 1


def test_other_failures_say_nothing_of_load_and_the_jitter_is_five_percent() -> None:
    learned = LearnedLimit(Bounds(base=40))
    for outcome in set(AttemptOutcome) - {"rate_limited", "overloaded", "timeout"}:
        assert learned.bad(outcome, 1.0, 2.0, MIDDLE) == 40
    assert LearnedLimit(Bounds(base=40)).bad(AttemptOutcome.TIMEOUT, 1.0, 2.0, Dice(0.0)) == 19
    assert LearnedLimit(Bounds(base=40)).bad(AttemptOutcome.TIMEOUT, 1.0, 2.0, Dice(1.0)) == 21


def test_a_stated_limit_is_the_cap_and_a_new_config_keeps_what_was_learned() -> None:
    gate = Gate("a", Room(10), Bounds(), 6, is_learning=True)
    for _ in range(20):
        gate.learned.good(1.0)
    assert gate.limit == 6
    gate.apply(Bounds(), 0, is_learning=True)
    assert gate.limit == 6
    assert gate.learned.good(1.0) == 7
    gate.apply(Bounds(cap=3), 0, is_learning=True)
    assert gate.limit == 3
    gate.apply(Bounds(), 9, is_learning=False)
    assert gate.limit == 9
    gate.apply(Bounds(), 0, is_learning=False)
    assert gate.limit == UNLIMITED


def test_queues_share_one_room_and_a_higher_class_takes_it_from_a_lower_one_anywhere() -> None:
    room = Room(2)
    first, second = FairQueue(room), FairQueue(room)
    bronze, _ = first.push("b", QoS.BRONZE, 0.0, 9.0)
    first.push("s", QoS.SILVER, 0.0, 9.0)
    assert second.push("c", QoS.BRONZE, 0.0, 9.0) == (None, None), "an equal takes nothing"
    gold, displaced = second.push("g", QoS.GOLD, 0.0, 9.0)
    assert gold is not None
    assert displaced is bronze
    assert (room.size, len(first), len(second)) == (2, 1, 1)
    back, displaced = first.push("b", QoS.BRONZE, 0.0, 9.0, is_forced=True)
    assert (back is not None, displaced, room.size) == (True, None, 3)
    assert first.clear() and room.size == 1
    second.pop(10.0)
    assert room.size == 0


def test_a_place_lent_to_others_is_taken_again_in_the_fair_line() -> None:
    door = Admission(1, 0, 30)
    assert door.decide("a", QoS.GOLD, 0, 0.0).step is Step.ADMIT
    back = door.rejoin("b", QoS.SILVER, 0.0, 9.0)
    assert back is not None, "a full queue does not refuse who comes back"
    assert door.release(1.0) == [back]
    door.release(2.0)
    assert door.rejoin("b", QoS.SILVER, 3.0, 9.0) is None
    assert door.in_flight == 1


class Deployment:
    """A gate before an upstream that bears twelve calls at once, and fifty keys that want more than that."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.gate = Gate("a", Room(600), Bounds(), 0, is_learning=True)
        self.keys = [(f"gold{n}", QoS.GOLD, 0.3) for n in range(10)]
        self.keys += [(f"silver{n}", QoS.SILVER, 1.0 + 5.0 * (n < 3)) for n in range(20)]
        self.keys += [(f"bronze{n}", QoS.BRONZE, 1.0 + 5.0 * (n < 3)) for n in range(20)]
        self.in_flight = 0
        self.served: dict[str, int] = defaultdict(int)
        self.longest: dict[QoS, float] = defaultdict(float)
        self.behind_bronze = 0
        self.since_bronze = 0
        self.until = 0.0
        self.events: list[tuple[float, int, str, Ticket | None, float]] = []
        self.number = 0

    def run(self, seconds: float) -> None:
        """Everybody asks for `seconds`; what waits then is served without a contest, and not counted."""
        self.until = seconds
        rates = {key: (qos, rate) for key, qos, rate in self.keys}
        for key, _, rate in self.keys:
            self.at(self.rng.expovariate(rate), key, None, 0.0)
        while self.events:
            now, _, key, ticket, began = heappop(self.events)
            if ticket is not None:
                self.end(now, ticket, began)
            elif now <= seconds:
                qos, rate = rates[key]
                self.gate.line.push(key, qos, now, now + 600.0)
                self.at(now + self.rng.expovariate(rate), key, None, 0.0)
            self.start(now)

    def at(self, when: float, key: str, ticket: Ticket | None, began: float) -> None:
        self.number += 1
        heappush(self.events, (when, self.number, key, ticket, began))

    def start(self, now: float) -> None:
        while self.in_flight < self.gate.limit:
            ticket = self.gate.line.pop(now)
            if ticket is None:
                return
            if ticket.qos is QoS.BRONZE:
                self.behind_bronze += self.gate.line.count(QoS.GOLD) > 0 and self.since_bronze < 7
                self.since_bronze = 0
            else:
                self.since_bronze += 1
            self.longest[ticket.qos] = max(self.longest[ticket.qos], now - ticket.enqueued_at)
            self.in_flight += 1
            is_refused = self.in_flight > 12
            self.at(now + (0.05 if is_refused else self.rng.uniform(0.5, 1.5)), "!" if is_refused else "", ticket, now)

    def end(self, now: float, ticket: Ticket, began: float) -> None:
        self.in_flight -= 1
        if began + 0.06 > now:
            self.gate.learned.bad(AttemptOutcome.RATE_LIMITED, began, now, self.rng)
            self.gate.line.push(ticket.key, ticket.qos, now, now + 600.0, is_forced=True)
            return
        self.gate.learned.good(1.0)
        if now <= self.until:
            self.served[ticket.key] += 1

    def jain(self, qos: QoS) -> float:
        counts = [self.served[key] for key, of, _ in self.keys if of is qos]
        return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


@pytest.mark.parametrize(
    ("seed", "seconds"), [(1, 200.0), (2, 200.0), pytest.param(3, 20_000.0, marks=pytest.mark.long)]
)
def test_three_classes_and_fifty_keys_share_a_learned_deployment_fairly_and_nothing_starves(
    seed: int, seconds: float
) -> None:
    deployment = Deployment(seed)
    deployment.run(seconds)
    for qos in QoS:
        assert deployment.jain(qos) >= 0.95, qos
    assert len(deployment.served) == 50
    assert deployment.behind_bronze == 0, "a bronze one goes before gold only when it is owed its share"
    assert deployment.longest[QoS.GOLD] < 3.0 < deployment.longest[QoS.BRONZE]
    assert deployment.in_flight == len(deployment.gate.line) == 0

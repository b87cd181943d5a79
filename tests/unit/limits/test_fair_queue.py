from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from atp_engine.core.types import QoS
from atp_engine.limits.fair_queue import FairQueue, Ticket

FAR = 1e9


def queue_of(*entries: tuple[str, QoS], most: int = 1_000) -> tuple[FairQueue, list[Ticket]]:
    queue = FairQueue(most)
    tickets = []
    for key, qos in entries:
        ticket, displaced = queue.push(key, qos, 0.0, FAR)
        assert ticket is not None
        assert displaced is None
        tickets.append(ticket)
    return queue, tickets


def keys_in_order(queue: FairQueue) -> list[str]:
    order = []
    while (ticket := queue.pop(0.0)) is not None:
        order.append(ticket.key)
    return order


def test_one_key_is_served_in_the_order_of_arrival() -> None:
    queue, tickets = queue_of(*[("a", QoS.SILVER)] * 5)
    assert [queue.pop(0.0) for _ in range(5)] == tickets
    assert queue.pop(0.0) is None


def test_keys_of_a_class_take_turns() -> None:
    queue, _ = queue_of(*[("loud", QoS.SILVER)] * 5, ("b", QoS.SILVER), ("c", QoS.SILVER))
    assert keys_in_order(queue) == ["loud", "b", "c", "loud", "loud", "loud", "loud"]


def test_costly_requests_use_up_several_turns() -> None:
    queue = FairQueue(100)
    for _ in range(3):
        queue.push("costly", QoS.SILVER, 0.0, FAR, cost=3.0)
    for _ in range(9):
        queue.push("cheap", QoS.SILVER, 0.0, FAR)
    order = keys_in_order(queue)
    assert order[:8].count("costly") == 2
    assert order[:4].count("cheap") == 3


def test_absurd_costs_are_cut() -> None:
    queue = FairQueue(10)
    for cost in (-1.0, 0.0, float("nan"), float("inf"), 1e300):
        queue.push("k", QoS.SILVER, 0.0, FAR, cost=cost)
    assert len(keys_in_order(queue)) == 5


def test_gold_goes_before_silver_before_bronze() -> None:
    queue, _ = queue_of(("b", QoS.BRONZE), ("s", QoS.SILVER), ("g", QoS.GOLD), ("g2", QoS.GOLD))
    assert keys_in_order(queue) == ["g", "g2", "s", "b"]


def test_no_class_waits_beyond_its_bound_while_the_others_flood() -> None:
    queue, _ = queue_of(*[(qos.value, qos) for qos in QoS for _ in range(300)])
    order = [ticket.qos for _ in range(300) if (ticket := queue.pop(0.0)) is not None]
    share = {qos: order.count(qos) / 300 for qos in QoS}
    assert share[QoS.GOLD] >= 0.69
    assert share[QoS.SILVER] >= 0.16
    assert share[QoS.BRONZE] >= 0.08
    for qos, bound in ((QoS.SILVER, 6), (QoS.BRONZE, 12)):
        places = [-1, *(place for place, served in enumerate(order) if served is qos)]
        assert max(after - before - 1 for before, after in pairwise(places)) <= bound


def test_shares_are_not_saved_up_while_a_class_is_empty() -> None:
    queue, _ = queue_of(*[("g", QoS.GOLD)] * 100)
    for _ in range(50):
        queue.pop(0.0)
    queue.push("b", QoS.BRONZE, 0.0, FAR)
    for _ in range(9):
        ticket = queue.pop(0.0)
        assert ticket is not None
        assert ticket.qos is QoS.GOLD


def test_a_full_queue_refuses_an_equal_and_makes_room_for_a_higher_class() -> None:
    queue, _ = queue_of(("b", QoS.BRONZE), ("b", QoS.BRONZE), ("s", QoS.SILVER), most=3)
    assert queue.push("b", QoS.BRONZE, 0.0, FAR) == (None, None)
    ticket, displaced = queue.push("g", QoS.GOLD, 0.0, FAR)
    assert ticket is not None
    assert displaced is not None
    assert displaced.qos is QoS.BRONZE
    assert not displaced.is_waiting
    assert not queue.remove(displaced)
    assert len(queue) == 3
    queue.push("g", QoS.GOLD, 0.0, FAR)
    queue.push("g", QoS.GOLD, 0.0, FAR)
    assert queue.push("g", QoS.GOLD, 0.0, FAR) == (None, None)
    assert queue.push("b", QoS.BRONZE, 0.0, FAR) == (None, None)


def test_a_class_claims_its_room_back_from_one_that_filled_the_queue() -> None:
    queue, _ = queue_of(*[("s", QoS.SILVER)] * 20, most=20)
    displaced = [queue.push("b", QoS.BRONZE, 0.0, FAR)[1] for _ in range(10)]
    assert sum(ticket is not None for ticket in displaced) == 5
    assert queue.waiting() == {QoS.GOLD: 0, QoS.SILVER: 15, QoS.BRONZE: 5}
    assert queue.push("s", QoS.SILVER, 0.0, FAR) == (None, None)
    assert sum(queue.push("g", QoS.GOLD, 0.0, FAR)[0] is not None for _ in range(30)) == 8
    assert queue.waiting() == {QoS.GOLD: 8, QoS.SILVER: 7, QoS.BRONZE: 5}


def test_a_flooding_key_makes_room_for_another_key_of_its_class() -> None:
    queue, tickets = queue_of(*[("loud", QoS.SILVER)] * 4, most=4)
    assert queue.push("quiet", QoS.SILVER, 0.0, FAR)[1] is tickets[3]
    assert queue.push("loud", QoS.SILVER, 0.0, FAR) == (None, None)
    assert queue.push("quiet", QoS.SILVER, 0.0, FAR)[1] is tickets[2]
    assert queue.push("quiet", QoS.SILVER, 0.0, FAR) == (None, None)


def test_a_queue_without_room_refuses_everybody() -> None:
    assert FairQueue(0).push("k", QoS.GOLD, 0.0, FAR) == (None, None)


def test_a_client_that_leaves_is_never_served() -> None:
    queue, tickets = queue_of(*[("a", QoS.SILVER)] * 3)
    assert queue.remove(tickets[1])
    assert not queue.remove(tickets[1])
    assert [queue.pop(0.0), queue.pop(0.0), queue.pop(0.0)] == [tickets[0], tickets[2], None]
    assert not queue.remove(tickets[0])


def test_overdue_requests_are_handed_out_once_by_expire_and_never_served() -> None:
    queue = FairQueue(10)
    early, _ = queue.push("a", QoS.SILVER, 0.0, 1.0)
    late, _ = queue.push("a", QoS.SILVER, 0.0, 5.0)
    other, _ = queue.push("b", QoS.BRONZE, 0.0, 1.5)
    assert queue.pop(1.0) is late
    assert queue.expire(2.0) == [early, other]
    assert queue.expire(2.0) == []
    assert len(queue) == 0


def test_the_position_is_where_the_request_will_be_served() -> None:
    queue, tickets = queue_of(
        ("a", QoS.SILVER), ("a", QoS.SILVER), ("b", QoS.SILVER), ("g", QoS.GOLD), ("a", QoS.SILVER), ("c", QoS.BRONZE)
    )
    said = {ticket: queue.position(ticket) for ticket in tickets}
    order = [queue.pop(0.0) for _ in range(6)]
    assert [said[ticket] for ticket in order if ticket] == [1, 2, 3, 4, 5, 6]
    assert queue.position(tickets[0]) == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.sampled_from("abcd"), st.sampled_from(list(QoS)), st.floats(0, 4)),
            st.tuples(st.just("pop"), st.none(), st.none(), st.floats(0, 1)),
            st.tuples(st.just("remove"), st.none(), st.none(), st.floats(0, 1)),
            st.tuples(st.just("expire"), st.none(), st.none(), st.floats(0, 2)),
        ),
        max_size=120,
    )
)
def test_every_request_ends_exactly_once_whatever_happens(
    steps: list[tuple[str, str | None, QoS | None, float]],
) -> None:
    queue = FairQueue(12)
    now = 0.0
    waiting: set[Ticket] = set()
    for action, key, qos, amount in steps:
        now += amount / 4
        if action == "push" and key and qos:
            ticket, displaced = queue.push(key, qos, now, now + amount)
            if displaced is not None:
                waiting.remove(displaced)
            if ticket is not None:
                waiting.add(ticket)
        elif action == "pop":
            ticket = queue.pop(now)
            if ticket is not None:
                assert ticket.deadline_at > now
                waiting.remove(ticket)
        elif action == "remove" and waiting:
            chosen = min(waiting, key=lambda ticket: (ticket.enqueued_at, ticket.key))
            if queue.remove(chosen):
                waiting.remove(chosen)
        else:
            for ticket in queue.expire(now):
                waiting.remove(ticket)
        in_queue = {ticket for ticket in waiting if ticket.is_waiting}
        assert len(queue) == len(in_queue) == sum(queue.waiting().values()) <= 12
        assert sorted(queue.position(ticket) >= 1 for ticket in in_queue) == [True] * len(in_queue)
    while (ticket := queue.pop(now)) is not None:
        waiting.remove(ticket)
    for ticket in queue.expire(now):
        waiting.remove(ticket)
    assert not waiting

"""Who goes next when every place is taken: classes by priority with owed shares, keys in turns.

`admission` holds one for the engine's places, `gate` one per deployment for its slots; all share one
`Room`, which bounds them together. A higher class goes first, but a class that waits is owed its share of the
places and gets it, so nothing starves. Within a class keys take turns (deficit round robin), so a key
with many requests does not delay one with few. Every operation on a request is exact under cancels.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from atp_engine.core.types import QoS

CLASSES = (QoS.GOLD, QoS.SILVER, QoS.BRONZE)
"""Highest first."""
OWED_SHARES = {QoS.GOLD: 0.7, QoS.SILVER: 0.2, QoS.BRONZE: 0.1}
"""Share of the places that a waiting class is owed whatever the higher ones want. A silver request at
the head waits for at most 6 others, a bronze one for at most 12."""
ROOM_SHARES = {QoS.GOLD: 0.4, QoS.SILVER: 0.35, QoS.BRONZE: 0.25}
"""Share of a full queue that a class can claim back from the others."""
MAX_COST = 8.0
"""Costliest request in turns: what one request of a key may count against the key's next ones."""


class Ticket:
    """A request that waits; equal only to itself."""

    __slots__ = ("cost", "deadline_at", "enqueued_at", "is_counted", "is_waiting", "key", "qos")

    def __init__(self, key: str, qos: QoS, cost: float, enqueued_at: float, deadline_at: float) -> None:
        self.key = key
        self.qos = qos
        self.cost = min(MAX_COST, cost) if cost > 1.0 else 1.0
        self.enqueued_at = enqueued_at
        self.deadline_at = deadline_at
        self.is_waiting = False
        self.is_counted = False
        """It has taken a token of its key's rate, to be given back with its place."""


class _KeyLine:
    """One key's requests in order, with the turns it has saved up."""

    __slots__ = ("deficit", "has_turn", "tickets")

    def __init__(self) -> None:
        self.tickets: OrderedDict[Ticket, None] = OrderedDict()
        self.deficit = 0.0
        self.has_turn = False


class _Lane:
    """One class: lines of keys in the order of their turns."""

    __slots__ = ("credit", "lines", "size")

    def __init__(self) -> None:
        self.lines: OrderedDict[str, _KeyLine] = OrderedDict()
        self.size = 0
        self.credit = 0.0
        """Places owed to the class."""

    def add(self, ticket: Ticket) -> None:
        line = self.lines.get(ticket.key)
        if line is None:
            line = self.lines[ticket.key] = _KeyLine()
        line.tickets[ticket] = None
        self.size += 1

    def take(self) -> Ticket:
        """The next ticket by deficit round robin; the lane must not be empty."""
        while True:
            key, line = next(iter(self.lines.items()))
            if not line.has_turn:
                line.has_turn = True
                line.deficit += 1.0
            ticket = next(iter(line.tickets))
            if ticket.cost <= line.deficit:
                line.deficit -= ticket.cost
                self.remove(ticket)
                return ticket
            line.has_turn = False
            self.lines.move_to_end(key)

    def remove(self, ticket: Ticket) -> None:
        line = self.lines[ticket.key]
        del line.tickets[ticket]
        self.size -= 1
        if not line.tickets:
            del self.lines[ticket.key]
        if not self.size:
            self.credit = 0.0

    def longest(self) -> tuple[str, int]:
        """The key with the most waiting requests, and how many."""
        key = max(self.lines, key=lambda name: len(self.lines[name].tickets))
        return key, len(self.lines[key].tickets)

    def newest_of(self, key: str) -> Ticket:
        return next(reversed(self.lines[key].tickets))


class Room:
    """The one bound that all queues of an engine share: at most `most` requests wait in all of them."""

    __slots__ = ("most", "queues", "size")

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = 0
        self.queues: list[FairQueue] = []
        """Queues that may hold somebody; one without requests may be left out."""

    def victim(self, qos: QoS, asking: FairQueue) -> tuple[FairQueue, Ticket] | None:
        """Who makes room for a request of `qos` in a queue that cannot: the newest of the longest line of the
        lowest class below it, wherever most of that class wait."""
        for lower in reversed(CLASSES[CLASSES.index(qos) + 1 :]):
            queue = max((queue for queue in self.queues if queue is not asking), key=_count_of(lower), default=None)
            if queue is not None and queue.count(lower):
                return queue, queue.newest(lower)
        return None


class FairQueue:
    """The requests that wait for one thing: at most `most` of them, or what is left of a shared room."""

    def __init__(self, most: int | Room) -> None:
        self._room = most if isinstance(most, Room) else Room(most)
        self._room.queues.append(self)
        self._lanes = {qos: _Lane() for qos in CLASSES}
        self._late: list[Ticket] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def most(self) -> int:
        """Most requests that wait, here and in the queues that share the room."""
        return self._room.most

    @most.setter
    def most(self, most: int) -> None:
        self._room.most = most

    def count(self, qos: QoS) -> int:
        """How many of a class wait."""
        return self._lanes[qos].size

    def newest(self, qos: QoS) -> Ticket:
        """The newest request of the longest line of a class that waits."""
        lane = self._lanes[qos]
        return lane.newest_of(lane.longest()[0])

    def close(self) -> None:
        """Leaves the room; nobody may wait any more."""
        self._room.queues.remove(self)

    def waiting(self) -> dict[QoS, int]:
        """How many wait, by class."""
        return {qos: lane.size for qos, lane in self._lanes.items()}

    def push(
        self, key: str, qos: QoS, now: float, deadline_at: float, cost: float = 1.0, *, is_forced: bool = False
    ) -> tuple[Ticket | None, Ticket | None]:
        """The new ticket and the one that had to make room for it, each None when there is none.

        A full queue makes room at the expense of a class that holds more than its room, if the newcomer's
        class holds less than its own or is the higher one; else of a key of the same class that has at
        least two more waiting; else of a lower class in another queue of the room. The newest request of the
        longest line goes. Otherwise the newcomer gets no ticket, unless `is_forced`: it has a place already
        and only comes back to it.
        """
        displaced = None
        if self._room.size >= self._room.most and not is_forced:
            queue, displaced = self, self._victim(key, qos)
            if displaced is None:
                found = self._room.victim(qos, self)
                if found is None:
                    return None, None
                queue, displaced = found
            queue.remove(displaced)
        ticket = Ticket(key, qos, cost, now, deadline_at)
        self._lanes[qos].add(ticket)
        ticket.is_waiting = True
        self._size += 1
        self._room.size += 1
        return ticket, displaced

    def clear(self) -> list[Ticket]:
        """Takes everybody out, in no order."""
        everybody = [ticket for lane in self._lanes.values() for line in lane.lines.values() for ticket in line.tickets]
        for ticket in everybody:
            self._drop(ticket)
        late, self._late = self._late, []
        return everybody + late

    def pop(self, now: float) -> Ticket | None:
        """The request that goes next, None when nobody waits; overdue ones are set aside for `expire`."""
        while self._size:
            chosen = self._choose()
            ticket = self._lanes[chosen].take()
            ticket.is_waiting = False
            self._size -= 1
            self._room.size -= 1
            if now < ticket.deadline_at:
                self._settle(chosen)
                return ticket
            self._late.append(ticket)
        return None

    def remove(self, ticket: Ticket) -> bool:
        """Takes a request out (its client left); False when it does not wait any more."""
        if not ticket.is_waiting:
            return False
        self._drop(ticket)
        return True

    def expire(self, now: float) -> list[Ticket]:
        """Takes out every request whose deadline has passed."""
        late, self._late = self._late, []
        overdue = [
            ticket
            for lane in self._lanes.values()
            for line in lane.lines.values()
            for ticket in line.tickets
            if ticket.deadline_at <= now
        ]
        for ticket in overdue:
            self._drop(ticket)
        return late + overdue

    def position(self, ticket: Ticket) -> int:
        """The 1-based place as things stand: higher classes first, then keys in turns (owed places and
        costs left out); 0 when it does not wait."""
        if not ticket.is_waiting:
            return 0
        lane = self._lanes[ticket.qos]
        ahead = sum(self._lanes[qos].size for qos in CLASSES[: CLASSES.index(ticket.qos)])
        own = list(lane.lines[ticket.key].tickets).index(ticket)
        is_before = True
        for key, line in lane.lines.items():
            if key == ticket.key:
                is_before = False
            else:
                ahead += min(len(line.tickets), own + is_before)
        return ahead + own + 1

    def _choose(self) -> QoS:
        waiting = [qos for qos in CLASSES if self._lanes[qos].size]
        owed = [qos for qos in waiting[1:] if self._lanes[qos].credit >= 1.0 - 1e-9]
        return max(owed, key=lambda qos: self._lanes[qos].credit) if owed else waiting[0]

    def _settle(self, chosen: QoS) -> None:
        """A place went to `chosen`: the lower classes that wait are owed a little more."""
        lane = self._lanes[chosen]
        lane.credit = max(0.0, lane.credit - 1.0)
        for qos, other in self._lanes.items():
            if qos is not chosen and other.size:
                other.credit += OWED_SHARES[qos]

    def _victim(self, key: str, qos: QoS) -> Ticket | None:
        lane = self._lanes[qos]
        is_short = lane.size < self._share(qos)
        others = CLASSES if is_short else CLASSES[CLASSES.index(qos) + 1 :]
        for other in reversed(others):
            if other is not qos and self._lanes[other].size > self._share(other):
                return self.newest(other)
        if not lane.size:
            return None
        longest, length = lane.longest()
        own = lane.lines.get(key)
        if longest != key and length >= (len(own.tickets) if own else 0) + 2:
            return lane.newest_of(longest)
        return None

    def _share(self, qos: QoS) -> int:
        return int(ROOM_SHARES[qos] * self._room.most)

    def _drop(self, ticket: Ticket) -> None:
        self._lanes[ticket.qos].remove(ticket)
        ticket.is_waiting = False
        self._size -= 1
        self._room.size -= 1


def _count_of(qos: QoS) -> Callable[[FairQueue], int]:
    return lambda queue: queue.count(qos)

"""The order of the requests that wait: by priority, then by turns among the groups, then by age.

Each group has one lane in each pool that it draws on, and another for its retries there. Turns are counted by stride
scheduling (Waldspurger and Weihl, 1995): each admission advances its group's clock by one over the group's weight, and
the group whose clock is furthest behind is next. A group that returns after a rest begins at the clock of the others.
"""

import heapq
from collections.abc import Collection, Iterator

from .pool import Pool
from .settings import Group
from .spend_cap import SpendCap
from .throttle import Block
from .ticket import Ticket

__all__ = ["GroupState", "Lane", "Lanes"]


class GroupState:
    """A group's settings and what it does now."""

    def __init__(self, settings: Group) -> None:
        self.weight = settings.weight
        self.max_concurrency = settings.max_concurrency
        self.cap = SpendCap(settings.spend_cap) if settings.spend_cap is not None else None
        self.running = 0
        self.clock = 0.0
        """How many turns it has had, divided by its weight."""

    @property
    def full(self) -> bool:
        """Whether it runs as many as it may."""
        return self.max_concurrency is not None and self.running >= self.max_concurrency


class Lane:
    """The waiting requests of one group in one pool, either first tries or retries."""

    def __init__(self, pool: Pool, group: GroupState, *, retries: bool) -> None:
        self.pool = pool
        self.group = group
        self.retries = retries
        self.block: Block | None = None
        """Why its first request was not admitted at the last look."""
        self._heap: list[tuple[int, int, int, Ticket]] = []

    def push(self, ticket: Ticket) -> None:
        """Adds a request. Among retries, those with the fewest attempts go first: they find out whether an outage is
        over."""
        heapq.heappush(self._heap, (-ticket.priority, ticket.attempt, ticket.number, ticket))

    def head(self) -> Ticket | None:
        """The request whose turn it is in this lane; None when nobody waits."""
        while self._heap:
            ticket = self._heap[0][-1]
            if ticket.state == "waiting":
                return ticket
            heapq.heappop(self._heap)
        return None

    def pop(self) -> None:
        """Takes the head out of the lane."""
        heapq.heappop(self._heap)

    def __len__(self) -> int:
        """How many wait; those too that were cancelled lately."""
        return len(self._heap)

    def __iter__(self) -> Iterator[Ticket]:
        return (entry[-1] for entry in self._heap if entry[-1].state == "waiting")


class Lanes:
    """All lanes, and the order of turns among them."""

    def __init__(self) -> None:
        self._pools: dict[Pool, dict[tuple[GroupState, bool], Lane]] = {}
        self._clock = 0.0

    def push(self, ticket: Ticket, group: GroupState) -> None:
        """Adds a request of this group."""
        lanes = self._pools.setdefault(ticket.pool, {})
        key = group, ticket.attempt > 1
        lane = lanes.get(key)
        if lane is None:
            lane = lanes[key] = Lane(ticket.pool, group, retries=ticket.attempt > 1)
            group.clock = max(group.clock, self._clock - group.running / group.weight)
        lane.push(ticket)

    @property
    def pools(self) -> list[Pool]:
        """The pools for which a request waits."""
        return list(self._pools)

    def of(self, pool: Pool) -> list[Lane]:
        """The lanes of a pool."""
        return list(self._pools.get(pool, {}).values())

    def in_order(self, pools: Collection[Pool]) -> list[tuple[Lane, Ticket]]:
        """The lanes of these pools in which a request waits, each with its head, in the order of turns."""
        ranked: list[tuple[tuple[int, float, bool, int], Lane, Ticket]] = []
        for pool in pools:
            lanes, out = self._pools[pool], pool.throttle.out
            for key, lane in list(lanes.items()):
                ticket = lane.head()
                if ticket is None:
                    del lanes[key]
                else:
                    # While the service is down, requests go first that it has not refused yet.
                    later = lane.retries is out
                    ranked.append(((-ticket.priority, lane.group.clock, later, ticket.number), lane, ticket))
            if not lanes:
                del self._pools[pool]
        ranked.sort(key=lambda entry: entry[0])
        return [(lane, ticket) for _, lane, ticket in ranked]

    def took(self, group: GroupState) -> None:
        """One of this group was admitted."""
        self._clock = max(self._clock, group.clock)
        group.clock += 1 / group.weight

    def __iter__(self) -> Iterator[Lane]:
        return (lane for lanes in self._pools.values() for lane in lanes.values())

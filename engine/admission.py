"""Who may run: a concurrency cap and the queue before it. Decisions only; the engine acts on them.

A request that waits is a record in the queue, not a task. Higher priority goes first, and first come first served
among equals.
"""

import heapq
from collections.abc import Callable
from itertools import count

__all__ = ["Admission", "EngineBusy", "Ticket"]


class EngineBusy(RuntimeError):
    """The queue is full: `max_queued` requests are waiting already."""


class Ticket:
    """A request's place: waiting, then running, then done. `admitted` is called once, when its turn comes."""

    __slots__ = ("admitted", "state")

    def __init__(self, admitted: Callable[[], None]) -> None:
        self.admitted = admitted
        self.state = "new"


class Admission:
    """Counts who runs and orders who waits."""

    def __init__(self, max_concurrency: int, max_queued: int | None) -> None:
        self._max_concurrency = max_concurrency
        self._max_queued = max_queued
        self._queue: list[tuple[int, int, Ticket]] = []
        self._numbers = count()
        self.running = 0
        self.waiting = 0

    def check_room(self) -> None:
        """Raises `EngineBusy` when one more request would be too many."""
        if self._max_queued is not None and self.running >= self._max_concurrency and self.waiting >= self._max_queued:
            raise EngineBusy(f"{self.waiting} requests are waiting already, as many as max_queued allows")

    def enter(self, ticket: Ticket, priority: int = 0) -> None:
        """Queues the ticket; its turn may come at once."""
        ticket.state = "waiting"
        self.waiting += 1
        heapq.heappush(self._queue, (-priority, next(self._numbers), ticket))
        self._admit()

    def leave(self, ticket: Ticket) -> None:
        """The ticket's request is over, or waits no more. Leaving twice does nothing."""
        if ticket.state == "running":
            self.running -= 1
        elif ticket.state == "waiting":
            self.waiting -= 1  # its entry is passed over when it comes up
        ticket.state = "done"
        self._admit()

    def _admit(self) -> None:
        while self._queue and self.running < self._max_concurrency:
            ticket = heapq.heappop(self._queue)[2]
            if ticket.state == "waiting":
                ticket.state = "running"
                self.waiting -= 1
                self.running += 1
                ticket.admitted()

"""The watchdog: one task that looks after the deadlines of all of an engine's streams.

Each stream is looked at when its next deadline would be due if nothing happened meanwhile; what did happen has only
moved it. So a stream costs a look once in its shortest deadline, however many events it has.
"""

import heapq
import math
from collections.abc import Callable
from itertools import count
from weakref import WeakKeyDictionary, ref

import anyio

from ..actors.actor import StreamActor
from ..actors.stream import DeadlineName

__all__ = ["Watchdog"]

_RESOLUTION = 0.02  # seconds: deadlines that fall together are looked at together


class Watchdog:
    """Calls `expired(actor, deadline)` for every stream that passes a deadline, late by at most 50 ms."""

    def __init__(self, clock: Callable[[], float], expired: Callable[[StreamActor, DeadlineName], None]) -> None:
        self._clock = clock
        self._expired = expired
        # Weak, since a look may be due long after its stream has ended: it keeps no answer in memory.
        self._looks: list[tuple[float, int, ref[StreamActor]]] = []
        self._next_look: WeakKeyDictionary[StreamActor, float] = WeakKeyDictionary()
        self._numbers = count()
        self._sooner: anyio.Event | None = None
        self._prune_at = 1000

    def look_at(self, actor: StreamActor) -> None:
        """A stream has come to a stage in which another deadline may be the next."""
        due = actor.next_due()
        if due is None or (self._next_look.get(actor, math.inf) <= due[0]):
            return
        self._next_look[actor] = due[0]
        if len(self._looks) >= self._prune_at:
            self._prune()
        heapq.heappush(self._looks, (due[0], next(self._numbers), ref(actor)))
        if self._sooner is not None and self._looks[0][0] == due[0]:
            self._sooner.set()

    async def run(self) -> None:
        """Looks after them until it is cancelled."""
        while True:
            self._look()
            self._sooner = anyio.Event()
            if not self._looks:
                await self._sooner.wait()
            else:
                with anyio.move_on_after(max(_RESOLUTION, self._looks[0][0] - self._clock())):
                    await self._sooner.wait()
                    await anyio.sleep(_RESOLUTION)

    def _prune(self) -> None:
        """Forgets the looks at streams that are gone: a look may be due minutes after its stream."""
        self._looks = [look for look in self._looks if (actor := look[2]()) is not None and not actor.life.ended]
        heapq.heapify(self._looks)
        self._prune_at = 2 * len(self._looks) + 1000

    def _look(self) -> None:
        now = self._clock()
        while self._looks and self._looks[0][0] <= now:
            moment, _, look_at = heapq.heappop(self._looks)
            actor = look_at()
            if actor is None or self._next_look.get(actor) != moment:
                continue  # it is gone, or an earlier look has taken this one's place
            del self._next_look[actor]
            due = actor.next_due()
            if due is None:
                continue
            if due[0] <= now:
                self._expired(actor, due[1])
            else:
                self.look_at(actor)

"""The watchdog: one task that enforces the deadlines of all of an engine's streams.

It looks at a stream when the stream's next deadline would pass if nothing happened until then. What does happen can
only move the deadline to a later moment. So a stream is looked at about once in the time of its shortest deadline,
however many events it has.
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

_RESOLUTION = 0.02  # seconds: deadlines closer together than this are met in one look
_LATE = 0.5  # seconds


class Watchdog:
    """Calls `expired(actor, deadline)` for every stream that passes a deadline, at most 50 ms late while the loop
    itself is on time."""

    def __init__(self, clock: Callable[[], float], expired: Callable[[StreamActor, DeadlineName], None]) -> None:
        self._clock = clock
        self._expired = expired
        # The references are weak: a look may be due long after its stream has ended, and must keep no answer in memory.
        self._looks: list[tuple[float, int, ref[StreamActor]]] = []
        self._next_look: WeakKeyDictionary[StreamActor, float] = WeakKeyDictionary()
        self._numbers = count()
        self._sooner: anyio.Event | None = None
        self._prune_at = 1000

    def look_at(self, actor: StreamActor) -> None:
        """Plans a look at a stream that has come to another stage, in which another deadline may be the next."""
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
        """Makes the planned looks, until it is cancelled."""
        while True:
            self._look()
            self._sooner = anyio.Event()
            if not self._looks:
                await self._sooner.wait()
            else:
                due = self._looks[0][0]
                with anyio.move_on_after(max(_RESOLUTION, due - self._clock())):
                    await self._sooner.wait()
                    await anyio.sleep(_RESOLUTION)
                if self._clock() - due > _LATE:
                    # The process was stopped, or the loop held up. What has come meanwhile waits in the sockets: it is
                    # read before a stream is called silent.
                    await anyio.sleep(_RESOLUTION)

    def _prune(self) -> None:
        """Forgets the looks at streams that have ended."""
        self._looks = [look for look in self._looks if (actor := look[2]()) is not None and not actor.life.ended]
        heapq.heapify(self._looks)
        self._prune_at = 2 * len(self._looks) + 1000

    def _look(self) -> None:
        now = self._clock()
        while self._looks and self._looks[0][0] <= now:
            moment, _, look_at = heapq.heappop(self._looks)
            actor = look_at()
            if actor is None or self._next_look.get(actor) != moment:
                continue  # the stream is gone, or an earlier look has replaced this one
            del self._next_look[actor]
            due = actor.next_due()
            if due is None:
                continue
            if due[0] <= now:
                self._expired(actor, due[1])
            else:
                self.look_at(actor)

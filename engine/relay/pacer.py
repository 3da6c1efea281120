"""Pace: connections that wait a while between two frames, all on one timer."""

from collections import deque
from collections.abc import Callable

import anyio

from ...actors.channel import Wake

__all__ = ["Pacer"]

_SHARES = 8  # of a pace: so finely is time told, and so many connections at most are woken together


class Pacer:
    """Wakes connections `pace` seconds after they asked. As all wait equally long, those who asked first are due first.

    `start` runs its task, which ends when nobody waits.
    """

    def __init__(self, pace: float, clock: Callable[[], float], start: Callable[["Pacer"], object]) -> None:
        self._pace = pace
        self._clock = clock
        self._start = start
        self._waiting: deque[tuple[float, Wake]] = deque()
        self._runs = False

    async def pause(self, wake: Wake) -> None:
        """Waits until it is time for the next frame, or until somebody sets `wake`."""
        self._waiting.append((self._clock() + self._pace, wake))
        if not self._runs:
            self._runs = True
            self._start(self)
        await wake.wait()

    async def run(self) -> None:
        """The timer."""
        try:
            while self._waiting:
                now = self._clock()
                await anyio.sleep(max(self._waiting[0][0] - now, self._pace / _SHARES))
                now = self._clock()
                while self._waiting and self._waiting[0][0] <= now:
                    self._waiting.popleft()[1].set()
        finally:
            self._runs = False

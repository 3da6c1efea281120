"""Streams that have ended and can still be found by their ids for a while, without the requests that they answered.

A client that lost its connection asks for the rest of a stream after its end. One task looks after all that are kept,
and there is none while nothing is.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from ..actors.actor import StreamActor

__all__ = ["MOST", "EndedStreams"]

MOST = 1000
"""So many are kept; of more, the oldest are forgotten."""


class EndedStreams:
    """Keeps streams for `seconds` after their end. `start` runs a task until the engine is left."""

    def __init__(
        self, seconds: float, clock: Callable[[], float], start: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._start = start
        self._kept: dict[str, tuple[float, StreamActor]] = {}  # the oldest first: all are kept for the same time
        self._looked_after = False
        self._closed = False

    def add(self, actor: StreamActor) -> None:
        """A stream has ended, and its connection is released."""
        if self._closed:
            return
        if len(self._kept) >= MOST:
            del self._kept[next(iter(self._kept))]
        self._kept[actor.stream_id] = self._clock() + self._seconds, actor.without_request()
        if not self._looked_after:
            self._looked_after = True
            self._start(self._forget_in_time())

    def get(self, stream_id: str) -> StreamActor | None:
        """The stream with this id, as long as it is kept."""
        _, actor = self._kept.get(stream_id, (0.0, None))
        return actor

    def close(self) -> None:
        """Forgets all, and keeps no more: the engine is left, and must not wait for a task of ours."""
        self._closed = True
        self._kept.clear()

    async def _forget_in_time(self) -> None:
        while self._kept:
            until, _ = next(iter(self._kept.values()))
            await anyio.sleep(max(0.0, until - self._clock()))
            while self._kept and next(iter(self._kept.values()))[0] <= self._clock():
                del self._kept[next(iter(self._kept))]
        self._looked_after = False

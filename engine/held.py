"""Streams that are held back by their own consumers, and a warning when that stops the engine.

A `Lossless` consumer that is full stops its stream, and the stream keeps its slot. When all slots are kept in this way
and those consumers themselves wait for a slot, for other streams that they have opened, nothing goes on. Only the app
can solve that; the engine logs it once.
"""

from collections.abc import Callable, Iterable

import anyio

from ..actors.actor import StreamActor
from .admission import Admission
from .telemetry import warn

__all__ = ["HeldWatch", "held_streams"]

_SECONDS = 5.0  # so long all must have been held back
_LEAST = 1.0  # seconds between two looks


def held_streams(actors: Iterable[StreamActor]) -> list[StreamActor]:
    """Those streams that are not read now, because a lossless consumer is full."""
    return [actor for actor in actors if actor.watch.paused]


class HeldWatch:
    """Looks at the streams now and then while one is held back, and not at all otherwise. It warns once in an engine's
    life."""

    def __init__(self, clock: Callable[[], float], admission: Admission) -> None:
        self._clock = clock
        self._admission = admission
        self._looking = False

    def begin(self) -> bool:
        """A stream is held back from now on. Returns whether `run` must be started."""
        if self._looking:
            return False
        self._looking = True
        return True

    async def run(self, actors: Iterable[StreamActor]) -> None:
        """Looks until it finds no stream held back, or has warned."""
        # Only the times are kept, so that it keeps no stream in memory.
        while since := [actor.watch.paused_since for actor in held_streams(actors)]:
            ripe = max(since) + _SECONDS
            if self._clock() >= ripe and self._nothing_goes_on(len(since)):
                self._tell(len(since))
                return  # `_looking` stays set, so that it never runs again
            await anyio.sleep(max(_LEAST, ripe - self._clock()))
        self._looking = False

    def _nothing_goes_on(self, held: int) -> bool:
        admission = self._admission
        return held >= admission.running and any(
            reason in ("concurrency", "adaptive_concurrency") for _, (reason, _) in admission.waits()
        )

    def _tell(self, held: int) -> None:
        warn(
            f"nothing goes on: all {held} running streams have been held back by full Lossless consumers for"
            f" {_SECONDS:g} s, and {self._admission.waiting} requests wait for their slots. A consumer that waits for"
            " another stream must not hold one back: read on meanwhile, use Conflate, give Lossless a stall_timeout, or"
            " raise max_concurrency"
        )

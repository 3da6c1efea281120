"""Streams that their own consumers hold back. A `Lossless` consumer that is full stops its stream, which keeps its
slot; when all slots are held so, and those consumers wait for one (they have opened streams of their own), nothing goes
on. That is the app's to solve: here it is seen, and told once.
"""

import logging
from collections.abc import Callable, Iterable

import anyio

from ..actors.actor import StreamActor
from .admission import Admission

__all__ = ["HeldWatch", "held_streams"]

_SECONDS = 5.0  # for which all must have been held
_LEAST = 1.0  # between two looks

_log = logging.getLogger("manystream")


def held_streams(actors: Iterable[StreamActor]) -> list[StreamActor]:
    """Those of which nothing is read now, as a lossless consumer is full."""
    return [actor for actor in actors if actor.watch.paused]


class HeldWatch:
    """Looks now and then while some stream is held, and never while none is. It logs to the standard library's logger
    `manystream` once in an engine's life."""

    def __init__(self, clock: Callable[[], float], admission: Admission) -> None:
        self._clock = clock
        self._admission = admission
        self._looking = False

    def begin(self) -> bool:
        """A stream is held from now on. Returns whether `run` is to be started for it."""
        if self._looking:
            return False
        self._looking = True
        return True

    async def run(self, actors: Iterable[StreamActor]) -> None:
        """Looks until no stream is held at a look, or it has said what it saw."""
        # The times alone: it keeps no stream in memory.
        while since := [actor.watch.paused_since for actor in held_streams(actors)]:
            ripe = max(since) + _SECONDS
            if self._clock() >= ripe and self._nothing_goes_on(len(since)):
                self._tell(len(since))
                return  # and seems to be looking: it is told once
            await anyio.sleep(max(_LEAST, ripe - self._clock()))
        self._looking = False

    def _nothing_goes_on(self, held: int) -> bool:
        admission = self._admission
        return held >= admission.running and any(
            reason in ("concurrency", "adaptive_concurrency") for _, (reason, _) in admission.waits()
        )

    def _tell(self, held: int) -> None:
        try:
            _log.warning(
                "nothing goes on: all %d running streams have been held back by full Lossless consumers for %g s, and"
                " %d requests wait for their slots. A consumer that waits for another stream must not hold one back:"
                " read on meanwhile, use Conflate, give Lossless a stall_timeout, or raise max_concurrency",
                held,
                _SECONDS,
                self._admission.waiting,
            )
        except Exception:
            return  # the app's handler, which fails; a log harms no stream

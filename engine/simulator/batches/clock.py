"""The batches' own clock: the simulator's, faster if need be, and set forward by hand."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["BatchClock"]


class BatchClock:
    """Seconds since the epoch, which go by `speed` times as fast as those of `clock`, from its first look on."""

    def __init__(self, clock: Callable[[], float], speed: float) -> None:
        self._clock = clock
        self._speed = speed
        self._origin: float | None = None  # a clock may be one that only an event loop has
        self._skipped = 0.0

    def now(self) -> float:
        """Returns the time."""
        now = self._clock()
        if self._origin is None:
            self._origin = now
        return self._origin + (now - self._origin) * self._speed + self._skipped

    def advance(self, seconds: float) -> None:
        """Lets so many seconds pass at once."""
        self._skipped += seconds

    def until(self, seconds: float) -> float:
        """Returns in how many seconds of the clock below so many will have passed."""
        return seconds / self._speed

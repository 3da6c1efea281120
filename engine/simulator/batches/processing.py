"""How far the batches are: arithmetic on the clock, whatever the number of their requests.

The service has one rate, which the batches that are open share as the scheduler says. Between two events (a batch is
added, stopped, done or due) every share stays the same, so that time goes by from event to event, and nothing has to
run meanwhile.
"""

from __future__ import annotations

import math

import attrs

from .settings import Scheduler

__all__ = ["Processing", "Work"]

_ALMOST = 1e-6  # of a request: what rounding may take away


@attrs.define(eq=False)
class Work:
    """So many requests to process, and how many of them are. What isn't done when it is `due` is given up.

    `over_at` is when the last of them was done, or when the work was stopped or given up; None while it goes on.
    """

    size: int
    due: float
    done: float = 0.0
    over_at: float | None = None

    @property
    def completed(self) -> int:
        """How many requests are done."""
        return min(self.size, math.floor(self.done + _ALMOST))


class Processing:
    """Processes `per_second` requests a second. All times are those of one clock."""

    def __init__(self, per_second: float, scheduler: Scheduler) -> None:
        self._per_second = per_second
        self._scheduler: Scheduler = scheduler
        self._open: list[Work] = []  # in the order of creation
        self._now = -math.inf

    @property
    def waiting(self) -> int:
        """How many requests are still to be processed."""
        return sum(work.size - work.completed for work in self._open)

    def add(self, work: Work, now: float) -> None:
        """Takes on a piece of work."""
        self.advance(now)
        self._open.append(work)

    def stop(self, work: Work, now: float) -> None:
        """Stops a piece of work; the request that is being processed is still completed."""
        self.advance(now)
        if work.over_at is None:
            work.done = min(work.size, math.ceil(work.done - _ALMOST))
            self._close(work)

    def advance(self, now: float) -> None:
        """Lets the time until `now` go by; none, if that has been already."""
        now = max(now, self._now)
        while self._open:
            rates = self._rates()
            ends = [
                self._now + (work.size - work.done) / rate if rate else math.inf
                for work, rate in zip(self._open, rates, strict=True)
            ]
            until = min(now, *ends, *(work.due for work in self._open))
            for work, rate, end in zip(self._open, rates, ends, strict=True):
                done = work.done + rate * (until - self._now)
                work.done = work.size if end <= until or done > work.size - _ALMOST else done
            self._now = until
            over = [work for work in self._open if work.done >= work.size or work.due <= until]
            if not over:
                break
            for work in over:
                self._close(work)
        self._now = now

    def _rates(self) -> list[float]:
        if self._scheduler == "equal_share":
            return [self._per_second / len(self._open)] * len(self._open)
        return [self._per_second] + [0.0] * (len(self._open) - 1)

    def _close(self, work: Work) -> None:
        work.over_at = self._now
        self._open.remove(work)

"""When requests ended, over the time that a run was running: its sittings laid end to end, the breaks left out."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

__all__ = ["Sitting", "Timeline"]

_MOST_BINS = 60
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@attrs.frozen
class Sitting:
    """One invocation of the run. Moments are in Unix seconds."""

    number: int
    began: float
    ended: float | None
    """None when it was killed."""
    how: str | None
    """How it ended, in the journal's words."""


@attrs.frozen(kw_only=True)
class Timeline:
    """Counts by what a request ended with (`succeeded`, an error's type, …), in bins of equal width."""

    sittings: tuple[Sitting, ...]
    seconds: float
    """How long all sittings took together."""
    width: float
    """Of a bin, in seconds."""
    bins: list[Counter[str]]
    starts: tuple[float, ...]
    """Where each sitting begins, in seconds of running time."""

    @classmethod
    def of(cls, sittings: Sequence[Sitting], ends: Iterable[float]) -> "Timeline":
        """An empty one. `ends` are the moments at which requests ended: of a sitting that was killed, the last is taken
        for its end."""
        began = [sitting.began for sitting in sittings]
        last = list(began)
        for end in ends:
            index = bisect_right(began, end) - 1
            if index >= 0:
                last[index] = max(last[index], end)
        starts: list[float] = []
        total = 0.0
        for sitting, seen in zip(sittings, last, strict=True):
            starts.append(total)
            total += max(0.0, (seen if sitting.ended is None else sitting.ended) - sitting.began)
        width = next((width for width in _WIDTHS if total <= width * _MOST_BINS), None)
        if width is None:
            width = 86400 * -(-total // (86400 * _MOST_BINS))
        bins = [Counter[str]() for _ in range(max(1, int(-(-total // width))))]
        return cls(sittings=tuple(sittings), seconds=total, width=width, bins=bins, starts=tuple(starts))

    def add(self, end: float, what: str) -> None:
        """A request ended at this moment."""
        index = bisect_right(self.sittings, end, key=lambda sitting: sitting.began) - 1
        if index < 0:
            return
        elapsed = self.starts[index] + end - self.sittings[index].began
        self.bins[min(len(self.bins) - 1, int(elapsed // self.width))][what] += 1

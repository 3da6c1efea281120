"""When requests ended, over a run's running time: its sessions joined end to end, without the breaks between them."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

__all__ = ["Session", "Timeline"]

_MOST_BINS = 60
_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@attrs.frozen
class Session:
    """One invocation of the run. Moments are in Unix seconds."""

    number: int
    began: float
    ended: float | None
    """None for a session that was killed."""
    how: str | None
    """How it ended, as the journal says it: `finished`, `interrupted`, `stopped`, `cancelled` or `failed`."""


@attrs.frozen(kw_only=True)
class Timeline:
    """Counts of requests by their ending (`succeeded`, an error's type, …), in bins of equal width."""

    sessions: tuple[Session, ...]
    seconds: float
    """How long all sessions took together."""
    width: float
    """The width of a bin, in seconds."""
    bins: list[Counter[str]]
    """The counts of each bin."""
    starts: tuple[float, ...]
    """Where each session begins, in seconds of running time."""

    @classmethod
    def of(cls, sessions: Sequence[Session], ends: Iterable[float]) -> "Timeline":
        """A timeline with empty bins. `ends` are the moments at which requests ended; the last one in a killed session
        counts as the session's end."""
        began = [session.began for session in sessions]
        last = list(began)
        for end in ends:
            index = bisect_right(began, end) - 1
            if index >= 0:
                last[index] = max(last[index], end)
        starts: list[float] = []
        total = 0.0
        for session, seen in zip(sessions, last, strict=True):
            starts.append(total)
            total += max(0.0, (seen if session.ended is None else session.ended) - session.began)
        width = next((width for width in _WIDTHS if total <= width * _MOST_BINS), None)
        if width is None:
            width = 86400 * -(-total // (86400 * _MOST_BINS))
        bins = [Counter[str]() for _ in range(max(1, int(-(-total // width))))]
        return cls(sessions=tuple(sessions), seconds=total, width=width, bins=bins, starts=tuple(starts))

    def add(self, end: float, what: str) -> None:
        """Counts a request that ended at this moment. One that ended before the first session is left out."""
        index = bisect_right(self.sessions, end, key=lambda session: session.began) - 1
        if index < 0:
            return
        elapsed = self.starts[index] + end - self.sessions[index].began
        self.bins[min(len(self.bins) - 1, int(elapsed // self.width))][what] += 1

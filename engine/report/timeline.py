"""What happened when, over a run's running time: its sessions joined end to end, without the breaks between them."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import attrs

from ..runs.shared_limits import SharedLimits

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
    shared: SharedLimits | None = None
    """Its part in a budget; None when it had none, or a release before this one ran it."""


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
    running: list[float]
    """How many requests ran at once, on average, in each bin: those that ended, each from its slot to its end."""
    tokens: list[float]
    """How many output tokens came in each bin, if those of a request come evenly while it runs."""
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
        count = max(1, int(-(-total // width)))
        return cls(
            sessions=tuple(sessions),
            seconds=total,
            width=width,
            bins=[Counter[str]() for _ in range(count)],
            running=[0.0] * count,
            tokens=[0.0] * count,
            starts=tuple(starts),
        )

    def add(self, end: float, what: str) -> None:
        """Counts a request that ended at this moment. One that ended before the first session is left out."""
        elapsed = self._elapsed(end)
        if elapsed is not None:
            self.bins[min(len(self.bins) - 1, int(elapsed // self.width))][what] += 1

    def ran(self, begin: float, end: float, tokens: int) -> None:
        """Counts a request that ran from the one moment to the other and brought so many output tokens."""
        until = self._elapsed(end)
        if until is None or not end >= begin:
            return
        since = max(0.0, until - (end - begin))
        last = len(self.bins) - 1
        for number in range(min(last, int(since // self.width)), min(last, int(until // self.width)) + 1):
            low = number * self.width
            shared = min(until, low + self.width if number < last else until) - max(since, low)
            self.running[number] += max(0.0, shared) / self.width
            self.tokens[number] += tokens * (shared / (until - since) if until > since else 1.0)

    def _elapsed(self, moment: float) -> float | None:
        index = bisect_right(self.sessions, moment, key=lambda session: session.began) - 1
        return None if index < 0 else self.starts[index] + moment - self.sessions[index].began

    @property
    def tokens_a_second(self) -> list[float]:
        """How many output tokens came a second, in each bin."""
        return [tokens / self.width for tokens in self.tokens]

    @property
    def most_at_once(self) -> float:
        """The most requests that ran at once, on average over a bin."""
        return max(self.running)

    def each(self, *, goes_on: bool) -> Iterator[tuple[Session, float, float, str]]:
        """The sessions, each with where it begins and ends in seconds of running time, and how it ended. The last one
        has not if the run `goes_on`."""
        ends = (*self.starts, self.seconds)[1:]
        for number, (session, start, end) in enumerate(zip(self.sessions, self.starts, ends, strict=True), 1):
            unended = "goes on" if goes_on and number == len(self.sessions) else "killed"
            yield session, start, end, unended if session.ended is None else session.how or "ended"

"""What came of one strategy in one scenario, counted in intervals of ten seconds."""

import math
from collections.abc import Mapping

import attrs

__all__ = ["INTERVAL", "Outcome", "Tally"]

INTERVAL = 10.0  # seconds


@attrs.frozen(kw_only=True)
class Outcome:
    """The counts, by interval: requests by when they were complete, attempts by when they were sent."""

    scenario: str
    strategy: str
    completed: tuple[int, ...]
    answered: tuple[int, ...]
    """Attempts that were answered, in whichever way."""
    refused: Mapping[int, tuple[int, ...]]
    """Attempts answered with each of the statuses 429 and 529."""
    refused_by: Mapping[str, int] = attrs.field(factory=dict[str, int])
    """By which condition of the service, over the whole time."""
    lost: int = 0
    """Requests that were given up: whoever wants an answer has to begin anew."""

    @property
    def total(self) -> int:
        """All that were complete within the time."""
        return sum(self.completed)

    @property
    def per_minute(self) -> list[int]:
        """Those complete in each minute."""
        size = round(60 / INTERVAL)
        return [sum(self.completed[start : start + size]) for start in range(0, len(self.completed), size)]

    def share(self, status: int, since: float = 0.0) -> float | None:
        """The share of the attempts sent after `since` seconds that were answered so; None when there were none."""
        first = round(since / INTERVAL)
        answered = sum(self.answered[first:])
        return sum(self.refused[status][first:]) / answered if answered else None


class Tally:
    """Counts while a strategy runs, for `seconds` from now on. Times are seconds since it began."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        intervals = math.ceil(seconds / INTERVAL)
        self._completed = [0] * intervals
        self._answered = [0] * intervals
        self._refused = {429: [0] * intervals, 529: [0] * intervals}
        self.lost = 0

    def complete(self, at: float) -> None:
        """A request is complete."""
        self._count(self._completed, at)

    def answer(self, status: int, sent_at: float) -> None:
        """An attempt was answered."""
        self._count(self._answered, sent_at)
        if status in self._refused:
            self._count(self._refused[status], sent_at)

    def _count(self, counts: list[int], at: float) -> None:
        if at < self._seconds:
            counts[int(at / INTERVAL)] += 1

    def outcome(self, scenario: str, strategy: str, refused_by: Mapping[str, int] | None = None) -> Outcome:
        """What has been counted."""
        return Outcome(
            scenario=scenario,
            strategy=strategy,
            completed=tuple(self._completed),
            answered=tuple(self._answered),
            refused={status: tuple(counts) for status, counts in self._refused.items()},
            refused_by=dict(refused_by or {}),
            lost=self.lost,
        )

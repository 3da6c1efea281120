"""The figures of a run: counted as it goes, asked at any time.

Time to first content is from the request's being sent to its first content, of the attempt that brought it; the time
between contents is between content events of one stream. Percentiles are by nearest rank.
"""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from ...actors.result import StreamResult

__all__ = ["Figures", "Rates", "nearest_rank"]

_WINDOW_SECONDS = 3.0


class Figures:
    """Counts of one run. Times are in seconds."""

    def __init__(self, total: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._begun = clock()
        self._ended: float | None = None
        self.total = total
        """How many requests there are; None when nobody knows yet."""
        self.started = 0
        """Requests handed to the engine."""
        self.over = 0
        """Streams that have ended, whether or not their ending is an answer."""
        self.endings: Counter[str] = Counter()
        """Answers written, by their type: `succeeded`, `errored`, `canceled`, `expired`."""
        self.errors: Counter[str] = Counter()
        """Errored answers, by their error's type."""
        self.events = 0
        """Part events, those included that were merged with others."""
        self.input_tokens = 0
        """Input tokens of every kind, all attempts included. Tokens count when their stream ends."""
        self.output_tokens = 0
        self._first_contents: list[float] = []
        self._inter_p50s: list[float] = []
        self._inter_p99s: list[float] = []

    @property
    def running(self) -> int:
        """Requests that are with the engine now: those included that wait to be tried again."""
        return self.started - self.over

    @property
    def done(self) -> int:
        """Requests that have their answer, good or bad."""
        return self.endings.total()

    @property
    def succeeded(self) -> int:
        return self.endings["succeeded"]

    @property
    def failed(self) -> int:
        """Requests whose answer is not a message."""
        return self.done - self.succeeded

    @property
    def not_run(self) -> int:
        """Requests without an answer: never begun, interrupted, or refused for a reason that concerns the whole run."""
        return max(self.total or 0, self.started) - self.done

    @property
    def seconds(self) -> float:
        """How long the run has taken."""
        return (self._clock() if self._ended is None else self._ended) - self._begun

    def ended(self, result: StreamResult) -> None:
        """A stream has ended."""
        self.over += 1
        timings = result.timings
        if timings.ttft is not None:
            self._first_contents.append(timings.ttft)
        if timings.inter_content_p50 is not None and timings.inter_content_p99 is not None:
            self._inter_p50s.append(timings.inter_content_p50)
            self._inter_p99s.append(timings.inter_content_p99)
        for attempt in result.attempts:
            self.input_tokens += attempt.usage.total_input_tokens
            self.output_tokens += attempt.usage.output_tokens

    def stop_clock(self) -> None:
        """The run is over."""
        if self._ended is None:
            self._ended = self._clock()

    def first_content(self, share: float) -> float | None:
        """A percentile of the time to first content, of the streams that have ended."""
        return nearest_rank(self._first_contents, share)

    def between_contents(self) -> tuple[float, float] | None:
        """The median stream's own p50 and p99 of the time between contents."""
        p50, p99 = nearest_rank(self._inter_p50s, 0.5), nearest_rank(self._inter_p99s, 0.5)
        return None if p50 is None or p99 is None else (p50, p99)


def nearest_rank(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all does not exceed; None when there are none."""
    if not values:
        return None
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


class Rates:
    """How fast counts grow, over the last three seconds."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._samples: deque[tuple[float, int, int]] = deque()
        self.sample()

    def sample(self) -> tuple[float, float]:
        """Takes the counts as they are now; returns events and output tokens a second."""
        figures, samples = self._figures, self._samples
        now = figures.seconds
        samples.append((now, figures.events, figures.output_tokens))
        while len(samples) > 2 and now - samples[1][0] >= _WINDOW_SECONDS:
            samples.popleft()
        then, events, tokens = samples[0]
        if now <= then:
            return 0.0, 0.0
        return (figures.events - events) / (now - then), (figures.output_tokens - tokens) / (now - then)

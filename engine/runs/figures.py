"""The figures of a run: counted as it goes, asked at any time, in memory that doesn't grow with the run.

Counts, tokens and dollars are the whole run's, earlier sittings included; times and rates are of this sitting. Time to
first content is from the request's being sent to its first content, of the attempt that brought it; the time between
contents is between content events of one stream.
"""

import time
from collections import Counter, deque
from collections.abc import Callable

import attrs

from ...actors.stream import StreamResult
from ..prices import Prices
from .histogram import Histogram
from .totals import Totals

__all__ = ["Failure", "Figures", "Pace", "Rates"]

_SHARES = (0.5, 0.9, 0.99)
_LAST_FAILURES = 3
_RATE_SECONDS = 5.0
_ESTIMATE_SECONDS = 60.0
_ESTIMATE_DONE = 10  # requests that end in the time that the estimate looks back
_FEWEST = 3  # with less there is no estimate
_SAMPLES = 3600


@attrs.frozen
class Failure:
    """An error that requests ended with, and how many."""

    type: str
    message: str
    """The API's own words or ours; never a prompt or an answer."""
    count: int = 1


class Figures:
    """Counts of one run. Times are in seconds. `before` is what earlier sittings of it left."""

    def __init__(
        self,
        total: int | None = None,
        *,
        before: Totals | None = None,
        prices: Prices | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._prices = prices or Prices()
        self._begun = clock()
        self._ended: float | None = None
        self.before = before = before or Totals()
        self.total = total
        """How many requests there are; None when nobody knows yet."""
        self.stopping = False
        """Whether no more requests are begun."""
        self.started = 0
        """Requests handed to the engine in this sitting."""
        self.over = 0
        """Streams of this sitting that have ended, whether or not their ending is an answer."""
        self.endings: Counter[str] = Counter(before.endings)
        """Answers written, by their type: `succeeded`, `errored`, `canceled`, `expired`."""
        self.errors: Counter[str] = Counter(before.errors)
        """Errored answers, by their error's type."""
        self.retries: Counter[str] = Counter()
        """Attempts of this sitting that failed and were followed by another, by their error's type."""
        self.events = 0
        """Part events of this sitting, those included that were merged with others."""
        self.input_tokens = before.total_input_tokens + before.lost_input_tokens
        """Input tokens of every kind, all attempts included. Tokens and dollars count when their stream ends."""
        self.output_tokens = before.output_tokens + before.lost_output_tokens
        self.dollars = before.dollars + before.lost_dollars
        self.estimated = before.lost > 0
        """Whether some of the tokens are estimates, and so the dollars: of attempts that were cut."""
        self.unpriced = before.unpriced
        """Requests that used tokens at a price that nobody knows."""
        self._priced = before.done > before.unpriced
        self._failures: dict[tuple[str, str], Failure] = {}
        self._first_contents = Histogram()
        self._between = tuple(Histogram() for _ in _SHARES)
        self._durations = Histogram()

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
        return max(self.total or 0, self.before.done + self.started) - self.done

    @property
    def failures(self) -> tuple[Failure, ...]:
        """The last few different errors, the newest first."""
        return tuple(reversed(self._failures.values()))

    @property
    def price_known(self) -> bool:
        """Whether a price is known for any of the tokens, or there are none."""
        return self._priced or not self.unpriced

    @property
    def seconds(self) -> float:
        """How long this sitting has taken."""
        return (self._clock() if self._ended is None else self._ended) - self._begun

    def ended(self, result: StreamResult) -> float | None:
        """A stream has ended. Returns what all of its attempts cost, in dollars; None when nobody knows a price."""
        self.over += 1
        timings = result.timings
        if timings.ttft is not None:
            self._first_contents.add(timings.ttft)
        if timings.queued is not None:
            self._durations.add(timings.end - timings.queued)
        gaps = (timings.inter_content_p50, timings.inter_content_p90, timings.inter_content_p99)
        for sketch, gap in zip(self._between, gaps, strict=True):
            if gap is not None:
                sketch.add(gap)
        for attempt in result.attempts[:-1]:
            if attempt.error is not None:
                self.retries[str(attempt.error.type)] += 1
        if result.error is not None and result.state != "cancelled":
            self._failed(str(result.error.type), str(result.error.message))
        return self._bill(result)

    def _failed(self, type: str, message: str) -> None:
        failures = self._failures
        known = failures.pop((type, message), None)
        failures[type, message] = Failure(type, message, 1 if known is None else known.count + 1)
        if len(failures) > _LAST_FAILURES:
            del failures[next(iter(failures))]

    def _bill(self, result: StreamResult) -> float | None:
        asked = result.request.params.get("model") if result.request is not None else None
        names = [name for name in (result.model_name, asked) if isinstance(name, str)]
        costs: list[float | None] = []
        for attempt in result.attempts:
            usage = attempt.usage
            if attempt.output_estimate is not None and attempt.output_estimate > usage.output_tokens:
                usage = attrs.evolve(usage, output_tokens=attempt.output_estimate)
                self.estimated = True
            self.input_tokens += usage.total_input_tokens
            self.output_tokens += usage.output_tokens
            if usage.total_input_tokens or usage.output_tokens:
                costs.append(next((c for name in names if (c := self._prices.cost(name, usage)) is not None), None))
        known = [cost for cost in costs if cost is not None]
        self.dollars += sum(known)
        self._priced |= bool(known)
        if len(known) < len(costs):
            self.unpriced += 1
            return None
        return sum(known)

    def stop_clock(self) -> None:
        """The sitting is over."""
        if self._ended is None:
            self._ended = self._clock()

    def first_content(self) -> tuple[float, ...] | None:
        """Time to first content of the streams that have ended: p50, p90 and p99."""
        return self._first_contents.percentiles(*_SHARES)

    def between_contents(self) -> tuple[float, ...] | None:
        """The median stream's own p50, p90 and p99 of the time between contents."""
        found = [sketch.percentiles(0.5) for sketch in self._between]
        values = tuple(value for one in found if one is not None for value in one)
        return values if len(values) == len(_SHARES) else None

    def typical_duration(self) -> float:
        """How long the median stream took from its slot to its end; 0 before one has ended."""
        return (self._durations.percentiles(0.5) or (0.0,))[0]


@attrs.frozen
class Pace:
    """How fast a run goes at the moment, a second, and how long it will take."""

    events: float = 0.0
    tokens: float = 0.0
    """Output tokens, which count when their stream ends."""
    requests: float = 0.0
    """Answers, over the time that the estimate looks back."""
    remaining: float | None = None
    """Seconds to the end, by the rate at which requests were answered of late; None while there is no telling."""


@attrs.frozen
class _Sample:
    moment: float
    events: int
    tokens: int
    done: int


class Rates:
    """How fast counts grow: events and tokens over the last five seconds, answers over the last minute.

    The minute is longer where requests take long or few end: three times as long as the median request, and long enough
    to see ten of them end. So the estimate of what remains neither jumps nor trusts in the first second.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._now = self._take()
        self._samples.append(self._now)

    def sample(self) -> Pace:
        """Looks at the counts as they are now."""
        figures, samples = self._figures, self._samples
        self._now = now = self._take()
        back = max(_ESTIMATE_SECONDS, 3 * figures.typical_duration())
        while (
            len(samples) > 1 and now.moment - samples[1].moment >= back and now.done - samples[1].done >= _ESTIMATE_DONE
        ):
            samples.popleft()
        recent = next((one for one in reversed(samples) if now.moment - one.moment >= _RATE_SECONDS), samples[0])
        oldest = samples[0]
        if now.moment - samples[-1].moment >= 1:
            samples.append(now)
        if now.moment <= recent.moment:
            return Pace()
        took = now.moment - recent.moment
        requests = (now.done - oldest.done) / (now.moment - oldest.moment)
        return Pace(
            events=(now.events - recent.events) / took,
            tokens=(now.tokens - recent.tokens) / took,
            requests=requests,
            remaining=self._remaining(requests) if now.done - oldest.done >= _FEWEST else None,
        )

    def _take(self) -> _Sample:
        figures = self._figures
        return _Sample(figures.seconds, figures.events, figures.output_tokens, figures.done)

    def _remaining(self, requests: float) -> float | None:
        figures = self._figures
        if figures.stopping:
            return figures.running / requests
        return None if figures.total is None else max(0, figures.total - figures.done) / requests

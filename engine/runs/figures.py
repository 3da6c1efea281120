"""The figures of a run: counted as it goes, read at any time, in memory that doesn't grow with the run.

Counts, tokens and dollars cover the whole run, including earlier sessions. Times cover this session. The time to first
content begins when the request is sent, in the attempt that brought content. The time between contents is the time
between two content events of one stream.
"""

import time
from collections import Counter
from collections.abc import Callable

from ...actors.stream import Attempt, StreamResult
from ..prices import Prices
from .columns import as_text
from .failures import Failure, Failures
from .histogram import Histogram
from .journal_rows import Ended
from .stopping import Over
from .totals import Totals
from .transient import failure_name

__all__ = ["Figures", "is_estimated"]

_SHARES = (0.5, 0.9, 0.99)


def is_estimated(result: StreamResult) -> bool:
    """Whether some of the output tokens that a stream is billed for are an estimate, since an attempt was cut."""
    return any(attempt.known_usage.output_tokens > attempt.usage.output_tokens for attempt in result.attempts)


class Figures:
    """The counts of one run. Times are in seconds. `before` is what its earlier sessions add up to."""

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
        """How many requests there are; None while that is unknown."""
        self.stopping = False
        """Whether the run begins no more requests."""
        self.started = 0
        """Requests handed to the engine in this session."""
        self.over = 0
        """Streams of this session that have ended, whether or not their ending is an answer."""
        self.answered = 0
        """Answers of this session, whether or not they are written."""
        self.trouble: str | None = None
        """What keeps the requests from being answered at the moment, in a line; None while they are answered."""
        self.restarts = before.restarts
        """Attempts that were paid for and begun anew, in all sessions."""
        self.endings: Counter[str] = Counter(before.endings)
        """Answers written, by their type: `succeeded`, `errored`, `canceled`, `expired`."""
        self.errors: Counter[str] = Counter(before.errors)
        """Errored answers, by the failure's name."""
        self.stop_reasons: Counter[str] = Counter(before.stop_reasons)
        """Messages, by the reason why they stopped."""
        self.passing: Counter[str] = Counter(before.passing)
        """Errored answers whose error passes by itself, by the failure's name: a run that goes on asks again."""
        self.lasting: Counter[str] = Counter(before.lasting)
        """The other answers that errored or expired, by the failure's name."""
        self.retries: Counter[str] = Counter()
        """Attempts of this session that failed and were followed by another, by their error's type."""
        self.events = 0
        """Part events of this session; an event that was merged from several counts as several."""
        self.input_tokens = before.total_input_tokens + before.lost_input_tokens
        """Input tokens of every kind, in all attempts. Tokens and dollars count when their stream ends."""
        self.output_tokens = before.output_tokens + before.lost_output_tokens
        """Output tokens of all attempts."""
        self.dollars = before.dollars + before.lost_dollars
        """What the tokens cost, as far as their prices are known."""
        self.estimated = before.lost > 0 or before.estimated > 0
        """Whether some of the tokens, and so the dollars, are estimates, since attempts were cut."""
        self.unpriced = before.unpriced
        """Requests that used tokens at an unknown price."""
        self.dollars_twice = before.restarted_dollars + before.lost_dollars
        """What was paid for and asked for again, by restarts and by sessions that went on after an interruption."""
        self._priced = before.done > before.unpriced
        self._failures = Failures(before.failures)
        self._first_contents = Histogram()
        self._between = tuple(Histogram() for _ in _SHARES)
        self._durations = Histogram()

    @property
    def running(self) -> int:
        """Requests that are with the engine now, including those that wait for another attempt."""
        return self.started - self.over

    @property
    def done(self) -> int:
        """Requests that have their answer, good or bad."""
        return self.endings.total()

    @property
    def succeeded(self) -> int:
        """Requests whose answer is a message."""
        return self.endings["succeeded"]

    @property
    def failed(self) -> int:
        """Requests whose answer is not a message."""
        return self.done - self.succeeded

    @property
    def not_run(self) -> int:
        """Requests without an answer: never begun, interrupted, or refused for a reason that stops the whole run."""
        return max(self.total or 0, self.before.done + self.started) - self.done - self.unwritten

    @property
    def unwritten(self) -> int:
        """Requests whose answer has come and is not in the results."""
        return self.before.done + self.answered - self.done

    @property
    def resumes(self) -> int:
        """Requests that an earlier session had paid for without keeping an answer, so that they are asked again."""
        return self.before.lost

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What errored answers were told, the most frequent first; at most ten. Messages that differ only in their
        numbers count as one."""
        return self._failures.top()

    @property
    def price_known(self) -> bool:
        """Whether the price of any tokens is known; True when no tokens were used."""
        return self._priced or not self.unpriced

    @property
    def seconds(self) -> float:
        """How long this session has taken."""
        return (self._clock() if self._ended is None else self._ended) - self._begun

    def over_with(self, result: StreamResult, first: int) -> Over:
        """Counts a stream that has ended. Its attempts before number `first` were begun anew: the answer has nothing of
        them."""
        costs = [self._cost(result, attempt) for attempt in result.attempts if attempt.number < first]
        paid = [cost for cost in costs if cost != 0.0]
        dollars = sum(cost for cost in paid if cost is not None)
        self.restarts += len(paid)
        self.dollars_twice += dollars
        return Over(result, self.ended(result), self.missed(result), len(paid), dollars)

    def ended(self, result: StreamResult) -> float | None:
        """Counts a stream that has ended. Returns what its attempts cost, in dollars; None when a price is unknown."""
        self.over += 1
        timings = result.timings
        if timings.ttft is not None:
            self._first_contents.add(timings.ttft)
        if timings.queued is not None:
            self._durations.add(timings.end - timings.queued)
        gaps = (timings.inter_content_p50, timings.inter_content_p90, timings.inter_content_p99)
        for histogram, gap in zip(self._between, gaps, strict=True):
            if gap is not None:
                histogram.add(gap)
        for attempt in result.attempts[:-1]:
            if attempt.error is not None:
                self.retries[as_text(failure_name(attempt.error)) or "api_error"] += 1
        return self._bill(result)

    def written(self, ended: Ended) -> None:
        """Counts an answer that is in the results."""
        self.endings[ended.kind] += 1
        name = ended.failure or ended.error
        if name is not None:
            self.errors[name] += 1
            self._failures.add(Failure(name, ended.message or "", custom_id=ended.shown_id or ended.custom_id))
        elif ended.kind == "succeeded" and ended.stop_reason is not None:
            self.stop_reasons[ended.stop_reason] += 1
        if ended.kind in ("errored", "expired"):
            counts = self.passing if ended.transient else self.lasting
            counts[name or ended.kind] += 1

    def missed(self, result: StreamResult) -> float | None:
        """What a cache miss cost, in dollars; None without one, or when its size or the price is unknown."""
        miss, name = result.cache_miss, result.model_name
        if miss is None or miss.missed_input_tokens is None or not isinstance(name, str):
            return None
        return self._prices.missed(name, result.usage, miss.missed_input_tokens)

    def _bill(self, result: StreamResult) -> float | None:
        costs: list[float | None] = []
        self.estimated |= is_estimated(result)
        for attempt in result.attempts:
            usage = attempt.known_usage
            self.input_tokens += usage.total_input_tokens
            self.output_tokens += usage.output_tokens
            if usage.total_input_tokens or usage.output_tokens:
                costs.append(self._cost(result, attempt))
        known = [cost for cost in costs if cost is not None]
        self.dollars += sum(known)
        self._priced |= bool(known)
        if len(known) < len(costs):
            self.unpriced += 1
            return None
        return sum(known)

    def _cost(self, result: StreamResult, attempt: Attempt) -> float | None:
        """What an attempt cost; None when its price is unknown."""
        usage = attempt.known_usage
        if not usage.total_input_tokens and not usage.output_tokens:
            return 0.0
        asked = result.request.params.get("model") if result.request is not None else None
        names = [name for name in (result.model_name, asked) if isinstance(name, str)]
        return next((cost for name in names if (cost := self._prices.cost(name, usage)) is not None), None)

    def stop_clock(self) -> None:
        """Ends the session's time."""
        if self._ended is None:
            self._ended = self._clock()

    def first_content(self) -> tuple[float, ...] | None:
        """The p50, p90 and p99 of the time to first content, over the streams that have ended; None before one has."""
        return self._first_contents.percentiles(*_SHARES)

    def between_contents(self) -> tuple[float, ...] | None:
        """The medians, over the streams that have ended, of each stream's own p50, p90 and p99 of the time between
        contents; None before one has ended."""
        found = [histogram.percentiles(0.5) for histogram in self._between]
        values = tuple(value for one in found if one is not None for value in one)
        return values if len(values) == len(_SHARES) else None

    def typical_duration(self) -> float:
        """The median time of a stream from its slot to its end; 0 before one has ended."""
        return (self._durations.percentiles(0.5) or (0.0,))[0]

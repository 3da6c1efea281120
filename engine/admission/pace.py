"""How fast requests may follow each other when no header says so: after a 429 for speeding up too fast
(`ramp_limit_exceeded`), or after one from a platform that sends no rate-limit headers.

At a refusal everything that was allowed has been used. So the rate of the requests that were accepted between two
refusals is the rate of the limit itself, and two such rates show how fast the limit rises. The pace goes on just below
it; it rises as the limit does, and with time a little faster, until the next refusal corrects it.
"""

import math
from collections import deque

__all__ = ["Pace"]

_SHORTEST, _LONGEST = 10.0, 60.0  # seconds over which the accepted rate is measured
_BELOW = 0.95  # of the limit is where we go on
_FIRST_SLOPE = math.log(2) / 45.0  # the first guess: it doubles in so many seconds
_FLATTEST = math.log(2) / 240.0
_STEEPEST = math.log(2) / 15.0
_IMPATIENCE = 1.02  # the slope grows by this factor a second: an estimate too low would never be corrected
_FASTEST = 1e6  # requests a second: no limit


class Pace:
    """The pace of one pool. It limits nothing until the first refusal. Times are seconds on the engine's clock."""

    def __init__(self) -> None:
        self._accepted: deque[float] = deque()
        self._first: float | None = None
        self._rate: float | None = None  # requests a second, as measured at the last refusal
        self._start = math.inf  # requests a second with which we went on
        self._slope = _FIRST_SLOPE
        self._refused_at = 0.0
        self._due = -math.inf

    def accepted(self, now: float) -> None:
        """The API accepted a request."""
        if self._first is None:
            self._first = now
        self._accepted.append(now)
        while self._accepted[0] < now - _LONGEST:
            self._accepted.popleft()

    def refused(self, now: float) -> None:
        """The API refused a request for following too soon."""
        elapsed = now - (self._refused_at if self._rate is not None else now if self._first is None else self._first)
        if self._rate is not None and elapsed < 1.0:
            return  # it was sent before the last refusal could slow anything down
        # Until the first refusal a burst was allowed, too. After it, only what was accepted since counts.
        seconds = min(elapsed if self._rate is not None else max(elapsed, _SHORTEST), _LONGEST)
        count = sum(moment > now - seconds for moment in self._accepted)
        rate = max(1, count) / seconds
        if self._rate is not None and elapsed >= _SHORTEST / 2:
            slope = math.log(rate / self._rate) / elapsed
            self._slope = min(max(_FLATTEST, (self._slope + slope) / 2), _STEEPEST)
        self._rate, self._refused_at = rate, now
        # What was measured is the mean over the seconds before: by now the limit has risen further.
        self._start = _BELOW * rate * math.exp(self._slope * seconds / 2)
        self._due = max(self._due, now + (1 / self._start if count else 1.0))

    def wait(self, now: float) -> float:
        """In how many seconds the next request may be sent; 0 for at once."""
        return max(0.0, self._due - now)

    def sent(self, now: float) -> None:
        """A request is sent."""
        if self._rate is not None:
            since = max(0.0, now - self._refused_at)
            rise = self._slope * since * _IMPATIENCE ** min(since, 600.0)
            rate = self._start * math.exp(min(rise, 50.0))
            self._due = max(self._due, now - 1.0) + 1 / min(rate, _FASTEST)  # at most a second's worth at once

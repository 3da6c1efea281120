"""How many requests may run at once, learnt from which of them the API refuses.

The window starts small and doubles while nothing is refused. The first refusal ends that: from then on the window grows
by a fixed step a round, and a round with refusals shrinks it by half of the share of requests that were refused lately,
as DCTCP does (RFC 8257). So one refusal among many costs little. A round is the time from sending to the answer's head.
The window does not grow while something else holds the requests back.

When several requests in a row are refused, the service is taken to be down. Nothing is sent for a while; then one
request at a time is sent, at growing intervals, until one is accepted. Then the window doubles again, up to its size
before.
"""

import math
import random
from collections.abc import Callable

__all__ = ["Window"]

_FIRST_SIZE = 10.0
_OUT_AFTER = 3  # refusals in a row
_FIRST_PAUSE = 1.0  # seconds
_LONGEST_PAUSE = 8.0
_PROBE_SECONDS = 10.0
_RECENT = 0.25  # the newest round's weight in the share of requests that are refused
_STEP_SHARE = 20  # a round adds one part in so many of the size to which the window last shrank


class Window:
    """The limit on concurrency of one pool, at most `ceiling`. Times are seconds on the engine's clock."""

    def __init__(self, ceiling: int, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.size = min(_FIRST_SIZE, ceiling)
        self.paused_until = -math.inf
        """Nothing is sent before this moment."""
        self._pressed = False  # whether the window held a request back in this round
        self._ceiling = ceiling
        self._uniform = uniform
        self._threshold = math.inf  # doubling ends here
        self._step = 1.0
        self._sent = 0
        self._round = 0  # how many had been sent when it began
        self._last_refused = -1
        self._answers = self._refusals = 0
        self._credit = False  # the last round was clean, but no request waited: the next one that does makes it grow
        self._share = 0.0
        self._in_a_row = 0
        self._pause = 0.0
        self._probe: int | None = None
        self._probe_sent = 0.0

    @property
    def out(self) -> bool:
        """Whether the service is taken to be down: then one request at a time, the probe, is sent."""
        return self._pause > 0

    @property
    def probe_until(self) -> float:
        """Until when the answer to the probe is waited for."""
        return self._probe_sent + _PROBE_SECONDS

    def full(self, running: int, now: float) -> bool:
        """Whether one more request would be too many beside `running` others. To be asked when a request waits: the
        window notes that it held one back."""
        if self.out:
            return self._probe is not None and now < self.probe_until
        if running >= int(self.size) and self._credit:
            self._grow()
        if running < int(self.size):
            return False
        self._pressed = True
        return True

    def sent(self, now: float) -> int:
        """A request is sent; returns its number, for its answer."""
        number, self._sent = self._sent, self._sent + 1
        if self.out:
            self._probe, self._probe_sent = number, now
        return number

    def gone(self, number: int) -> None:
        """The request with this number was given up before its answer came, or refused because of a known limit."""
        if number == self._probe:
            self._probe = None

    def accepted(self, number: int, running: int) -> None:
        """The API accepted the request with this number, one of `running`."""
        self.gone(number)
        self._answers += 1
        if number > self._last_refused:  # an older one proves nothing: an answer takes longer than a refusal
            self._in_a_row = 0
        if self.out and number >= self._round:
            self._pause = 0.0
            self.paused_until = -math.inf
            self.size = min(self._ceiling, running + _FIRST_SIZE)
        self._end_round(number)

    def pause(self, until: float) -> None:
        """The API asked to send nothing before `until`."""
        self.paused_until = max(self.paused_until, until)

    def refused(self, number: int, now: float) -> None:
        """The API refused the request with this number for now, and no known limit explains why."""
        self.gone(number)
        self._answers += 1
        self._refusals += 1
        self._credit = False
        self._in_a_row += 1
        self._last_refused = max(self._last_refused, number)
        if self.out or self._in_a_row >= _OUT_AFTER:
            if not self.out:
                self._threshold = max(self.size, _FIRST_SIZE)
            if not self.out or number >= self._round:
                self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
                self.pause(now + self._pause * self._uniform(0.75, 1.25))
                self._begin_round()

    def overloaded(self) -> None:
        """The API broke off an answer because it was overloaded: this counts as a refusal."""
        self._answers += 1
        self._refusals += 1

    def _end_round(self, number: int) -> None:
        """Ends the round when the first request that was sent in it is accepted, and judges the answers that came
        meanwhile. (A refusal ends no round: it comes at once, and would be judged alone.)"""
        if number < self._round or self.out:
            return
        self._share += _RECENT * (self._refusals / self._answers - self._share)
        if self._refusals:
            self.size = max(1.0, self.size * (1 - self._share / 2))
            self._threshold = self.size
            self._step = max(1.0, self.size / _STEP_SHARE)
        elif self._pressed:
            self._grow()
        else:
            self._credit = True
        self._begin_round()

    def _grow(self) -> None:
        grown = min(self.size * 2, self._threshold) if self.size < self._threshold else self.size + self._step
        self.size = min(grown, self._ceiling)
        self._credit = False

    def _begin_round(self) -> None:
        self._round = self._sent
        self._answers = self._refusals = 0
        self._pressed = False

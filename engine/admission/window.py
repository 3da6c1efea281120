"""How many requests may run at once, learnt from what the API refuses.

It starts low and doubles while all is clean. The first refusal ends that; from then on it grows by a fixed step a
round, and a round with refusals shrinks it by half of the share that is refused of late, as DCTCP does (RFC 8257): one
refusal among many costs little. A round is the time from sending to the answer's head. It does not grow while it is not
what holds requests back.

When several in a row are refused, with none accepted between, the service is taken to be out: nothing is sent for a
while, then one request at a time, at growing distances, until one is accepted. Then it doubles again, up to where it
had been.
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
_RECENT = 0.25  # the newest round's weight in the share that is refused
_STEP_SHARE = 20  # a round's growth is this part of what the window was when it last shrank


class Window:
    """The limit on concurrency of one pool, at most `ceiling`. Times are seconds on the engine's clock."""

    def __init__(self, ceiling: int, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.size = min(_FIRST_SIZE, ceiling)
        self.paused_until = -math.inf
        """Nothing is sent before."""
        self._pressed = False  # whether it held a request back in this round
        self._ceiling = ceiling
        self._uniform = uniform
        self._threshold = math.inf  # doubling ends here
        self._step = 1.0
        self._sent = 0
        self._round = 0  # how many had been sent when it began
        self._last_refused = -1
        self._answers = self._refusals = 0
        self._credit = False  # a clean round ended in which nobody waited: the next who waits makes it grow
        self._share = 0.0
        self._in_a_row = 0
        self._pause = 0.0
        self._probe: int | None = None
        self._probe_sent = 0.0

    @property
    def out(self) -> bool:
        """Whether the service is taken to be out: one request at a time asks whether it is back."""
        return self._pause > 0

    @property
    def probe_until(self) -> float:
        """How long the one request that asks whether the service is back is waited for."""
        return self._probe_sent + _PROBE_SECONDS

    def full(self, running: int, now: float) -> bool:
        """Whether one more would be too many beside `running` others. Somebody asks because he waits."""
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
        """The request with this number was given up before its answer came, or refused for a limit that we know."""
        if number == self._probe:
            self._probe = None

    def accepted(self, number: int, running: int) -> None:
        """The API took the request with this number on, one of `running`."""
        self.gone(number)
        self._answers += 1
        if number > self._last_refused:  # an answer takes longer than a refusal: an older one proves nothing
            self._in_a_row = 0
        if self.out and number >= self._round:
            self._pause = 0.0
            self.paused_until = -math.inf
            self.size = min(self._ceiling, running + _FIRST_SIZE)
        self._end_round(number)

    def pause(self, until: float) -> None:
        """The API asked to send nothing before."""
        self.paused_until = max(self.paused_until, until)

    def refused(self, number: int, now: float) -> None:
        """The API refused the request with this number for now, for no reason that a limit's bucket would explain."""
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
        """The API gave up a request that it had taken on: as bad a sign as a refusal."""
        self._answers += 1
        self._refusals += 1

    def _end_round(self, number: int) -> None:
        """What was sent in this round begins to be taken on: time to judge what was answered during it. (A refusal
        ends no round: it comes at once, and would be judged alone.)"""
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

"""How fast requests may follow each other when no header says so: after a 429 for speeding up too fast
(`ramp_limit_exceeded`), or on a platform that sends no rate-limit headers.

A limit refuses what goes beyond a rate, and accepts what stays below it. So there is a limit where refusals stop when
the requests slow down, and none where they go on as before: then they come by chance, and slowing down helps nobody.
Both are found out by trying. The pace is a limit's once the service was shut twice (`Refusals`), or once single
refusals have gone on for some seconds; it is set just below the rate that was accepted, which costs little if there is
no limit. If as many are refused as before, it is doubled; if that, too, changes nothing, it is given up.

At a limit, everything that was allowed has been used when a request is refused. So the rate of the requests that were
accepted between two refusals is the rate of the limit itself, and two such rates show how fast the limit rises. The
pace goes on just below it; it rises as the limit does, and with time a little faster, until the next refusal corrects
it.
"""

import math

from .moments import Moments
from .remembered import Remembered

__all__ = ["Pace"]

_SHORTEST, _LONGEST = 10.0, 60.0  # seconds over which the accepted rate is measured
_BETWEEN_SHUTS = 0.5  # seconds, at least, between two moments at which the service was shut
_BELOW = 0.95  # of the limit is where we go on
_FIRST_SLOPE = math.log(2) / 45.0  # the first guess: it doubles in so many seconds
_FLATTEST = math.log(2) / 240.0
_STEEPEST = math.log(2) / 15.0
_IMPATIENCE = 1.02  # the slope grows by this factor a second: an estimate too low would never be corrected
_FASTEST = 1e6  # requests a second: no limit
_USED = 0.7  # of what the pace allowed must have been sent, or its requests say nothing of a lower limit

_ENOUGH = 3  # refusals that the pace does not explain make a judgement; and so many moments of being shut
_MORE = 1.5  # times the share before: more are refused
_FALLEN = 0.95  # of what was measured before: the limit seems to fall
_RAISES = 2  # doublings after which the limit is given up
_SUSPICIOUS = 5  # single refusals, over the time below, for which a limit is looked for
_SUSPICION_SECONDS = 5.0
_TRY_AGAIN = 60.0  # seconds
_MEMORY = 400  # answers


class _Falls(Remembered):
    """How often in a row the limit was measured as lower than before. A rate that was lowered for refusals that come
    by chance falls each time, as everything that is allowed is used."""

    def __init__(self) -> None:
        self.count = self.answers = self.refusals = 0
        self.highest = 0.0
        """What was measured before the first."""

    def note(self, before: float, rate: float, answers: int, refusals: int) -> None:
        """The limit, `before`, is `rate` now, after so many answers, and so many refusals among them."""
        if rate >= _FALLEN * before:
            self.count = self.answers = self.refusals = 0
            return
        if not self.count:
            self.highest = before
        self.count += 1
        self.answers += answers
        self.refusals += refusals


class Pace(Remembered):
    """The pace of one pool. Times are seconds on the engine's clock; `grain` is that of the moments it keeps."""

    def __init__(self, grain: float = 0.0) -> None:
        # A refusal comes at once: what was sent and is not refused yet is taken for accepted.
        self._sent = Moments(grain)
        self._turned_down = Moments(grain)
        self._first: float | None = None
        self._rate: float | None = None  # the limit as measured, in requests a second; None while none is known
        self._start = math.inf  # requests a second with which we went on
        self._slope = _FIRST_SLOPE
        self._due = -math.inf
        self._shut_at = -math.inf
        self._shut_oddly = 0  # times in a row that the pace does not explain
        self._given_up_at = -math.inf
        self._raises = 0
        self._falls = _Falls()
        self._share_before = 0.0
        self._by_chance = 0.0  # the share that is refused at any pace
        self._tried_at = -math.inf
        # Since the last change:
        self._changed_at = -math.inf
        self._sends = self._passed = self._alone = 0

    @property
    def limits(self) -> bool:
        """Whether a limit is believed in."""
        return self._rate is not None

    @property
    def changed_at(self) -> float:
        """When it was last found to be another one."""
        return self._changed_at

    def rate(self, now: float) -> float | None:
        """How many requests a second may be sent; None while no limit is believed in."""
        return None if self._rate is None else min(self._rate_at(now), _FASTEST)

    def accepted(self, now: float, sent: float, alone: int) -> None:
        """The API accepted a request that was sent at that moment, by which it turned out that so many before it were
        refused alone, between others that were accepted."""
        if sent <= self._changed_at:
            return
        self._passed += 1
        if alone:
            self._alone += alone
            if self._rate is None:
                self._suspect(now)
            elif self._alone >= _ENOUGH:
                self._judge(now)

    def turned_down(self, sent: float) -> None:
        """The API refused a request that was sent at that moment. To be called before what else follows from it."""
        self._turned_down.add(sent)

    def told(self, now: float) -> None:
        """The API refused a request for following too soon, and said so: there is a limit, and it was reached."""
        if self._rate is None:
            # Until the first refusal a burst was allowed, too. After it, only what was accepted since counts.
            self._measure(now, max(0.0 if self._first is None else now - self._first, _SHORTEST))
        elif now - self._changed_at >= 1.0:  # else it was sent before the last refusal could slow anything down
            self._measure(now, now - self._changed_at)

    def refused(self, now: float, sent: float) -> None:
        """The API refused a request that was sent at that moment, and said no more. It is not the last of a row."""
        if self._rate is None or self._raises or sent <= self._changed_at or self._rate_at(now) < self._rate:
            return  # whether it was refused alone is seen later
        self._shut_oddly = 0
        self._explained(now, self._rate)

    def shut(self, now: float, sent: float) -> None:
        """The API has just refused several requests in a row, the last of them sent at that moment, and said no
        more."""
        if sent <= self._changed_at:
            return
        if self._rate is None:
            if now - self._given_up_at < _TRY_AGAIN:
                return
            if now - self._shut_at <= _LONGEST:
                # What the limit allowed at first was used up then.
                self._measure(now, max(now - self._shut_at, _BETWEEN_SHUTS))
        elif not self._raises and self._rate_at(now) < self._rate and self._shut_oddly + 1 >= _ENOUGH:
            self._give_up(now)  # it is shut at times, at any pace
            return
        else:
            self._shut_oddly += self._rate_at(now) < self._rate
            self._measure(now, max(now - self._changed_at, _BETWEEN_SHUTS))
        self._shut_at = now

    def wait(self, now: float) -> float:
        """In how many seconds the next request may be sent; 0 for at once."""
        return max(0.0, self._due - now)

    def sent(self, now: float) -> None:
        """A request is sent."""
        if self._first is None:
            self._first = now
        self._sent.add(now)
        for moments in (self._sent, self._turned_down):
            moments.forget(now - _LONGEST)
        self._sends += 1
        if self._rate is not None:
            # At most a second's worth at once.
            self._due = max(self._due, now - 1.0) + 1 / min(self._rate_at(now), _FASTEST)

    def _rate_at(self, now: float) -> float:
        since = max(0.0, now - self._changed_at)
        rise = self._slope * since * _IMPATIENCE ** min(since, 600.0)
        return self._start * math.exp(min(rise, 50.0))

    # -- what refusals say

    @property
    def _share(self) -> float:
        """The share of the requests sent since the last change that were refused alone."""
        return self._alone / (self._alone + self._passed)

    def _suspect(self, now: float) -> None:
        """Single refusals without a limit: looks for one, unless the same share was refused at any pace before."""
        if self._changed_at == -math.inf:
            self._change(now)
            return
        if self._alone < _SUSPICIOUS or now - self._changed_at < _SUSPICION_SECONDS:
            return
        more = self._share > _MORE * self._by_chance
        if more or now - self._tried_at >= _TRY_AGAIN:
            self._tried_at = now
            self._measure(now, min(now - self._changed_at, _SHORTEST))
        elif self._passed > _MEMORY:
            self._alone, self._passed = self._alone // 2, self._passed // 2

    def _explained(self, now: float, before: float) -> None:
        """A request was refused at a higher pace than was accepted before. When the limit seems to fall again and
        again, the pace of the beginning is tried, to see whether more are refused at it."""
        falls, answers, refusals = self._falls, self._passed + self._alone + 1, self._alone + 1
        self._measure(now, now - self._changed_at)
        assert self._rate is not None
        falls.note(before, self._rate, answers, refusals)
        if falls.count >= _ENOUGH:
            self._share_before = self._by_chance = falls.refusals / falls.answers
            self._raise(now, falls.highest)

    def _judge(self, now: float) -> None:
        """Requests were refused although they stayed below what had been accepted before."""
        share = self._share
        if self._raises and share > _MORE * self._share_before:
            self._measure(now, now - self._changed_at)  # more were refused at the higher pace: there is a limit
            self._by_chance = 0.0
            return
        self._by_chance = self._share_before = share
        self._raises += 1
        if self._raises > _RAISES:
            self._give_up(now)
        else:
            self._raise(now, 2 * self._rate_at(now))

    def _raise(self, now: float, rate: float) -> None:
        """Tries a higher pace."""
        self._raises = max(1, self._raises)
        self._falls = _Falls()
        self._start = self._rate = rate
        self._due = min(self._due, now)
        self._change(now)

    def _give_up(self, now: float) -> None:
        """There is no limit."""
        self._rate, self._start, self._due = None, math.inf, -math.inf
        self._shut_at = -math.inf
        self._shut_oddly = self._raises = 0
        self._given_up_at = now
        self._change(now)

    def _measure(self, now: float, elapsed: float) -> None:
        """The limit was reached: goes on just below the rate that was accepted in the last `elapsed` seconds."""
        seconds = min(elapsed, _LONGEST)
        count = self._sent.since(now - seconds) - self._turned_down.since(now - seconds)
        rate = max(1, count) / seconds
        if self._rate is not None:
            if self._sends < _USED * self._start * elapsed:
                rate = max(rate, self._rate_at(now) / 2)  # few were accepted because few were sent
            if elapsed >= _SHORTEST / 2 and not self._raises:
                slope = math.log(rate / self._rate) / elapsed
                self._slope = min(max(_FLATTEST, (self._slope + slope) / 2), _STEEPEST)
        self._rate = rate
        self._raises = 0
        # What was measured is the mean over the seconds before: by now the limit has risen further.
        self._start = _BELOW * rate * math.exp(self._slope * seconds / 2)
        self._due = max(self._due, now + (1 / self._start if count else 1.0))
        self._change(now)

    def _change(self, now: float) -> None:
        self._changed_at = now
        self._sends = self._passed = self._alone = 0

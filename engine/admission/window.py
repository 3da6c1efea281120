"""How many requests may run at once, learnt from which of them the API refuses.

The window starts small and doubles while few are refused. When many are, that ends: from then on the window grows by a
fixed step a round, and a round with refusals shrinks it by half of the share of requests that were refused lately, as
DCTCP does (RFC 8257). So one refusal among many costs little. A round is the time from sending to the answer's head.
The window does not grow while something else holds the requests back.

A service that refuses because too many run at once refuses fewer when fewer run. So before the window shrinks for good
it is half as large for a while, as a trial. If as many are refused then, it is by chance: the window doubles again, and
only what is refused beyond that share shrinks it.

When the service is shut (`Refusals`), nothing is sent for a while; then one request at a time is sent, at growing
intervals, until one is accepted. Then the window doubles again, up to its size before.
"""

import math
import random
from collections.abc import Callable
from typing import Any

from .remembered import Remembered, mapping

__all__ = ["Window"]

_FIRST_SIZE = 10.0
_FIRST_PAUSE = 0.15  # seconds
_LONGEST_PAUSE = 8.0
_PROBE_SECONDS = 10.0
_RECENT = 0.25  # the newest round's weight in the share of requests that are refused
_STEP_SHARE = 20  # a round adds one part in so many of the size to which the window last shrank
_MANY = 0.25  # refused in a round, and
_SEVERAL = 5  # at least: doubling ends
_WORTH_A_TRIAL = 0.08  # refused; for fewer the window shrinks little anyhow, and a trial costs more
_TRIAL_SIZE = 0.5  # of the window
_TRIAL_REFUSALS = 6  # so many must be expected in a trial
_TRIAL_ANSWERS = 20  # at least
_TRIAL_EVERY = 20  # rounds
_FEWER = 0.7  # times the share before: fewer are refused
_DOUBTFUL = 1.3  # times larger: what was refused before says little about this size
_PATIENCE = 30  # rounds at one size


class _Trial(Remembered):
    """A while with a smaller window: whether fewer requests are refused."""

    def __init__(self, size: float, share: float) -> None:
        self.size = size
        """The window before it."""
        self._share = share
        self._answers = self._refusals = 0

    def add(self, answers: int, refusals: int) -> bool:
        """A round is over. Returns whether the trial is, too."""
        self._answers += answers
        self._refusals += refusals
        return self._answers >= max(_TRIAL_ANSWERS, _TRIAL_REFUSALS / self._share)

    @property
    def share(self) -> float:
        """The share that was refused."""
        return self._refusals / self._answers

    @property
    def helped(self) -> bool:
        """Whether fewer were refused."""
        return self.share < _FEWER * self._share


class Window(Remembered):
    """The limit on concurrency of one pool, at most `ceiling`. Times are seconds on the engine's clock."""

    _fixed_parts = frozenset({"_ceiling", "_uniform", "_trial"})

    def __init__(self, ceiling: int, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.size = min(_FIRST_SIZE, ceiling)
        self._pressed = False  # whether the window held a request back in this round
        self._ceiling = ceiling
        self._uniform = uniform
        self._threshold = math.inf  # doubling ends here
        self._step = 1.0
        self._sent = 0
        self._round = 0  # how many had been sent when it began
        self._answers = self._refusals = 0
        self._credit = False  # the last round was clean, but no request waited: the next one that does makes it grow
        self._share = 0.0
        self._rounds = 0
        self._rounds_here = 0  # at this size, or near it
        self._by_chance = 0.0  # the share that is refused at any size
        self._trial: _Trial | None = None
        self._next_trial = 0  # not before this round
        self._asked_until = -math.inf
        self._shut_until = -math.inf
        self._reopens = 0  # what is sent from this number on tells whether the service is open again
        self._pause = 0.0
        self._probe: int | None = None
        self._probe_sent = 0.0

    def remember(self) -> dict[str, Any]:
        """What it has learnt."""
        return super().remember() | {"trial": None if self._trial is None else self._trial.remember()}

    def recall(self, learnt: object) -> None:
        """Takes over what another window has learnt; of its size, as much as fits. Raises `ValueError` for what is not
        of this kind."""
        super().recall(learnt)
        self.size = min(self.size, self._ceiling)
        trial = mapping(learnt).get("trial")
        if trial is not None:
            self._trial = _Trial(0.0, 0.0)
            self._trial.recall(trial)

    @property
    def probe(self) -> int | None:
        """The number of the probe that is under way."""
        return self._probe

    @property
    def paused_until(self) -> float:
        """Nothing is sent before this moment."""
        return max(self._asked_until, self._shut_until)

    @property
    def out(self) -> bool:
        """Whether the service is shut: then one request at a time, the probe, is sent."""
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
        """The request with this number was given up before its answer came, or its refusal is no matter of size."""
        if number == self._probe:
            self._probe = None

    def accepted(self, number: int, running: int) -> bool:
        """The API accepted the request with this number, one of `running`. Returns whether this tells that the
        service, which was shut, is open again."""
        self.gone(number)
        if number >= self._round:  # the round before has counted what was sent in it
            self._answers += 1
        if self.out and number >= self._reopens:
            at_once = self._pause == _FIRST_PAUSE
            self._pause = 0.0
            self._shut_until = -math.inf
            self.size = min(self._ceiling, max(running + _FIRST_SIZE, self._threshold / 2 if at_once else 0.0))
            self._begin_round()
            return True
        self._end_round(number)
        return False

    def pause(self, until: float) -> None:
        """The API asked to send nothing before `until`."""
        self._asked_until = max(self._asked_until, until)

    def refused(self, number: int) -> None:
        """The API refused the request with this number for now, and no known limit explains why."""
        self.gone(number)
        self._answers += 1
        self._refusals += 1
        self._credit = False

    def tells(self, number: int) -> bool:
        """Whether the service is shut, and a refusal of the request with this number tells that it is still so."""
        return self.out and number >= self._round

    def shut(self, number: int, now: float, asked: float = 0.0) -> None:
        """The service is shut, or still so, as the refusal of the request with this number tells. Nothing is sent for
        `asked` seconds at least."""
        if not self.out:
            self._threshold = max(self.size, _FIRST_SIZE)
            self._trial = None
        self._pause = min(_LONGEST_PAUSE, self._pause * 2 or _FIRST_PAUSE)
        self._shut_until = now + max(asked, self._pause * self._uniform(0.75, 1.25))
        self._reopens = number + 1
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
        # Refusals come at once, so those of all that were sent in this round are counted by now.
        answers, refusals, pressed = max(self._answers, self._sent - self._round), self._refusals, self._pressed
        self._begin_round()
        share = refusals / answers
        self._rounds += 1
        self._rounds_here += 1
        self._share += max(_RECENT, 1 / self._rounds_here) * (share - self._share)
        self._by_chance = min(self._by_chance, self._share)
        if self._trial is not None:
            if self._trial.add(answers, refusals):
                self._judge(self._trial)
        elif refusals and self._too_many(share, answers):
            self._shrink()
        else:
            if pressed:
                self._grow()
            else:
                self._credit = not refusals

    def _too_many(self, share: float, answers: int) -> bool:
        """Whether a round in which this share of so many answers was refused is a reason to shrink."""
        chance = self._by_chance
        if self._threshold == math.inf and not chance:
            many = share >= _MANY and share * answers >= _SEVERAL
            return many or (self._rounds_here >= _PATIENCE and self._share >= _WORTH_A_TRIAL)
        return share > chance + 2 * math.sqrt(chance * (1 - chance) / answers)

    def _shrink(self) -> None:
        if self._rounds >= self._next_trial and self._share - self._by_chance >= _WORTH_A_TRIAL:
            self._trial = _Trial(self.size, self._share)
            self.size = max(1.0, self.size * _TRIAL_SIZE)
            self._rounds_here = 0
        else:
            self.size = max(1.0, self.size * (1 - max(0.0, self._share - self._by_chance) / 2))
            self._settle()

    def _judge(self, trial: _Trial) -> None:
        self._trial = None
        self._rounds_here = 0
        self._next_trial = self._rounds + _TRIAL_EVERY
        if trial.helped:
            self._by_chance = 0.0
            self._settle()
        else:
            self._by_chance = trial.share
            self._threshold = math.inf
            self.size = trial.size

    def _settle(self) -> None:
        """From here on the window grows by steps."""
        self._threshold = self.size
        self._step = max(1.0, self.size / _STEP_SHARE)

    def _grow(self) -> None:
        before = self.size
        grown = min(before * 2, self._threshold) if before < self._threshold else before + self._step
        self.size = min(grown, self._ceiling)
        if self.size >= _DOUBTFUL * before:
            self._rounds_here = 0
        self._credit = False

    def _begin_round(self) -> None:
        self._round = self._sent
        self._answers = self._refusals = 0
        self._pressed = False

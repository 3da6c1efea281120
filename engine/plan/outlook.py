"""What is expected of answers that have not come: how long they are, and how fast.

With a pilot, they are expected to be like its answers: each of those stands for an equal share of what is to come. Two
times the standard error of their mean, each way, is the range that is told (about 95 of 100 such ranges hold the true
value). Without a pilot nothing is known, and two assumptions make the range: all answers are short, or all are long.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from random import Random
from statistics import median

import attrs

from .past import Answer, PilotAnswer

__all__ = ["ENOUGH", "LONG", "PACE", "SHORT", "Course", "Outlook", "assumed", "by_pilot", "refused_share"]

ENOUGH = 5
"""Answers that a pilot has at least; fewer tell nothing."""
SHORT, LONG = 100, 4000
"""Tokens of a short and of a long answer, unless `max_tokens` allows fewer: what is assumed without a pilot."""
_TTFT = 1.5  # seconds, and
_TOKENS_A_SECOND = 60.0  # what is assumed where no answer has told it, as PACE says
PACE = "the first token comes after 1.5 seconds, then 60 a second"
"""The pace that is assumed, in words."""
_MOST_REFUSED = 0.5  # of all attempts: a pilot may have met an outage
_STANDARD_ERRORS = 2.0


@attrs.frozen
class Course:
    """How an answer may go."""

    output_tokens: float
    ttft: float
    """Seconds from sending to the first content."""
    seconds: float
    """From the first content to the end."""

    def within(self, max_tokens: int) -> "Course":
        """The same, cut at `max_tokens`."""
        if self.output_tokens <= max_tokens:
            return self
        return Course(max_tokens, self.ttft, self.seconds * max_tokens / self.output_tokens)


@attrs.frozen(kw_only=True)
class Outlook:
    """What is expected in one pool."""

    courses: tuple[Course, ...]
    """Each as likely as the others."""
    scale: float = 1.0
    """The tokens that the API counts for each token that the engine measures."""
    caches: bool = True
    """Whether the API caches what is marked."""
    answers: int = 0
    """How many answers it rests on; 0 for an assumption."""

    _lengths: "_Lengths" = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(lambda self: _Lengths(self.courses), takes_self=True)
    )

    def mean(self, max_tokens: int) -> float:
        """The expected output tokens of a request with this `max_tokens`."""
        return self._lengths.within(max_tokens)[0]

    def error(self, max_tokens: int) -> float:
        """How far off the mean may be, either way."""
        return self._lengths.within(max_tokens)[1]

    def shuffled(self, random: Random) -> Sequence[Course]:
        """The courses in another order, for requests to take in turn."""
        return random.sample(self.courses, len(self.courses))


class _Lengths:
    """The lengths of answers, for quick sums: each request of a large input may have a `max_tokens` of its own."""

    def __init__(self, courses: Sequence[Course]) -> None:
        self._sorted = sorted(course.output_tokens for course in courses)
        self._sums = [0.0, *accumulate(self._sorted)]
        self._squares = [0.0, *accumulate(length * length for length in self._sorted)]

    def within(self, most: float) -> tuple[float, float]:
        """The mean of all lengths, cut at `most`, and how far off it may be."""
        count = len(self._sorted)
        below = bisect_right(self._sorted, most)
        mean = (self._sums[below] + (count - below) * most) / count
        if count < 2:
            return mean, 0.0
        squares = self._squares[below] + (count - below) * most * most
        variance = max(0.0, squares - count * mean * mean) / (count - 1)
        return mean, _STANDARD_ERRORS * math.sqrt(variance / count)


def assumed(tokens: float, *, scale: float = 1.0) -> Outlook:
    """All answers have so many tokens."""
    return Outlook(courses=(Course(tokens, _TTFT, tokens / _TOKENS_A_SECOND),), scale=scale)


def by_pilot(pilot: Sequence[PilotAnswer], pools: Iterable[str]) -> Mapping[str, Outlook]:
    """The outlook of each pool. One without enough answers of its own is expected to be like all of them together."""
    every = _outlook(pilot)
    found: dict[str, Outlook] = {}
    for pool in pools:
        own = [one for one in pilot if one.item.pool == pool]
        found[pool] = _outlook(own) if len(own) >= ENOUGH else every
    return found


def _outlook(pilot: Sequence[PilotAnswer]) -> Outlook:
    timed = [answer for answer in (one.answer for one in pilot) if answer.seconds is not None]
    ttft = median([answer.ttft or 0.0 for answer in timed]) if timed else _TTFT
    produced = sum(answer.output_tokens for answer in timed)
    a_token = sum(answer.seconds or 0.0 for answer in timed) / produced if produced else 1 / _TOKENS_A_SECOND
    measured = sum(one.item.prompt.tokens for one in pilot)
    counted = sum(one.answer.input_tokens for one in pilot)
    marked = any(one.item.prompt.prefixes for one in pilot)
    return Outlook(
        courses=tuple(_course(one.answer, ttft, a_token) for one in pilot),
        scale=counted / measured if measured and counted else 1.0,
        caches=not marked or any(one.answer.cached_tokens for one in pilot),
        answers=len(pilot),
    )


def _course(answer: Answer, ttft: float, a_token: float) -> Course:
    seconds = answer.output_tokens * a_token if answer.seconds is None else answer.seconds
    return Course(answer.output_tokens, ttft if answer.ttft is None else answer.ttft, seconds)


def refused_share(pilot: Sequence[PilotAnswer]) -> float:
    """The share of the attempts that failed, so that another followed."""
    attempts = sum(one.answer.attempts for one in pilot)
    return min(_MOST_REFUSED, (attempts - len(pilot)) / attempts) if attempts else 0.0

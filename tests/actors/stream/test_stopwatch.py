"""The stopwatch: times since submission, and percentiles of the time between contents."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.actors.stream.stopwatch import Stopwatch, nearest_rank


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_times_count_from_submission() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    timings = watch.timings()
    assert (timings.queued, timings.sent, timings.first_content, timings.ttft, timings.end) == (None,) * 4 + (0.0,)

    watch.queued = clock.now = 1001
    watch.begin_attempt()
    watch.connected = 1002
    watch.first_event = 1003
    watch.content(1004, 1)
    watch.ended = 1006
    clock.now = 2000
    timings = watch.timings()
    assert (timings.queued, timings.sent, timings.connected, timings.first_event) == (1, 1, 2, 3)
    assert (timings.first_content, timings.end, timings.ttft) == (4, 6, 3)


def test_another_attempt_counts_anew_but_for_the_queue() -> None:
    clock = Clock()
    watch = Stopwatch(clock)
    watch.queued = 1001
    watch.begin_attempt()
    watch.connected = watch.first_event = watch.last_byte = 1002
    watch.content(1003, 2)
    watch.content(1004, 1)
    clock.now = 1010
    watch.begin_attempt()
    assert watch.last_byte is None
    assert watch.last_content is None
    timings = watch.timings()
    assert (timings.queued, timings.sent, timings.connected, timings.first_event) == (1, 10, None, None)
    assert (timings.first_content, timings.contents, timings.inter_content_p50) == (None, 0, None)


def test_one_content_has_nothing_between() -> None:
    watch = Stopwatch(Clock())
    watch.content(1001, 1)
    timings = watch.timings()
    assert (timings.contents, timings.inter_content_p50, timings.inter_content_p99) == (1, None, None)


def by_definition(values: list[float], percent: int) -> float | None:
    """The smallest value that at least `percent` of a hundred values do not exceed, by the definition."""
    ordered = sorted(values)
    return next(
        (value for rank, value in enumerate(ordered, 1) if Fraction(rank, len(ordered)) >= Fraction(percent, 100)), None
    )


@given(st.lists(st.tuples(st.integers(0, 64), st.integers(1, 5)), max_size=120))
def test_percentiles_are_the_nearest_rank_and_count_what_was_read_at_once(reads: list[tuple[int, int]]) -> None:
    watch = Stopwatch(Clock())
    now = 1000.0
    gaps: list[float] = []
    for number, (gap, count) in enumerate(reads):
        now += gap / 8  # such times are exact in binary
        watch.content(now, count)
        gaps += ([gap / 8] if number else []) + [0.0] * (count - 1)
    timings = watch.timings()
    assert timings.contents == sum(count for _, count in reads)
    assert timings.inter_content_p50 == by_definition(gaps, 50)
    assert timings.inter_content_p90 == by_definition(gaps, 90)
    assert timings.inter_content_p99 == by_definition(gaps, 99)


@pytest.mark.parametrize("count", [10, 70, 100, 200, 700, 1000])
def test_a_rank_is_not_off_by_a_rounding_error(count: int) -> None:
    watch = Stopwatch(Clock())
    now = 1000.0
    watch.content(now, 1)
    for gap in range(1, count + 1):
        now += gap
        watch.content(now, 1)
    timings = watch.timings()
    assert timings.inter_content_p50 == math.ceil(Fraction(50 * count, 100))
    assert timings.inter_content_p90 == math.ceil(Fraction(90 * count, 100))
    assert timings.inter_content_p99 == math.ceil(Fraction(99 * count, 100))


def test_the_nearest_rank_of_a_share_that_floats_miss() -> None:
    assert nearest_rank(0.07, 100) == 7  # 0.07 * 100 is a little more than 7
    assert nearest_rank(0.5, 1) == nearest_rank(0, 3) == 1


@given(st.integers(0, 100), st.integers(1, 10_000))
def test_the_nearest_rank_is_exact(percent: int, count: int) -> None:
    assert nearest_rank(percent / 100, count) == max(1, math.ceil(Fraction(percent, 100) * count))

"""How far batches are: pure arithmetic, with either scheduler, at whichever times it is asked."""

from __future__ import annotations

import math
from random import Random

import pytest

from manystream.engine.simulator.batches.processing import Processing, Work
from manystream.engine.simulator.batches.settings import Scheduler

SCHEDULERS: list[Scheduler] = ["first_come", "equal_share"]


def worked(scheduler: Scheduler, *sizes: int, per_second: float = 1.0) -> tuple[Processing, list[Work]]:
    processing = Processing(per_second, scheduler)
    works = [Work(size, math.inf) for size in sizes]
    for work in works:
        processing.add(work, 0.0)
    return processing, works


def test_first_come_does_one_after_the_other() -> None:
    processing, (first, second) = worked("first_come", 10, 10)
    processing.advance(5.0)
    assert (first.completed, second.completed, processing.waiting) == (5, 0, 15)
    processing.advance(12.0)
    assert (first.completed, second.completed) == (10, 2)
    processing.advance(100.0)
    assert (first.over_at, second.over_at, processing.waiting) == (10.0, 20.0, 0)


def test_equal_share_does_all_at_once() -> None:
    processing, (short, long) = worked("equal_share", 10, 30)
    processing.advance(10.0)
    assert (short.completed, long.completed) == (5, 5)
    processing.advance(100.0)
    # Half the rate each for 20 seconds; then the long one has all of it.
    assert (short.over_at, long.over_at) == (20.0, 40.0)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_later_one_changes_only_what_comes_after(scheduler: Scheduler) -> None:
    processing, (first,) = worked(scheduler, 10)
    second = Work(10, math.inf)
    processing.add(second, 5.0)
    processing.advance(100.0)
    assert first.over_at == {"first_come": 10.0, "equal_share": 15.0}[scheduler]
    assert second.over_at == 20.0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_is_due_is_given_up_and_leaves_its_share(scheduler: Scheduler) -> None:
    processing = Processing(1.0, scheduler)
    first, second = Work(100, 10.0), Work(10, math.inf)
    processing.add(first, 0.0)
    processing.add(second, 0.0)
    processing.advance(100.0)
    done = {"first_come": (10, 20.0), "equal_share": (5, 15.0)}[scheduler]
    assert (first.completed, second.over_at) == done
    assert first.over_at == 10.0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_what_is_stopped_completes_the_request_in_progress_and_leaves_its_share(scheduler: Scheduler) -> None:
    processing, (first, second) = worked(scheduler, 100, 10)
    processing.stop(first, 4.5)
    assert (first.completed, first.over_at) == ({"first_come": 5, "equal_share": 3}[scheduler], 4.5)
    processing.advance(100.0)
    assert second.over_at == {"first_come": 14.5, "equal_share": 12.25}[scheduler]
    processing.stop(second, 200.0)  # too late
    assert (second.completed, second.over_at) == (10, {"first_come": 14.5, "equal_share": 12.25}[scheduler])


def test_what_waits_has_nothing_in_progress() -> None:
    processing, (_, second) = worked("first_come", 100, 10)
    processing.stop(second, 4.5)
    assert second.completed == 0


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_it_makes_no_difference_how_often_one_looks(scheduler: Scheduler) -> None:
    sizes = [7, 100, 1, 33, 20]
    ends: list[list[float | None]] = []
    for looks in (1, 1_000):
        processing, works = worked(scheduler, *sizes, per_second=1.7)
        random = Random(1)
        for time in sorted(random.uniform(0.0, 200.0) for _ in range(looks)):
            processing.advance(time)
        processing.advance(200.0)
        assert [work.completed for work in works] == sizes
        ends.append([work.over_at for work in works])
    assert ends[0] == pytest.approx(ends[1])
    assert max(end for end in ends[0] if end is not None) == pytest.approx(sum(sizes) / 1.7)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_time_does_not_go_back(scheduler: Scheduler) -> None:
    processing, (work,) = worked(scheduler, 10)
    processing.advance(5.0)
    processing.advance(3.0)
    assert work.completed == 5
    processing.advance(6.0)
    assert work.completed == 6

"""The budget that all retries of an engine share, and its part where several engines share it."""

from manystream.engine.admission.retry_budget import RetryBudget


def retries_in(budget: RetryBudget, seconds: int) -> int:
    """How many retries it lets through, when none helps."""
    made = 0
    for tick in range(seconds * 100):
        while budget.wait(tick / 100) == 0.0:
            budget.take()
            made += 1
    return made


def test_together_engines_retry_as_one_would() -> None:
    whole = retries_in(RetryBudget(40.0, 0.0), 60)
    parts = [RetryBudget(40.0, 0.0) for _ in range(4)]
    for part in parts:
        part.share(0.25, 0.0)
    assert whole == 40 + 59
    assert whole - 4 <= sum(retries_in(part, 60) for part in parts) <= whole


def test_who_is_alone_again_has_all_of_it() -> None:
    budget = RetryBudget(40.0, 0.0)
    budget.share(0.25, 0.0)
    budget.share(1.0, 0.0)
    assert retries_in(budget, 60) == 10 + 59  # what it had no part in does not come back at once


def test_the_smallest_part_lets_one_through_now_and_then() -> None:
    budget = RetryBudget(10.0, 0.0)
    budget.share(0.0, 0.0)
    assert retries_in(budget, 300) == 3

"""The cases: the service, what goes wrong, and what would be ideal.

An answer takes two seconds on average, so that 30 at a time reach 900 a minute. A semaphore of 50 is a good guess: it
is enough, and not far too much. The bucket holds what refills in ten seconds: the real service may enforce its limits
over less than a minute, and in a longer job the first minute is little. The limits of tokens are above what this many
rows use.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from manystream.engine.simulator import Conditions, Faults, Overload, Scenario, ServiceLimits

__all__ = ["CASES", "MAX_TOKENS", "MODEL", "Case", "prompts"]

MODEL = "claude-haiku-4-5"
MAX_TOKENS = 300  # the programs have both, too
SEED = 15

_TIME_TO_FIRST_TOKEN = 0.7  # seconds
_TOKENS_PER_SECOND = 150.0
_USUAL_ANSWER = 200  # tokens, on average
_REQUESTS = 900  # a minute
_BURST = 10.0  # seconds
_LIMITS = ServiceLimits(
    requests_per_minute=_REQUESTS,
    input_tokens_per_minute=900_000,
    output_tokens_per_minute=300_000,
    burst_seconds=_BURST,
)


@attrs.frozen(kw_only=True)
class Case:
    """A service and a job. `share` is the part of the rows asked for that the case has, unless it has `rows`."""

    name: str
    title: str
    limits: ServiceLimits = _LIMITS
    overload: float = 0.0
    """The probability of a 529."""
    cut: float = 0.0
    """The probability that an answer's connection is closed in the middle."""
    killed: bool = False
    """Whether the program is killed when half of the rows are answered, and started again."""
    share: float = 1.0
    rows: int | None = None

    def count(self, rows: int) -> int:
        """How many rows it has, when the user wants so many."""
        return min(rows, self.rows) if self.rows is not None else max(1, round(rows * self.share))

    def scenario(self) -> Scenario:
        """The simulator's settings."""
        return Scenario(
            seed=SEED,
            time_to_first_token=_TIME_TO_FIRST_TOKEN,
            tokens_per_second=_TOKENS_PER_SECOND,
            conditions=Conditions(limits=self.limits, overload=Overload(probability=self.overload)),
            faults=Faults(close=self.cut),
        )

    def allowed_seconds(self, rows: int) -> float | None:
        """How long the limit of requests lets so many rows take, from a full bucket to the last answer; None without
        a limit."""
        if (per_minute := self.limits.requests_per_minute) is None:
            return None
        at_once = per_minute * self.limits.burst_seconds / 60
        answer = _TIME_TO_FIRST_TOKEN + _USUAL_ANSWER / _TOKENS_PER_SECOND
        return max(0.0, rows - at_once) / (per_minute / 60) + answer


CASES: Mapping[str, Case] = {
    case.name: case
    for case in (
        Case(
            name="job",
            title=f"{_REQUESTS} requests a minute, 1 % answered 529, 1 % cut in the middle, kill -9 and run again",
            overload=0.01,
            cut=0.01,
            killed=True,
        ),
        Case(name="calm", title="no limit, no fault, no kill", limits=ServiceLimits(), share=0.25),
        Case(name="small", title="a small job, with the limit and nothing going wrong", rows=50),
    )
}


def prompts(count: int) -> dict[str, str]:
    """The rows: prompts by their id. No two are the same."""
    things = ["river", "harbour", "village", "bridge", "mountain", "season", "garden", "engine", "letter", "market"]
    return {
        f"row-{number:05d}": (
            f"Review {number}: the {things[number % 10]} by the {things[number // 10 % 10]} was "
            f"{'quiet' if number % 3 else 'crowded'} when we came, and {'we would' if number % 2 else 'nobody would'} "
            "go there again. Say in a few sentences what the guest liked, what not, and give it one to five stars."
        )
        for number in range(1, count + 1)
    }

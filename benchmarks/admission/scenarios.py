"""The services to be met, and the requests that meet them.

Answers take about ten seconds, the pace of a large model. So a limit of 120 a minute keeps twenty running: ten at a
time are too few, fifty too many.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import attrs

from manystream.engine.simulator import Conditions
from manystream.engine.simulator.service.conditions import Overload, Ramp, ServiceLimits

__all__ = ["MODEL", "SCENARIOS", "SETTLED_FROM", "TIME_TO_FIRST_TOKEN", "TOKENS_PER_SECOND", "Scenario"]

MODEL = "claude-opus-5-5"
TIME_TO_FIRST_TOKEN = 1.0  # seconds
TOKENS_PER_SECOND = 15.0
SETTLED_FROM = 120.0
"""Seconds after which a strategy has had its time to learn: from the third minute on."""
_SHORT = 20, 60
_LONG = 200, 600
_OUTPUT = 100, 300


@attrs.frozen(kw_only=True)
class Scenario:
    """A service. `make_conditions` is given how many seconds the run lasts."""

    name: str
    title: str
    make_conditions: Callable[[float], Conditions]
    prompt_words: tuple[int, int] = _SHORT
    settled_from: float = SETTLED_FROM
    """Seconds after which a strategy has settled, where that takes longer."""
    remark: str | None = None
    """What the figures don't say."""
    goal: bool = True
    """Whether the engine's goals are set for it: 90 % of the ideal, and, once settled, 2 % answered 429."""

    def params(self, number: int, seed: int) -> dict[str, Any]:
        """What the request of this number asks for, apart from the model. No two prompts are the same."""
        random = Random(f"{seed} {number}")
        prompt = f"{number} " + "word " * random.randint(*self.prompt_words)
        return {"max_tokens": random.randint(*_OUTPUT), "messages": [{"role": "user", "content": prompt}]}


def _limits(**limits: Any) -> Callable[[float], Conditions]:
    return lambda seconds: Conditions(limits=ServiceLimits(**limits))


def _outage(seconds: float) -> Conditions:
    outage = seconds * 0.45, seconds * 0.55
    return Conditions(limits=ServiceLimits(requests_per_minute=120), overload=Overload(outages=(outage,)))


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="requests", title="120 requests a minute", make_conditions=_limits(requests_per_minute=120)),
    Scenario(
        name="input",
        title="60,000 input tokens a minute",
        make_conditions=_limits(input_tokens_per_minute=60_000),
        prompt_words=_LONG,
        remark="More than the ideal is had by losing the long requests: a short one fits in between more easily.",
    ),
    Scenario(
        name="output",
        title="16,000 output tokens a minute",
        make_conditions=_limits(output_tokens_per_minute=16_000),
        remark="The greedy ideal overdraws the bucket, and ends the run in debt; see benchmarks/admission/ideal.py.",
    ),
    Scenario(
        name="outage",
        title="120 requests a minute, and an outage in the middle of the time, a tenth of it long",
        make_conditions=_outage,
    ),
    Scenario(
        name="ramp",
        title="20 requests a minute at first, doubling each minute, up to 240",
        make_conditions=lambda seconds: Conditions(
            limits=ServiceLimits(requests_per_minute=240), ramp=Ramp(requests_per_minute=20)
        ),
        # What may be sent grows by a sixth of a doubling every ten seconds: 20 * 2 ** (22 / 6) is above 240. A strategy
        # that uses less than it may is not there yet.
        settled_from=220.0,
    ),
    Scenario(
        name="no-headers",
        title="120 requests a minute, of which no header tells",
        make_conditions=_limits(requests_per_minute=120, headers=False),
        goal=False,
    ),
    Scenario(
        name="short-burst",
        title="120 requests a minute, enforced as two a second",
        make_conditions=_limits(requests_per_minute=120, burst_seconds=1.0),
        goal=False,
    ),
    Scenario(
        name="overload",
        title="120 requests a minute, and one request in twenty answered 529",
        make_conditions=lambda seconds: Conditions(
            limits=ServiceLimits(requests_per_minute=120), overload=Overload(probability=0.05)
        ),
        goal=False,
    ),
)

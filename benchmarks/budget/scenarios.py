"""The services that several engines meet with one key, and what each engine has to do."""

import attrs

from manystream.engine.simulator import Conditions
from manystream.engine.simulator.service.conditions import Overload, ServiceLimits

__all__ = ["SCENARIOS", "Scenario"]


@attrs.frozen(kw_only=True)
class Scenario:
    """A service, and the requests of each engine."""

    name: str
    title: str
    conditions: Conditions
    requests: tuple[int, ...] = (500, 500, 500, 500)
    words: tuple[int, int] = (5, 20)
    """Of a prompt, at least and at most."""
    tokens: tuple[int, int] = (20, 80)
    """Of an answer, at least and at most."""


def _limits(**limits: float) -> Conditions:
    return Conditions(limits=ServiceLimits(**limits))  # pyright: ignore[reportArgumentType]


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(name="requests", title="1,200 requests a minute", conditions=_limits(requests_per_minute=1200)),
    Scenario(
        name="skewed",
        title="the same, most of the work in one engine",
        conditions=_limits(requests_per_minute=1200),
        requests=(1550, 150, 150, 150),
    ),
    Scenario(
        name="sixteen",
        title="the same, sixteen engines",
        conditions=_limits(requests_per_minute=1200),
        requests=(125,) * 16,
    ),
    Scenario(
        name="burst",
        title="the same, ten seconds' worth at once",
        conditions=_limits(requests_per_minute=1200, burst_seconds=10),
    ),
    Scenario(
        name="input",
        title="60,000 input tokens a minute",
        conditions=_limits(input_tokens_per_minute=60_000),
        requests=(150,) * 4,
        words=(100, 500),
    ),
    Scenario(
        name="output",
        title="30,000 output tokens a minute",
        conditions=_limits(output_tokens_per_minute=30_000),
        requests=(250,) * 4,
        tokens=(40, 160),
    ),
    Scenario(
        name="output burst",
        title="the same, ten seconds' worth at once",
        conditions=_limits(output_tokens_per_minute=30_000, burst_seconds=10),
        requests=(150,) * 4,
        tokens=(40, 160),
    ),
    Scenario(
        name="no headers",
        title="600 requests a minute, one second's worth at once, no headers",
        conditions=_limits(requests_per_minute=600, burst_seconds=1, headers=False),
        requests=(150,) * 4,
    ),
    Scenario(
        name="outage",
        title="600 requests a minute, and an outage of 20 seconds",
        conditions=Conditions(
            limits=ServiceLimits(requests_per_minute=600), overload=Overload(outages=((10.0, 30.0),))
        ),
        requests=(300,) * 4,
    ),
)

"""The runs that are planned: each has a service, a number of requests, and a pilot that came before."""

from random import Random
from typing import Any, Literal

import attrs

from manystream.engine.simulator import Conditions
from manystream.engine.simulator.service.conditions import Overload, ServiceLimits

__all__ = ["MODEL", "OTHER_MODEL", "SCENARIOS", "Scenario"]

MODEL, OTHER_MODEL = "claude-opus-5-5", "claude-sonnet-5"
_SYSTEM = "You label what people write. " * 500  # about 3,600 tokens


@attrs.frozen(kw_only=True)
class Scenario:
    """A run. `pilot` is what was run before: the first requests, waited for; or what a kill of the run left."""

    name: str
    title: str
    limits: ServiceLimits = ServiceLimits()
    overload: float = 0.0
    count: int = 2500
    concurrency: int = 50
    prompt_words: tuple[int, int] = (20, 60)
    max_tokens: int = 300
    shared: bool = False
    """Whether all requests have one long system prompt, marked to be cached."""
    models: int = 1
    pilot: Literal["first", "killed"] = "first"
    tight: bool = True
    """Whether a limit holds the run back: then the goal is 5 % of the time, else 10 %."""

    def conditions(self) -> Conditions:
        """Of the service."""
        return Conditions(limits=self.limits, overload=Overload(probability=self.overload))

    def params(self, number: int, seed: int) -> Any:
        """What the request of this number asks for. No two prompts are the same."""
        random = Random(f"{seed} {number}")
        prompt = f"{number} " + "word " * random.randint(*self.prompt_words)
        params: dict[str, Any] = {
            "model": OTHER_MODEL if number % 3 == 2 and self.models > 1 else MODEL,
            "max_tokens": self.max_tokens,
            "messages": [{"role": "user", "content": prompt}],
        }
        if self.shared:
            params["system"] = [{"type": "text", "text": _SYSTEM, "cache_control": {"type": "ephemeral"}}]
        return params


SCENARIOS = (
    Scenario(
        name="requests", title="600 requests a minute", limits=ServiceLimits(requests_per_minute=600), concurrency=200
    ),
    Scenario(
        name="input",
        title="150,000 input tokens a minute",
        limits=ServiceLimits(input_tokens_per_minute=150_000),
        prompt_words=(100, 600),
        concurrency=200,
    ),
    Scenario(
        name="output",
        title="80,000 output tokens a minute",
        limits=ServiceLimits(output_tokens_per_minute=80_000),
        concurrency=200,
    ),
    Scenario(
        name="cached",
        title="a shared prompt in the cache, 40,000 input tokens a minute",
        limits=ServiceLimits(input_tokens_per_minute=40_000),
        shared=True,
        concurrency=100,
    ),
    Scenario(
        name="overload",
        title="600 requests a minute, one attempt in twenty answered 529",
        limits=ServiceLimits(requests_per_minute=600),
        overload=0.05,
        concurrency=200,
    ),
    Scenario(
        name="two-models",
        title="two models, 400 requests a minute each, two of three to one of them",
        limits=ServiceLimits(requests_per_minute=400),
        models=2,
        concurrency=200,
    ),
    Scenario(name="concurrency", title="no limits, 50 at a time", tight=False),
    Scenario(name="short", title="100 requests, no limits, 50 at a time", count=100, tight=False),
    Scenario(
        name="killed",
        title="output tokens bind; the pilot is what a kill left",
        limits=ServiceLimits(output_tokens_per_minute=80_000),
        concurrency=100,
        pilot="killed",
    ),
)

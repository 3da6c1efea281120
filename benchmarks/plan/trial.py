"""One trial: the pilot is run, the plan is made of what it left, and the rest is run for the truth."""

import time
from functools import partial

import anyio
import attrs
import httpx2

from manystream import AnthropicModel, Engine, Limits, StreamRequest, StreamResult
from manystream.engine.plan import Results, RunPlan, stock_of
from manystream.engine.plan.past import Answer
from manystream.engine.prices import Prices
from manystream.engine.simulator import Simulator

from ..virtual import run_virtual
from .scenarios import MODEL, Scenario

__all__ = ["PILOT", "Trial", "run_trial"]

PILOT = 30
_KILLED_AFTER = 300  # answers
_TTFT, _TOKENS_A_SECOND = 1.0, 30.0


@attrs.frozen(kw_only=True)
class Trial:
    """A plan, and the truth."""

    scenario: str
    seed: int
    planned_seconds: float
    seconds: float
    planned_dollars: float
    dollars: float
    inside: bool
    """Whether the dollars lie in the range that the plan gives."""
    answers: int
    """How many answers the plan rests on."""
    planning: float
    """Real seconds that the plan took, reading left out."""

    @property
    def time_ratio(self) -> float:
        """The planned time to the true one."""
        return self.planned_seconds / self.seconds

    @property
    def dollar_ratio(self) -> float:
        """The planned dollars to the true ones."""
        return self.planned_dollars / self.dollars


@attrs.frozen
class _Ran:
    results: dict[str, StreamResult]
    seconds: float
    limits: dict[str, Limits]


def run_trial(scenario: Scenario, seed: int, pilot: int = PILOT) -> Trial:
    """Runs a scenario once; blocks for a minute or so."""
    requests = [
        StreamRequest(scenario.params(number, seed), custom_id=str(number)) for number in range(scenario.count + pilot)
    ]
    killed = scenario.pilot == "killed"
    before = _run(scenario, seed, requests if killed else requests[:pilot], until=_KILLED_AFTER if killed else None)
    past = Results("pilot", {name: _answer(result) for name, result in before.results.items()}, before.limits)
    stock = stock_of(AnthropicModel(MODEL), requests)
    began = time.perf_counter()
    plan = stock.plan(past, prices=Prices(), concurrency=scenario.concurrency)
    took = time.perf_counter() - began
    rest = [request for request in requests if request.custom_id not in past.answers]
    truth = _run(scenario, seed + 1000, rest)
    prices = Prices()
    dollars = sum(prices.cost(str(one.model_name), one.billed) or 0.0 for one in truth.results.values())
    return _trial(scenario, seed, plan, truth.seconds, dollars, took)


def _trial(scenario: Scenario, seed: int, plan: RunPlan, seconds: float, dollars: float, took: float) -> Trial:
    assert plan.seconds is not None
    assert plan.dollars is not None
    middle = plan.dollars.expected
    return Trial(
        scenario=scenario.name,
        seed=seed,
        planned_seconds=plan.seconds.expected or (plan.seconds.low + plan.seconds.high) / 2,
        seconds=seconds,
        planned_dollars=(plan.dollars.low + plan.dollars.high) / 2 if middle is None else middle,
        dollars=dollars,
        inside=plan.dollars.low <= dollars <= plan.dollars.high,
        answers=plan.answers,
        planning=took,
    )


def _run(scenario: Scenario, seed: int, requests: list[StreamRequest], until: int | None = None) -> _Ran:
    return run_virtual(partial(_engine, scenario, seed, requests, until))


async def _engine(scenario: Scenario, seed: int, requests: list[StreamRequest], until: int | None) -> _Ran:
    simulator = Simulator(
        seed=seed,
        time_to_first_token=_TTFT,
        tokens_per_second=_TOKENS_A_SECOND,
        conditions=scenario.conditions(),
        clock=anyio.current_time,
    )
    found: dict[str, StreamResult] = {}
    async with httpx2.AsyncClient(transport=simulator.transport()) as client:
        model = AnthropicModel(MODEL, api_key="key", base_url="http://simulated", http_client=client)
        async with Engine(model, max_concurrency=scenario.concurrency, grace=0.0) as engine:
            begun = anyio.current_time()
            async with engine.as_completed(requests) as done:
                async for result in done:
                    found[str(result.custom_id)] = result
                    if len(found) == until:
                        break
                seconds = anyio.current_time() - begun
                limits = {
                    pool.name: Limits(**{str(name): limit.per_minute for name, limit in pool.limits.items()})
                    for pool in engine.stats().pools
                    if pool.limits
                }
    return _Ran(found, seconds, limits)


def _answer(result: StreamResult) -> Answer:
    """As the journal would have it."""
    timings, usage = result.timings, result.billed
    once = len(result.attempts) == 1 and None not in (timings.ttft, timings.queued)
    cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens
    return Answer(
        succeeded=result.state == "complete",
        input_tokens=usage.input_tokens + cached,
        cached_tokens=cached,
        output_tokens=usage.output_tokens,
        attempts=len(result.attempts),
        ttft=timings.ttft,
        seconds=timings.end - (timings.queued or 0.0) - (timings.ttft or 0.0) if once else None,
    )

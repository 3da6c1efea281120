"""One trial on virtual time: so many engines, sharing a budget or not, until all their requests are done."""

import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Literal

import anyio
import attrs
import httpx2

from manystream import AnthropicModel, Engine, HostBudget, RetryPolicy, StreamRequest
from manystream.engine.simulator import Simulator

from ..virtual import run_virtual
from .scenarios import Scenario

__all__ = ["WAYS", "Outcome", "Way", "run_trial"]

Way = Literal["one", "apart", "together"]
WAYS: tuple[Way, ...] = ("one", "apart", "together")
_TTFT, _TOKENS_A_SECOND = 0.4, 60.0


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of the requests."""

    scenario: str
    way: Way
    seconds: float
    """Until the last was done."""
    first_done: float
    """Until the first engine was done."""
    refused: int
    """How often the service refused a request."""
    failed: int
    """Requests without a whole answer."""


def run_trial(scenario: Scenario, way: Way, seed: int) -> Outcome:
    """Runs the scenario's requests in `one` engine, or each engine's in its own, `apart` or `together`."""
    return run_virtual(lambda: _run(scenario, way, seed))


async def _run(scenario: Scenario, way: Way, seed: int) -> Outcome:
    simulator = Simulator(
        seed=seed,
        conditions=scenario.conditions,
        time_to_first_token=_TTFT,
        tokens_per_second=_TOKENS_A_SECOND,
        clock=anyio.current_time,
    )
    shares = [sum(scenario.requests)] if way == "one" else list(scenario.requests)
    done: list[float] = []
    failed = 0

    async def work(engine: Engine, requests: Iterator[StreamRequest]) -> None:
        nonlocal failed
        results = await engine.gather(requests)
        failed += sum(result.state != "complete" for result in results)
        done.append(anyio.current_time())

    with tempfile.TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            engines = [await stack.enter_async_context(_engine(simulator, Path(folder), way)) for _ in shares]
            async with anyio.create_task_group() as tasks:
                for number, (engine, count) in enumerate(zip(engines, shares, strict=True)):
                    tasks.start_soon(work, engine, _requests(scenario, Random(f"{seed} {number}"), count))
    return Outcome(
        scenario=scenario.name,
        way=way,
        seconds=max(done),
        first_done=min(done),
        refused=sum(request.status in (429, 529) for request in simulator.requests),
        failed=failed,
    )


def _engine(simulator: Simulator, folder: Path, way: Way) -> Engine:
    client = httpx2.AsyncClient(transport=simulator.transport())
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    budget = None
    if way == "together":
        budget = HostBudget(folder / "budget.db")
        budget._clock = anyio.current_time  # pyright: ignore[reportPrivateUsage]
    return Engine(model, max_concurrency=200, retry=RetryPolicy(max_attempts=20), budget=budget)


def _requests(scenario: Scenario, random: Random, count: int) -> Iterator[StreamRequest]:
    for number in range(count):
        prompt = f"{number} " + "word " * random.randint(*scenario.words)
        params = {"max_tokens": random.randint(*scenario.tokens), "messages": [{"role": "user", "content": prompt}]}
        yield StreamRequest(params)  # pyright: ignore[reportArgumentType]

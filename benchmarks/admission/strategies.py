"""The ways of sending, each against a simulated service of its own.

The supply of requests never ends: when one is over, in whichever way, the next one takes its place. So a strategy that
loses requests is not charged for them in what it completes; they are counted apart. The engine, and the SDK's own
client where it is asked for, reach the simulator over its transport in memory, on virtual time.
"""

import random
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from itertools import count
from typing import Any

import anyio
import httpx2

from manystream import AnthropicModel, Engine, StreamRequest
from manystream.engine.simulator import Simulator

from ..virtual import run_virtual
from .fixed import run_fixed, run_sdk
from .ideal import run_ideal
from .outcome import Outcome, Tally
from .scenarios import MODEL, TIME_TO_FIRST_TOKEN, TOKENS_PER_SECOND, Scenario

__all__ = ["ADAPTIVE", "FIXED", "IDEAL", "SDK", "WITHOUT_DEBT", "run_strategy", "strategies_for"]

ADAPTIVE = "adaptive"
FIXED = {"fixed 10": 10, "fixed 50": 50, "fixed 200": 200}
SDK = {"sdk 10": 10, "sdk 50": 50, "sdk 200": 200}
IDEAL = "ideal"
WITHOUT_DEBT = "ideal, no debt"

_MAX_CONCURRENCY = 200
_URL = "http://simulated"


def strategies_for(scenario: Scenario, *, sdk: bool = False) -> list[str]:
    """The strategies to run; where no goal is set the engine and the ideal alone. `sdk` adds the SDK's own client."""
    if not scenario.goal:
        return [ADAPTIVE, IDEAL]
    limited = scenario.make_conditions(600.0).limits.output_tokens_per_minute is not None
    ideals = [IDEAL, WITHOUT_DEBT] if limited else [IDEAL]
    return [*FIXED, *(SDK if sdk else ()), ADAPTIVE, *ideals]


def run_strategy(scenario: Scenario, strategy: str, minutes: int, seed: int) -> Outcome:
    """Runs one strategy for so many simulated minutes. The same seed gives the same outcome."""
    seconds = minutes * 60.0
    if strategy in (IDEAL, WITHOUT_DEBT):
        debt = strategy == IDEAL
        return run_ideal(scenario, strategy, seconds, seed, concurrency=_MAX_CONCURRENCY, debt=debt)
    if strategy in FIXED:
        return run_fixed(FIXED[strategy], scenario, strategy, seconds, seed)
    random.seed(seed)  # the jitter of retries, the SDK's and ours
    send = _run_adaptive if strategy == ADAPTIVE else partial(run_sdk, SDK[strategy])
    return run_virtual(partial(_run, scenario, strategy, seconds, seed, send))


class _CountingTransport(httpx2.AsyncBaseTransport):
    """Counts how the simulator answers."""

    def __init__(self, simulator: Simulator, tally: Tally) -> None:
        self._inner = simulator.transport()
        self._tally = tally

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        sent_at = anyio.current_time()
        response = await self._inner.handle_async_request(request)
        self._tally.answer(response.status_code, sent_at)
        return response


_Send = Callable[[str, httpx2.AsyncClient, Iterator[dict[str, Any]], Tally], Coroutine[Any, Any, None]]


async def _run(scenario: Scenario, strategy: str, seconds: float, seed: int, send: _Send) -> Outcome:
    simulator = Simulator(
        seed=seed,
        time_to_first_token=TIME_TO_FIRST_TOKEN,
        tokens_per_second=TOKENS_PER_SECOND,
        conditions=scenario.make_conditions(seconds),
        clock=anyio.current_time,
    )
    tally = Tally(seconds)
    supply = (scenario.params(number, seed) for number in count())
    async with httpx2.AsyncClient(transport=_CountingTransport(simulator, tally)) as client:
        with anyio.move_on_after(seconds):
            await send(_URL, client, supply, tally)
    return tally.outcome(
        scenario.name, strategy, {str(name): number for name, number in simulator.totals.refused.items()}
    )


async def _run_adaptive(url: str, client: httpx2.AsyncClient, supply: Iterator[Any], tally: Tally) -> None:
    """The engine, told nothing about the service."""
    model = AnthropicModel(MODEL, api_key="key", base_url=url, http_client=client)
    async with Engine(model, max_concurrency=_MAX_CONCURRENCY) as engine:
        requests = (StreamRequest(params) for params in supply)
        async with engine.as_completed(requests) as done:
            async for result in done:
                if result.state == "complete":
                    tally.complete(anyio.current_time())
                else:
                    tally.lost += 1

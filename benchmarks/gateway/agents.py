"""Agents of Pydantic AI, all at once, with the SDK's plain client and with the engine's, on virtual time.

Each agent calls a tool once, so that it makes two requests. The service takes so many requests a minute, is overloaded
now and then, and some answers break off.
"""

# pyright: basic, reportMissingImports=false

import heapq
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

import anyio
import attrs
import httpx2

from manystream import AnswerFailed, AnthropicModel, Engine, Simulator, StreamResult
from manystream.engine.simulator import Conditions, Faults, Overload, ServiceLimits

from ..virtual import run_virtual

__all__ = ["CLIENTS", "ENGINE", "Outcome", "allowed", "run_agents"]

_MODEL = "claude-opus-5-5"
_URL = "http://simulated"
_TTFT, _TOKENS_A_SECOND = 1.0, 60.0
_PER_MINUTE = 600
_OVERLOADED, _CUT = 0.02, 0.01
_TOKENS = 200  # at most, where the answer is not streamed
ENGINE = "engine"
CLIENTS: Mapping[str, int | None] = {"plain, max_retries 2": 2, "plain, max_retries 20": 20, ENGINE: None}
"""Whose client the agents have, and the SDK's own retries."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of the agents with one client."""

    client: str
    streamed: bool
    agents: int
    succeeded: int
    broken_off: int
    """How many of the others had read a part of an answer when it broke off: nobody can begin that one anew."""
    refused: int
    """Answers with the status 429."""
    requests: int
    seconds: float
    """Until the last agent has ended, by the service's clock."""
    real_seconds: float

    @property
    def failed(self) -> int:
        """Agents that gave no answer."""
        return self.agents - self.succeeded


def run_agents(client: str, agents: int, *, streamed: bool, seed: int = 1) -> Outcome:
    """Runs so many agents at once; blocks."""
    return run_virtual(partial(_run, client, agents, streamed=streamed, seed=seed))


def allowed(agents: int, *, streamed: bool, seed: int = 1) -> float:
    """How many seconds so many agents take if only the limit hinders them, and each request is sent the moment it
    is let in, first come, first served."""
    ready = [(0.0, *seconds) for seconds in run_virtual(partial(_unhindered, agents, streamed=streamed, seed=seed))]
    ended = 0.0
    for sent in count():
        if not ready:
            return ended
        since, answer, *rest = heapq.heappop(ready)
        begun = max(since, (sent + 1 - _PER_MINUTE) * 60 / _PER_MINUTE)  # the bucket is full at first
        ended = max(ended, begun + answer)
        if rest:
            heapq.heappush(ready, (begun + answer, *rest))
    raise AssertionError


async def _unhindered(agents: int, *, streamed: bool, seed: int) -> list[list[float]]:
    """How many seconds the answers of each agent take."""
    ends: defaultdict[str | None, list[float]] = defaultdict(list)
    simulator = _simulator(seed)

    def note(result: StreamResult) -> None:
        ends[result.custom_id].append(result.timings.end)

    async with httpx2.AsyncClient(transport=simulator.transport()) as http_client:
        model = AnthropicModel(_MODEL, api_key="key", base_url=_URL, http_client=http_client)
        async with Engine(model, max_concurrency=agents, grace=0.0) as engine:
            agent = _agent(engine.anthropic_client(on_end=note), streamed=streamed)

            async def ask(number: int) -> None:
                with engine.labels(custom_id=str(number)):
                    await _ask(agent, number, Counter())

            async with anyio.create_task_group() as tasks:
                for number in range(agents):
                    tasks.start_soon(ask, number)
    return list(ends.values())


def _simulator(seed: int, **hindrances: Any) -> Simulator:
    return Simulator(
        seed=seed,
        time_to_first_token=_TTFT,
        tokens_per_second=_TOKENS_A_SECOND,
        clock=anyio.current_time,
        **hindrances,
    )


async def _run(client: str, agents: int, *, streamed: bool, seed: int) -> Outcome:
    limits = ServiceLimits(requests_per_minute=_PER_MINUTE)
    conditions = Conditions(limits=limits, overload=Overload(probability=_OVERLOADED))
    simulator = _simulator(seed, conditions=conditions, faults=Faults(reset=_CUT))
    ends: Counter[str] = Counter()
    real, began = time.perf_counter(), anyio.current_time()
    async with _client(simulator, CLIENTS[client], agents) as sdk, anyio.create_task_group() as tasks:
        agent = _agent(sdk, streamed=streamed)
        for number in range(agents):
            tasks.start_soon(_ask, agent, number, ends)
    statuses = Counter(request.status for request in simulator.requests)
    return Outcome(
        client=client,
        streamed=streamed,
        agents=agents,
        succeeded=ends["succeeded"],
        broken_off=ends["broken off"],
        refused=statuses[429],
        requests=statuses.total(),
        seconds=anyio.current_time() - began,
        real_seconds=time.perf_counter() - real,
    )


@asynccontextmanager
async def _client(simulator: Simulator, max_retries: int | None, agents: int) -> AsyncGenerator[Any]:
    import anthropic

    async with httpx2.AsyncClient(transport=simulator.transport()) as http_client:
        if max_retries is not None:
            yield anthropic.AsyncAnthropic(
                api_key="key", base_url=_URL, http_client=http_client, max_retries=max_retries
            )
            return
        model = AnthropicModel(_MODEL, api_key="key", base_url=_URL, http_client=http_client)
        async with Engine(model, max_concurrency=agents, grace=0.0) as engine:
            yield engine.anthropic_client()


def _agent(sdk: Any, *, streamed: bool) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel as Model
    from pydantic_ai.providers.anthropic import AnthropicProvider

    model: Any = Model(_MODEL, provider=AnthropicProvider(anthropic_client=sdk))
    # Without max_tokens Pydantic AI streams, since it asks for the model's longest answer.
    agent = Agent(model, model_settings={} if streamed else {"max_tokens": _TOKENS})

    @agent.tool_plain
    async def get_weather(city: str) -> str:
        """Tells the weather in a city."""
        return f"It is sunny in {city}."

    return agent


async def _ask(agent: Any, number: int, ends: Counter[str]) -> None:
    try:
        await agent.run(f"What is the weather in city {number}?")
    except Exception as exc:  # whatever the framework makes of it, this agent has failed
        cause = exc.__cause__
        shown = isinstance(cause, AnswerFailed) and cause.result.timings.ttft is not None
        ends["broken off" if shown else "failed"] += 1
    else:
        ends["succeeded"] += 1

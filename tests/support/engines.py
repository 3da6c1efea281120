"""What the engine's tests share: a simulator in a thread of its own, engines that talk to it, and ways to wait."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import anyio.to_thread
import httpx2

from manystream import AnthropicModel, Engine, RetryPolicy, StreamEndEvent, StreamRequest
from manystream.actors import PartEvent
from manystream.engine.simulator import RecordedRequest, Simulator

__all__ = [
    "AT_ONCE",
    "assert_one_ending",
    "engine_for",
    "engine_in_memory",
    "first_text",
    "happens",
    "model_for",
    "outcomes",
    "requests_named",
    "stream_ids",
]

AT_ONCE = RetryPolicy(base_delay=0.001, max_delay=0.001)
"""Retries that hardly wait."""


def model_for(simulator: Simulator, **arguments: Any) -> AnthropicModel:
    """A model that the simulator serves."""
    arguments = {"api_key": "key", "base_url": simulator.url} | arguments
    return AnthropicModel("claude-opus-5-5", **arguments)


def engine_for(simulator: Simulator, **arguments: Any) -> Engine:
    """An engine whose model the simulator serves, and which hardly waits before it tries again."""
    arguments.setdefault("retry", AT_ONCE)
    return Engine(model_for(simulator), **arguments)


def engine_in_memory(simulator: Simulator, **options: Any) -> Engine:
    """An engine that reaches the simulator without a socket: the way for virtual time."""
    client = httpx2.AsyncClient(transport=simulator.transport())
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    return Engine(model, **options)


def requests_named(*names: str) -> list[StreamRequest]:
    """Requests with these texts, which are their custom ids too."""
    return [StreamRequest(name, custom_id=name) for name in names]


async def happens(simulator: Simulator, condition: Callable[[Simulator], bool], *, timeout: float = 5) -> None:
    """Waits until the condition holds of the simulator; raises TimeoutError when it doesn't in time."""
    await anyio.to_thread.run_sync(partial(simulator.wait_until, condition, timeout=timeout))


def outcomes(simulator: Simulator) -> list[str]:
    """What became of each response, in the order of the requests."""
    return [request.outcome for request in simulator.requests]


def first_text(request: RecordedRequest) -> str:
    """The first words of a recorded request."""
    text: str = request.json["messages"][0]["content"]
    return text


def assert_one_ending(events: Iterable[PartEvent]) -> StreamEndEvent:
    """Checks that the events end with their one terminal event and leave no gap; returns it."""
    events = list(events)
    *before, end = events
    assert isinstance(end, StreamEndEvent)
    assert not [event for event in before if isinstance(event, StreamEndEvent)]
    number = 0
    for event in events:
        assert event.first_seq == number + 1, event
        number = event.seq
    return end


def stream_ids(engine: Engine) -> list[str]:
    """The streams that wait or run in the engine, in the order of their submission."""
    supervisor = engine._supervisor  # pyright: ignore[reportPrivateUsage]
    return [] if supervisor is None else [actor.stream_id for actor in supervisor]

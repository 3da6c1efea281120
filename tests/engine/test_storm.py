"""A storm: many streams cancelled at random moments leave everything as it was before."""

import gc
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest
from tests.support.counts import open_files, tasks
from tests.support.engines import engine_for, happens

from manystream import Deadlines, Engine, StreamRequest, StreamResult
from manystream.actors.actor import StreamActor
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

AT_ONCE = 100


@pytest.fixture(params=["asyncio", "trio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "trio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def living_actors() -> int:
    return sum(type(thing) is StreamActor for thing in gc.get_objects())


# Each returns how the stream ended; None when it was cancelled before there was one.


async def by_break(engine: Engine, request: StreamRequest, moment: int) -> StreamResult | None:
    async with engine.stream(request) as stream:
        async for event in stream:
            if event.seq >= moment:
                break
    return stream.result


async def by_handle(engine: Engine, request: StreamRequest, moment: int) -> StreamResult | None:
    handle = engine.submit(request)
    for _ in range(moment):
        await anyio.lowlevel.checkpoint()
    handle.cancel("storm")
    return await handle.wait()


async def by_scope(engine: Engine, request: StreamRequest, moment: int) -> StreamResult | None:
    stream = None
    with anyio.move_on_after(moment / 2_000):
        async with engine.stream(request) as stream:
            async for _ in stream:
                pass
    return None if stream is None else stream.result


async def by_deadline(engine: Engine, request: StreamRequest, moment: int) -> StreamResult | None:
    limited = attrs.evolve(request, deadlines=Deadlines(total=0.001 + moment / 2_000))
    return await engine.submit(limited).wait()


async def by_nobody(engine: Engine, request: StreamRequest, moment: int) -> StreamResult | None:
    return await engine.submit(request).wait()


WAYS: list[Callable[[Engine, StreamRequest, int], Any]] = [by_break, by_handle, by_scope, by_deadline, by_nobody]
LEFT = ("cancelled", "consumer", "its last consumer left", None)
ENDINGS: dict[str, set[Any]] = {
    "by_break": {LEFT},
    "by_handle": {("cancelled", "handle", "storm", None)},
    "by_scope": {LEFT},
    "by_deadline": {("failed", None, None, ("deadline_exceeded", "total"))},
    "by_nobody": set(),
}
"""How a stream may have ended, by the way it was stopped, when it is not complete: state, by whom, why, which error."""


def assert_ending(way: str, result: StreamResult) -> None:
    """It ended as its way of being stopped says, or was whole before; and each attempt is accounted for."""
    error = None if result.error is None else (result.error.type, result.error.deadline)
    ending = result.state, result.cancelled_by, result.cancel_reason, error
    assert ending == ("complete", None, None, None) or ending in ENDINGS[way], (way, ending, result.error)
    began = [attempt for attempt in result.attempts if attempt.error is None or attempt.error is result.error]
    assert len(result.attempts) == len(began) <= 1, result.attempts  # the service refuses nothing
    if result.message is not None or result.state == "complete":
        assert len(began) == 1
    assert (result.stop_reason is not None and bool(result.text)) or result.state != "complete"


@pytest.mark.parametrize("streams", [500, pytest.param(5_000, marks=pytest.mark.slow)])
async def test_a_storm_of_cancellations(streams: int) -> None:
    gc.collect()
    actors = living_actors()  # what other tests hold
    chance = random.Random(7)
    ways: Counter[str] = Counter()
    endings: Counter[str] = Counter()
    left = iter(range(streams))
    with Simulator(tokens_per_second=2_000).in_thread() as simulator:

        async def worker(engine: Engine) -> None:
            for number in left:
                way = chance.choice(WAYS)
                ways[way.__name__] += 1
                params: Any = {"max_tokens": 40, "messages": [{"role": "user", "content": f"Storm {number}"}]}
                result = await way(engine, StreamRequest(params), chance.randrange(40))
                if result is not None:
                    assert_ending(way.__name__, result)
                    endings[result.state] += 1

        async with engine_for(simulator, max_concurrency=AT_ONCE) as engine:
            await engine.gather(["warm up"] * 5)
            before = tasks(), open_files()
            async with anyio.create_task_group() as group:
                for _ in range(AT_ONCE):
                    group.start_soon(worker, engine)
            stats = engine.stats()
            assert (stats.running, stats.waiting) == (0, 0)
            assert tasks() == before[0]
            result = await engine.submit("and it goes on").wait()
            assert result.state == "complete"
            # What is left open is idle, and no more than ever ran at a time.
            await happens(simulator, lambda simulator: simulator.open_connections <= AT_ONCE)
        await happens(simulator, lambda simulator: simulator.open_connections == 0)
        assert sum(ways.values()) == streams
        assert min(ways.values()) > streams / 10
        assert set(endings) == {"complete", "cancelled", "failed"}
    gc.collect()
    assert living_actors() <= actors
    for _ in range(1_000):
        if open_files() <= before[1]:
            break
        await anyio.lowlevel.checkpoint()  # aborted sockets are closed in the loop's next turns
    # One loop's own files may have come with the first connection; none is left of the storm.
    assert open_files() <= before[1]

"""Leaving an engine: what runs may finish, what waits is told, new work is refused. On virtual time."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from tests.support.engines import engine_in_memory
from tests.support.virtual import virtual_backends

from manystream import Engine, Lossless, StreamEndEvent, StreamHandle
from manystream.engine.simulator import Simulator, Stall

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


async def ending(handle: StreamHandle) -> StreamEndEvent:
    """The one terminal event, as a consumer gets it."""
    async with handle.subscribe() as channel:
        *_, last = [event async for event in channel]
    assert isinstance(last, StreamEndEvent)
    return last


async def begun(simulator: Simulator, number: int) -> None:
    while len(simulator.requests) < number:
        await anyio.lowlevel.checkpoint()


async def test_what_runs_finishes_and_what_waits_is_told() -> None:
    simulator = Simulator(time_to_first_token=5)
    simulator.script(["in time"])
    async with engine_in_memory(simulator, max_concurrency=1) as engine:
        running, waiting = engine.submit("first"), engine.submit("second")
        await begun(simulator, 1)
        left = anyio.current_time()
    assert running.result.text == "in time"
    assert 2 < anyio.current_time() - left < 10
    result = (await ending(waiting)).result
    assert (result.state, result.cancelled_by, result.cancel_reason) == ("cancelled", "engine", "the engine shut down")
    assert len(simulator.requests) == 1


async def test_new_work_is_refused_the_moment_shutdown_begins() -> None:
    simulator = Simulator(time_to_first_token=5)
    refused: list[str] = []

    async def late(engine: Engine, handle: StreamHandle) -> None:
        await anyio.sleep(1)
        assert handle.state.value != "done"
        with pytest.raises(RuntimeError, match="shutting down") as caught:
            engine.submit("too late")
        refused.append(str(caught.value))

    async with anyio.create_task_group() as group:
        async with engine_in_memory(simulator) as engine:
            handle = engine.submit("first")
            group.start_soon(late, engine, handle)
        assert handle.result.state == "complete"
    assert len(refused) == 1


async def test_after_the_grace_what_still_runs_is_cancelled() -> None:
    simulator = Simulator()
    simulator.script([Stall(2)])
    async with engine_in_memory(simulator, grace=30) as engine:
        handle = engine.submit("hi")
        await begun(simulator, 1)
        left = anyio.current_time()
    assert 30 <= anyio.current_time() - left <= 30.05
    assert (handle.result.state, handle.result.cancelled_by) == ("cancelled", "engine")
    assert handle.result.text
    assert simulator.requests[0].outcome == "disconnected"


async def test_leaving_with_an_exception_waits_for_nothing() -> None:
    simulator = Simulator()
    simulator.script([Stall(2)])
    left = handle = None
    with pytest.raises(KeyError, match="ours"):
        async with engine_in_memory(simulator, grace=30) as engine:
            handle = engine.submit("hi")
            await begun(simulator, 1)
            left = anyio.current_time()
            raise KeyError("ours")
    assert handle is not None
    assert left == anyio.current_time()
    assert handle.result.state == "cancelled"


async def test_a_stalled_consumer_does_not_hold_up_the_shutdown() -> None:
    simulator = Simulator()
    simulator.script(["many words " * 100])
    async with engine_in_memory(simulator, grace=30) as engine:
        handle = engine.submit("hi")
        channel = handle.subscribe(Lossless(buffer=2))
        while channel.statistics().current_buffer_used < 2:
            await anyio.lowlevel.checkpoint()
        left = anyio.current_time()
    assert handle.result.state == "complete"
    assert anyio.current_time() - left < 1
    events = [event async for event in channel]
    assert isinstance(events[-1], StreamEndEvent)
    channel.close()

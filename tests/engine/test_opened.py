"""An engine that is opened and closed by hand, in different tasks."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import anyio
import pytest
import trio
from tests.support.engines import engine_for, happens, model_for

from manystream import Engine, MissingCredentialsError, StreamHandle
from manystream.engine.simulator import Simulator, Stall


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


async def in_another_task(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    found: list[Any] = []

    async def run() -> None:
        found.append(await main())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
    return found[0]


@pytest.mark.anyio
async def test_opened_in_one_task_used_in_others_and_closed_in_another(simulator: Simulator) -> None:
    simulator.script(["one", "two", "three"])
    engine = engine_for(simulator)
    await in_another_task(engine.open)
    assert (await engine.submit("hi").wait()).text == "one"

    async def read() -> str:
        async with engine.stream("hi") as stream:
            return "".join([text async for text in stream.text_stream])

    assert await in_another_task(read) == "two"
    handle = engine.submit("hi")
    await in_another_task(engine.aclose)  # what runs may finish
    assert handle.result.text == "three"
    with pytest.raises(RuntimeError, match="shutting down"):
        engine.submit("hi")
    await engine.aclose()  # again


@pytest.mark.anyio
async def test_what_it_raises_when_it_is_not_open(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    engine = engine_for(simulator)
    await engine.aclose()  # there is nothing to close: a `finally` may say it whatever has happened
    with pytest.raises(RuntimeError, match=r"async with Engine\(...\) as engine, or await engine.open\(\)"):
        engine.submit("hi")
    await engine.open()
    with pytest.raises(RuntimeError, match="opened once"):
        await engine.open()
    await engine.aclose()
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    poor = Engine(model_for(simulator, api_key=None))
    with pytest.raises(MissingCredentialsError):
        await poor.open()
    with pytest.raises(MissingCredentialsError):
        await poor.aclose()


@pytest.mark.anyio
async def test_closed_by_many_at_once_while_one_is_cancelled(simulator: Simulator) -> None:
    simulator.script([Stall(1, text="one two three four")])
    engine = engine_for(simulator)
    await engine.open()
    handle = engine.submit("hi")
    await happens(simulator, lambda seen: len(seen.requests) == 1)
    closed: list[int] = []

    async def close(number: int) -> None:
        await engine.aclose()
        closed.append(number)

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(close, number)
        with anyio.move_on_after(0.05) as scope:
            await engine.aclose()  # it would wait for the stalled stream
        assert scope.cancelled_caught
        assert handle.result.state == "cancelled"
    assert sorted(closed) == [0, 1, 2]


@pytest.mark.anyio
async def test_a_cancelled_opening_leaves_it_closed(simulator: Simulator) -> None:
    engine = engine_for(simulator)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await engine.open()
    assert scope.cancelled_caught
    with pytest.raises(RuntimeError):
        engine.submit("hi")


@pytest.mark.anyio
async def test_a_crash_is_kept(simulator: Simulator) -> None:
    simulator.script([Stall(1, text="one two three four")])
    engine = engine_for(simulator, max_concurrency=1)
    await engine.open()
    handle = engine.submit("hi")
    await happens(simulator, lambda seen: len(seen.requests) == 1)

    async def crash() -> None:
        raise LookupError("planted")

    engine.start_side_task(crash())
    waits = engine.submit("hi")
    for stream in (handle, waits):
        error = (await stream.wait()).error
        assert error is not None
        assert (error.type, error.message) == ("engine_error", "the engine crashed")
    with pytest.raises(RuntimeError, match="the engine crashed: LookupError: planted") as caught:
        engine.submit("hi")
    assert isinstance(caught.value.__cause__, LookupError)
    for _ in range(2):
        with pytest.raises(LookupError, match="planted"):
            await engine.aclose()


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_never_closed_it_warns_and_leaves_nothing(simulator: Simulator, run: Any) -> None:
    simulator.script([Stall(1, text="one two three four")])
    handles: list[StreamHandle] = []

    async def main() -> None:
        engine = engine_for(simulator)
        await engine.open()
        handles.append(engine.submit("hi"))
        await happens(simulator, lambda seen: len(seen.requests) == 1)

    with pytest.warns(ResourceWarning, match="an engine was opened and never closed"):
        run(main) if run is trio.run else run(main())
    assert handles[0].result.state == "cancelled"
    simulator.wait_until(lambda seen: seen.requests[0].outcome != "running", timeout=5)


def test_a_loop_of_asyncio_s_that_runs_in_pieces(simulator: Simulator) -> None:
    """As a notebook's cells do, and as a test framework's fixtures."""
    simulator.script(["one", "two"])
    engine = engine_for(simulator)
    loop = asyncio.new_event_loop()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loop.run_until_complete(engine.open())
        assert loop.run_until_complete(_ask(engine)) == "one"
        assert loop.run_until_complete(_ask(engine)) == "two"
        loop.run_until_complete(engine.aclose())
        loop.close()


async def _ask(engine: Engine) -> str:
    return (await engine.submit("hi").wait()).text

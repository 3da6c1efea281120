"""as_completed: results in the order in which they come, lazily, and nothing left behind."""

from collections.abc import AsyncIterator, Iterator

import anyio
import anyio.lowlevel
import pytest

from manystream import AnthropicModel, Engine, StreamRequest
from manystream.engine.simulator import Cut, Simulator, Stall

pytestmark = pytest.mark.anyio


def engine_for(simulator: Simulator, max_concurrency: int = 10) -> Engine:
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=simulator.url)
    return Engine(model, max_concurrency=max_concurrency)


def request(number: int) -> StreamRequest:
    return StreamRequest("hi", custom_id=str(number))


async def test_every_result_comes_once_whatever_its_ending() -> None:
    simulator = Simulator()
    async with simulator.serve(), engine_for(simulator) as engine:
        simulator.script([400, "a", Cut(1, "end"), "b", 401])
        async with engine.as_completed(request(number) for number in range(30)) as done:
            results = [result async for result in done]
    assert sorted(int(result.custom_id or -1) for result in results) == list(range(30))
    assert sorted(result.state for result in results if result.state != "complete") == ["failed", "failed", "truncated"]


async def test_requests_are_taken_as_results_are_taken() -> None:
    simulator = Simulator()
    taken = 0

    def endless() -> Iterator[StreamRequest]:
        nonlocal taken
        while True:
            taken += 1
            yield request(taken)

    async with simulator.serve(), engine_for(simulator, 3) as engine:
        async with engine.as_completed(endless()) as done:
            for received in range(1, 8):
                await done.receive()
                assert taken <= received + 4  # three are held, and one waits to be
        assert engine.stats().running == 0


async def test_an_async_iterable_and_what_it_raises() -> None:
    simulator = Simulator()

    async def broken() -> AsyncIterator[StreamRequest]:
        yield request(1)
        await anyio.lowlevel.checkpoint()
        raise LookupError("no more")

    async with simulator.serve(), engine_for(simulator) as engine:
        with pytest.raises(LookupError, match="no more"):
            async with engine.as_completed(broken()) as done:
                async for _ in done:
                    pass
        assert engine.stats().running == 0


async def test_leaving_early_stops_what_runs() -> None:
    simulator = Simulator()
    async with simulator.serve(), engine_for(simulator) as engine:
        simulator.script(["quick", *[Stall("nothing")] * 5])
        async with engine.as_completed(request(number) for number in range(6)) as done:
            assert (await done.receive()).text == "quick"
        assert engine.stats().running == 0
        with pytest.raises(anyio.ClosedResourceError):
            done.receive_nowait()

"""Combinators over many requests: lazy, fair and in order."""

from collections.abc import AsyncIterator, Iterator
from itertools import pairwise

import anyio.lowlevel
import httpx2
import pytest

from manystream import AnthropicModel, Engine, RetryPolicy, StreamEndEvent, StreamRequest
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio


def engine_on(simulator: Simulator, max_concurrency: int) -> Engine:
    client = httpx2.AsyncClient(transport=simulator.transport())
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    return Engine(model, max_concurrency=max_concurrency)


class Source:
    """A million requests, of which it counts those that were taken."""

    def __init__(self, number: int = 1_000_000) -> None:
        self.taken = 0
        self._number = number

    def __iter__(self) -> Iterator[StreamRequest]:
        while self.taken < self._number:
            self.taken += 1
            yield StreamRequest({"max_tokens": 5, "messages": [{"role": "user", "content": "x"}]}, custom_id="c")

    async def __aiter__(self) -> AsyncIterator[StreamRequest]:
        for request in self:
            await anyio.lowlevel.checkpoint()
            yield request


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_million_requests_are_taken_as_they_run(asynchronous: bool) -> None:
    source = Source()
    endings = 0
    async with engine_on(Simulator(), 4) as engine:
        async with engine.merge(aiter(source) if asynchronous else iter(source)) as channel:
            async for tagged in channel:
                endings += isinstance(tagged.event, StreamEndEvent)
                assert source.taken <= endings + 5
                if endings == 20:
                    break
        assert engine.stats().running == engine.stats().waiting == 0


async def test_a_merge_that_nobody_reads_starts_no_more() -> None:
    source = Source()
    async with engine_on(Simulator(), 3) as engine, engine.merge(iter(source)):
        for _ in range(2_000):
            await anyio.lowlevel.checkpoint()
        assert source.taken == 4  # three have run, and one waits to


async def test_gather_runs_no_more_than_its_limit() -> None:
    simulator = Simulator()
    most = 0
    async with engine_on(simulator, 50) as engine:

        def watched() -> Iterator[StreamRequest]:
            nonlocal most
            for request in Source(60):
                most = max(most, engine.stats().running)
                yield request

        results = await engine.gather(watched(), limit=2)
    assert len(results) == 60
    assert most <= 2
    assert {result.state for result in results} == {"complete"}


async def test_order_is_kept_within_a_stream() -> None:
    simulator = Simulator()
    simulator.script(["many words " * 500, "short", "short"])
    seqs: dict[str | None, int] = {}
    async with engine_on(simulator, 3) as engine:
        requests = [StreamRequest("hi", custom_id=name) for name in ("a", "b", "c")]
        async with engine.merge(requests) as channel:
            async for tagged in channel:
                assert tagged.event.first_seq == seqs.get(tagged.custom_id, 0) + 1
                seqs[tagged.custom_id] = tagged.event.seq
    assert set(seqs) == {"a", "b", "c"}


async def test_streams_take_turns() -> None:
    """While others have events, no stream gives more than 32 of them in a row."""
    simulator = Simulator()
    novelty = b'event: novelty\ndata: {"type": "novelty"}\n\n'  # cannot be merged
    simulator.script([novelty * 200] * 3)
    runs: list[tuple[str | None, int]] = [("", 0)]
    async with engine_on(simulator, 3) as engine:
        requests = [StreamRequest("hi", custom_id=name, retry=RetryPolicy(max_attempts=1)) for name in ("a", "b", "c")]
        async with engine.merge(requests) as channel:
            while len(simulator.requests) < 3 or engine.stats().running:
                await anyio.lowlevel.checkpoint()
            async for tagged in channel:
                name, length = runs[-1]
                if name == tagged.custom_id:
                    runs[-1] = name, length + 1
                else:
                    runs.append((tagged.custom_id, 1))
    assert len(runs) > 15
    for (_, length), (following, _) in pairwise(runs):
        assert length <= 32
        assert following in ("a", "b", "c")

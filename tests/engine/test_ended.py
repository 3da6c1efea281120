"""Streams that have ended are found by their ids for a while, without their requests. On virtual time."""

import contextlib
import gc
import weakref
from typing import Any

import anyio
import httpx2
import pytest
from tests.support.counts import tasks
from tests.support.virtual import virtual_backends

from manystream import AnthropicModel, Conflate, Engine, SnapshotEvent, State, StreamEndEvent, StreamRequest
from manystream.engine import ended
from manystream.engine.simulator import Fail, Simulator, Stall

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return virtual_backends()[request.param]


def engine_keeping(seconds: float, *script: Any, **options: Any) -> Engine:
    simulator = Simulator()
    simulator.script([*script])
    client = httpx2.AsyncClient(transport=simulator.transport())
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client)
    return Engine(model, keep_ended=seconds, **options)


async def test_nothing_is_kept_by_default() -> None:
    async with engine_keeping(0, "hello") as engine:
        before = tasks()
        handle = engine.submit("hi")
        assert engine.get(handle.id) is not None
        await handle.wait()
        assert engine.get(handle.id) is None
        assert tasks() == before


async def test_it_is_found_for_so_many_seconds_and_reads_as_it_did() -> None:
    async with engine_keeping(30, "hello there") as engine:
        handle = engine.submit(StreamRequest("hi", custom_id="c"))
        result = await handle.wait()
        await anyio.sleep(29)
        found = engine.get(handle.id)
        assert found is not None
        assert (found.id, found.custom_id, found.state, found.usage) == (handle.id, "c", State.DONE, handle.usage)
        assert found.result == result
        assert await found.wait() == result
        assert (found.billed, found.model_name, found.timestamp) == (handle.billed, handle.model_name, handle.timestamp)
        async with found.subscribe(Conflate()) as channel:
            snapshot, end = [event async for event in channel]
        assert isinstance(snapshot, SnapshotEvent)
        assert isinstance(end, StreamEndEvent)
        assert (snapshot.parts[0][1], end.result) == (result.parts[0], result)
        async with found.subscribe(start=end.seq - 1) as channel:  # as a browser does that comes back
            assert [event async for event in channel] == [end]
        found.cancel()  # which does nothing any more
        assert found.state is State.DONE
        await anyio.sleep(1.1)
        assert engine.get(handle.id) is None
        assert handle.result is result  # who has it keeps it


@pytest.mark.parametrize("script", ["hello", Fail(400)])
async def test_what_is_kept_holds_no_request(script: Any) -> None:
    async with engine_keeping(30, script) as engine:
        request = StreamRequest("planted", extra_headers={"x-api-key": "planted"})
        gone = weakref.ref(request)
        handle = engine.submit(request)
        assert (await handle.wait()).request is request
        stream_id = handle.id
        found = engine.get(stream_id)
        assert found is not None
        assert found.result.request is None
        async with found.subscribe() as channel:
            async for event in channel:
                assert not isinstance(event, StreamEndEvent) or event.result.request is None
        del request, handle
        await anyio.sleep(1)
        gc.collect()
        assert gone() is None
        assert engine.get(stream_id) is not None


async def test_only_what_submit_and_stream_began_is_kept() -> None:
    async with engine_keeping(30) as engine:
        kept = {engine.submit("hi").id}
        async with engine.stream("hi") as stream:
            kept.add(stream.id)
            async for _ in stream:
                pass
        others = {result.stream_id for result in await engine.gather(["hi"] * 3)}
        async with engine.as_completed(["hi"] * 3) as done:
            others |= {result.stream_id async for result in done}
        async with engine.merge(["hi"] * 3) as channel:
            others |= {tagged.event.stream_id async for tagged in channel}
        async with engine.race(["hi"] * 2) as winner:
            async for _ in winner:
                pass
        others |= {winner.id, *(loser.stream_id for loser in winner.losers)}
        async with engine.hedge("hi") as hedged:
            async for _ in hedged:
                pass
        others.add(hedged.id)
        await anyio.sleep(5)
        assert len(others) == 12
        assert [engine.get(one) for one in others] == [None] * 12
        assert None not in [engine.get(one) for one in kept]


async def test_at_most_a_thousand_are_kept_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ended.MOST == 1000
    monkeypatch.setattr(ended, "MOST", 20)  # so that it does not take so long
    async with engine_keeping(1000) as engine:
        ids: list[str] = []
        for _ in range(30):
            handle = engine.submit("hi")
            ids.append(handle.id)
            await handle.wait()
        assert [one for one in ids if engine.get(one) is not None] == ids[10:]


async def test_one_task_looks_after_all_and_none_when_nothing_is_kept() -> None:
    async with engine_keeping(10, max_concurrency=20) as engine:
        await engine.submit("hi").wait()
        await anyio.sleep(11)  # so that what starts once has started
        before = tasks()
        for _ in range(20):
            await engine.submit("hi").wait()
        assert tasks() == before + 1
        await anyio.sleep(11)
        assert tasks() == before
        handle = engine.submit("hi")  # and it begins anew
        await handle.wait()
        await anyio.sleep(9)
        assert engine.get(handle.id) is not None
        await anyio.sleep(2)
        assert engine.get(handle.id) is None


async def test_nothing_is_kept_once_the_engine_is_left() -> None:
    async with engine_keeping(3600) as engine:
        handle = engine.submit("hi")
        await handle.wait()
        left = anyio.current_time()
    assert anyio.current_time() - left < 1
    assert engine.get(handle.id) is None


@pytest.mark.parametrize("how", ["with an exception", "after grace"])
async def test_leaving_does_not_wait_for_what_is_kept(how: str) -> None:
    began = anyio.current_time()
    with contextlib.suppress(LookupError):
        async with engine_keeping(3600, Stall(1, text="one two three four"), grace=1) as engine:
            handle = engine.submit("hi")
            await anyio.sleep(1)
            if how == "with an exception":
                raise LookupError
    assert handle.result.state == "cancelled"
    assert anyio.current_time() - began < 60

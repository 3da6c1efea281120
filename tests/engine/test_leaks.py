"""Memory: a stream that is over is freed by its reference count; nothing of it waits for the garbage collector."""

import gc
from collections import Counter
from collections.abc import Iterator

import anyio
import anyio.lowlevel
import pytest
from tests.support.engines import engine_for, happens

from manystream import Engine, StreamResult
from manystream.actors.actor import StreamActor
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import EventLog
from manystream.actors.channel.mailbox import Mailbox, Subscriber
from manystream.engine.api.responses import DirectResponse, SdkResponse
from manystream.engine.simulator import Cut, Fail, ScriptStep, Simulator, Stall
from manystream.engine.supervisor import Job

pytestmark = pytest.mark.anyio

OURS = (StreamActor, StreamResult, Assembler, EventLog, Subscriber, Mailbox, Job, DirectResponse, SdkResponse)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
def before() -> Iterator[Counter[str]]:
    """What lives before the test, in which nothing is freed but by its reference count."""
    gc.collect()
    gc.disable()
    yield alive(Counter())
    gc.enable()


def alive(before: Counter[str]) -> Counter[str]:
    """What lives that did not live before: other tests of the process may have left something to the collector."""
    kinds = Counter(map(type, gc.get_objects()))  # each class is asked once, not each of a million objects
    return Counter({kind.__name__: count for kind, count in kinds.items() if issubclass(kind, OURS)}) - before


async def settle() -> None:
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def read(engine: Engine) -> None:
    async with engine.stream("x") as stream:
        async for _ in stream:
            pass


ENDINGS: dict[str, ScriptStep] = {
    "complete": "a b c",
    "refused": 400,
    "truncated": Cut(1, "end", text="a b c"),
    "reset": Cut(1, "reset", text="a b c"),
    "garbage": Cut(1, "garbage", text="a b c"),
    "an error inside": Cut(1, Fail(529), text="a b c"),
}


@pytest.mark.parametrize("step", ENDINGS.values(), ids=list(ENDINGS))
async def test_what_has_ended_is_freed(simulator: Simulator, before: Counter[str], step: ScriptStep) -> None:
    async with engine_for(simulator, max_concurrency=4) as engine:
        simulator.script([step] * 24)
        await engine.gather(["x"] * 8)
        for _ in range(4):
            await engine.submit("x").wait()
        async with engine.merge(["x"] * 8) as merged:
            async for _ in merged:
                pass
        for _ in range(4):
            try:
                await read(engine)
            except Exception:  # what it raises is not this test's concern
                continue
        del merged
        await settle()
        assert not alive(before)


@pytest.mark.parametrize("step", [Stall("nothing"), Stall("head"), Stall(1, text="a b c")], ids=str)
async def test_what_was_cancelled_is_freed(simulator: Simulator, before: Counter[str], step: ScriptStep) -> None:
    async with engine_for(simulator, max_concurrency=4) as engine:
        simulator.script([step] * 8)
        handles = [engine.submit("x") for _ in range(8)]
        await happens(simulator, lambda simulator: len(simulator.requests) == 4)
        for handle in handles:
            handle.cancel()
        for handle in handles:
            await handle.wait()
            del handle
        del handles
        await settle()
        assert not alive(before)

"""Items and partials where a stream is not read directly: of a handle, of a tool's arguments, in synchronous code; and
what their cancellation leaves, on uvloop too."""

import gc
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest
from tests.support.engines import AT_ONCE, engine_for, model_for
from tests.support.reference.streams import message, text

from manystream import (
    Conflate,
    Engine,
    Lossless,
    OutputFailed,
    Policy,
    StreamCancelled,
    StreamHandle,
    StreamRequest,
    StreamTruncated,
    SyncEngine,
    SyncHandle,
)
from manystream.engine.simulator import Cut, Simulator, Stall, Structured, ToolUse

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]

LOOPS: dict[str, Any] = {"asyncio": ("asyncio", {}), "trio": ("trio", {}), "uvloop": ("asyncio", {"use_uvloop": True})}
on_each_loop = pytest.mark.parametrize("anyio_backend", LOOPS.values(), ids=list(LOOPS))


@dataclass
class Line:
    sku: str
    qty: int


@dataclass
class Invoice:
    lines: list[Line]


DATA = [{"sku": f"S{n}", "qty": n} for n in range(6)]
LINES = [Line(f"S{n}", n) for n in range(6)]
INVOICE = {"lines": DATA}
WRONG = {"lines": [*DATA[:2], {"sku": "S2", "qty": "two"}]}
REQUEST = StreamRequest("Read it", output=Invoice)
LIST = StreamRequest("Read it", output=list[Line])


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
async def engine(simulator: Simulator, anyio_backend: Any) -> AsyncIterator[Engine]:
    async with engine_for(simulator, keep_ended=60) as engine:
        yield engine


# -- of a handle


async def test_any_number_of_tasks_read_the_items_of_a_handle(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Structured(INVOICE)])
    handle = engine.submit(REQUEST)
    found: list[list[Line]] = []

    async def read() -> None:
        found.append([line async for line in handle.items("lines")])

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(read)
    assert found == [LINES] * 3
    assert [line async for line in handle.items("lines")] == LINES  # after the end, too
    kept = engine.get(handle.id)
    assert kept is not None
    assert [line async for line in kept.items("lines")] == LINES


async def test_the_partials_of_a_handle(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Structured(DATA)])
    handle = engine.submit(LIST)
    partials = [partial async for partial in handle.partials()]
    assert (partials[-1].value, partials[-1].state(-1, "sku")) == (DATA, "complete")
    assert handle.result.output == LINES


async def test_a_bad_ending_is_raised_behind_the_items_of_a_handle(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Structured(WRONG)])
    handle = engine.submit(REQUEST)
    found: list[Line] = []
    with pytest.raises(OutputFailed, match=r"lines\[2\].qty"):
        async for line in handle.items("lines"):
            found.append(line)  # noqa: PERF401
    assert found == LINES[:2]
    with pytest.raises(OutputFailed):
        async for _ in handle.partials():
            pass
    with pytest.raises(ValueError, match="no list at 'total'"):
        handle.items("total")
    with pytest.raises(ValueError, match="counts from the first item"):
        handle.items("lines", -1)


async def test_a_view_that_is_dropped_leaves_the_stream(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(12, text=Structured(INVOICE))] * 2)
    handle = engine.submit(REQUEST)
    async for line in handle.items("lines"):
        assert line == LINES[0]
        break
    gc.collect()
    await anyio.lowlevel.checkpoint()
    assert handle.state == "streaming"  # what was submitted runs on
    handle.cancel()
    async with engine.stream(REQUEST) as stream:
        other = engine.get(stream.id)
        assert other is not None
        lines = other.items("lines")
        await anext(lines)
        await stream.aclose()
        del lines
        gc.collect()
        with anyio.fail_after(5):
            assert (await other.wait()).state == "cancelled"  # its last consumer has left


async def test_many_items_of_one_event_leave_the_loop_to_others(engine: Engine, simulator: Simulator) -> None:
    simulator.script([message(text(0, "[" + ",".join(map(str, range(1000))) + "]"))])
    handle = engine.submit(StreamRequest("Count", output=list[int]))
    await handle.wait()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        assert [number async for number in handle.items()] == [*range(1000)]
        tasks.cancel_scope.cancel()
    assert turns > 1000 // 32 // 2


# -- of a tool's arguments


async def test_a_tool_s_arguments_have_states(engine: Engine, simulator: Simulator) -> None:
    simulator.script([[ToolUse("look", {"city": "Basel", "days": [1, 2]}), "Well"]])
    handle = engine.submit("Hi")
    await handle.wait()
    partial = handle.partial(0)
    assert partial.value == handle.partial_args(0) == {"city": "Basel", "days": [1, 2]}
    ways: list[tuple[str | int, ...]] = [(), ("city",), ("days", -1), ("days", 2), ("nights",)]
    assert [partial.state(*way) for way in ways] == ["complete"] * 3 + ["pending"] * 2
    assert partial.complete
    for index in (1, 2):
        with pytest.raises(KeyError, match="no tool call"):
            handle.partial(index)


async def test_a_tool_s_arguments_grow(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(12, text=ToolUse("look", {"city": "B" * 200}))])
    handle = engine.submit("Hi")
    async with handle.subscribe() as channel:
        async for event in channel:
            if event.event_kind == "part_delta" and handle.partial(0).state("city") != "pending":
                break
    partial = handle.partial(0)
    assert (partial.state(), partial.state("city"), partial.complete) == ("growing", "growing", False)
    assert set(partial.value["city"]) == {"B"}
    handle.cancel()


# -- what a cancellation leaves


@on_each_loop
async def test_a_cancelled_wait_for_an_item_loses_none(engine: Engine, simulator: Simulator) -> None:
    written = json.dumps(INVOICE)
    simulator.script([message(text(0, *(written[place : place + 3] for place in range(0, len(written), 3))))])
    found: list[Line] = []
    async with engine.stream(REQUEST) as stream:
        lines = stream.items("lines")
        while True:
            with anyio.move_on_after(0):  # cancels whatever would have to wait
                try:
                    found.append(await anext(lines))
                except StopAsyncIteration:
                    break
            await anyio.lowlevel.checkpoint()
    assert found == LINES == stream.result.output.lines


@on_each_loop
@pytest.mark.parametrize("by", ["the task", "the handle", "the group"])
@pytest.mark.parametrize("of", ["stream", "handle"])
async def test_items_end_when_something_is_cancelled(engine: Engine, simulator: Simulator, by: str, of: str) -> None:
    simulator.script([Stall(12, text=Structured(INVOICE))])
    found: list[Line] = []
    raised: list[type[BaseException]] = []
    request = attrs.evolve(REQUEST, group="ours")
    other: StreamHandle | None = None

    async def read(items: AsyncIterator[Line], scope: anyio.CancelScope) -> None:
        with scope:
            try:
                async for line in items:
                    found.append(line)  # noqa: PERF401
            except BaseException as exc:
                raised.append(type(exc))
                if not isinstance(exc, StreamCancelled):
                    raise

    async with engine.stream(request) as stream, anyio.create_task_group() as tasks:
        other = engine.get(stream.id)
        assert other is not None
        scope = anyio.CancelScope()
        tasks.start_soon(read, (stream if of == "stream" else other).items("lines"), scope)
        with anyio.fail_after(5):
            while not found:
                await anyio.lowlevel.checkpoint()
        match by:
            case "the task":
                scope.cancel()
            case "the handle":
                stream.cancel("enough")
            case _:
                engine.cancel_group("ours")
    assert raised == [anyio.get_cancelled_exc_class() if by == "the task" else StreamCancelled]
    assert found == LINES[: len(found)]
    assert other is not None
    assert (await other.wait()).state == "cancelled"


# -- in synchronous code


@pytest.fixture(params=["asyncio", "trio"])
def in_threads(simulator: Simulator, request: pytest.FixtureRequest) -> Iterator[SyncEngine]:
    with SyncEngine(model_for(simulator), backend=request.param, retry=AT_ONCE, keep_ended=60) as engine:
        yield engine


@pytest.mark.parametrize("policy", [Conflate(), Lossless(buffer=1)], ids=["conflate", "lossless"])
def test_items_in_synchronous_code(in_threads: SyncEngine, simulator: Simulator, policy: Policy) -> None:
    simulator.script([Structured(INVOICE)])
    with in_threads.stream("Read it", output=Invoice, policy=policy) as stream:
        lines = stream.items("lines")
        assert [*lines] == LINES == stream.result.output.lines
        assert lines.starts == 1
        assert [*lines] == []  # as every iterator that has ended


def test_partials_in_synchronous_code(in_threads: SyncEngine, simulator: Simulator) -> None:
    simulator.script([Structured(DATA)])
    with in_threads.stream("Read it", output=list[Line], policy=Lossless()) as stream:
        states = [(partial.state(), partial.complete) for partial in stream.partials()]
        assert (states[0], states[-1]) == (("pending", False), ("complete", True))
        assert ("growing", False) in states
    assert stream.result.output == LINES


def test_a_bad_ending_in_synchronous_code(in_threads: SyncEngine, simulator: Simulator) -> None:
    simulator.script([Structured(WRONG), Cut(12, "end", text=Structured(INVOICE)), Structured(INVOICE)])
    found: list[Line] = []
    with in_threads.stream(REQUEST) as stream, pytest.raises(OutputFailed, match=r"lines\[2\].qty"):
        found.extend(stream.items("lines"))
    assert found == LINES[:2]
    with in_threads.stream(REQUEST) as stream, pytest.raises(StreamTruncated):
        for _ in stream.partials():
            pass
    with in_threads.stream(REQUEST) as stream:
        with pytest.raises(ValueError, match="no list at 'total'"):
            stream.items("total")
        next(stream)
        with pytest.raises(RuntimeError, match="before the stream is read"):
            stream.items("lines")
        with pytest.raises(RuntimeError, match="before the stream is read"):
            stream.partials()
    with pytest.raises(TypeError, match="wants an output already"):
        in_threads.stream(REQUEST, output=Invoice)


def read_items(handle: SyncHandle[Invoice]) -> list[Line]:
    return [*handle.items("lines")]


def test_a_handle_in_synchronous_code(in_threads: SyncEngine, simulator: Simulator) -> None:
    simulator.script([Structured(INVOICE), Structured(WRONG)])
    handle = in_threads.submit(REQUEST)
    with ThreadPoolExecutor() as pool:
        found: list[list[Line]] = [*pool.map(read_items, [handle] * 3)]
    assert found == [LINES] * 3
    assert [partial.value for partial in handle.partials()][-1] == INVOICE
    wrong = in_threads.submit(REQUEST)
    with pytest.raises(OutputFailed):
        for _ in wrong.items("lines"):
            pass


def test_a_view_in_synchronous_code_that_is_dropped_leaves_the_stream(
    in_threads: SyncEngine, simulator: Simulator
) -> None:
    simulator.script([Stall(12, text=Structured(INVOICE))] * 2)
    handle = in_threads.submit(REQUEST)
    for line in handle.items("lines"):
        assert line == LINES[0]
        break
    gc.collect()
    assert handle.state == "streaming"
    handle.cancel()
    assert handle.wait(5).state == "cancelled"
    with in_threads.stream(REQUEST) as stream:
        assert next(stream.items("lines")) == LINES[0]
    assert stream.result.state == "cancelled"

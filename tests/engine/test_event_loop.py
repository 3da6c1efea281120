"""What waits for a stream belongs to the engine's event loop: in another one, or another thread, it says so at once."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import attrs
import pytest
from tests.support.engines import engine_for, happens
from tests.support.loops import RUNS, Main

from manystream import Engine, Lossless, Mailbox, PartDeltaEvent, Snapshots, State, Stream, StreamHandle
from manystream.engine.combinators.as_completed import CompletionChannel
from manystream.engine.combinators.merge import MergeChannel
from manystream.engine.simulator import Simulator, Stall


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


at_home = pytest.mark.parametrize("run", RUNS)
elsewhere = pytest.mark.parametrize("run_elsewhere", RUNS)


@attrs.frozen
class Things:
    """What an app may carry into another thread, of streams that have begun and go no further."""

    engine: Engine
    handle: StreamHandle
    stream: Stream
    mailbox: Mailbox
    waited: Mailbox
    """Somebody waits in it, at home."""
    snapshots: Snapshots
    merged: MergeChannel
    done: CompletionChannel
    ended: StreamHandle


async def drain(channel: Any) -> None:
    """Reads what there is, and waits for more."""
    async for _ in channel:
        pass


async def subscribed(handle: StreamHandle) -> None:
    handle.subscribe()


async def watched(handle: StreamHandle) -> None:
    handle.snapshots()


WAYS: dict[str, Callable[[Things], Awaitable[object]]] = {
    "wait": lambda things: things.handle.wait(),
    "wait, after the end": lambda things: things.ended.wait(),
    "subscribe": lambda things: subscribed(things.handle),
    "subscribe, after the end": lambda things: subscribed(things.ended),
    "snapshots": lambda things: watched(things.handle),
    "a snapshot": lambda things: things.snapshots.receive(),
    "receive": lambda things: drain(things.mailbox),
    "receive_batch": lambda things: drain_batches(things.mailbox),
    "a clone": lambda things: drain(things.waited.clone()),
    "iterating a stream": lambda things: drain(things.stream),
    "its text": lambda things: drain(things.stream.text_stream),
    "closing a stream": lambda things: things.stream.aclose(),
    "merge": lambda things: drain(things.merged),
    "as_completed": lambda things: drain(things.done),
    "gather": lambda things: things.engine.gather(["x"]),
    "race": lambda things: things.engine.race(["x"]).__aenter__(),
    "hedge": lambda things: things.engine.hedge("x").__aenter__(),
}


async def drain_batches(mailbox: Mailbox) -> None:
    while True:
        await mailbox.receive_batch()


async def work(simulator: Simulator, use: Callable[[Things], Awaitable[None]]) -> None:
    simulator.script(["whole", *[Stall(1, text="one two three")] * 4])
    async with engine_for(simulator) as engine, anyio.create_task_group() as tasks:
        ended = engine.submit("x")
        await ended.wait()
        handle = engine.submit("x")
        first = handle.subscribe()
        with handle.subscribe(Lossless(1000)) as mailbox, handle.subscribe() as waited:
            async with (
                engine.stream("x") as stream,
                engine.merge(["x"]) as merged,
                engine.as_completed(["x"]) as done,
            ):
                tasks.start_soon(partial(drain, waited))
                await happens(simulator, lambda simulator: len(simulator.requests) == 5)
                while not isinstance(await first.receive(), PartDeltaEvent):
                    pass
                first.close()
                snapshots = handle.snapshots()
                await use(Things(engine, handle, stream, mailbox, waited, snapshots, merged, done, ended))
            tasks.cancel_scope.cancel()
        handle.cancel()
        # What was tried elsewhere has broken nothing here.
        result = await handle.wait()
        assert result.state == "cancelled"
        assert (await engine.submit("x").wait()).state == "complete"


@at_home
@elsewhere
def test_it_raises_instead_of_waiting_for_ever(
    simulator: Simulator, run: Callable[[Main], None], run_elsewhere: Callable[[Main], None]
) -> None:
    hung: list[str] = []

    async def try_all(things: Things) -> None:
        for name, way in WAYS.items():
            with anyio.move_on_after(3) as scope:
                with pytest.raises(RuntimeError, match="belongs to the event loop of another thread"):
                    await way(things)
            if scope.cancelled_caught:
                hung.append(name)

    async def use(things: Things) -> None:
        await anyio.to_thread.run_sync(run_elsewhere, partial(try_all, things))

    run(partial(work, simulator, use))
    assert not hung


@at_home
def test_in_no_loop_at_all(simulator: Simulator, run: Callable[[Main], None]) -> None:
    def in_a_thread(things: Things) -> None:
        for call in (things.handle.subscribe, things.handle.snapshots, things.ended.subscribe):
            with pytest.raises(RuntimeError, match="another thread"):
                call()

    async def use(things: Things) -> None:
        await anyio.to_thread.run_sync(in_a_thread, things)

    run(partial(work, simulator, use))


@at_home
def test_what_anybody_may_use(simulator: Simulator, run: Callable[[Main], None]) -> None:
    def in_a_thread(things: Things) -> None:
        assert things.ended.result.state == "complete"
        assert things.ended.state is State.DONE
        assert things.handle.state is State.STREAMING
        assert things.handle.usage.input_tokens > 0
        things.stream.cancel("from afar")

    async def use(things: Things) -> None:
        await anyio.to_thread.run_sync(in_a_thread, things)
        result = await things.stream.wait()
        assert (result.cancelled_by, result.cancel_reason) == ("handle", "from afar")

    run(partial(work, simulator, use))


@at_home
@elsewhere
def test_after_the_loop_is_over(
    simulator: Simulator, run: Callable[[Main], None], run_elsewhere: Callable[[Main], None]
) -> None:
    """In the same thread, another loop after the engine's: how it ended can be read, and nothing waits."""
    kept: list[StreamHandle] = []

    async def submit() -> None:
        async with engine_for(simulator) as engine:
            kept.append(engine.submit("x"))

    async def look() -> None:
        (handle,) = kept
        with pytest.raises(RuntimeError, match="another event loop"):
            await handle.wait()
        with pytest.raises(RuntimeError, match="another event loop"):
            handle.subscribe()
        handle.cancel()
        assert handle.result.state == "complete"

    run(submit)
    run_elsewhere(look)


def test_two_loops_in_turns_in_one_thread(simulator: Simulator) -> None:
    """The engine's loop stands still while the other one runs."""
    simulator.script([Stall(1, text="one two three")])
    home, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    engine = engine_for(simulator)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def host() -> None:
        async with engine:
            entered.set()
            await leave.wait()

    hosting = home.create_task(host())

    async def begin() -> tuple[StreamHandle, Mailbox, Mailbox]:
        await entered.wait()
        handle = engine.submit("x")
        mailbox, waited = handle.subscribe(), handle.subscribe()
        with anyio.move_on_after(0.1):
            await drain(waited)
        return handle, mailbox, waited

    async def try_all(handle: StreamHandle, *mailboxes: Mailbox) -> None:
        with pytest.raises(RuntimeError):
            await handle.wait()
        for mailbox in mailboxes:
            with pytest.raises(RuntimeError):
                await asyncio.wait_for(drain(mailbox), 3)

    async def end(handle: StreamHandle, *mailboxes: Mailbox) -> None:
        for mailbox in mailboxes:
            mailbox.close()
        handle.cancel()
        leave.set()
        await hosting

    things = home.run_until_complete(begin())
    other.run_until_complete(try_all(*things))
    home.run_until_complete(end(*things))
    assert things[0].result.state == "cancelled"
    home.close()
    other.close()


def test_a_thread_of_its_own_for_each_reader(simulator: Simulator) -> None:
    """The same, as apps do it: a worker thread with a loop of its own gets a handle."""
    told: list[BaseException] = []

    async def main() -> None:
        async with engine_for(simulator) as engine:
            handle = engine.submit("x")

            def read() -> None:
                try:
                    asyncio.run(asyncio.wait_for(handle.wait(), 5))
                except RuntimeError as exc:
                    told.append(exc)

            thread = threading.Thread(target=read)
            thread.start()
            await anyio.to_thread.run_sync(thread.join)
            await handle.wait()

    asyncio.run(main(), debug=True)
    assert "state, result and cancel() can be used" in str(told[0])

"""A consumer that is dropped without a word holds no stream; and streams that consumers hold for ever are told of."""

import gc
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from tests.support.engines import engine_for, engine_in_memory, happens
from tests.support.virtual import virtual_backends

from manystream import Conflate, Engine, Lossless, Mailbox, State, StreamHandle
from manystream.engine.simulator import Simulator, Stall

pytestmark = pytest.mark.anyio

LONG = " ".join(["word"] * 200)


@pytest.fixture(
    params=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return ("asyncio", {"use_uvloop": True}) if request.param == "uvloop" else (request.param, {})


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


async def held(handle: StreamHandle) -> None:
    """Waits until a full consumer holds the stream back."""
    while not handle._actor.watch.paused:  # pyright: ignore[reportPrivateUsage]
        await anyio.lowlevel.checkpoint()


async def complete(handle: StreamHandle) -> None:
    with anyio.fail_after(10):
        result = await handle.wait()
    assert result.state == "complete"
    assert result.text == LONG


async def test_a_lossless_mailbox_that_is_dropped_lets_its_stream_go_on(simulator: Simulator) -> None:
    simulator.script([LONG])
    async with engine_for(simulator) as engine:
        handle = engine.submit("x")
        mailbox = handle.subscribe(Lossless(3))
        await mailbox.receive()
        await held(handle)
        with pytest.warns(ResourceWarning, match="dropped unclosed"):
            del mailbox
        await complete(handle)


async def test_the_last_of_its_clones_counts(simulator: Simulator) -> None:
    simulator.script([LONG])
    async with engine_for(simulator) as engine:
        handle = engine.submit("x")
        mailbox = handle.subscribe(Lossless(3))
        clone = mailbox.clone()
        with pytest.warns(ResourceWarning):
            del mailbox
        await held(handle)
        clone.close()
        del clone
        await complete(handle)


@pytest.mark.parametrize("policy", [Lossless(3), Conflate()], ids=["lossless", "conflate"])
async def test_it_leaves_as_if_it_had_been_closed(simulator: Simulator, policy: Any) -> None:
    simulator.script([Stall(1, text="one two")] * 2)
    async with engine_for(simulator) as engine:
        handle = engine.submit("x")
        mailbox = handle.subscribe(policy, on_abandon="cancel")
        await mailbox.receive()
        with pytest.warns(ResourceWarning):
            del mailbox
        with anyio.fail_after(10):
            result = await handle.wait()
        assert (result.state, result.cancelled_by) == ("cancelled", "consumer")

        stays = engine.submit("x")
        with stays.subscribe(policy, on_abandon="cancel") as other:
            await other.receive()
            with pytest.warns(ResourceWarning):
                stays.subscribe(policy, on_abandon="cancel")
            await anyio.lowlevel.checkpoint()
            assert stays.state is not State.CANCELLED
        assert (await stays.wait()).state == "cancelled"


async def test_a_stream_that_is_read_directly_and_dropped(simulator: Simulator) -> None:
    simulator.script([Stall(1, text="one two")])
    async with engine_for(simulator) as engine:
        stream = await engine.stream("x").__aenter__()
        handle = engine.get(stream.id)
        assert handle is not None
        with pytest.warns(ResourceWarning):
            del stream
        with anyio.fail_after(10):
            assert (await handle.wait()).cancelled_by == "consumer"


class Ring:
    """A mailbox that only the collector frees."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox = mailbox
        self.ring = self


@pytest.mark.filterwarnings("ignore:a mailbox was dropped")
async def test_the_collector_may_run_in_another_thread(simulator: Simulator) -> None:
    simulator.script([LONG])
    async with engine_for(simulator) as engine:
        handle = engine.submit("x")
        gc.disable()
        try:
            Ring(handle.subscribe(Lossless(3)))
            await held(handle)
            thread = threading.Thread(target=gc.collect)
            thread.start()
            await anyio.to_thread.run_sync(thread.join)
        finally:
            gc.enable()
        await complete(handle)


@pytest.mark.filterwarnings("ignore:a mailbox was dropped")
@pytest.mark.parametrize("on_abandon", ["cancel", "detach"])
async def test_the_collector_may_run_in_the_middle_of_a_step(simulator: Simulator, on_abandon: Any) -> None:
    simulator.script([LONG])
    states: list[State] = []

    class Collecting:
        """A consumer in whose wake the collector happens to run: the stream is in the middle of its step."""

        def wake(self) -> None:
            gc.collect()
            states.append(actor.life.state)
            if not states[1:]:
                actor.audience.park(self)

    async with engine_for(simulator) as engine:
        handle = engine.submit("x")
        actor = handle._actor  # pyright: ignore[reportPrivateUsage]
        gc.disable()
        try:
            Ring(handle.subscribe(Lossless(3), on_abandon=on_abandon))
            actor.audience.park(Collecting())
            with anyio.fail_after(10):
                result = await handle.wait()
        finally:
            gc.enable()
        assert states[0] is State.STREAMING
        if on_abandon == "detach":
            assert result.state == "complete"
        else:
            assert result.state in ("cancelled", "complete")  # it may have been over before


async def test_who_has_nothing_to_leave_is_not_warned(simulator: Simulator) -> None:
    simulator.script(["a b", "a b", Stall(1, text="one two")])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        async with engine_for(simulator) as engine:
            handle = engine.submit("x")
            read = handle.subscribe()
            assert [event async for event in read]
            handle.subscribe()
            unread = engine.submit("x").subscribe(Lossless(1000))
            await happens(simulator, lambda simulator: simulator.requests[1:] != [])
            await handle.wait()
            last = engine.submit("x")
            closed = last.subscribe(Lossless(1))
            closed.close()
            last.cancel()
        del read, closed, unread
        gc.collect()


@pytest.mark.filterwarnings("ignore:a mailbox was dropped")
async def test_after_the_engines_loop_is_over(simulator: Simulator) -> None:
    """It may even be dropped when there is no loop to leave in any more."""
    kept: list[Mailbox] = []

    def run() -> None:
        async def main() -> None:
            simulator.script([Stall(1, text="one two")])
            async with engine_for(simulator, grace=0) as engine:
                kept.append(engine.submit("x").subscribe())
                await happens(simulator, lambda simulator: len(simulator.requests) == 1)

        anyio.run(main)

    await anyio.to_thread.run_sync(run)
    kept.clear()


# -- held for ever


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)
class TestHeld:
    """On virtual time."""

    @pytest.fixture
    def anyio_backend(self, request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
        return virtual_backends()[request.param]

    @staticmethod
    def engine(**options: Any) -> Engine:
        simulator = Simulator()
        simulator.script([LONG] * 8)
        return engine_in_memory(simulator, **options)

    async def test_readers_that_open_streams_and_hold_all_slots(self, caplog: pytest.LogCaptureFixture) -> None:
        async with self.engine(max_concurrency=2) as engine:
            assert (engine.stats().held_by_consumers, engine.stats().held_seconds) == (0, 0.0)

            async def read() -> None:
                with engine.submit("x").subscribe(Lossless(2)) as mailbox:
                    await mailbox.receive()
                    await engine.submit("below").wait()

            with anyio.move_on_after(3600):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(read)
                    tasks.start_soon(read)
                    await anyio.sleep(4)
                    assert not caplog.records
                    await anyio.sleep(4)
                    stats = engine.stats()
                    assert (stats.running, stats.waiting, stats.held_by_consumers) == (2, 2, 2)
                    assert 7 <= stats.held_seconds <= 8
                    assert len(caplog.records) == 1
            (record,) = caplog.records
            assert (record.name, record.levelno) == ("manystream.engine", logging.WARNING)
            assert "all 2 running streams have been held back" in record.message
            assert "2 requests wait" in record.message
            with anyio.fail_after(60):
                while engine.stats().running:  # noqa: ASYNC110
                    await anyio.sleep(1)
            assert (engine.stats().held_by_consumers, engine.stats().held_seconds) == (0, 0.0)

    @pytest.mark.parametrize("why", ["nobody waits", "another runs", "it is read now and then"])
    async def test_it_says_nothing_while_something_goes_on(self, caplog: pytest.LogCaptureFixture, why: str) -> None:
        async with self.engine(max_concurrency=2, grace=0) as engine:
            with engine.submit("x").subscribe(Lossless(2)) as one, engine.submit("x").subscribe(Lossless(2)) as other:
                if why != "nobody waits":
                    engine.submit("waits")
                if why == "another runs":
                    other.close()
                for _ in range(20):
                    await anyio.sleep(2)
                    if why == "it is read now and then":
                        await one.receive()
                        await other.receive()
                assert engine.stats().held_by_consumers >= 1
        assert not caplog.records

    async def test_it_is_told_once_and_a_handler_that_fails_harms_nothing(self) -> None:
        told: list[str] = []

        class Failing(logging.Handler):
            def handle(self, record: logging.LogRecord) -> bool:
                told.append(record.getMessage())
                raise OSError("no space left")

        handler = Failing()
        logging.getLogger("manystream").addHandler(handler)
        try:
            async with self.engine(max_concurrency=1) as engine:
                for _ in range(2):
                    handle = engine.submit("x")
                    waits = engine.submit("waits")
                    with handle.subscribe(Lossless(2)):
                        await anyio.sleep(30)
                        assert waits.state is State.QUEUED
                    await complete(waits)
        finally:
            logging.getLogger("manystream").removeHandler(handler)
        assert len(told) == 1

    @pytest.mark.filterwarnings("ignore:a mailbox was dropped")
    async def test_it_keeps_no_engine_from_its_end(self) -> None:
        async with self.engine(max_concurrency=1, grace=1) as engine:
            engine.submit("x").subscribe(Lossless(1))
            handle = engine.submit("x")
            mailbox = handle.subscribe(Lossless(1))
            await anyio.sleep(1)
            began = anyio.current_time()
        assert anyio.current_time() - began <= 1.1
        mailbox.close()

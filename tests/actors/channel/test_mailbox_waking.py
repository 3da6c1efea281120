"""Mailboxes: who is woken, and what a cancelled wait leaves; on asyncio, uvloop and trio."""

import asyncio
from contextlib import suppress

import anyio
import pytest
from anyio.lowlevel import checkpoint
from tests.support.mailboxes import BEGUN, ENDED, Told, asyncios_own, begun, read, three_loops, word, words
from tests.support.stage import Stage, assert_gapless, settle, task_group

from manystream.actors import (
    Conflate,
    Lossless,
    Mailbox,
    PartEvent,
    StreamEndEvent,
)

pytestmark = pytest.mark.anyio


async def test_a_burst_wakes_a_waiter_once() -> None:
    stage = Stage()
    woken = 0
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)

        async def consume() -> None:
            nonlocal woken
            while True:
                await mailbox.receive_batch()
                woken += 1

        tasks.start_soon(consume)
        await settle()
        for _ in range(10):
            stage.write(word("a") * 100)
            await settle()
        assert woken == 10
        tasks.cancel_scope.cancel()


def test_a_consumer_parks_once_until_it_is_woken() -> None:
    producer = Told()
    subscriber = producer.subscriber(Conflate())
    subscriber.park()
    subscriber.park()  # for another of its readers
    assert producer.parked == [subscriber]
    subscriber.wake()
    subscriber.park()
    assert producer.parked == [subscriber] * 2


async def test_each_event_goes_to_one_of_several_workers_and_the_end_to_all() -> None:
    stage = Stage()
    first = stage.handle.subscribe(Lossless(100_000))
    taken: list[list[PartEvent]] = []
    async with task_group() as tasks:

        async def work(mailbox: Mailbox) -> None:
            mine: list[PartEvent] = []
            taken.append(mine)
            async with mailbox:
                async for event in mailbox:
                    mine.append(event)
                    await checkpoint()

        for worker in (first, first.clone(), first.clone()):
            tasks.start_soon(work, worker)
        tasks.start_soon(stage.run)
        stage.write(BEGUN)
        for number in range(100):
            stage.write(word(str(number)) * (1 + number % 3))
            await checkpoint()
        stage.end()
    events = sorted((event for mine in taken for event in mine), key=lambda event: event.seq)
    assert_gapless(events, after=0)
    assert sum(isinstance(event, StreamEndEvent) for event in events) == 1
    assert len([mine for mine in taken if mine]) > 1
    assert all(mine == sorted(mine, key=lambda event: event.seq) for mine in taken)


async def test_the_end_wakes_all_workers() -> None:
    stage = Stage()
    ended = 0
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)

        async def work(worker: Mailbox) -> None:
            nonlocal ended
            with suppress(anyio.EndOfStream):
                while True:
                    await worker.receive_batch()
            ended += 1

        for _ in range(3):
            tasks.start_soon(work, mailbox.clone())
        await settle()
        assert mailbox.statistics().tasks_waiting_receive == 3
        stage.write(ENDED)
        stage.end()
    assert ended == 3


@three_loops
@pytest.mark.parametrize("batch", [False, True])
async def test_cancelling_a_receive_loses_nothing(batch: bool) -> None:
    stage = Stage()
    events: list[PartEvent] = []
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        for number in range(30):
            with anyio.CancelScope() as scope:
                # Sometimes the cancellation comes first, sometimes the event, sometimes both at once.
                tasks.start_soon(_strike, stage, scope, number)
                events += await mailbox.receive_batch() if batch else [await mailbox.receive()]
                await checkpoint()
            await settle()
        stage.end()
        events += await read(mailbox)
    assert_gapless(events, after=3)
    assert "".join(words(events)) == "".join(map(str, range(30)))


async def _strike(stage: Stage, scope: anyio.CancelScope, number: int) -> None:
    if number % 3 == 0:
        scope.cancel()
    stage.write(word(str(number)))
    for _ in range(number % 5):
        await checkpoint()
    scope.cancel()


@three_loops
@pytest.mark.parametrize("pause", range(6))
async def test_a_worker_that_is_cancelled_passes_its_wake_on(pause: int) -> None:
    stage = Stage()
    got: list[PartEvent] = []
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        scopes: list[anyio.CancelScope] = []

        async def work(worker: Mailbox) -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                got.append(await worker.receive())

        for _ in range(3):
            tasks.start_soon(work, mailbox.clone())
            await settle()
        stage.write(word("a"))
        for _ in range(pause):
            await checkpoint()
        scopes[0].cancel()
        await settle()
        stage.write(word("b"))
        await settle()
        stage.write(word("c"))
        await settle()
        assert "".join(words(got)).startswith("ab")
        tasks.cancel_scope.cancel()


def receiving(mailbox: Mailbox, taken: list[PartEvent], *, batch: bool = False) -> "asyncio.Task[None]":
    """A task of asyncio's own, that receives once."""

    async def receive() -> None:
        taken.extend(await mailbox.receive_batch() if batch else [await mailbox.receive()])

    return asyncio.ensure_future(receive())


@asyncios_own
@pytest.mark.parametrize("pause", range(4))
@pytest.mark.parametrize("batch", [False, True])
async def test_asyncios_own_cancellation_loses_nothing_either(pause: int, batch: bool) -> None:
    stage = Stage()
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        worker = mailbox.clone()
        taken: list[PartEvent] = []
        victim = receiving(worker, taken, batch=batch)
        await settle()
        other = receiving(mailbox, taken)
        await settle()
        stage.write(word("a"))
        for _ in range(pause):
            await checkpoint()
        victim.cancel()
        await settle()
        stage.write(word("b"))
        await settle()
        assert victim.done()
        assert other.done()
        stage.end()
        taken += await read(mailbox)
    taken.sort(key=lambda event: event.seq)
    assert_gapless(taken, after=3)
    assert "".join(words(taken)) == "ab"


@asyncios_own
@pytest.mark.parametrize("stolen", [False, True])
async def test_a_worker_cancelled_between_its_wake_and_its_turn_leaves_nobody_asleep(stolen: bool) -> None:
    """What it was woken for is for the next worker at once; if that was snatched away meanwhile, the next event is."""
    stage = Stage()
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        taken: list[PartEvent] = []
        first = receiving(mailbox.clone(), taken)
        await settle()
        second = receiving(mailbox.clone(), taken)
        await settle()

        class Villain:
            """Parked behind the workers: it acts when they were woken and have not run yet."""

            def wake(self) -> None:
                first.cancel()
                if stolen:
                    mailbox.receive_nowait()

        stage.actor.audience.park(Villain())
        stage.write(word("a"))
        await settle()
        assert first.cancelled()
        assert second.done() is not stolen
        stage.write(word("b"))
        await settle()
        assert second.done()
        assert words(taken) == ["b" if stolen else "a"]
        tasks.cancel_scope.cancel()


class Mark:
    """A wake that nobody waits for."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    async def wait(self) -> None:
        raise NotImplementedError


def test_a_reader_that_gives_up_is_not_woken_instead_of_another() -> None:
    subscriber = Told().subscriber(Conflate())
    first, second = Mark(), Mark()
    subscriber.waiters.extend([first, second])
    subscriber.give_up(first)
    subscriber.wake()
    assert (first.is_set(), second.is_set()) == (False, True)


@pytest.mark.parametrize("ready", [True, False])
def test_a_reader_that_gives_up_after_its_wake_passes_it_on(ready: bool) -> None:
    producer = Told()
    subscriber = producer.subscriber(Conflate())
    first, second = Mark(), Mark()
    subscriber.waiters.extend([first, second])
    subscriber.wake()
    if ready:
        producer.write("a")
    subscriber.give_up(first)
    assert second.is_set() is ready
    assert producer.parked == ([] if ready else [subscriber])

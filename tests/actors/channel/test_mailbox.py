"""Mailboxes: waiting and waking, sharing, leaving, and being held back; on asyncio, uvloop and trio."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress

import anyio
import pytest
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint
from tests.support.reference.streams import END, HELLO, begin, last, message, start, stop, text, text_delta
from tests.support.stage import Stage, assert_gapless, fold, settle, task_group

from manystream.actors import (
    Conflate,
    Lossless,
    Mailbox,
    PartDeltaEvent,
    PartEvent,
    State,
    StreamEndEvent,
    TextPartDelta,
)
from manystream.actors.channel.log import Cursor, EventLog
from manystream.actors.channel.mailbox import Parked, Policy, Subscriber
from manystream.engine.finish import uninterrupted

pytestmark = pytest.mark.anyio

three_loops = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
        pytest.param("trio", id="trio"),
    ],
)

asyncios_own = pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)

BEGUN = start() + begin(0, "text", text="")  # four events: the start, the usage, the part's start
ENDED = stop(0) + last() + END
POLICIES = [Conflate(), Lossless(1000)]


def word(text: str) -> bytes:
    return text_delta(0, text)


def words(events: list[PartEvent]) -> list[str]:
    return [
        e.delta.content_delta for e in events if isinstance(e, PartDeltaEvent) and isinstance(e.delta, TextPartDelta)
    ]


async def read(mailbox: Mailbox) -> list[PartEvent]:
    return [event async for event in mailbox]


async def begun(stage: Stage, tasks: anyio.abc.TaskGroup, *chunks: bytes) -> Mailbox:
    """A stream that has begun, and a mailbox that has read all of it so far."""
    mailbox = stage.handle.subscribe()
    tasks.start_soon(stage.run)
    stage.write(BEGUN, *chunks)
    await settle()
    await mailbox.receive_batch()
    return mailbox


class Told:
    """A producer that only remembers what its consumer told it."""

    def __init__(self) -> None:
        self.log = EventLog("s")
        self.parked: list[Parked] = []
        self.rooms = 0
        self.leavers: list[Subscriber] = []

    def write(self, text: str) -> None:
        self.log.add_text(0, TextPartDelta, text)

    def subscriber(self, policy: Policy, first: Iterable[PartEvent] = ()) -> Subscriber:
        return Subscriber(self, Cursor(self.log), policy, "detach", first)

    def park(self, consumer: Parked) -> None:
        self.parked.append(consumer)

    def has_room(self) -> None:
        self.rooms += 1

    def left(self, subscriber: Subscriber) -> None:
        self.leavers.append(subscriber)


# -- reading


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
async def test_a_whole_stream(policy: Conflate | Lossless) -> None:
    stage = Stage()
    async with stage.handle.subscribe(policy) as mailbox, task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(HELLO, last(), END)
        stage.end()
        events = await read(mailbox)
    assert_gapless(events, after=0)
    parts, end = fold(events)
    assert end is not None
    assert end.result is stage.handle.result
    assert tuple(parts.values()) == end.result.parts
    assert words(events) == (["Hello world"] if isinstance(policy, Conflate) else ["Hello", " world"])


async def test_it_is_an_object_receive_stream() -> None:
    stage = Stage()
    stream: ObjectReceiveStream[PartEvent] = stage.handle.subscribe()
    assert isinstance(stream, ObjectReceiveStream)
    async with stream, task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(message(text(0, "a")))
        stage.end()
        assert isinstance([event async for event in stream][-1], StreamEndEvent)
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_nothing_yet_would_block_and_the_end_is_the_end() -> None:
    stage = Stage()
    mailbox = stage.handle.subscribe()
    with pytest.raises(anyio.WouldBlock):
        mailbox.receive_nowait()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(message())
        stage.end()
        await stage.handle.wait()
    events: list[PartEvent] = []
    with pytest.raises(anyio.EndOfStream):
        while True:
            events.append(mailbox.receive_nowait())
    assert_gapless(events, after=0)
    for receive in (mailbox.receive, mailbox.receive_batch):
        with pytest.raises(anyio.EndOfStream):
            await receive()
    mailbox.close()
    with pytest.raises(anyio.ClosedResourceError):
        mailbox.receive_nowait()
    for receive in (mailbox.receive, mailbox.receive_batch):
        with pytest.raises(anyio.ClosedResourceError):
            await receive()
    with pytest.raises(anyio.ClosedResourceError):
        mailbox.clone()
    await mailbox.aclose()


async def test_a_batch_is_all_that_is_ready() -> None:
    stage = Stage()
    mailbox = stage.handle.subscribe(Lossless(1000))
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN + word("a") + word("b"))
        batch = await mailbox.receive_batch()
        assert [event.seq for event in batch] == [1, 2, 3, 4, 5]
        tasks.start_soon(_after_settling, lambda: stage.write(word("c") + word("d")))
        assert words(await mailbox.receive_batch()) == ["c", "d"]
        stage.end()
        *_, end = await mailbox.receive_batch()
    assert isinstance(end, StreamEndEvent)
    assert end.result.state == "truncated"


async def _after_settling(act: Callable[[], object]) -> None:
    await settle()
    act()


async def test_a_consumer_that_lags_gets_merged_text_and_one_that_does_not_gets_it_as_it_comes() -> None:
    stage = Stage()
    lagging = stage.handle.subscribe()
    async with task_group() as tasks:
        keen = await begun(stage, tasks)
        told: list[PartEvent] = []
        for piece in "abc":
            stage.write(word(piece))
            told += await keen.receive_batch()
        assert words(told) == ["a", "b", "c"]
        stage.end()
        events = await read(lagging)
    assert words(events) == ["abc"]
    assert_gapless(events, after=0)


def test_a_late_joiner_is_told_what_was_before_the_log_goes_on() -> None:
    producer = Told()
    first = PartDeltaEvent(0, TextPartDelta("so far"), stream_id="s", first_seq=0, seq=0)
    subscriber = producer.subscriber(Conflate(), [first])
    producer.write("a")
    assert subscriber.pending == 2
    taken = [subscriber.take() for _ in range(3)]
    assert taken[0] is first
    assert words([event for event in taken if event is not None]) == ["so far", "a"]
    assert taken[2] is None


# -- giving way to others


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
async def test_a_ready_channel_starves_nobody(policy: Conflate | Lossless) -> None:
    stage = Stage()
    mailbox = stage.handle.subscribe(policy)
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(message(*(text(index, "a", "b") for index in range(200))))
        stage.end()
        await stage.handle.wait()
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await checkpoint()

        tasks.start_soon(other)
        await checkpoint()
        before = turns
        received = 0
        with suppress(anyio.EndOfStream):
            while True:
                await mailbox.receive()
                received += 1
        assert received > 600
        assert turns - before >= received // 32 - 1
        tasks.cancel_scope.cancel()


async def test_a_batch_always_gives_way() -> None:
    stage = Stage()
    mailbox = stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(message(text(0, "a")))
        stage.end()
        await stage.handle.wait()
    for _ in range(2):
        with anyio.CancelScope() as scope:
            scope.cancel()  # which nothing but a checkpoint sees
            await mailbox.receive_batch()
        assert scope.cancelled_caught
    assert isinstance((await mailbox.receive_batch())[-1], StreamEndEvent)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await mailbox.receive_batch()
    assert scope.cancelled_caught


async def test_a_batch_counts_as_giving_way() -> None:
    producer = Told()
    mailbox = Mailbox(producer.subscriber(Lossless()))
    for _ in range(33):
        producer.write("a")
    for _ in range(32):
        await mailbox.receive()
    await mailbox.receive_batch()
    producer.write("b")
    with anyio.CancelScope() as scope:
        scope.cancel()  # the next checkpoint would raise
        assert words([await mailbox.receive()]) == ["b"]
    assert not scope.cancelled_caught
    mailbox.close()


async def test_a_closed_mailbox_says_so_before_it_gives_way() -> None:
    producer = Told()
    mailbox = Mailbox(producer.subscriber(Lossless()))
    producer.write("a")
    mailbox.close()
    for receive in (mailbox.receive, mailbox.receive_batch):
        with anyio.CancelScope() as scope:
            scope.cancel()
            with pytest.raises(anyio.ClosedResourceError):
                await receive()
        assert not scope.cancelled_caught


async def test_a_timeout_reaches_whoever_reads_a_ready_channel() -> None:
    stage = Stage()
    mailbox = stage.handle.subscribe(Lossless(100_000))
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(message(text(0, *"a" * 5000)))
        stage.end()
        await stage.handle.wait()
    taken: list[PartEvent] = []
    with anyio.CancelScope() as scope:
        async for event in mailbox:
            taken.append(event)
            if len(taken) == 100:
                scope.cancel()
    assert 100 <= len(taken) <= 132
    assert (await mailbox.receive()).first_seq == taken[-1].seq + 1


# -- waking


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


# -- cancellation


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


# -- closing


@three_loops
@pytest.mark.parametrize("batch", [False, True])
async def test_closing_wakes_whoever_waits_in_receive(batch: bool) -> None:
    stage = Stage()
    closed: list[str] = []
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        clone = mailbox.clone()

        async def wait(worker: Mailbox, name: str) -> None:
            try:
                await (worker.receive_batch() if batch else worker.receive())
            except anyio.ClosedResourceError:
                closed.append(name)

        tasks.start_soon(wait, mailbox, "mailbox")
        tasks.start_soon(wait, clone, "clone")
        await settle()
        await mailbox.aclose()
        await settle()
        assert closed == ["mailbox"]
        stage.write(word("a"))
        await settle()
        assert clone.statistics().tasks_waiting_receive == 0
        assert closed == ["mailbox"]
        stage.end()


async def test_the_last_to_leave_is_told_to_the_engine() -> None:
    stage = Stage()
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        clone = mailbox.clone()
        other = stage.handle.subscribe(on_abandon="cancel")
        with mailbox:
            pass
        mailbox.close()
        clone.close()
        assert stage.abandoned == []
        await other.aclose()
        assert stage.abandoned == ["cancel"]
        stage.write(ENDED)
        stage.end()


def test_a_mailbox_that_is_dropped_unclosed_leaves_at_once_when_no_loop_is_known() -> None:
    producer = Told()
    subscriber = producer.subscriber(Conflate())
    mailbox = Mailbox(subscriber)
    with pytest.warns(ResourceWarning, match="dropped unclosed"):
        del mailbox
    assert producer.leavers == [subscriber]


def test_a_mailbox_that_is_dropped_unclosed_leaves_in_its_loop() -> None:
    class Loop:
        def __init__(self) -> None:
            self.called: list[Callable[[], None]] = []

        def check(self) -> None:
            pass

        def soon(self, function: Callable[[], None]) -> None:
            self.called.append(function)

    producer, loop = Told(), Loop()
    subscriber = producer.subscriber(Conflate())
    mailbox = Mailbox(subscriber, loop)
    with pytest.warns(ResourceWarning, match="dropped unclosed"):
        del mailbox
    assert producer.leavers == []
    for function in loop.called:
        function()
    assert producer.leavers == [subscriber]


async def test_nobody_abandons_what_has_ended() -> None:
    stage = Stage(on_abandon="cancel")
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        stage.write(ENDED)
        stage.end()
        await stage.handle.wait()
    mailbox.close()
    stage.handle.subscribe().close()
    assert stage.abandoned == []


# -- being held back


async def test_a_full_lossless_consumer_stops_the_reading() -> None:
    stage = Stage()
    slow = stage.handle.subscribe(Lossless(buffer=4))
    fast = stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN, word("a"), word("b"), word("c"), word("d"))
        await settle()
        assert stage.wire.reads == 3  # the one that fills the buffer, and one that waits outside of it
        assert slow.statistics().current_buffer_used == 4
        assert slow.statistics().tasks_waiting_send == 1
        assert words(await fast.receive_batch()) == ["a"]
        taken = [await slow.receive() for _ in range(2)]
        await settle()
        assert slow.statistics().current_buffer_used == 4
        assert stage.wire.reads == 5
        stage.end()
        taken += await read(slow)
    assert_gapless(taken, after=0)
    assert words(taken) == [*"abcd"]


async def test_the_slowest_sets_the_pace_until_it_leaves() -> None:
    stage = Stage()
    mailboxes = [stage.handle.subscribe(Lossless(buffer)) for buffer in (3, 5)]
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN, *(word(letter) for letter in "abcdefgh"))
        await settle()
        assert stage.actor.log.seq == 3
        mailboxes[0].close()
        await settle()
        assert stage.actor.log.seq == 5
        mailboxes[1].close()
        await settle()
        assert stage.actor.log.seq == 11
        stage.end()


async def test_a_conflating_consumer_holds_nobody_back() -> None:
    stage = Stage()
    mailbox = stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN, *[word("a")] * 5000)
        stage.end()
        await stage.handle.wait()
    assert words(await read(mailbox)) == ["a" * 5000]


async def test_a_subscription_that_stalls_breaks_and_the_stream_goes_on() -> None:
    stage = Stage(clock=anyio.current_time)
    stalled = stage.handle.subscribe(Lossless(1, stall_timeout=0.01))
    patient = stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(message(text(0, "a", "b")))
        stage.end()
        events = await read(patient)
    parts, end = fold(events)
    assert end is not None
    assert end.result.state == "complete"
    assert tuple(parts.values()) == end.result.parts
    for receive in (stalled.receive, stalled.receive_batch):
        with pytest.raises(anyio.BrokenResourceError, match="stall_timeout"):
            await receive()
    assert stalled.statistics().current_buffer_used == 0
    stalled.close()
    assert stage.handle.state is State.DONE


def test_the_producer_hears_of_room_only_when_a_lossless_consumer_took_an_event() -> None:
    producer = Told()
    lossless, conflating = producer.subscriber(Lossless()), producer.subscriber(Conflate())
    producer.write("a")
    assert conflating.take() is not None
    assert producer.rooms == 0
    assert lossless.take() is not None
    assert producer.rooms == 1
    assert lossless.take() is None
    assert producer.rooms == 1


@pytest.mark.parametrize("end", [Subscriber.conflate, Subscriber.fail])
def test_a_consumer_that_stops_holding_the_producer_back_tells_it(end: Callable[[Subscriber], None]) -> None:
    producer = Told()
    subscriber = producer.subscriber(Lossless(1))
    producer.write("a")
    assert subscriber.full
    end(subscriber)
    assert producer.rooms == 1
    for _ in range(10):
        producer.write("b")
    assert not subscriber.full


def test_a_lossless_consumer_buffers_256_events_unless_told_otherwise() -> None:
    producer = Told()
    subscriber = producer.subscriber(Lossless())
    for _ in range(255):
        producer.write("a")
    assert not subscriber.full
    producer.write("a")
    assert subscriber.full


@pytest.mark.parametrize("wrong", [{"buffer": 0}, {"stall_timeout": 0}])
def test_a_policy_that_makes_no_sense(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Lossless(**wrong)


async def test_statistics_say_what_waits() -> None:
    stage = Stage()
    async with task_group() as tasks:
        mailbox = await begun(stage, tasks)
        clone = mailbox.clone()
        stage.write(word("a") + word("b"))
        await settle()
        statistics = mailbox.statistics()
        assert (statistics.current_buffer_used, statistics.max_buffer_size) == (2, float("inf"))
        assert (statistics.open_receive_streams, statistics.open_send_streams) == (2, 1)
        stage.end()
        await stage.handle.wait()
        clone.close()
        statistics = mailbox.statistics()
        assert (statistics.open_receive_streams, statistics.open_send_streams) == (1, 0)
        assert statistics.current_buffer_used == 4  # the texts, the part's end, the stream's
        assert stage.handle.subscribe(Lossless(7)).statistics().max_buffer_size == 7


# -- what is left behind


@pytest.mark.parametrize("ending", ["complete", "truncated", "broken", "garbage", "cancelled"])
@pytest.mark.parametrize("closed", [True, False])
async def test_an_ended_stream_is_freed_without_the_garbage_collector(ending: str, closed: bool) -> None:
    async def scene() -> "list[weakref.ref[object]]":
        stage = Stage()
        mailbox = stage.handle.subscribe(Lossless(1000))
        unread = stage.handle.subscribe()
        async with task_group() as tasks:
            tasks.start_soon(stage.run)
            stage.write(BEGUN, word("a"))
            await settle()
            match ending:
                case "complete":
                    stage.write(ENDED)
                    stage.end()
                case "truncated":
                    stage.end()
                case "broken":
                    stage.fail()
                case "garbage":
                    stage.write(b"data: {\n\n")
                case _:
                    stage.handle.cancel()
            parts, end = fold(await read(mailbox))
            assert end is not None
            assert parts
        if closed:
            mailbox.close()
            unread.close()
        return [weakref.ref(thing) for thing in (stage.actor, stage.handle, mailbox, unread, end.result)]

    gc.collect()
    gc.disable()
    try:
        references = await scene()
        await checkpoint()
        assert [reference() for reference in references] == [None] * 5
    finally:
        gc.enable()


@three_loops
async def test_an_uninterrupted_wait_ends_before_the_cancellation_is_raised() -> None:
    event = anyio.Event()
    ended: list[str] = []
    scope = anyio.CancelScope()

    async def wait() -> None:
        with scope:
            try:
                await uninterrupted(event.wait)
            finally:
                ended.append("set" if event.is_set() else "early")
            await checkpoint()
            ended.append("not cancelled")

    async with task_group() as tasks:
        tasks.start_soon(wait)
        await settle()
        scope.cancel()
        await settle()
        assert ended == []
        event.set()
    assert ended == ["set"]
    assert scope.cancelled_caught


@asyncios_own
async def test_nor_does_asyncios_own_cancellation_end_it_early_not_even_twice() -> None:
    event = anyio.Event()

    class Witness:
        pass

    async def wait() -> None:
        witness = Witness()
        seen.append(weakref.ref(witness))
        await uninterrupted(event.wait)

    seen: list[weakref.ref[Witness]] = []
    gc.collect()
    gc.disable()
    try:
        task = asyncio.ensure_future(wait())
        await settle()
        for _ in range(2):
            task.cancel()
            await settle()
        assert not task.done()
        event.set()
        await settle()
        assert task.cancelled()
        del task
        await settle()
        assert seen[0]() is None  # the exception holds no frame that holds it
    finally:
        gc.enable()


@asyncios_own
async def test_nor_does_it_keep_it_from_ending_when_it_comes_at_every_turn() -> None:
    """What is gathered in a scope of anyio's is cancelled so once the scope is."""
    event = anyio.Event()
    ended: list[bool] = []

    async def wait() -> None:
        try:
            await uninterrupted(event.wait)
        finally:
            ended.append(event.is_set())

    async def gathered() -> None:
        await asyncio.gather(wait(), wait())

    with anyio.fail_after(5):
        async with task_group() as tasks:
            tasks.start_soon(gathered)
            await settle()
            tasks.cancel_scope.cancel()
            asyncio.get_running_loop().call_later(0.01, event.set)
    assert ended == [True, True]

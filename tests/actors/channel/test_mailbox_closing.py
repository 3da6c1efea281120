"""Mailboxes: leaving a stream, and holding it back; on asyncio, uvloop and trio."""

from collections.abc import Callable

import anyio
import pytest
from tests.support.mailboxes import BEGUN, ENDED, Told, begun, read, three_loops, word, words
from tests.support.reference.streams import message, text
from tests.support.stage import Stage, assert_gapless, fold, settle, task_group

from manystream.actors import (
    Conflate,
    Lossless,
    Mailbox,
    State,
)
from manystream.actors.channel.mailbox import Subscriber

pytestmark = pytest.mark.anyio


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

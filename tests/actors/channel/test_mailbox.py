"""Mailboxes: what is read of them, and that reading gives way to others; on asyncio, uvloop and trio."""

from collections.abc import Callable
from contextlib import suppress

import anyio
import pytest
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint
from tests.support.mailboxes import BEGUN, Told, begun, read, word, words
from tests.support.reference.streams import END, HELLO, last, message, text
from tests.support.stage import Stage, assert_gapless, fold, settle, task_group

from manystream.actors import (
    Conflate,
    Lossless,
    Mailbox,
    PartDeltaEvent,
    PartEvent,
    StreamEndEvent,
    TextPartDelta,
)

pytestmark = pytest.mark.anyio


POLICIES = [Conflate(), Lossless(1000)]


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

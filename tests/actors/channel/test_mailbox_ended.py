"""What an ended stream leaves behind, and waits that are not interrupted; on asyncio, uvloop and trio."""

import asyncio
import gc
import weakref

import anyio
import pytest
from anyio.lowlevel import checkpoint
from tests.support.mailboxes import BEGUN, ENDED, asyncios_own, read, three_loops, word
from tests.support.stage import Stage, fold, settle, task_group

from manystream.actors import (
    Lossless,
)
from manystream.engine.finish import uninterrupted

pytestmark = pytest.mark.anyio


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

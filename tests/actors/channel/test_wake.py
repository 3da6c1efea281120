"""A waiter: one wake for one task."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from manystream.actors.channel.wake import waiter_factory

pytestmark = pytest.mark.anyio


async def test_it_wakes_the_task_that_waits() -> None:
    waiter = waiter_factory()()
    woken: list[str] = []

    async def wait() -> None:
        await waiter.wait()
        woken.append("woken")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not waiter.is_set()
        waiter.set()
        waiter.set()
        assert waiter.is_set()
        assert not woken
    assert woken == ["woken"]


async def test_it_may_be_set_before() -> None:
    waiter = waiter_factory()()
    waiter.set()
    with anyio.fail_after(1):
        await waiter.wait()


async def test_a_cancelled_task_may_still_be_set() -> None:
    waiter = waiter_factory()()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        waiter.set()  # in the step in which it was cancelled
    await checkpoint()
    assert waiter.is_set()
    late = waiter_factory()()
    with anyio.move_on_after(0) as scope:
        await late.wait()
    assert scope.cancelled_caught
    assert not late.is_set()
    late.set()

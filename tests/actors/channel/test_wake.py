"""A wake for one task."""

import anyio
import pytest
from anyio.lowlevel import checkpoint

from manystream.actors.channel.wake import wake_factory

pytestmark = pytest.mark.anyio


async def test_it_wakes_the_task_that_waits() -> None:
    wake = wake_factory()()
    woken: list[str] = []

    async def wait() -> None:
        await wake.wait()
        woken.append("woken")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not wake.is_set()
        wake.set()
        wake.set()
        assert wake.is_set()
        assert not woken
    assert woken == ["woken"]


async def test_it_may_be_set_before() -> None:
    wake = wake_factory()()
    wake.set()
    with anyio.fail_after(1):
        await wake.wait()


async def test_a_cancelled_task_may_still_be_set() -> None:
    wake = wake_factory()()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wake.wait)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
        wake.set()  # in the step in which it was cancelled
    await checkpoint()
    assert wake.is_set()
    late = wake_factory()()
    with anyio.move_on_after(0) as scope:
        await late.wait()
    assert scope.cancelled_caught
    assert not late.is_set()
    late.set()

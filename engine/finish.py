"""Telling cancellations from failures, and finishing what must be finished although a cancellation comes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import cast

import anyio

__all__ = ["is_cancellation", "uninterrupted", "unwrapped"]


def is_cancellation(exc: BaseException) -> bool:
    """Whether `exc` is a cancellation: its exception, or a group that holds it with nothing worse beside it.

    A cancelled nursery of trio's raises a group, in which there may also be failures that the cancellation caused, such
    as that of a connection that was being opened. A group with `KeyboardInterrupt` or `SystemExit` in it is no
    cancellation.
    """
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(exc, cancelled):
        return True
    if not isinstance(exc, BaseExceptionGroup):
        return False
    group = cast("BaseExceptionGroup[BaseException]", exc)
    return group.subgroup(cancelled) is not None and group.split((cancelled, Exception))[1] is None


async def uninterrupted(wait: Callable[[], Awaitable[object]]) -> None:
    """Awaits `wait()` to its end; a cancellation that comes meanwhile is raised afterwards.

    A shield holds off the cancellation of anyio and trio, but not asyncio's `Task.cancel()`. That one is caught and
    `wait()` is called again; when it has returned, the first such exception is raised. So `wait` must be something that
    can be done again and in another task, such as waiting for an event.
    """
    try:
        with anyio.CancelScope(shield=True):
            await wait()
    except anyio.get_cancelled_exc_class():
        await _whatever_cancels(wait)
        raise


async def _whatever_cancels(wait: Callable[[], Awaitable[object]]) -> None:
    """Awaits `wait()` in a task of its own, on asyncio.

    In this one it might never end. A scope of anyio's around an `asyncio.gather` cancels what that gathers at every
    turn of the loop, until it ends; and even a wait for what has happened already takes a turn.
    """
    while True:
        waiting = asyncio.ensure_future(wait())
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait((waiting,))
        if not waiting.cancelled():  # as all tasks are when the loop is about to end
            waiting.result()
            return


def unwrapped(exc: BaseException) -> BaseException:
    """The one exception in a group, and in groups within it."""
    while isinstance(exc, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", exc).exceptions
        if len(inner) != 1:
            break
        exc = inner[0]
    return cast("BaseException", exc)

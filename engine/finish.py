"""Finishing what must be finished, whatever asks us to stop meanwhile."""

from collections.abc import Awaitable, Callable
from typing import cast

import anyio

__all__ = ["is_cancellation", "uninterrupted"]


def is_cancellation(exc: BaseException) -> bool:
    """Whether `exc` is a cancellation: its exception, or a group that holds it with nothing worse beside it.

    On trio a nursery that is cancelled raises a group, in which failures may stand that came of it (a connection that
    was being tried). `KeyboardInterrupt` and `SystemExit` stay what they are.
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

    A shield holds off anyio's and trio's own cancellation, but not asyncio's `Task.cancel()`: that one is caught, the
    wait begins again, and the first such exception is raised when it is over. `wait` must therefore be something that
    can be begun again, such as waiting for an event.
    """
    cancelled: BaseException | None = None
    while True:
        try:
            with anyio.CancelScope(shield=True):
                await wait()
            break
        except anyio.get_cancelled_exc_class() as exc:
            cancelled = cancelled or exc
    if cancelled is not None:
        try:
            raise cancelled
        finally:
            del cancelled  # else this frame and the exception would hold each other, and all frames above

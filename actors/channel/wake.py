"""A wake for one task, once. The consumer of a slow stream waits anew for each event, so this is on the path of every
event; `anyio.Event`, which any number of tasks may wait for, costs several times as much.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from anyio.lowlevel import current_token

__all__ = ["Wake", "wake_factory"]


class Wake(Protocol):
    """Waits in one task until it is set, in the event loop's thread."""

    def is_set(self) -> bool:
        """Whether it was set, even if the task that waits was cancelled before."""
        ...

    def set(self) -> None:
        """Wakes the task. Setting twice does nothing more."""
        ...

    async def wait(self) -> None:
        """Waits until it is set. Cancellation leaves nothing behind."""
        ...


class _AsyncioWake:
    __slots__ = ("_future", "_set")

    def __init__(self, create_future: Callable[[], Any]) -> None:
        self._future = create_future()
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        if not self._future.done():
            self._future.set_result(None)

    async def wait(self) -> None:
        await self._future


class _TrioWake:
    __slots__ = ("_lowlevel", "_set", "_task")

    def __init__(self, lowlevel: Any) -> None:
        self._lowlevel = lowlevel
        self._set = False
        self._task: Any = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        if self._task is not None:
            self._lowlevel.reschedule(self._task)
            self._task = None

    async def wait(self) -> None:
        if self._set:
            await self._lowlevel.checkpoint()
            return
        self._task = self._lowlevel.current_task()
        await self._lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: Any) -> Any:
        self._task = None
        return self._lowlevel.Abort.SUCCEEDED


def wake_factory() -> Callable[[], Wake]:
    """Returns what makes wakes for the event loop that runs now. To find out which loop that is costs as much as a
    wake, so it is done once for many."""
    import asyncio

    loop: Any = current_token().native_token
    if isinstance(loop, asyncio.AbstractEventLoop):
        return partial(_AsyncioWake, loop.create_future)
    import trio

    return partial(_TrioWake, trio.lowlevel)

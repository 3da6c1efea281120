"""An engine that is opened and closed by hand, in different tasks: its block is held by a task of its own.

A task group must be entered and left in one task, which the cells of a notebook, fixtures and start-up hooks can't
promise. So another task enters the engine's block, waits, and leaves it. It belongs to the event loop and not to who
opened the engine: a task of asyncio's, or a system task of trio's.
"""

import contextvars
import warnings
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import anyio

from .event_loop import HomeLoop
from .finish import is_cancellation, uninterrupted, unwrapped

__all__ = ["BlockTask", "OpenedByHand"]


class BlockTask:
    """A task that holds `block` open. `name` is for messages."""

    def __init__(self, block: AbstractAsyncContextManager[object], name: str) -> None:
        self._block = block
        self._name = name
        self._scope = anyio.CancelScope()
        self._opened = anyio.Event()
        self._leave = anyio.Event()
        self._done = anyio.Event()
        self._task: object = None
        """Held here, since asyncio does not hold its tasks."""
        self.failure: BaseException | None = None
        """What was raised by the block, once it is over: not by those who use it."""

    async def open(self, library: Literal["asyncio", "trio"]) -> None:
        """Returns when the block is entered. Raises what entering it raises. A cancellation leaves it closed."""
        self._task = _spawn(library, self._hold())
        try:
            await self._opened.wait()
        except anyio.get_cancelled_exc_class():
            self._leave.set()
            self._scope.cancel()
            await uninterrupted(self._done.wait)
            raise
        if self.failure is not None and self._done.is_set():
            raise self.failure

    async def close(self) -> None:
        """Returns when the block is left, as often as it is called. Raises what the block raised. A cancellation makes
        the block end at once, and is raised when it has ended."""
        self._leave.set()
        try:
            await self._done.wait()
        except anyio.get_cancelled_exc_class():
            self._scope.cancel()
            await uninterrupted(self._done.wait)
            raise
        if self.failure is not None:
            raise self.failure

    async def _hold(self) -> None:
        try:
            with self._scope:
                async with self._block:
                    self._opened.set()
                    await self._leave.wait()
        except BaseException as exc:
            if is_cancellation(exc):  # the loop ends
                raise
            self.failure = unwrapped(exc)
        finally:
            if not self._leave.is_set() and self.failure is None:
                warnings.warn(f"{self._name} was opened and never closed: await its aclose()", ResourceWarning, 2)
            self._opened.set()
            self._done.set()


def _spawn(library: Literal["asyncio", "trio"], coro: Coroutine[Any, Any, None]) -> object:
    if library == "trio":
        import trio

        async def hold() -> None:
            await coro

        return trio.lowlevel.spawn_system_task(hold, context=contextvars.copy_context())
    import asyncio

    return asyncio.get_running_loop().create_task(coro)


class OpenedByHand(AbstractAsyncContextManager[Any, None]):
    """What an engine has beside its block, so that it can be opened and closed in different tasks."""

    _loop: HomeLoop | None
    _block_task: BlockTask | None = None

    @property
    def _left_by_block(self) -> bool:
        """Whether it was entered as a block, and will be left as one."""
        raise NotImplementedError

    async def open(self) -> None:
        """Enters the engine without a block, for notebooks, fixtures and start-up hooks: `aclose` leaves it, in this
        task or another one of the same event loop. A task of its own holds the block meanwhile.

        Raises as entering the block does. A cancellation leaves the engine closed.
        """
        if self._block_task is not None:
            raise RuntimeError("an engine is opened once; make another")
        self._block_task = BlockTask(self, "an engine")
        await self._block_task.open(HomeLoop("engine").library)

    async def aclose(self) -> None:
        """Leaves an engine that was opened with `open`, as leaving its block does: what runs may finish for `grace`
        seconds. It may be called again, and by several tasks; each returns when nothing of the engine runs any more. It
        does nothing to an engine that was never opened.

        Raises what crashed the engine, if something did. A cancellation cancels what runs at once, and is raised when
        that has stopped.
        """
        if self._block_task is None:
            if self._left_by_block:
                raise RuntimeError("leave the block of `async with` instead: it closes the engine")
            return
        if self._loop is not None:
            self._loop.check()
        await self._block_task.close()

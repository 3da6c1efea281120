"""The thread in which the event loop of a synchronous engine runs: anyio's blocking portal, with the engine open in it.

A task that is asked for here ends at the latest when the thread does, so that nothing waits for a caller who is gone.
"""

import atexit
import os
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, ExitStack, suppress
from threading import RLock
from types import TracebackType
from typing import Any, Literal, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ..event_loop import HomeLoop
from ..finish import unwrapped
from ..own_loop import loop_options

__all__ = ["LoopThread"]

T = TypeVar("T")

_OPEN: set["LoopThread"] = set()
"""Those that are open. They are held here, since one that is dropped must not be closed by the garbage collector, which
may run in any thread, the loop's own included."""


class LoopThread:
    """The thread. `open` starts it and enters `block` in it, `close` leaves the block and ends the thread."""

    def __init__(self, block: AbstractAsyncContextManager[object], backend: Literal["asyncio", "trio"]) -> None:
        self._block = block
        self._backend: Literal["asyncio", "trio"] = backend
        self._lock = RLock()  # a signal handler may come in the middle of `close`, in the same thread
        self._stack: ExitStack | None = None  # what is open
        self._portal: BlockingPortal | None = None
        self._home: HomeLoop | None = None
        self._tasks: set[Future[Any]] = set()
        self._pid = 0

    @property
    def is_open(self) -> bool:
        """Whether `close` has something to do."""
        return self._stack is not None

    def open(self) -> None:
        """Starts the thread. Raises what entering the block raises, and `RuntimeError` the second time."""
        with self._lock:
            if self._pid:
                raise RuntimeError("an engine is opened once; make another")
            self._pid = os.getpid()
            with ExitStack() as stack:
                name = f"manystream-{self._backend}"
                portal = stack.enter_context(
                    start_blocking_portal(self._backend, loop_options(self._backend), name=name)
                )
                stack.callback(self._cancel_tasks)
                stack.enter_context(portal.wrap_async_context_manager(self._block))
                self._home = portal.call(_home)
                self._portal = portal
                self._stack = stack.pop_all()
                _OPEN.add(self)

    def close(
        self,
        exc_type: type[BaseException] | None = None,
        exc: BaseException | None = None,
        tb: TracebackType | None = None,
    ) -> None:
        """Leaves the block, with the exception that it is left with, and ends the thread. Raises what the block raises.
        Another call waits for the first and does nothing; so does one in a forked process."""
        if not self.in_this_process:
            return
        with self._lock:
            stack, self._stack = self._stack, None
            _OPEN.discard(self)
            if stack is not None:
                try:
                    stack.__exit__(exc_type, exc, tb)
                except BaseExceptionGroup as group:
                    raise unwrapped(group) from None

    @property
    def in_this_process(self) -> bool:
        """Whether it was opened in this process, and not in one that was forked."""
        return os.getpid() == self._pid

    def check_process(self) -> None:
        """Raises `RuntimeError` in a forked process: there is no thread there, and a wait for it would not end."""
        if self._pid and not self.in_this_process:
            raise RuntimeError("this engine belongs to the parent process: make one after the fork")

    def _open_portal(self) -> BlockingPortal:
        self.check_process()
        if self._portal is None:
            raise RuntimeError("open the engine first: with SyncEngine(...) as engine, or engine.open()")
        if self._stack is None:
            raise RuntimeError("the engine is closed")
        return self._portal

    def call(self, function: Callable[[], T]) -> T:
        """Calls a function in the loop, and returns what it returns.

        Raises `RuntimeError` when the engine is not open, or is another process's.
        """
        return self._open_portal().call(function)

    def soon(self, function: Callable[[], None]) -> None:
        """Calls a function in the loop, soon, if it still runs. From any thread, and in the middle of anything."""
        if self._home is not None:
            self._home.soon(function)

    def start(self, main: Callable[[], Coroutine[Any, Any, T]]) -> "Future[T]":
        """Starts a task in the loop, in the caller's context. Cancelling the future cancels the task. Raises as `call`
        does."""
        future = self._open_portal().start_task_soon(main)
        self._tasks.add(future)
        future.add_done_callback(self._tasks.discard)
        return future

    def _cancel_tasks(self) -> None:
        for future in list(self._tasks):
            future.cancel()


async def _home() -> HomeLoop:
    return HomeLoop("engine")


@atexit.register
def _close_all() -> None:
    """Closes at once what nobody has closed: a loop that still runs while the interpreter is taken down may hang it."""
    for thread in list(_OPEN):
        with suppress(Exception):
            thread.close(SystemExit, SystemExit(), None)

"""Virtual time: an event loop whose clock does not wait, but jumps to the next timer when nothing else can be done."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

__all__ = ["on_virtual_time"]

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    jumped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing is left to do, and nothing will happen")
        ready = super().select(0)
        if not ready and timeout > 0:
            self.jumped += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped


def on_virtual_time(main: Callable[[], Awaitable[T]]) -> T:
    """Runs `main` in an event loop whose clock begins at 0, and returns what it returns.

    It must wait for timers alone, and for other tasks: threads and sockets lose against the clock. Raises
    `RuntimeError` in a thread in which an event loop runs already.
    """
    return anyio.run(main, backend="asyncio", backend_options={"loop_factory": _VirtualLoop})

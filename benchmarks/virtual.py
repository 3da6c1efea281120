"""Virtual time on asyncio, as fast as it goes: when nothing is left to run but timers, the clock jumps to the next."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import anyio.to_thread

__all__ = ["run_virtual"]

_FIRST_JUMPS = 20
_SETTLE = 0.05  # real seconds before each of the first jumps: the SDK asks for its platform in a thread, and time
# must not pass meanwhile

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    jumped = 0.0
    jumps = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(_SETTLE if self.jumps < _FIRST_JUMPS else 0)
        if not ready:
            self.jumps += 1
            self.jumped += timeout
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped


def run_virtual(function: Callable[[], Awaitable[T]]) -> T:
    """Runs `function` in an event loop whose clock begins at 0 and does not wait; returns what it returns.

    It must not wait for anything but timers and what other tasks do: threads and sockets lose against the clock.
    """

    async def main() -> T:
        # One thread at a time, so that they end in the order in which they began and a run repeats.
        anyio.to_thread.current_default_thread_limiter().total_tokens = 1
        return await function()

    return anyio.run(main, backend="asyncio", backend_options={"loop_factory": _VirtualLoop})

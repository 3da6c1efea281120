"""Virtual time, on both backends: when nothing is left to run but timers, the clock jumps to the next of them."""

import asyncio
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import trio.testing
from anyio._backends._asyncio import WorkerThread

__all__ = ["VirtualClockLoop", "virtual_backends"]

_SETTLE = 0.01  # real seconds without anything happening, after which the clock jumps: threads may be at work
# A busy machine is slow to run threads; but what a thread waits for may itself be a matter of time.
_PATIENCE = 10.0  # real seconds for which a thread at work holds the clock


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it lets time pass; only what does not come by time is waited for."""

    jumped = 0.0
    settle = _SETTLE
    executed = 0
    """How many calls the loop's executor has in hand: the SDK makes one for each new client."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(self.settle)
        until = time.monotonic() + _PATIENCE
        while not ready and (self.executed or _thread_at_work()) and time.monotonic() < until:
            ready = super().select(self.settle)
        if not ready:
            self.jumped += timeout
        return ready


def _thread_at_work() -> bool:
    """Whether one of anyio's threads has a call in hand."""
    return any(isinstance(one, WorkerThread) and one not in one.idle_workers for one in threading.enumerate())


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual time."""

    def __init__(self, settle: float = _SETTLE) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.settle = settle
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        def done(_: object) -> None:
            self._jumping.executed -= 1

        future = super().run_in_executor(executor, func, *args)
        self._jumping.executed += 1
        future.add_done_callback(done)
        return future


def virtual_backends(*, settle: float = _SETTLE) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """anyio's backends with a virtual clock, by name; to be asked for anew for each run.

    `settle` is how many real seconds nothing must happen before the clock jumps, for what threads do.
    """
    return {
        "asyncio": ("asyncio", {"loop_factory": lambda: VirtualClockLoop(settle)}),
        "trio": ("trio", {"clock": _patient_clock(settle)}),
    }


def _patient_clock(settle: float) -> trio.testing.MockClock:
    clock: Any = trio.testing.MockClock(autojump_threshold=settle)
    jump = clock._autojump
    held_since: float | None = None

    def jump_unless_held() -> None:
        nonlocal held_since
        if trio.to_thread.current_default_thread_limiter().borrowed_tokens == 0:
            held_since = None
        elif held_since is None:
            held_since = time.monotonic()
        if held_since is None or time.monotonic() - held_since > _PATIENCE:
            jump()

    clock._autojump = jump_unless_held  # trio asks for it whenever nothing has happened for `settle`
    return clock

"""Virtual time, on both backends: when nothing is left to run but timers, the clock jumps to the next of them."""

import asyncio
import selectors
import threading
import time
from collections.abc import Mapping
from typing import Any

import trio.testing
from anyio._backends._asyncio import WorkerThread

__all__ = ["VirtualClockLoop", "virtual_backends"]

_SETTLE = 0.01  # real seconds without anything happening, after which the clock jumps: threads may be at work
_PATIENCE = (
    1.0  # real seconds for which a thread of anyio's that is at work holds the clock: on a busy machine it is slow
)


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it lets time pass; only what does not come by time is waited for."""

    jumped = 0.0
    settle = _SETTLE

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(self.settle)
        until = time.monotonic() + _PATIENCE
        while not ready and _thread_at_work() and time.monotonic() < until:
            ready = super().select(self.settle)
        if not ready:
            self.jumped += timeout
        return ready


def _thread_at_work() -> bool:
    """Whether somebody waits for a thread, as the SDK does with a new client: anyio tells nobody of its threads."""
    return any(isinstance(one, WorkerThread) and one not in one.idle_workers for one in threading.enumerate())


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop on virtual time."""

    def __init__(self, settle: float = _SETTLE) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.settle = settle
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.jumped


def virtual_backends(*, settle: float = _SETTLE) -> Mapping[str, tuple[str, dict[str, Any]]]:
    """anyio's backends with a virtual clock, by name; to be asked for anew for each run.

    `settle` is how many real seconds nothing must happen before the clock jumps, for what threads do.
    """
    return {
        "asyncio": ("asyncio", {"loop_factory": lambda: VirtualClockLoop(settle)}),
        "trio": ("trio", {"clock": trio.testing.MockClock(autojump_threshold=settle)}),
    }

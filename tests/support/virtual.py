"""Virtual time, on both backends: when nothing is left to run but timers, the clock jumps to the next of them."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any

import trio.testing

__all__ = ["VirtualClockLoop", "virtual_backends"]

_SETTLE = 0.01  # real seconds without anything happening, after which the clock jumps: threads may be at work


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a timer it lets time pass; only what does not come by time is waited for."""

    jumped = 0.0
    settle = _SETTLE

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(self.settle)
        if not ready:
            self.jumped += timeout
        return ready


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

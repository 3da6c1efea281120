"""The event loop that an object belongs to: its clock, a check that we are in it, and a way into it from any thread."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any, Literal

from anyio.lowlevel import current_token

__all__ = ["HomeLoop"]


class HomeLoop:
    """The event loop that runs where this is made.

    `owner` names the object that belongs to it, and `elsewhere` says what may be done with that object in other loops:
    both are for the messages of `check`.
    """

    def __init__(self, owner: str, *, elsewhere: str = "") -> None:
        self._owner = owner
        self._elsewhere = f"; {elsewhere}" if elsewhere else ""
        self._token = current_token()
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        native: Any = self._token.native_token
        self._soon: Callable[[Callable[[], None]], Any]
        self.library: Literal["asyncio", "trio"]
        """Whose loop it is."""
        self.clock: Callable[[], float]
        """The loop's own clock, in seconds."""
        if isinstance(native, asyncio.AbstractEventLoop):
            self.library = "asyncio"
            self.clock, self._soon = native.time, native.call_soon_threadsafe
        else:
            import trio

            self.library = "trio"
            self.clock, self._soon = trio.current_time, native.run_sync_soon

    def check(self) -> None:
        """Raises `RuntimeError` anywhere but in this loop, in its thread and its process."""
        self.check_process()
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"this {self._owner} belongs to the event loop of another thread{self._elsewhere}")
        try:
            here = current_token() == self._token
        except RuntimeError:
            here = False
        if not here:
            raise RuntimeError(f"this {self._owner} belongs to another event loop{self._elsewhere}")

    def check_process(self) -> None:
        """Raises `RuntimeError` in a process that was forked: the loop does not run there."""
        if os.getpid() != self._pid:
            raise RuntimeError(f"this {self._owner} belongs to the parent process: make one after the fork")

    @property
    def in_its_thread(self) -> bool:
        """Whether this is the thread in which the loop runs."""
        return threading.get_ident() == self._thread and os.getpid() == self._pid

    def call(self, function: Callable[[], None]) -> None:
        """Calls `function` in this loop: now when we are in its thread, soon otherwise. It is not called once the loop
        has ended: nothing is left then that it could concern."""
        if self.in_its_thread:
            function()
        else:
            self.soon(function)

    def soon(self, function: Callable[[], None]) -> bool:
        """Calls `function` in this loop, soon and never now, from any thread: for callers that may interrupt anything,
        as `__del__` does. It is not called once the loop has ended, nor in a forked process: then it returns False."""
        if os.getpid() != self._pid:
            return False
        try:
            self._soon(function)
        except RuntimeError:
            # asyncio's closed loop, and trio's finished run.
            return False
        return True

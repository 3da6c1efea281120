"""The event loop that an object lives in: its clock, whether we are in it, and a way into it from any thread."""

import os
import threading
from collections.abc import Callable
from typing import Any

import sniffio
from anyio.lowlevel import current_token

__all__ = ["HomeLoop"]


class HomeLoop:
    """The running event loop. It is made inside the loop, for `owner`, as its errors call it: "this engine".

    `elsewhere` is what these errors say can be done outside of the loop.
    """

    def __init__(self, owner: str, *, elsewhere: str = "") -> None:
        self._owner = owner
        self._elsewhere = elsewhere and f"; {elsewhere}"
        self._token = current_token()
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        native: Any = self._token.native_token
        self._soon: Callable[[Callable[[], None]], Any]
        self.clock: Callable[[], float]
        """The loop's own clock, in seconds."""
        self.is_trio = sniffio.current_async_library() == "trio"
        """Whether it is trio's; else it is asyncio's, or one that serves asyncio."""
        if self.is_trio:
            import trio

            self.clock, self._soon = trio.current_time, native.run_sync_soon
        else:
            self.clock, self._soon = native.time, native.call_soon_threadsafe

    def check(self) -> None:
        """Raises `RuntimeError` anywhere but in this loop, in its thread and its process."""
        if os.getpid() != self._pid:
            raise RuntimeError(f"{self._owner} belongs to the parent process: make one after the fork")
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"{self._owner} belongs to the event loop of another thread{self._elsewhere}")
        try:
            here = current_token() == self._token
        except RuntimeError:
            here = False
        if not here:
            raise RuntimeError(f"{self._owner} belongs to another event loop{self._elsewhere}")

    def call(self, function: Callable[[], None]) -> None:
        """Calls `function` in this loop: now when we are in its thread, soon otherwise. Once the loop has ended,
        `function` is not called."""
        if threading.get_ident() == self._thread and os.getpid() == self._pid:
            function()
        else:
            self.soon(function)

    def soon(self, function: Callable[[], None]) -> None:
        """Calls `function` in this loop, but never now. It may be used from any thread and in the middle of anything,
        as `__del__` is called. After a fork, or once the loop has ended, `function` is not called."""
        if os.getpid() != self._pid:
            return
        try:
            self._soon(function)
        except RuntimeError:
            # asyncio's closed loop, and trio's finished run.
            return

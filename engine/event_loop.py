"""The event loop an engine lives in: its clock, whether we are in it, and a way into it from any thread."""

import os
import threading
from collections.abc import Callable
from typing import Any

import sniffio
from anyio.lowlevel import current_token

__all__ = ["HomeLoop"]

_ELSEWHERE = "elsewhere its streams' state, result and cancel() can be used"


class HomeLoop:
    """The running event loop. To be made inside it."""

    def __init__(self) -> None:
        self._token = current_token()
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        native: Any = self._token.native_token
        self._soon: Callable[[Callable[[], None]], Any]
        self.clock: Callable[[], float]
        """The loop's own clock, in seconds."""
        if sniffio.current_async_library() == "trio":
            import trio

            self.clock, self._soon = trio.current_time, native.run_sync_soon
        else:
            self.clock, self._soon = native.time, native.call_soon_threadsafe

    def check(self) -> None:
        """Raises `RuntimeError` anywhere but in this loop, in its thread and its process."""
        if os.getpid() != self._pid:
            raise RuntimeError("this engine belongs to the parent process: make one after the fork")
        if threading.get_ident() != self._thread:
            raise RuntimeError(f"this engine belongs to the event loop of another thread; {_ELSEWHERE}")
        try:
            here = current_token() == self._token
        except RuntimeError:
            here = False
        if not here:
            raise RuntimeError(f"this engine belongs to another event loop; {_ELSEWHERE}")

    def call(self, function: Callable[[], None]) -> None:
        """Calls `function` in this loop: now when we are in its thread, soon otherwise. Once the loop has ended there
        is nothing left to call it for, and it is not called."""
        if threading.get_ident() == self._thread and os.getpid() == self._pid:
            function()
        else:
            self.soon(function)

    def soon(self, function: Callable[[], None]) -> None:
        """As `call`, but never now: for whoever may be called in the middle of anything, as `__del__` is, from any
        thread."""
        if os.getpid() != self._pid:
            return
        try:
            self._soon(function)
        except RuntimeError:
            # asyncio's closed loop, and trio's finished run.
            return

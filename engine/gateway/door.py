"""The way into an engine from other threads: one task that does in the event loop what they ask for.

A stream has to be begun in a task, which a callback from another thread is not. So one task waits for all of them.
"""

from collections import deque
from collections.abc import Callable
from threading import Lock

from ...actors.channel.wake import Wake, wake_factory
from .host import Host

__all__ = ["Door"]

_SHUT = "the engine is shutting down"
_ENDED = "the event loop of the engine has ended"


class Door:
    """Made in the engine's event loop. Its task ends when the engine is left."""

    def __init__(self, host: Host) -> None:
        home = host.home
        assert home is not None
        self._home = home
        self._asked: deque[Callable[[], None]] = deque()
        self._lock = Lock()
        self._shut = False
        self._make = wake_factory()
        self._wake: Wake = self._make()
        host.start_side_task(self._keep())

    @property
    def in_its_thread(self) -> bool:
        """Whether this is the thread of the engine's event loop, which must not wait for itself."""
        return self._home.in_its_thread

    def ask(self, function: Callable[[], None]) -> None:
        """Has `function`, which must not raise, called in the event loop, in a task. From any thread.

        Raises `RuntimeError` when the engine has been left, or its event loop has ended without that; else the function
        is called, also when it is left now.
        """
        self._home.check_process()
        with self._lock:
            if self._shut:
                raise RuntimeError(_SHUT)
            self._asked.append(function)
        if not self._home.soon(self._knock) and self._asked:
            raise RuntimeError(_ENDED)

    def soon(self, function: Callable[[], None]) -> None:
        """Has `function` called in the event loop, in no task, if it still runs. From any thread."""
        self._home.soon(function)

    def _knock(self) -> None:
        self._wake.set()

    async def _keep(self) -> None:
        try:
            while True:
                self._wake = self._make()
                self._answer()
                await self._wake.wait()
        finally:
            with self._lock:
                self._shut = True
            self._answer()

    def _answer(self) -> None:
        while self._asked:
            self._asked.popleft()()

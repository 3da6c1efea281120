"""What our channels share: `receive`, made of a `receive_nowait` and a way to wait; and the loop they belong to."""

from collections.abc import Callable
from threading import get_ident
from typing import ClassVar, Protocol, TypeVar

import anyio
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint

from .misuse import misuse

__all__ = ["Home", "Receiving"]

T_co = TypeVar("T_co", covariant=True)

_ITEMS_PER_CHECKPOINT = 32


class Home(Protocol):
    """The event loop in which streams live. A wait in another loop would last for ever: nothing wakes it there."""

    def check(self) -> None:
        """Raises `RuntimeError` anywhere but there."""
        ...

    def soon(self, function: Callable[[], None]) -> object:
        """Calls `function` there, soon; from any thread, and in the middle of anything."""
        ...


@misuse("async with it as channel, then: async for item in channel", "with", "for")
class Receiving(ObjectReceiveStream[T_co]):
    """A channel that is mostly ready: a ready item costs no trip through the event loop, but no consumer keeps the
    loop from others for more than 32 items."""

    home: Home | None = None
    """Where it is to be read, if it is known."""
    _thread = 0  # where it was read last
    _taken = 0  # since the consumer last gave way to others
    _for_others: ClassVar[frozenset[str]] = frozenset({"home"})
    """Names that are for those who fill the channel: `dir()` leaves them out."""

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name not in self._for_others]

    def receive_nowait(self) -> T_co:
        """The next item, or one of anyio's exceptions: `WouldBlock`, `EndOfStream`, `ClosedResourceError` …"""
        raise NotImplementedError

    async def _wait(self) -> None:
        """Waits until it is worth calling `receive_nowait` again."""
        raise NotImplementedError

    def _check_home(self) -> None:
        """Raises `RuntimeError` in another event loop or thread. Before each wait: so only the thread is asked for
        again, which takes a fiftieth of the time."""
        thread = get_ident()
        if thread != self._thread:
            if self.home is not None:
                self.home.check()
            self._thread = thread

    async def receive(self) -> T_co:
        """The next item, once there is one. It gives way to other tasks at least every 32 items.

        Raises as `receive_nowait` does, also while it waits, but never `anyio.WouldBlock`; and `RuntimeError` instead
        of waiting in another event loop or thread than the engine's. Cancellation loses nothing: an item is only taken
        when it is returned.
        """
        if self._taken >= _ITEMS_PER_CHECKPOINT:
            self._check_home()
            self._taken = 0
            await checkpoint()
        while True:
            try:
                item = self.receive_nowait()
            except anyio.WouldBlock:
                self._taken = 0
                await self._wait()
            else:
                self._taken += 1
                return item

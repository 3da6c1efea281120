"""What comes from a task in the event loop, as an iterator for the thread that asked for it."""

from collections import deque
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import anyio

from ...actors.stream import OutputT_co, StreamResult
from .exchange import Exchange

__all__ = ["Incoming", "SyncResults"]

T_co = TypeVar("T_co", covariant=True)


class Incoming(Iterator[T_co], Generic[T_co]):
    """The items of an exchange, one by one. One thread at a time may iterate it.

    The task is cancelled when it is left before its end: by the end of a `with` block, by `close()`, by dropping it, or
    by an exception such as Ctrl-C's while it waits. The task must not know it.
    """

    def __init__(self, exchange: Exchange[T_co, Any]) -> None:
        self._exchange = exchange
        self._items: deque[T_co] = deque()
        self._closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T_co:
        if not self._items:
            if self._closed:
                raise anyio.ClosedResourceError
            self._items.extend(self._exchange.take())
            if not self._items:
                self._end()
                raise StopIteration
        return self._items.popleft()

    def _end(self) -> None:
        """Raises what the iteration ends with, if anything but `StopIteration`."""
        self._exchange.outcome()

    def close(self) -> None:
        """Cancels what still runs, and returns when it has stopped. What has come and was not read is dropped; reading
        raises `anyio.ClosedResourceError`. It may be called again, and from any thread."""
        self._closed = True
        self._items.clear()
        self._exchange.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        exchange: Exchange[T_co, Any] | None = getattr(self, "_exchange", None)
        if exchange is not None:
            exchange.cancel()


class SyncResults(Incoming[StreamResult[OutputT_co]]):
    """The results of many requests, in the order in which they end: what `SyncEngine.as_completed` gives.

    An ending is a value here. Iterate it to its end, in one thread at a time, or leave it: the end of a `with` block,
    `close()`, dropping it, and Ctrl-C while it waits cancel what still runs. Iterating raises what the iterable of
    requests raises, `RuntimeError` when the engine is closed meanwhile or after a fork, and `anyio.ClosedResourceError`
    after `close()`.
    """

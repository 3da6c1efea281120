"""The requests of a run, taken one by one as slots become free: each has an id, and none has an answer already."""

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any, cast

import anyio
from anyio import to_thread

from ...actors.stream import StreamRequest
from ..input.numbered import Numbered
from .registry import Registry, named

__all__ = ["Feed"]


class Feed(AsyncIterator[StreamRequest]):
    """The requests of a run, one by one as slots become free. `drew` is called with each.

    A failure to read the next request ends the iteration and is kept in `failure`.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        limit: int | None,
        slots: int,
        drew: Callable[[Numbered], None],
    ) -> None:
        source: Any = registry.source
        self._registry = registry
        self._ready: list[Numbered] = []  # the next one last
        self._stream: AsyncIterator[Any] | Iterator[Any] | None = None
        if registry.readable is None:
            self._stream = (
                aiter(cast("AsyncIterable[Any]", source)) if isinstance(source, AsyncIterable) else iter(source)
            )
        self._limit = limit
        self._slots = slots
        self._drew = drew
        self._seen = 0
        self._running = 0
        self._stopped = False
        self._changed = anyio.Event()
        self.failure: Exception | None = None
        """The exception that ended the feed early, if one did. Requests that run are not affected."""

    def ended(self) -> None:
        """Frees a slot: a request from this feed is over."""
        self._running -= 1
        self._changed.set()

    def stop(self) -> None:
        """Ends the feed."""
        self._stopped = True
        self._changed.set()

    async def __anext__(self) -> StreamRequest:
        # The engine would wait for a slot too, but it would have taken the next request already.
        while self._running >= self._slots and not self._stopped:
            self._changed = anyio.Event()
            await self._changed.wait()
        drawn = None
        if not self._stopped:
            try:
                drawn = await self._next()
            except Exception as exc:
                self.failure = exc
        if drawn is None or self._stopped:
            raise StopAsyncIteration
        self._running += 1
        self._drew(drawn)
        return drawn.request

    async def _next(self) -> Numbered | None:
        if self._stream is None:
            return await self._next_registered()
        return await self._next_in_stream(self._stream)

    async def _next_registered(self) -> Numbered | None:
        if not self._ready:
            self._ready = await to_thread.run_sync(self._registry.next)
            self._ready.reverse()
        return self._ready.pop() if self._ready else None

    async def _next_in_stream(self, stream: AsyncIterator[Any] | Iterator[Any]) -> Numbered | None:
        while self._seen != self._limit and not self._stopped:
            try:
                item = await anext(stream) if isinstance(stream, AsyncIterator) else next(stream)
            except (StopIteration, StopAsyncIteration):
                break
            self._seen += 1
            request = item if isinstance(item, Numbered) else Numbered(self._seen, named(item, self._seen))
            if (to_run := await to_thread.run_sync(self._registry.register_one, request)) is not None:
                return to_run
        if not self._stopped:
            await to_thread.run_sync(self._registry.end)
        return None

"""Many streams as one: merged into a channel, gathered into results, piped into a channel of the caller's.

They take requests from an iterable a few at a time: as many as may run. So a million requests cost memory only while
they run. What a combinator started it also stops.
"""

from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING

import anyio
from anyio import TaskHandle
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from anyio.lowlevel import checkpoint

from ..actors.actor import StreamActor
from ..actors.events import PartEvent, StreamEndEvent, TaggedEvent
from ..actors.handle import StreamHandle
from ..actors.log import Cursor
from ..actors.mailbox import Conflate, Feed
from ..actors.result import StreamResult
from ..actors.uninterrupted import uninterrupted

if TYPE_CHECKING:
    from .engine import Engine, RequestLike

    Requests = Iterable[RequestLike] | AsyncIterable[RequestLike]

__all__ = ["MergeChannel", "MergeContext", "gather", "pipe"]

_EVENTS_PER_TURN = 32


class _Fleet:
    """The streams a combinator has started. At most `limit` of them are held at a time: until their connections are
    released when the combinator wants to know of that by `released`, and until they are `done` otherwise."""

    def __init__(
        self,
        engine: "Engine",
        limit: int,
        released: Callable[[StreamActor], None] | None = None,
    ) -> None:
        self._engine = engine
        self._limit = limit
        self._on_released = released
        self._held: set[StreamActor] = set()
        self._running: set[StreamActor] = set()
        self._changed = anyio.Event()

    async def launch_all(self, requests: "Requests", started: Callable[[StreamActor], None]) -> None:
        """Starts every request in its turn, calls `started` with each, and returns when the last has started."""
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                await self._launch(request, started)
        else:
            for request in requests:
                await self._launch(request, started)

    async def _launch(self, request: "RequestLike", started: Callable[[StreamActor], None]) -> None:
        await checkpoint()
        while len(self._held) >= self._limit:
            await self._wait()
        actor = self._engine.launch(request, bounded=False, ended=self._released)
        self._held.add(actor)
        self._running.add(actor)
        started(actor)

    def _released(self, actor: StreamActor) -> None:
        self._running.discard(actor)
        self._changed.set()
        if self._on_released is not None:
            self._on_released(actor)
            self._held.discard(actor)

    def done(self, actor: StreamActor) -> None:
        """The combinator holds this stream no longer: another may start."""
        self._held.discard(actor)
        self._changed.set()

    async def _wait(self) -> None:
        self._changed = anyio.Event()
        await self._changed.wait()

    async def join(self) -> None:
        """Waits until nothing runs."""
        while self._running:
            await self._wait()

    async def stop(self, reason: str) -> None:
        """Cancels what still runs, and returns when it has stopped, whatever happens meanwhile."""
        for actor in list(self._running):
            if not actor.life.ended:  # one that has ended is about to give its connection back
                self._engine.request_cancel(actor, "consumer", reason)
        await uninterrupted(self.join)


async def gather(engine: "Engine", requests: "Requests", limit: int | None) -> list[StreamResult]:
    """See `Engine.gather`."""
    if limit is not None and limit < 1:
        raise ValueError(f"limit is at least 1, not {limit}")
    results: list[StreamResult | None] = []
    numbers: dict[StreamActor, int] = {}

    def started(actor: StreamActor) -> None:
        numbers[actor] = len(results)
        results.append(None)

    def ended(actor: StreamActor) -> None:
        results[numbers.pop(actor)] = actor.result

    fleet = _Fleet(engine, min(limit or engine.max_concurrency, engine.max_concurrency), ended)
    try:
        await fleet.launch_all(requests, started)
        await fleet.join()
    except BaseException:
        await fleet.stop("gather was left")
        raise
    return [result for result in results if result is not None]


async def pipe(engine: "Engine", request: "RequestLike", send_stream: ObjectSendStream[PartEvent]) -> StreamResult:
    """See `Engine.pipe`."""
    actor = engine.launch(request)
    handle = StreamHandle(actor, lambda actor, reason: engine.request_cancel(actor, "consumer", reason))
    try:
        async with handle.subscribe() as mailbox:
            async for event in mailbox:
                await send_stream.send(event)
    except anyio.BrokenResourceError:
        handle.cancel("its receiver is gone")
    except BaseException:
        handle.cancel("pipe was left")
        await uninterrupted(handle.wait)
        raise
    await uninterrupted(handle.wait)
    return handle.result


class _Source(Feed):
    """One stream's events on their way into a merged channel: it queues itself when it has some."""

    __slots__ = ("_channel", "actor")

    def __init__(self, channel: "MergeChannel", actor: StreamActor) -> None:
        super().__init__(actor, Cursor(actor.log), Conflate(), "detach")
        self._channel = channel
        self.actor = actor
        self.readers = 1

    def wake(self) -> None:
        super().wake()
        self._channel.queue(self)


class MergeChannel(ObjectReceiveStream[TaggedEvent]):
    """The events of many streams. An ending is a value here, a `StreamEndEvent` among the others.

    Streams take turns: at most 32 events of one while others have some. What a lagging consumer has not read is merged,
    as by `Conflate`. Made by `engine.merge`.
    """

    def __init__(self, done: Callable[[StreamActor], None]) -> None:
        self._done = done
        self._ready: deque[_Source] = deque()
        self._sources: set[_Source] = set()
        self._turn = 0
        self._taken = 0
        self._waiter: anyio.Event | None = None
        self._exhausted = False
        self._error: Exception | None = None
        self._closed = False

    # -- for the context that fills it

    def add(self, actor: StreamActor) -> None:
        """Another stream."""
        source = _Source(self, actor)
        actor.add(source)
        self._sources.add(source)
        source.park()

    def queue(self, source: _Source) -> None:
        """A stream has events again."""
        self._ready.append(source)
        self._wake()

    def exhaust(self, error: Exception | None = None) -> None:
        """No more streams will come; with `error`, because taking the next request raised it."""
        self._exhausted = True
        self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set()
            self._waiter = None

    # -- for the consumer

    def receive_nowait(self) -> TaggedEvent:
        """The next event, without waiting.

        Raises `anyio.WouldBlock` when there is none yet, `anyio.EndOfStream` when all streams have ended,
        `anyio.ClosedResourceError` after `aclose`, and what the iterable of requests raised.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        while self._ready:
            source = self._ready[0]
            event = source.take()
            if event is None:
                self._next_source()
                source.park()
                continue
            self._turn += 1
            if isinstance(event, StreamEndEvent):
                self._next_source()
                self._leave(source)
            elif self._turn >= _EVENTS_PER_TURN:
                self._next_source()
                self._ready.append(source)
            return TaggedEvent(source.actor.request.custom_id, event)
        if self._error is not None:
            raise self._error
        if self._exhausted and not self._sources:
            raise anyio.EndOfStream
        raise anyio.WouldBlock

    def _next_source(self) -> None:
        self._ready.popleft()
        self._turn = 0

    def _leave(self, source: _Source) -> None:
        self._sources.discard(source)
        source.leave()
        self._done(source.actor)

    async def receive(self) -> TaggedEvent:
        """The next event, once there is one. It gives way to other tasks at least every 32 events.

        Raises as `receive_nowait` does, but waits instead of `anyio.WouldBlock`. Cancellation loses nothing.
        """
        if self._taken >= _EVENTS_PER_TURN:
            self._taken = 0
            await checkpoint()
        while True:
            try:
                event = self.receive_nowait()
            except anyio.WouldBlock:
                self._taken = 0
                await self._wait()
            else:
                self._taken += 1
                return event

    async def receive_batch(self) -> list[TaggedEvent]:
        """All events that are ready, at least one; it waits for the first. It always gives way to other tasks.

        Raises as `receive` does, and loses nothing on cancellation.
        """
        self._taken = 0
        await checkpoint()
        batch = [await self.receive()]
        try:
            while True:
                batch.append(self.receive_nowait())
        except (anyio.WouldBlock, anyio.EndOfStream):
            return batch
        except Exception:
            # It will be raised again by the next call.
            return batch

    async def _wait(self) -> None:
        if self._waiter is None:
            self._waiter = anyio.Event()
        await self._waiter.wait()

    def close(self) -> None:
        """Gives nothing more. Leaving the block of `engine.merge` stops the streams."""
        self._closed = True
        for source in self._sources:
            source.leave()
        self._sources.clear()
        self._ready.clear()
        self._wake()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await checkpoint()


class MergeContext:
    """The block of `engine.merge`."""

    def __init__(self, engine: "Engine", requests: "Requests") -> None:
        self._engine = engine
        self._requests = requests
        self._fleet = _Fleet(engine, engine.max_concurrency)
        self._channel = MergeChannel(self._fleet.done)
        self._launcher: TaskHandle[None] | None = None
        self._entered = False

    async def __aenter__(self) -> MergeChannel:
        if self._entered:
            raise RuntimeError("a merge is entered once; ask the engine for another")
        self._entered = True
        launching = self._launch()
        try:
            self._launcher = self._engine.start_helper(launching)
        except BaseException:
            launching.close()
            raise
        return self._channel

    async def _launch(self) -> None:
        try:
            await self._fleet.launch_all(self._requests, self._channel.add)
        except Exception as exc:
            self._channel.exhaust(exc)
        except BaseException:
            # The engine is left, or the block: a consumer that still waits, in another task, must not wait for ever.
            self._channel.exhaust(RuntimeError("the merge was stopped before all of its requests had begun"))
            raise
        else:
            self._channel.exhaust()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        # Not kept: how the task ended knows its frames, and they know us.
        launcher, self._launcher = self._launcher, None
        assert launcher is not None
        launcher.cancel()
        self._channel.close()
        try:
            await uninterrupted(launcher.wait)
        finally:
            await self._fleet.stop("the merged channel was left")

"""A launcher: the streams that one combinator has started, from an iterable of requests, a few at a time.

So a million requests cost memory only while they run, and what a combinator started it also stops.
"""

from collections.abc import AsyncIterable, Callable
from types import TracebackType
from typing import Generic, Protocol, TypeVar

import anyio
from anyio import TaskHandle
from anyio.lowlevel import checkpoint

from ...actors.actor import StreamActor
from ...actors.channel import Home
from ...actors.stream import RequestLike
from ..finish import uninterrupted
from .host import Host, Requests

__all__ = ["Channel", "ChannelContext", "Launcher"]


class Launcher:
    """The streams a combinator has started. It holds at most `limit` at a time, each until the combinator says that it
    is `done` with it. `released` is called with each whose connection is released, and may say so too by returning
    True."""

    def __init__(
        self,
        host: Host,
        limit: int,
        released: Callable[[StreamActor], bool] | None = None,
    ) -> None:
        self._host = host
        self._limit = limit
        self._on_released = released
        self._held: set[StreamActor] = set()
        self._running: set[StreamActor] = set()
        self._changed = anyio.Event()

    async def launch_all(self, requests: Requests, started: Callable[[StreamActor], None]) -> None:
        """Starts every request in its turn, calls `started` with each, and returns when the last has started."""
        if isinstance(requests, AsyncIterable):
            async for request in requests:
                await self._launch(request, started)
        else:
            for request in requests:
                await self._launch(request, started)

    async def _launch(self, request: RequestLike, started: Callable[[StreamActor], None]) -> None:
        await checkpoint()
        while len(self._held) >= self._limit:
            await self._wait()
        actor = self._host.launch(request, bounded=False, ended=self._released)
        self._held.add(actor)
        self._running.add(actor)
        started(actor)

    def _released(self, actor: StreamActor) -> None:
        self._running.discard(actor)
        self._changed.set()
        if self._on_released is not None and self._on_released(actor):
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

    def cancel_waiting(self, reason: str) -> None:
        """Cancels those that were never begun."""
        waiting = [actor for actor in self._running if actor.watch.queued is None and not actor.life.ended]
        # The last first: one that goes may make room for those behind it.
        for actor in sorted(waiting, key=lambda actor: actor.watch.submitted, reverse=True):
            self._host.request_cancel(actor, "engine", reason)

    async def stop(self, reason: str) -> None:
        """Cancels what still runs, and returns when it has stopped, whatever happens meanwhile."""
        for actor in list(self._running):
            if not actor.life.ended:  # one that has ended is about to give its connection back
                self._host.request_cancel(actor, "consumer", reason)
        await uninterrupted(self.join)


class Channel(Protocol):
    """What a launcher's streams flow into."""

    home: Home | None
    """Where it is to be read."""

    def add(self, actor: StreamActor) -> None:
        """Another stream has started."""
        ...

    def exhaust(self, error: Exception | None = None) -> None:
        """No more streams will come; with `error`, because taking the next request raised it."""
        ...

    def close(self) -> None:
        """Nobody will read any more."""
        ...


ChannelT = TypeVar("ChannelT", bound=Channel)


class ChannelContext(Generic[ChannelT]):
    """A block in which a launcher's streams flow into a channel: entered and left as `engine.merge` says."""

    def __init__(self, host: Host, requests: Requests, launcher: Launcher, channel: ChannelT) -> None:
        self._host = host
        self._requests = requests
        self._launcher = launcher
        self._channel = channel
        self._launching: TaskHandle[None] | None = None
        self._entered = False

    async def __aenter__(self) -> ChannelT:
        if self._entered:
            raise RuntimeError("this block is entered once; ask the engine for another")
        self._entered = True
        launching = self._launch()
        try:
            self._launching = self._host.start_helper(launching)
        except BaseException:
            launching.close()
            raise
        self._channel.home = self._host.home
        return self._channel

    async def _launch(self) -> None:
        try:
            await self._launcher.launch_all(self._requests, self._channel.add)
        except Exception as exc:
            self._channel.exhaust(exc)
        except BaseException:
            # The engine is left, or the block: a consumer that still waits, in another task, must not wait for ever.
            self._channel.exhaust(RuntimeError("the block was stopped before all of its requests had begun"))
            raise
        else:
            self._channel.exhaust()

    def cancel_waiting(self, reason: str) -> None:
        """Cancels the streams that were never begun."""
        self._launcher.cancel_waiting(reason)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._channel.home is not None:
            self._channel.home.check()
        # Not kept: how the task ended knows its frames, and they know us.
        launching, self._launching = self._launching, None
        assert launching is not None
        launching.cancel()
        self._channel.close()
        try:
            await uninterrupted(launching.wait)
        finally:
            await self._launcher.stop("the block was left")

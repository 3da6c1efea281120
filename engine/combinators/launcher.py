"""A launcher: it starts the streams of one combinator from an iterable of requests, a few at a time, and stops them.

So a million requests cost memory only while they run, and no stream outlives the combinator that started it.
"""

from collections.abc import AsyncIterable, Callable
from types import TracebackType
from typing import Any, Generic, TypeVar

import anyio
from anyio import TaskHandle
from anyio.lowlevel import checkpoint

from ...actors.actor import StreamActor
from ...actors.channel import misuse
from ...actors.stream import Recovery, RequestLike, RetryPolicy, State
from ..finish import uninterrupted
from .fan_in import FanIn
from .host import Host, Requests

__all__ = ["ChannelContext", "Launcher"]

_WAITING = (State.NEW, State.QUEUED, State.BACKOFF)


class Launcher:
    """The streams that a combinator has started. At most `limit` of them are held at a time, each until the combinator
    says that it is `done` with it. `released` is called with each stream whose connection is released; by returning
    True it says that the combinator is done with that stream. `retrying` is called with each stream of which an attempt
    failed and another is to follow. `retry` and `recovery` are those of requests that bring none."""

    def __init__(
        self,
        host: Host,
        limit: int,
        released: Callable[[StreamActor], bool] | None = None,
        *,
        retry: RetryPolicy | None = None,
        recovery: Recovery | None = None,
        retrying: Callable[[StreamActor], None] | None = None,
    ) -> None:
        self._retry = retry
        self._recovery: Recovery | None = recovery
        self._on_retrying = retrying
        self._dropping: str | None = None
        self._host = host
        self._limit = limit
        self._on_released = released
        self._held: set[StreamActor] = set()
        self._running: set[StreamActor] = set()
        self._changed = anyio.Event()

    async def launch_all(self, requests: Requests, started: Callable[[StreamActor], None]) -> None:
        """Starts all requests, one after another as there is room. Calls `started` with each stream, and returns when
        the last has started."""
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
        actor = self._host.launch(
            request,
            bounded=False,
            released=self._released,
            retry=self._retry,
            recovery=self._recovery,
            retrying=self._retrying,
        )
        self._held.add(actor)
        self._running.add(actor)
        started(actor)

    def _released(self, actor: StreamActor) -> None:
        self._running.discard(actor)
        self._changed.set()
        if self._on_released is not None and self._on_released(actor):
            self._held.discard(actor)

    def _retrying(self, actor: StreamActor) -> None:
        if self._on_retrying is not None:
            self._on_retrying(actor)
        if self._dropping is not None:
            self._host.request_cancel(actor, "engine", self._dropping)

    def done(self, actor: StreamActor) -> None:
        """The combinator is done with this stream: another may start in its place."""
        self._held.discard(actor)
        self._changed.set()

    async def _wait(self) -> None:
        self._changed = anyio.Event()
        await self._changed.wait()

    async def join(self) -> None:
        """Waits until every stream's connection is released."""
        while self._running:
            await self._wait()

    def cancel_waiting(self, reason: str) -> None:
        """Cancels the streams that wait, for a slot, a connection or another attempt; and from now on each that would
        wait for another attempt. A request that was sent goes on."""
        self._dropping = reason
        waiting = [actor for actor in self._running if actor.life.state in _WAITING or actor.dialling]
        # The last one first: cancelling an earlier one could give its slot to one behind it.
        for actor in sorted(waiting, key=lambda actor: actor.watch.submitted, reverse=True):
            self._host.request_cancel(actor, "engine", reason)

    async def stop(self, reason: str) -> None:
        """Cancels the streams that still run, and returns when they have stopped. When it is cancelled itself, it
        raises that afterwards."""
        for actor in list(self._running):
            if not actor.life.ended:  # one that has ended is about to give its connection back
                self._host.request_cancel(actor, "consumer", reason)
        await uninterrupted(self.join)


ChannelT = TypeVar("ChannelT", bound=FanIn[Any])


@misuse("async with it as channel, then: async for item in channel", "with", "for", "async for")
class ChannelContext(Generic[ChannelT]):
    """A block in which a launcher's streams flow into a channel.

    Entering it starts a task that launches the requests. Leaving it cancels that task and the streams that still run,
    and returns when they have stopped. It may be entered and left in different tasks.
    """

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
            self._launching = self._host.start_side_task(launching)
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
            # The engine or the block is being left: a consumer that waits in another task must not wait for ever.
            self._channel.exhaust(RuntimeError("the block was stopped before all of its requests had begun"))
            raise
        else:
            self._channel.exhaust()

    def cancel_waiting(self, reason: str) -> None:
        """Cancels the streams that still wait for their first slot."""
        self._launcher.cancel_waiting(reason)

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._channel.home is not None:
            self._channel.home.check()
        # Not kept: the task's exception holds its frames, and they hold us.
        launching, self._launching = self._launching, None
        assert launching is not None
        launching.cancel()
        self._channel.close()
        try:
            await uninterrupted(launching.wait)
        finally:
            await self._launcher.stop("the block was left")

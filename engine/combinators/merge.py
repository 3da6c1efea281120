"""Many streams in one channel. A stream queues itself when it has events, and the streams take turns."""

from collections import deque
from collections.abc import Callable

import anyio

from ...actors.actor import StreamActor
from ...actors.channel import Conflate, Cursor, Subscriber
from ...actors.stream import Recovery, RetryPolicy, StreamEndEvent, TaggedEvent
from .arguments import check_requests
from .fan_in import FanIn
from .host import Host, Requests
from .launcher import ChannelContext, Launcher

__all__ = ["MergeChannel", "merge"]

_EVENTS_PER_TURN = 32


class _Source(Subscriber):
    """One stream's events on their way into a merged channel: it queues itself when it has some."""

    __slots__ = ("_channel", "actor")

    def __init__(self, channel: "MergeChannel", actor: StreamActor) -> None:
        super().__init__(actor.audience, Cursor(actor.log), Conflate(), "detach")
        self._channel = channel
        self.actor = actor
        self.readers = 1

    def wake(self) -> None:
        super().wake()
        self._channel.queue(self)


class MergeChannel(FanIn[TaggedEvent]):
    """The events of many streams. An ending is a value here, a `StreamEndEvent` among the others.

    Streams take turns: at most 32 events of one while others have some. What a lagging consumer has not read is merged,
    as by `Conflate`. Made by `engine.merge`.
    """

    def __init__(self, done: Callable[[StreamActor], None]) -> None:
        super().__init__()
        self._done = done
        self._ready: deque[_Source] = deque()
        self._sources: set[_Source] = set()
        self._turn = 0  # events of the stream whose turn it is

    # -- for the block that fills it

    def add(self, actor: StreamActor) -> None:
        """Another stream has started."""
        source = _Source(self, actor)
        actor.audience.add(source)
        self._sources.add(source)
        source.park()

    def queue(self, source: _Source) -> None:
        """A stream has events again."""
        self._ready.append(source)
        self._wake()

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
        raise self._nothing_ready(pending=bool(self._sources))

    def _next_source(self) -> None:
        self._ready.popleft()
        self._turn = 0

    def _leave(self, source: _Source) -> None:
        self._sources.discard(source)
        source.leave()
        self._done(source.actor)

    def close(self) -> None:
        """Gives nothing more: reading raises `anyio.ClosedResourceError`. Leaving the block stops the streams."""
        super().close()
        for source in self._sources:
            source.leave()
        self._sources.clear()
        self._ready.clear()


def merge(
    host: Host,
    requests: Requests,
    *,
    retry: RetryPolicy | None = None,
    recovery: Recovery | None = None,
    retrying: Callable[[StreamActor], None] | None = None,
) -> ChannelContext[MergeChannel]:
    """The block in which requests are launched on `host` and their events flow into a channel."""
    check_requests(requests)
    launcher = Launcher(host, host.max_concurrency, retry=retry, recovery=recovery, retrying=retrying)
    return ChannelContext(host, requests, launcher, MergeChannel(launcher.done))

"""Results as they come: many streams, one channel of their endings."""

from collections import deque
from collections.abc import Callable

import anyio

from ...actors.actor import StreamActor
from ...actors.stream import OutputT, OutputT_co, StreamResult
from .arguments import check_requests
from .fan_in import FanIn
from .host import Host, Requests
from .launcher import ChannelContext, Launcher

__all__ = ["CompletionChannel", "as_completed"]


class CompletionChannel(FanIn[StreamResult[OutputT_co]]):
    """The results of many streams, in the order in which they end. An ending is a value here.

    A result that nobody takes keeps its place among those that the engine runs at a time, so that results do not pile
    up. Made by `engine.as_completed`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.done: Callable[[StreamActor], None] | None = None
        """Called with each stream whose result was taken, until the channel is closed."""
        self._results: deque[tuple[StreamActor, StreamResult[OutputT_co]]] = deque()
        self._pending = 0  # streams whose result was not taken

    # -- for the block that fills it

    def add(self, actor: StreamActor) -> None:
        """Another stream has started."""
        self._pending += 1

    def released(self, actor: StreamActor) -> bool:
        """A stream has ended, and its connection is released. It is not done with: its result is to be taken first."""
        assert actor.result is not None
        if not self._closed:
            self._results.append((actor, actor.result))
            self._wake()
        return False

    # -- for the consumer

    def receive_nowait(self) -> StreamResult[OutputT_co]:
        """The next result, without waiting.

        Raises `anyio.WouldBlock` when there is none yet, `anyio.EndOfStream` when all were given,
        `anyio.ClosedResourceError` after `aclose`, and what the iterable of requests raised.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        if self._results:
            actor, result = self._results.popleft()
            self._pending -= 1
            if self.done is not None:
                self.done(actor)
            return result
        raise self._nothing_ready(pending=self._pending > 0)

    def close(self) -> None:
        """Gives nothing more: reading raises `anyio.ClosedResourceError`. Leaving the block stops the streams."""
        super().close()
        self.done = None
        self._results.clear()


def as_completed(host: Host, requests: Requests[OutputT]) -> ChannelContext[CompletionChannel[OutputT | None]]:
    """The block in which requests are launched on `host` and their results flow into a channel."""
    check_requests(requests)
    channel = CompletionChannel[OutputT | None]()
    launcher = Launcher(host, host.max_concurrency, channel.released)
    channel.done = launcher.done
    return ChannelContext(host, requests, launcher, channel)

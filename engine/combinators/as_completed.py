"""Results as they come: many streams, one channel of their endings."""

from collections import deque
from collections.abc import Callable

import anyio
from anyio.lowlevel import checkpoint

from ...actors.actor import StreamActor
from ...actors.channel import Receiving
from ...actors.stream import StreamResult
from .host import Host, Requests
from .launcher import ChannelContext, Launcher

__all__ = ["CompletionChannel", "as_completed"]


class CompletionChannel(Receiving[StreamResult]):
    """The results of many streams, in the order in which they end. An ending is a value here.

    A result that nobody takes holds its place: no more requests are started than the engine runs at a time. Made by
    `engine.as_completed`.
    """

    def __init__(self) -> None:
        self.done: Callable[[StreamActor], None] | None = None
        """Whom to tell that a result was taken, until the channel is closed."""
        self._results: deque[tuple[StreamActor, StreamResult]] = deque()
        self._pending = 0
        self._changed = anyio.Event()
        self._exhausted = False
        self._error: Exception | None = None
        self._closed = False

    # -- for the block that fills it

    def add(self, actor: StreamActor) -> None:
        """Another stream has started."""
        self._pending += 1

    def ended(self, actor: StreamActor) -> bool:
        """A stream has ended; its result holds its place until it is taken."""
        assert actor.result is not None
        if not self._closed:
            self._results.append((actor, actor.result))
            self._changed.set()
        return False

    def exhaust(self, error: Exception | None = None) -> None:
        """No more streams will come; with `error`, because taking the next request raised it."""
        self._exhausted = True
        self._error = error
        self._changed.set()

    # -- for the consumer

    def receive_nowait(self) -> StreamResult:
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
        if self._error is not None:
            raise self._error
        if self._exhausted and not self._pending:
            raise anyio.EndOfStream
        raise anyio.WouldBlock

    async def _wait(self) -> None:
        self._check_home()
        if self._changed.is_set():
            self._changed = anyio.Event()
        await self._changed.wait()

    def close(self) -> None:
        """Gives nothing more. Leaving the block stops the streams."""
        self._closed = True
        self.done = None
        self._results.clear()
        self._changed.set()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await checkpoint()


def as_completed(host: Host, requests: Requests) -> ChannelContext[CompletionChannel]:
    """See `Engine.as_completed`."""
    channel = CompletionChannel()
    launcher = Launcher(host, host.max_concurrency, channel.ended)
    channel.done = launcher.done
    return ChannelContext(host, requests, launcher, channel)

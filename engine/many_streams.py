"""The engine for many requests at once: merged, gathered, taken as they end, piped, raced.

What each gives is typed by the outputs that the requests want. An ending is a value there, so that an output may be
missing: its type says so, too.
"""

from collections.abc import AsyncIterable, Iterable

from anyio.abc import ObjectSendStream

from ..actors.channel import Policy
from ..actors.stream import OutputT, PartEvent, RequestLike, StreamResult
from .combinators.as_completed import CompletionChannel, as_completed
from .combinators.gather import gather, pipe
from .combinators.host import Host as _Host
from .combinators.launcher import ChannelContext
from .combinators.merge import MergeChannel, merge
from .combinators.race import RaceContext, Until

__all__ = ["ManyStreams"]


class ManyStreams:
    """What an `Engine` has for many requests."""

    def merge(
        self: _Host, requests: Iterable[RequestLike] | AsyncIterable[RequestLike]
    ) -> ChannelContext[MergeChannel]:
        """The events of many streams in one channel: `async with engine.merge(requests) as channel`.

        An ending is a value here, a `StreamEndEvent` among the others. The channel gives `TaggedEvent(custom_id,
        event)`, in order within a stream, and ends when all streams have. Requests are taken from the iterable as
        slots come free; what the iterable raises, reading the channel raises. Leaving the block cancels what still
        runs, and returns when it has stopped.
        """
        return merge(self, requests)

    def as_completed(
        self: _Host, requests: Iterable[RequestLike[OutputT]] | AsyncIterable[RequestLike[OutputT]]
    ) -> ChannelContext[CompletionChannel[OutputT | None]]:
        """The results of many requests as they come: `async with engine.as_completed(requests) as done`.

        An ending is a value here, a `StreamResult` like any other. Requests are taken from the iterable as slots come
        free and results are taken; what the iterable raises, reading the channel raises. Leaving the block cancels what
        still runs, and returns when it has stopped.
        """
        return as_completed(self, requests)

    async def gather(
        self: _Host,
        requests: Iterable[RequestLike[OutputT]] | AsyncIterable[RequestLike[OutputT]],
        *,
        limit: int | None = None,
    ) -> list[StreamResult[OutputT | None]]:
        """The results of many requests, in their order. An ending is a value here: failures are among the results.

        Requests are taken from the iterable as slots come free; `limit` runs fewer at a time than the engine would.
        Cancelling the call cancels what still runs, and is raised when that has stopped; so is what the iterable
        raises. Raises `ValueError` for a limit below 1.
        """
        return await gather(self, requests, limit)

    async def pipe(
        self: _Host, request: RequestLike[OutputT], send_stream: ObjectSendStream[PartEvent]
    ) -> StreamResult[OutputT | None]:
        """Sends one stream's events into the caller's own channel, and returns the result. An ending is a value here.

        The channel stays open. When its receiver is gone, the stream is cancelled, and its result is returned.
        Cancelling the call cancels the stream, and is raised when that has stopped. Raises as `submit` does.
        """
        return await pipe(self, request, send_stream)

    def race(
        self: _Host,
        requests: Iterable[RequestLike[OutputT]],
        *,
        until: Until = "first_content",
        policy: Policy | None = None,
    ) -> RaceContext[OutputT]:
        """Starts all requests and keeps the fastest: `async with engine.race(requests) as stream`.

        The block is entered once there is a winner: the first stream to show content, or the first to be `complete`.
        Its events are given from its beginning, and are read as those of `engine.stream`. The losers are cancelled at
        once, and have stopped when the block is left; `stream.losers` has their results, in which stands what they
        used. Entering raises an `ExceptionGroup` of `StreamError`s when all failed, and as `submit` does.
        """
        return RaceContext(self, requests, until, policy)

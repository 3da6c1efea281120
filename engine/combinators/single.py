"""One stream, read directly: iteration that raises when the answer is not whole."""

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ...actors.actor import StreamActor
from ...actors.channel import Home, Policy, check_policy, misuse
from ...actors.handle import StreamHandle
from ...actors.message import TextPart, TextPartDelta
from ...actors.stream import PartDeltaEvent, PartEvent, PartStartEvent, RequestLike
from ..finish import uninterrupted
from .host import Host

__all__ = ["Stream", "StreamContext", "TextStream", "new_text"]

Cancel = Callable[[StreamActor, str | None], None]


@misuse("async for event in stream", "with", "for", "async with")
class Stream(StreamHandle):
    """A stream that is read directly: iterate it for part events, or `text_stream` for its text alone.

    Both read the same channel. After the last event, reading raises the `StreamError` for an ending that is not
    `complete`. For more consumers use `subscribe`.
    """

    def __init__(self, actor: StreamActor, cancel: Cancel, policy: Policy | None, home: Home | None = None) -> None:
        super().__init__(actor, cancel, home)
        self._mailbox = self.subscribe(policy)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartEvent:
        try:
            return await self._mailbox.receive()
        except anyio.EndOfStream:
            if self.result.state != "complete":
                # A cancelled scope around the engine has ended its streams, too: then the cancellation is raised.
                await checkpoint_if_cancelled()
            self.result.raise_for_state()
            raise StopAsyncIteration from None

    @property
    def text_stream(self) -> "TextStream":
        """An iterator over the text alone, as it comes. It raises as iterating the stream does."""
        return TextStream(self)

    async def aclose(self) -> None:
        """Stops reading, and with it the stream unless it has other consumers. Returns when a stream that is ending
        has stopped, and its connection is gone or back in the pool; a cancellation meanwhile is raised afterwards.

        Raises `RuntimeError` outside of the engine's event loop.
        """
        self._check_home()
        self._mailbox.close()
        released = self._actor.closed
        if not released.is_set() and (self._actor.cancel_request is not None or self._actor.life.ended):
            await uninterrupted(released.wait)


@misuse("async for text in stream.text_stream", "with", "for", "async with")
class TextStream(AsyncIterator[str]):
    """The text of a stream without the events around it. After a restart the text begins anew, behind what was given
    before."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __anext__(self) -> str:
        while not (text := new_text(await anext(self._stream))):
            pass
        return text


def new_text(event: PartEvent) -> str:
    """The text that an event brings; empty for events that bring none."""
    match event:
        case PartDeltaEvent(delta=TextPartDelta(content_delta=text)):
            return text
        case PartStartEvent(part=TextPart(content=text)):
            return text
        case _:
            return ""


@misuse("async with engine.stream(request) as stream, then: async for event in stream", "with", "for", "async for")
class StreamContext:
    """The block of `engine.stream`: entering it submits the request, leaving it closes the stream."""

    def __init__(self, host: Host, request: RequestLike, policy: Policy | None) -> None:
        check_policy(policy)
        self._host = host
        self._request = request
        self._policy = policy
        self._stream: Stream | None = None

    async def __aenter__(self) -> Stream:
        if self._stream is not None:
            raise RuntimeError("a stream is entered once; ask the engine for another")
        host = self._host
        actor = host.launch(self._request, on_abandon="cancel", keep=True)
        self._stream = Stream(actor, host.ask_to_cancel, self._policy, host.home)
        return self._stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._stream is not None
        await self._stream.aclose()

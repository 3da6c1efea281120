"""One stream, read directly: iteration that raises when the answer is not whole."""

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Any, Generic, Self, cast, overload

import anyio
import attrs
from anyio.lowlevel import checkpoint_if_cancelled
from typing_extensions import TypeVar

from ...actors.actor import StreamActor
from ...actors.channel import Home, Policy, check_policy, misuse
from ...actors.handle import StreamHandle
from ...actors.message import TextPart, TextPartDelta
from ...actors.output_views import ItemStream, OutputView, PartialStream
from ...actors.stream import (
    OutputLike,
    OutputT_co,
    PartDeltaEvent,
    PartEvent,
    PartStartEvent,
    RequestLike,
    StreamRequest,
    StreamResult,
)
from ..finish import uninterrupted
from .host import Host

__all__ = ["Stream", "StreamContext", "TextStream", "new_text", "wanting"]

Cancel = Callable[[StreamActor, str | None], None]
ItemT = TypeVar("ItemT")


@misuse("async for event in stream", "with", "for", "async with")
class Stream(StreamHandle[OutputT_co]):
    """A stream that is read directly: iterate it for part events, `text_stream` for its text alone, `items` for the
    whole items of its output, or `partials` for its output as it grows.

    All read the same channel. After the last event, reading raises the `StreamError` for an ending that is not
    `complete`. For more consumers use `subscribe`.
    """

    def __init__(self, actor: StreamActor, cancel: Cancel, policy: Policy | None, home: Home | None = None) -> None:
        super().__init__(actor, cancel, home)
        self._mailbox = self.subscribe(policy)
        self._view = OutputView(actor)

    @property
    def result(self) -> StreamResult[OutputT_co]:
        """How it ended. Raises `RuntimeError` while it is still running."""
        return cast("StreamResult[OutputT_co]", super().result)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartEvent:
        try:
            event = await self._mailbox.receive()
        except anyio.EndOfStream:
            if self.result.state != "complete":
                # A cancelled scope around the engine has ended its streams, too: then the cancellation is raised.
                await checkpoint_if_cancelled()
            self.result.raise_for_state()
            raise StopAsyncIteration from None
        view = self._view  # as its `feed` does, without the call: this is done for every event
        view.seq = event.seq
        if view.reader is not None:
            view.reader.feed(event)
        return event

    @property
    def text_stream(self) -> "TextStream":
        """An iterator over the text alone, as it comes. It raises as iterating the stream does."""
        return TextStream(self)

    @overload
    def items(self: "Stream[list[ItemT]]") -> ItemStream[ItemT]: ...
    @overload
    def items(self, *path: str | int) -> ItemStream[Any]: ...
    def items(self, *path: str | int) -> ItemStream[Any]:
        """An iterator over the items of a list in the output, each as soon as it is whole: validated, and of its type.
        Without a path, the output itself is the list; `items("lines")` gives those of its field `lines`, by the name
        it has in JSON. Without an `output`, the items of whatever JSON the answer's text is, as plain data.

        Once an item was given, `retry_invalid` asks for the output no more. Begin before you read the stream in another
        way, or else `RuntimeError` is raised. Raises `ValueError` when the type has no list there.
        """
        return ItemStream(self, self._view.items(path))

    def partials(self) -> PartialStream[OutputT_co]:
        """An iterator over the output as far as it has come, once for each event that changed it: fewer for a reader
        that lags. Without an `output`, over whatever JSON the answer's text is.

        Begin before you read the stream in another way, or else `RuntimeError` is raised.
        """
        return PartialStream(self, self._view)

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


def wanting(request: RequestLike, output: OutputLike[Any] | None) -> RequestLike:
    """The request, wanting an output if one is given. Raises `TypeError` when it wants one already."""
    if output is None:
        return request
    made = request if isinstance(request, StreamRequest) else StreamRequest(request)
    if made.output is not None:
        raise TypeError("the request wants an output already: give output= once")
    return attrs.evolve(made, output=output)


@misuse("async with engine.stream(request) as stream, then: async for event in stream", "with", "for", "async for")
class StreamContext(Generic[OutputT_co]):
    """The block of `engine.stream`: entering it submits the request, leaving it closes the stream."""

    def __init__(
        self, host: Host, request: RequestLike, policy: Policy | None, output: OutputLike[Any] | None = None
    ) -> None:
        check_policy(policy)
        self._host = host
        self._request = request
        self._policy = policy
        self._output = output
        self._stream: Stream[OutputT_co] | None = None

    async def __aenter__(self) -> Stream[OutputT_co]:
        if self._stream is not None:
            raise RuntimeError("a stream is entered once; ask the engine for another")
        host = self._host
        request = wanting(self._request, self._output)
        actor = host.launch(request, on_abandon="cancel", keep=True)
        self._stream = Stream(actor, host.ask_to_cancel, self._policy, host.home)
        return self._stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._stream is not None
        await self._stream.aclose()

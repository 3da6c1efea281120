"""One stream, read directly: iteration that raises when the answer is not whole."""

from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ...actors.actor import StreamActor
from ...actors.channel import Home, Policy
from ...actors.handle import StreamHandle
from ...actors.message import TextPart, TextPartDelta
from ...actors.stream import PartDeltaEvent, PartEvent, PartStartEvent
from ..finish import uninterrupted

__all__ = ["Stream", "StreamContext", "TextStream"]

Cancel = Callable[[StreamActor, str | None], None]


class Stream(StreamHandle):
    """A stream that is read where it was started: iterate it for part events, or `text_stream` for its text alone.

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
                # A scope that is cancelled around the engine ends its streams too: the caller's own cancellation first.
                await checkpoint_if_cancelled()
            self.result.raise_for_state()
            raise StopAsyncIteration from None

    @property
    def text_stream(self) -> "TextStream":
        """Only the text, as it comes."""
        return TextStream(self)

    async def close(self) -> None:
        """Leaves the stream, and waits for it to have stopped unless others keep it running. Raises `RuntimeError`
        outside of the engine's event loop."""
        self._check_home()
        self._mailbox.close()
        released = self._actor.closed
        if not released.is_set() and (self._actor.cancel_request is not None or self._actor.life.ended):
            await uninterrupted(released.wait)


class TextStream(AsyncIterator[str]):
    """The text of a stream, without the events around it. Text after a restart follows what was given before it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def __anext__(self) -> str:
        while True:
            match await anext(self._stream):
                case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                    return text
                case PartStartEvent(part=TextPart(content=text)) if text:
                    return text
                case _:
                    pass


class StreamContext:
    """The block of `engine.stream`."""

    def __init__(
        self,
        launch: Callable[[], StreamActor],
        cancel: Cancel,
        policy: Policy | None,
        home: Callable[[], Home | None],
    ) -> None:
        self._launch = launch
        self._home = home
        self._cancel = cancel
        self._policy = policy
        self._stream: Stream | None = None

    async def __aenter__(self) -> Stream:
        if self._stream is not None:
            raise RuntimeError("a stream is entered once; ask the engine for another")
        self._stream = Stream(self._launch(), self._cancel, self._policy, self._home())
        return self._stream

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._stream is not None
        await self._stream.close()

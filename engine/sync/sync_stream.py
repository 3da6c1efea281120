"""One stream for synchronous code: as a handle that can be waited for, and as an iterator over its events."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, cast, overload

import anyio
from typing_extensions import TypeVar

from ...actors.actor import StreamActor
from ...actors.channel import Mailbox, Policy, check_policy
from ...actors.handle import StreamHandle, StreamView
from ...actors.output_views import NOTHING, OutputView, Partial, WholeItems
from ...actors.stream import OutputT, OutputT_co, PartEvent, RequestLike, SnapshotEvent, StreamResult
from ..combinators.single import new_text
from ..engine import Engine
from ..finish import uninterrupted
from .exchange import Exchange
from .incoming import Incoming
from .loop_thread import LoopThread

__all__ = ["SyncHandle", "SyncItemStream", "SyncPartialStream", "SyncStream", "SyncTextStream", "open_stream"]

Cancel = Callable[[StreamActor, str | None], None]
ItemT = TypeVar("ItemT")
ItemT_co = TypeVar("ItemT_co", default=Any, covariant=True)


class SyncHandle(StreamView[OutputT_co]):
    """A stream that was submitted. Any number of threads may use it, and it outlives the stream and the engine."""

    def __init__(self, actor: StreamActor, cancel: Cancel, loop: LoopThread) -> None:
        super().__init__(actor, cancel)
        self._loop = loop

    def wait(self, timeout: float | None = None) -> StreamResult[OutputT_co | None]:
        """Waits for the end, and until the connection is back in the pool or gone. An ending is a value here;
        `result.raise_for_state()` raises it.

        Raises `TimeoutError` after `timeout` seconds. The stream runs on then, as it does when Ctrl-C ends the wait.
        """
        if not self._actor.closed.is_set():
            waited = self._loop.start(self._actor.closed.wait)
            try:
                waited.result(timeout)
            finally:
                waited.cancel()
        return self.result

    def snapshot(self) -> SnapshotEvent:
        """All its content up to now. Joins the text that came: not for every event of a long answer."""
        if self._actor.result is not None:
            return self._actor.snapshot()
        return self._loop.call(self._actor.snapshot)

    @overload
    def items(self: "SyncHandle[list[ItemT]]") -> "SyncItemStream[ItemT]": ...
    @overload
    def items(self, *path: str | int) -> "SyncItemStream[Any]": ...
    def items(self, *path: str | int) -> "SyncItemStream[Any]":
        """An iterator over the items of a list in the output, each as soon as it is whole: as `StreamHandle.items`. It
        begins with the first item, and is for one thread. Raises `ValueError` when the type has no list there."""
        view = OutputView(self._actor)
        items = view.items(path)
        return SyncItemStream(_Events(self, self._read(), view), items)

    def partials(self) -> "SyncPartialStream[OutputT_co]":
        """An iterator over the output as far as it has come: as `StreamHandle.partials`. It is for one thread."""
        view = OutputView(self._actor)
        return SyncPartialStream(_Events(self, self._read(), view), view)

    def _read(self) -> Exchange[PartEvent, None]:
        """What brings its events to one thread, from the first one."""
        actor, cancel = self._actor, self._cancel
        exchange: Exchange[PartEvent, None] = Exchange(self._loop)

        async def bring() -> None:
            with suppress(anyio.EndOfStream), StreamHandle(actor, cancel).subscribe() as mailbox:
                while True:
                    await exchange.give(await mailbox.receive_batch())

        exchange.start(bring)
        return exchange


class _Events(Incoming[PartEvent]):
    """A stream's events for one view of its output. It leaves the stream when it is dropped."""

    def __init__(self, handle: SyncHandle, exchange: Exchange[PartEvent, None], view: OutputView) -> None:
        super().__init__(exchange)
        self._handle = handle
        self._view = view

    def __next__(self) -> PartEvent:
        event = super().__next__()
        self._view.feed(event)
        return event

    def _end(self) -> None:
        super()._end()
        self._handle.result.raise_for_state()


class SyncStream(SyncHandle[OutputT_co], Incoming[PartEvent]):
    """A stream that is read directly: iterate it for part events, `text_stream` for its text alone, `items` for the
    whole items of its output, or `partials` for its output as it grows.

    All read the same channel, in one thread at a time. After the last event, reading raises the `StreamError` for an
    ending that is not `complete`. The stream has begun already. It is cancelled when it is left before its end: by the
    end of a `with` block, `close()`, dropping it, or an exception such as Ctrl-C's while it waits.
    """

    def __init__(
        self, actor: StreamActor, cancel: Cancel, loop: LoopThread, exchange: Exchange[PartEvent, None]
    ) -> None:
        SyncHandle.__init__(self, actor, cancel, loop)
        Incoming.__init__(self, exchange)  # pyright: ignore[reportUnknownMemberType]
        self._view = OutputView(actor)

    @property
    def result(self) -> StreamResult[OutputT_co]:
        """How it ended. Raises `RuntimeError` while it is still running."""
        return cast("StreamResult[OutputT_co]", super().result)

    def __next__(self) -> PartEvent:
        event = super().__next__()
        self._view.feed(event)
        return event

    @property
    def text_stream(self) -> "SyncTextStream":
        """An iterator over the text alone, as it comes. It raises as iterating the stream does."""
        return SyncTextStream(self)

    @overload
    def items(self: "SyncStream[list[ItemT]]") -> "SyncItemStream[ItemT]": ...
    @overload
    def items(self, *path: str | int) -> "SyncItemStream[Any]": ...
    def items(self, *path: str | int) -> "SyncItemStream[Any]":
        """An iterator over the items of a list in the output, each as soon as it is whole: as `Stream.items`. Raises
        `ValueError` when the type has no list there, and `RuntimeError` once the stream was read in another way."""
        return SyncItemStream(self, self._view.items(path))

    def partials(self) -> "SyncPartialStream[OutputT_co]":
        """An iterator over the output as far as it has come: as `Stream.partials`. What it gives changes only while
        this thread reads on; only its `void` is true as soon as the answer is begun anew. Raises `RuntimeError` once
        the stream was read in another way."""
        return SyncPartialStream(self, self._view)

    def _end(self) -> None:
        super()._end()
        self.result.raise_for_state()


class SyncTextStream(Iterator[str]):
    """The text of a stream without the events around it. After a restart the text begins anew, behind what was given
    before."""

    def __init__(self, stream: SyncStream) -> None:
        self._stream = stream

    def __next__(self) -> str:
        while not (text := new_text(next(self._stream))):
            pass
        return text


class SyncItemStream(Iterator[ItemT_co]):
    """The items of one list of a stream's output, each whole, validated, and given once: an `ItemStream` for
    synchronous code."""

    def __init__(self, stream: Iterator[PartEvent], items: WholeItems) -> None:
        self._stream = stream
        self._items = items

    @property
    def starts(self) -> int:
        """As `ItemStream.starts`: what was given under a lower number is void."""
        return self._items.starts

    def __next__(self) -> ItemT_co:
        while (item := self._items.next()) is NOTHING:
            next(self._stream)
        return item


class SyncPartialStream(Iterator[Partial[OutputT_co]]):
    """The growing output of a stream, once for each event that changed it: a `PartialStream` for synchronous code."""

    def __init__(self, stream: Iterator[PartEvent], view: OutputView) -> None:
        self._stream = stream
        self._reader = view.partial()
        self._is_void = view.is_void
        self._partial = Partial[OutputT_co](self._reader, view.is_void)
        self._changes = -1

    def __next__(self) -> Partial[OutputT_co]:
        while self._changes == (changes := self._reader.changes) or self._is_void():
            next(self._stream)
        self._changes = changes
        return self._partial


def open_stream(
    engine: Engine, loop: LoopThread, request: RequestLike[OutputT], policy: Policy | None
) -> SyncStream[OutputT]:
    """Starts a request whose events the calling thread will read. Raises as `engine.submit` does."""
    check_policy(policy)
    exchange: Exchange[PartEvent, None] = Exchange(loop)
    launched: Future[StreamActor] = Future()

    async def bring() -> None:
        try:
            actor = engine.launch(request, on_abandon="cancel", keep=True)
            mailbox = StreamHandle(actor, engine.ask_to_cancel, engine.home).subscribe(policy)
        except BaseException as exc:
            launched.set_exception(exc)
            return
        launched.set_result(actor)
        with mailbox:
            try:
                while True:
                    await exchange.give(await mailbox.receive_batch())
            except anyio.EndOfStream:
                await uninterrupted(actor.closed.wait)
            except anyio.get_cancelled_exc_class():
                engine.request_cancel(actor, "consumer", "its last consumer left")
                await uninterrupted(actor.closed.wait)
                # The task ends here, cancelled or not: how the stream ended is what its reader is told.
                exchange.give_last(_rest(mailbox))

    exchange.start(bring)
    try:
        actor = launched.result()
    except BaseException:
        exchange.cancel()
        raise
    return SyncStream(actor, engine.ask_to_cancel, loop, exchange)


def _rest(mailbox: Mailbox) -> list[PartEvent]:
    """What waits in a mailbox whose stream has ended."""
    rest: list[PartEvent] = []
    with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            rest.append(mailbox.receive_nowait())
    return rest

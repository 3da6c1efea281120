"""One stream for synchronous code: as a handle that can be waited for, and as an iterator over its events."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress

import anyio

from ...actors.actor import StreamActor
from ...actors.channel import Mailbox, Policy, check_policy
from ...actors.handle import StreamHandle, StreamView
from ...actors.stream import PartEvent, RequestLike, SnapshotEvent, StreamResult
from ..combinators.single import new_text
from ..engine import Engine
from ..finish import uninterrupted
from .exchange import Exchange
from .incoming import Incoming
from .loop_thread import LoopThread

__all__ = ["SyncHandle", "SyncStream", "SyncTextStream", "open_stream"]

Cancel = Callable[[StreamActor, str | None], None]


class SyncHandle(StreamView):
    """A stream that was submitted. Any number of threads may use it, and it outlives the stream and the engine."""

    def __init__(self, actor: StreamActor, cancel: Cancel, loop: LoopThread) -> None:
        super().__init__(actor, cancel)
        self._loop = loop

    def wait(self, timeout: float | None = None) -> StreamResult:
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


class SyncStream(SyncHandle, Incoming[PartEvent]):
    """A stream that is read directly: iterate it for part events, or `text_stream` for its text alone.

    Both read the same channel, in one thread at a time. After the last event, reading raises the `StreamError` for an
    ending that is not `complete`. The stream has begun already. It is cancelled when it is left before its end: by the
    end of a `with` block, `close()`, dropping it, or an exception such as Ctrl-C's while it waits.
    """

    def __init__(
        self, actor: StreamActor, cancel: Cancel, loop: LoopThread, exchange: Exchange[PartEvent, None]
    ) -> None:
        SyncHandle.__init__(self, actor, cancel, loop)
        Incoming[PartEvent].__init__(self, exchange)

    @property
    def text_stream(self) -> "SyncTextStream":
        """An iterator over the text alone, as it comes. It raises as iterating the stream does."""
        return SyncTextStream(self)

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


def open_stream(engine: Engine, loop: LoopThread, request: RequestLike, policy: Policy | None) -> SyncStream:
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

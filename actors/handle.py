"""The handle of a running stream: what its submitter and its watchers hold. It looks and asks; the actor does."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, Generic, Literal, Self, overload

import anyio
import attrs
from anyio.lowlevel import checkpoint_if_cancelled
from typing_extensions import TypeVar

from .actor import StreamActor
from .channel import (
    Conflate,
    Cursor,
    Home,
    Mailbox,
    OnAbandon,
    Policy,
    Recording,
    Subscriber,
    check_on_abandon,
    check_policy,
    misuse,
)
from .message import Usage
from .output_views import ItemStream, OutputView, Partial, PartialStream
from .snapshots import Snapshots
from .stream import OutputT_co, PartEvent, PartStartEvent, SnapshotEvent, State, StreamResult, as_given

__all__ = ["StreamHandle", "StreamView"]

ItemT = TypeVar("ItemT")


class StreamView(Generic[OutputT_co]):
    """What can be seen of a stream from any thread, and its `cancel`."""

    def __init__(self, actor: StreamActor, cancel: Callable[[StreamActor, str | None], None]) -> None:
        self._actor = actor
        self._cancel = cancel

    @property
    def id(self) -> str:
        """The stream's id, unique in its engine."""
        return self._actor.stream_id

    @property
    def custom_id(self) -> str | None:
        """The id its request gave it."""
        return self._actor.request.custom_id

    @property
    def state(self) -> State:
        """Where it is in its life. After the end it agrees with `result.state`: `State.DONE` for `complete`,
        `State.CANCELLED` for `cancelled`, `State.FAILED` for `truncated` and `failed`."""
        return self._actor.life.state

    @property
    def model_name(self) -> str | None:
        """The model that serves it; None before the API has said which."""
        return self._actor.assembler.model_name

    @property
    def timestamp(self) -> datetime:
        """When it was submitted, in UTC."""
        return self._actor.timestamp

    @property
    def usage(self) -> Usage:
        """The token usage so far."""
        return self._actor.assembler.usage

    @property
    def billed(self) -> Usage:
        """What all its attempts have used so far as far as anybody knows, the running one included.

        Where the API has not said its last word on an attempt, output counts at four characters a token, if that is
        more than the API said so far. After the end it is `result.billed`.
        """
        return self._actor.billed

    @property
    def last_byte_at(self) -> float | None:
        """When the last byte came, pings included, on the event loop's clock in seconds; None before the first."""
        return self._actor.watch.last_byte

    @property
    def last_content_at(self) -> float | None:
        """When the last content came, on the event loop's clock in seconds; None before the first."""
        return self._actor.watch.last_content

    @property
    def result(self) -> StreamResult[OutputT_co | None]:
        """How it ended. Raises `RuntimeError` while it is still running."""
        result = self._actor.result
        if result is None:
            raise RuntimeError(f"stream {self.id} is still running; wait() for it")
        return result

    def cancel(self, reason: str | None = None) -> None:
        """Asks the stream to stop; `wait()` for it to have stopped. From any thread, at any time, any number of times.
        What was received is kept in the result."""
        self._cancel(self._actor, reason)

    def __repr__(self) -> str:
        custom = f" {self.custom_id!r}" if self.custom_id is not None else ""
        return f"<{type(self).__name__} {self.id}{custom} {self.state}>"


@misuse(
    "await handle.wait() for its result, or async with handle.subscribe() as channel for its events",
    "with",
    "for",
    "async with",
    "async for",
)
class StreamHandle(StreamView[OutputT_co]):
    """A stream that was submitted. Any number of tasks may hold it, and it outlives the stream.

    What waits (`wait`, `subscribe`, `snapshots`) belongs to the engine's event loop, also after the end: elsewhere it
    raises `RuntimeError`. `cancel` may be called, and `result`, `state` and other attributes read, from any thread.
    """

    def __init__(
        self, actor: StreamActor, cancel: Callable[[StreamActor, str | None], None], home: Home | None = None
    ) -> None:
        super().__init__(actor, cancel)
        self._home = home

    def _check_home(self) -> None:
        if self._home is not None:
            self._home.check()

    def snapshot(self) -> SnapshotEvent:
        """All its content up to now. Joins the text that came: not for every event of a long answer."""
        return self._actor.snapshot()

    def snapshots(self) -> "Snapshots":
        """A channel of its latest states, for dashboards: what lies between two looks is not given.

        Raises `RuntimeError` outside of the engine's event loop.
        """
        self._check_home()
        return Snapshots(self._actor, self._home)

    def partial_args(self, index: int) -> Any:
        """The best parse so far of the tool arguments at `index`, kept up as they come.

        It is one object, updated in place: read it, don't change it. None before there is anything to parse. Raises
        `KeyError` when no tool call has begun at `index`.
        """
        return self._actor.assembler.partial_args(index).value

    def partial(self, index: int) -> Partial[Any]:
        """The tool arguments at `index` as they grow: what `partial_args` gives, and the `state` of any value in it.

        An answer that is begun anew has others, and this view is `void` then. Raises `KeyError` when no tool call has
        begun at `index`.
        """
        actor, assembler = self._actor, self._actor.assembler
        return Partial(assembler.partial_args(index), lambda: actor.assembler is not assembler)

    @overload
    def items(self: "StreamHandle[list[ItemT]]") -> ItemStream[ItemT]: ...
    @overload
    def items(self, *path: str | int) -> ItemStream[Any]: ...
    def items(self, *path: str | int) -> ItemStream[Any]:
        """An iterator over the items of a list in the output, each as soon as it is whole: validated, and of its type.
        Without a path, the output itself is the list; `items("lines")` gives those of its field `lines`, by the name
        it has in JSON. Without an `output`, the items of whatever JSON the answer's text is, as plain data.

        It begins with the first item, whenever it is called, and is a consumer of its own, from the first item that is
        asked for until it is dropped. After the last one it raises the `StreamError` for an ending that is not
        `complete`. Once an item was given, `retry_invalid` asks for the output no more. Raises `ValueError` when the
        type has no list there, and `RuntimeError` outside of the engine's event loop.
        """
        view = OutputView(self._actor)
        items = view.items(path)
        return ItemStream(_Events(self, view, self._home), items)

    def partials(self) -> PartialStream[OutputT_co]:
        """An iterator over the output as far as it has come, once for each event that changed it: fewer for a reader
        that lags. Without an `output`, over whatever JSON the answer's text is. It is a consumer of its own, and ends
        as `items` does. Raises `RuntimeError` outside of the engine's event loop.
        """
        view = OutputView(self._actor)
        return PartialStream(_Events(self, view, self._home), view)

    def subscribe(
        self,
        policy: Policy | None = None,
        *,
        start: Literal["start", "now"] | int = "start",
        on_abandon: OnAbandon | None = None,
    ) -> Mailbox:
        """A channel of its events, for one more consumer.

        `policy` is `Conflate()` by default. With `start="start"` what has been is told in one `SnapshotEvent` (if
        anything has been); with `"now"` each open part is told by a `PartStartEvent`; a number gives every event after
        that one, or a snapshot when an answer that was begun anew no longer has it. After the end there are the
        snapshot and the terminal event. `on_abandon` says what becomes of the stream if this consumer is the last to
        leave (`Linger(30)` cancels it when no other has come for 30 seconds); by default `submit`'s streams run on and
        `stream`'s are cancelled.

        Raises `ValueError` for a number that lies ahead, and `RuntimeError` outside of the engine's event loop.
        """
        check_policy(policy)
        check_on_abandon(on_abandon)
        self._check_home()
        actor = self._actor
        first, cursor = _join(actor, start)
        subscriber = Subscriber(actor.audience, cursor, policy or Conflate(), on_abandon or actor.on_abandon, first)
        actor.audience.add(subscriber)
        return Mailbox(subscriber, self._home)

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if name != "recording"]  # that is for relays

    def recording(self) -> Recording:
        """All its events from the first that is still kept, those to come included, for as long as it is held, past the
        stream's end too. It is for relays and stores. Raises `RuntimeError` outside of the engine's event loop."""
        self._check_home()
        return Recording(self._actor.log, self._actor.audience)

    async def wait(self) -> StreamResult[OutputT_co | None]:
        """Waits for the end, and until the connection is back in the pool or gone. An ending is a value here;
        `result.raise_for_state()` raises it. Cancelling the wait leaves the stream running.

        Raises `RuntimeError` outside of the engine's event loop.
        """
        self._check_home()
        await self._actor.closed.wait()
        return self.result


class _Events(AsyncIterator[PartEvent]):
    """A stream's events from its beginning, for one view of its output. It leaves the stream when it is dropped."""

    def __init__(self, handle: StreamHandle, view: OutputView, home: Home | None) -> None:
        self._handle = handle
        self._view = view
        self._home = home
        self._mailbox: Mailbox | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartEvent:
        if self._mailbox is None:
            self._mailbox = self._handle.subscribe()
        try:
            event = await self._mailbox.receive()
        except anyio.EndOfStream:
            if self._handle.result.state != "complete":
                # A cancelled scope around the engine has ended its streams, too: then the cancellation is raised.
                await checkpoint_if_cancelled()
            self._handle.result.raise_for_state()
            raise StopAsyncIteration from None
        self._view.feed(event)
        return event

    def __del__(self) -> None:
        if (mailbox := self._mailbox) is None:
            return
        # The garbage collector may be in another thread, or in the middle of a step of this very stream.
        if self._home is not None:
            self._home.soon(mailbox.close)
        else:
            mailbox.close()


def _join(
    actor: StreamActor, start: Literal["start", "now"] | int
) -> tuple[list[SnapshotEvent | PartStartEvent], Cursor]:
    """What a consumer that joins now is told first, and where in the log it goes on."""
    log = actor.log
    if start not in ("start", "now") and type(start) is not int:
        raise ValueError(f'start is "start", "now" or the number of an event, not {as_given(start)}')
    if isinstance(start, int):
        if not 0 <= start <= log.seq:
            raise ValueError(f"start={start}: stream {actor.stream_id} is at event {log.seq}")
        if start >= log.base:
            return [], Cursor.after(log, start)
        # What it missed is no longer kept one by one: one event stands for all of it.
        cursor = Cursor.after(log, log.base) if actor.life.ended else Cursor(log)
        return [attrs.evolve(actor.snapshot(), first_seq=start + 1)], cursor
    if actor.life.ended:
        return [actor.snapshot()] if log.base else [], Cursor.after(log, log.base)
    if start == "start":
        return [actor.snapshot()] if log.seq else [], Cursor(log)
    # They stand for the numbers up to now, so that what follows goes on without a gap.
    parts = actor.assembler.open_parts()
    number = log.seq - len(parts)
    return [
        PartStartEvent(index, part, stream_id=actor.stream_id, first_seq=number + i, seq=number + i)
        for i, (index, part) in enumerate(parts, 1)
    ], Cursor(log)

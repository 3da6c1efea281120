"""Mailboxes: a consumer's channel to one stream, an `anyio.abc.ObjectReceiveStream` of part events.

A mailbox is a cursor into the stream's event log with a way to wait. The producer does nothing for a consumer that is
awake; one that ran out of events parks itself with the producer, which wakes it once, when there is something again.

Two policies. `Conflate` merges while the consumer lags: all the text that came for a part since it last looked is one
delta. `Lossless` gives every event as it happened, and holds the producer back while `buffer` events are waiting.
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Literal, Protocol, Self

import anyio
import attrs
from anyio.lowlevel import checkpoint
from anyio.streams.memory import MemoryObjectStreamStatistics

from ..stream import PartEvent, StreamEndEvent, as_given, check_kind, number
from .log import Cursor, EventLog
from .receiving import Home, Receiving
from .wake import Wake, wake_factory

__all__ = [
    "Conflate",
    "Linger",
    "Lossless",
    "Mailbox",
    "OnAbandon",
    "Parked",
    "Policy",
    "Producer",
    "Subscriber",
    "check_on_abandon",
    "check_policy",
]


@attrs.frozen
class Conflate:
    """Merge what a lagging consumer has not read: adjacent deltas of one part, and usages. Nothing of the content is
    lost, the memory is bounded by the message, and the producer never waits."""


@attrs.frozen
class Lossless:
    """Give every event as it happened. While `buffer` events wait, the stream's socket is not read.

    A consumer that takes nothing for `stall_timeout` seconds while it holds the stream back loses its subscription:
    reading it raises `anyio.BrokenResourceError`. The stream goes on. None waits for as long as it takes.
    """

    buffer: int = attrs.field(
        default=256, validator=number("{} is a whole number of events, at least 1", least=1, whole=True)
    )
    stall_timeout: float | None = attrs.field(
        default=None,
        validator=number("{} is a number of seconds above 0, or None", above=0, infinite=True, optional=True),
        kw_only=True,
    )


Policy = Conflate | Lossless


def check_policy(policy: object) -> None:
    """Raises `TypeError` for what is no policy."""
    if policy is not None:
        check_kind("policy", policy, (Conflate, Lossless), "Conflate() or Lossless()")


@attrs.frozen
class Linger:
    """A stream whose last consumer has left is cancelled unless another joins within so many seconds."""

    seconds: float = attrs.field(default=10.0, validator=number("{} is a number of seconds, 0 or more", least=0))


OnAbandon = Literal["cancel", "linger", "detach"] | Linger
"""What becomes of a stream when its last consumer leaves: it is cancelled; cancelled unless another consumer joins
within ten seconds, or within those of a `Linger`; or runs on."""


def check_on_abandon(on_abandon: object) -> None:
    """Raises `ValueError` for what is no `OnAbandon`."""
    if (
        on_abandon is not None
        and not isinstance(on_abandon, Linger)
        and on_abandon not in ("cancel", "linger", "detach")
    ):
        raise ValueError(f'on_abandon is "cancel", "linger", "detach" or Linger(seconds), not {as_given(on_abandon)}')


class Parked(Protocol):
    """Somebody who ran out of events and waits for more."""

    def wake(self) -> None:
        """There are more. It is called once, and synchronously."""
        ...


class Producer(Protocol):
    """What a mailbox needs of the stream that fills it."""

    def park(self, consumer: Parked) -> None:
        """`consumer` is woken once, when there are more events."""
        ...

    def has_room(self) -> None:
        """A lossless consumer took an event."""
        ...

    def left(self, subscriber: "Subscriber") -> None:
        """A consumer is gone, with all its clones."""
        ...


class Subscriber:
    """What the clones of a mailbox share: their place in the log, and who waits. State only; it never awaits."""

    __slots__ = (
        "_cursor",
        "_first",
        "_merge",
        "_parked",
        "_producer",
        "broken",
        "buffer",
        "ended",
        "make_wake",
        "on_abandon",
        "readers",
        "stall_timeout",
        "waiters",
    )

    def __init__(
        self,
        producer: Producer,
        cursor: Cursor,
        policy: Policy,
        on_abandon: OnAbandon,
        first: Iterable[PartEvent] = (),
    ) -> None:
        self.on_abandon: OnAbandon = on_abandon
        self._producer = producer
        self._cursor = cursor
        self._first = deque(first)  # what a late joiner is told before the log goes on
        self._merge = isinstance(policy, Conflate)
        self._parked = False
        self.buffer: int | None = None  # how many events may wait; None for any number
        self.stall_timeout: float | None = None
        if isinstance(policy, Lossless):
            self.buffer, self.stall_timeout = policy.buffer, policy.stall_timeout
        self.ended = cursor.ended and not cursor.pending  # the terminal event was taken, here or by an earlier joiner
        self.broken = False
        self.readers = 0
        self.waiters: deque[Wake] = deque()  # of the readers that wait, the longest first
        self.make_wake: Callable[[], Wake] | None = None

    def take(self) -> PartEvent | None:
        """The next event, or None."""
        if self._first:
            return self._first.popleft()
        event = self._cursor.take(merge=self._merge)
        if isinstance(event, StreamEndEvent):
            self.ended = True
            self.wake_all()
        if self.buffer is not None and event is not None:
            self._producer.has_room()
        return event

    @property
    def ready(self) -> bool:
        """Whether `take` would give something."""
        return self.pending > 0

    @property
    def pending(self) -> int:
        """How many events, as they happened, have not been taken."""
        return len(self._first) + self._cursor.pending

    @property
    def full(self) -> bool:
        """Whether the producer has to wait for this consumer."""
        return self.buffer is not None and self._cursor.pending >= self.buffer

    @property
    def held(self) -> bool:
        """Whether the stream still runs and has this consumer."""
        return not self.ended and not self._cursor.ended

    @property
    def producer_ended(self) -> bool:
        """Whether nothing more will come than what is pending."""
        return self.broken or self._cursor.ended

    def conflate(self) -> None:
        """Merges from now on, and holds the producer back no longer."""
        self._merge = True
        self.buffer = None
        self._producer.has_room()

    def fail(self) -> None:
        """Breaks this subscription, which held the producer back for too long. What waits in it is dropped."""
        self.broken = True
        self._first.clear()
        self._cursor = Cursor(EventLog(""))
        self.conflate()
        self.wake_all()

    def park(self) -> None:
        """Asks the producer for a wake."""
        if not self._parked:
            self._parked = True
            self._producer.park(self)

    def wake(self) -> None:
        """There are events again: wakes one reader, which wakes the next if it leaves any."""
        self._parked = False
        self.wake_one()

    def wake_one(self) -> None:
        """Wakes the reader that has waited longest, if one waits."""
        if self.waiters:
            self.waiters.popleft().set()

    def wake_all(self) -> None:
        """Wakes all readers that wait, to look for themselves: it ended, it broke, or one of them was closed."""
        while self.waiters:
            self.waiters.popleft().set()

    def give_up(self, wake: Wake) -> None:
        """The reader of this wake stops waiting. If the wake was set, it is passed on: at once to the next reader if
        there is something to take, else to all when there is."""
        if not wake.is_set():
            self.waiters.remove(wake)
        elif self.waiters:
            if self.ready:
                self.wake_one()
            else:
                self.park()

    def leave(self) -> None:
        """One of the readers is gone."""
        self.readers -= 1
        if self.readers == 0:
            self._producer.left(self)


class Mailbox(Receiving[PartEvent]):
    """A consumer's channel to one stream. An ending is a value here: the last event is always a `StreamEndEvent`, and
    `event.result.raise_for_state()` raises if it should.

    It is an `anyio.abc.ObjectReceiveStream`: iterate it, or call `receive`; after the terminal event they raise
    `anyio.EndOfStream` (the iteration ends). Close it when you are done, `async with` does; it may be opened and
    closed in different tasks, of the engine's event loop. One that is dropped unclosed while its stream runs leaves it
    too, with a `ResourceWarning`. Made by `handle.subscribe`.
    """

    def __init__(self, subscriber: Subscriber, home: Home | None = None) -> None:
        self._subscriber = subscriber
        self._closed = False
        self.home = home
        subscriber.readers += 1

    def __del__(self) -> None:
        subscriber = self._subscriber
        if self._closed or not subscriber.held:
            return
        self._closed = True
        # The garbage collector may be in another thread, or in the middle of a step of this very stream.
        if self.home is not None:
            self.home.soon(subscriber.leave)
        else:
            subscriber.leave()
        warnings.warn("a mailbox was dropped unclosed; use `with`, or close() it", ResourceWarning, 1, source=self)

    def receive_nowait(self) -> PartEvent:
        """The next event, without waiting.

        Raises `anyio.WouldBlock` when there is none yet, `anyio.EndOfStream` after the terminal event,
        `anyio.ClosedResourceError` when this mailbox was closed, and `anyio.BrokenResourceError` when it lost its
        subscription to the policy's `stall_timeout`.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        event = self._subscriber.take()
        if event is not None:
            return event
        if self._subscriber.ended:
            raise anyio.EndOfStream
        if self._subscriber.broken:
            raise anyio.BrokenResourceError("this consumer held its stream back for longer than its stall_timeout")
        raise anyio.WouldBlock

    async def receive_batch(self) -> list[PartEvent]:
        """All events that are ready, at least one; it waits for the first. It always gives way to other tasks.

        Raises as `receive` does, and loses nothing on cancellation.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        if self._subscriber.ready or self._subscriber.producer_ended:
            await checkpoint()
        while True:
            try:
                batch = [self.receive_nowait()]
            except anyio.WouldBlock:
                await self._wait()
                continue
            while (event := self._subscriber.take()) is not None:
                batch.append(event)
            self._taken = 0
            return batch

    async def _wait(self) -> None:
        subscriber = self._subscriber
        self._check_home()
        if subscriber.make_wake is None:
            subscriber.make_wake = wake_factory()
        wake = subscriber.make_wake()
        subscriber.waiters.append(wake)
        subscriber.park()
        try:
            await wake.wait()
        except BaseException:
            subscriber.give_up(wake)
            raise
        if subscriber.waiters and subscriber.ready:
            # Whatever this reader leaves is for the next one, which will find nothing if it takes all.
            subscriber.wake_one()

    def clone(self) -> "Mailbox":
        """Another reader of this same subscription: each event goes to one of the clones.

        Raises `anyio.ClosedResourceError` when this mailbox was closed.
        """
        if self._closed:
            raise anyio.ClosedResourceError
        return Mailbox(self._subscriber, self.home)

    def statistics(self) -> MemoryObjectStreamStatistics:
        """How full the subscription is, as anyio's memory streams say it."""
        subscriber = self._subscriber
        return MemoryObjectStreamStatistics(
            current_buffer_used=subscriber.pending,
            max_buffer_size=float("inf") if subscriber.buffer is None else subscriber.buffer,
            open_send_streams=0 if subscriber.producer_ended else 1,
            open_receive_streams=subscriber.readers,
            tasks_waiting_send=1 if subscriber.full else 0,
            tasks_waiting_receive=len(subscriber.waiters),
        )

    def close(self) -> None:
        """Leaves the stream; whoever waits in `receive` of this mailbox gets `anyio.ClosedResourceError`. When it was
        the last consumer, the subscription's `on_abandon` decides what follows."""
        if not self._closed:
            self._closed = True
            self._subscriber.wake_all()
            self._subscriber.leave()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await checkpoint()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

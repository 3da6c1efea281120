"""All the consumers of one stream: who is to be woken, who holds it back, and what happens when the last one leaves."""

import math
from collections.abc import Callable

import anyio

from .mailbox import OnAbandon, Parked, Subscriber

__all__ = ["Audience"]


class Audience:
    """The consumers of one stream. It is what a `Subscriber` knows of the stream, and it changes synchronously.

    `abandoned` is called when the last subscriber leaves a stream that still runs, with that subscriber's
    `on_abandon`.
    """

    __slots__ = ("_abandoned", "_draining", "_room", "emptied", "lossless", "parked", "subscribers")

    def __init__(self, abandoned: Callable[[OnAbandon], None]) -> None:
        self._abandoned: Callable[[OnAbandon], None] | None = abandoned
        self.subscribers: list[Subscriber] = []
        self.lossless: list[Subscriber] = []
        """The subscribers that may hold the stream back."""
        self.parked: list[Parked] = []
        """Whom to wake when there are more events."""
        self.emptied = 0
        """How many times the last subscriber has left."""
        self._draining = False
        self._room: anyio.Event | None = None

    def add(self, subscriber: Subscriber) -> None:
        """A consumer joins. Once the stream has ended it counts no more."""
        if self._abandoned is None:
            return
        self.subscribers.append(subscriber)
        if subscriber.buffer is not None:
            self.lossless.append(subscriber)

    def left(self, subscriber: Subscriber) -> None:
        """A consumer is gone, with all its clones."""
        self.forget(subscriber)
        if self._abandoned is None or subscriber not in self.subscribers:
            return
        self.subscribers.remove(subscriber)
        if subscriber in self.lossless:
            self.lossless.remove(subscriber)
            self.has_room()
        if not self.subscribers:
            self.emptied += 1
            self._abandoned(subscriber.on_abandon)

    def end(self) -> None:
        """The stream has ended: wakes those who wait, and lets go of all. They hold what they need of the stream."""
        self.notify()
        self._abandoned = None
        self.subscribers.clear()
        self.lossless.clear()

    # -- waking

    def park(self, consumer: Parked) -> None:
        """`consumer` is woken once, when there are more events."""
        self.parked.append(consumer)

    def forget(self, consumer: Parked) -> None:
        """`consumer` is not woken after all."""
        if consumer in self.parked:
            self.parked.remove(consumer)

    def notify(self) -> None:
        """There are more events: wakes all that are parked."""
        if self.parked:
            parked, self.parked = self.parked, []
            for consumer in parked:
                consumer.wake()

    # -- holding the stream back

    def has_room(self) -> None:
        """A lossless subscriber took an event, or holds the stream back no longer."""
        if self._room is not None and not any(subscriber.full for subscriber in self.lossless):
            self._room.set()

    def drain(self) -> None:
        """The engine shuts down: a lossless subscriber that holds the stream back gets merged events instead, now and
        from now on."""
        self._draining = True
        self._conflate_full()

    def _conflate_full(self) -> None:
        for subscriber in list(self.lossless):
            if subscriber.full:
                subscriber.conflate()

    def make_room(self) -> bool:
        """Makes room at once when the engine drains, by merging for those that are full. Returns whether it did."""
        if self._draining:
            self._conflate_full()
        return self._draining

    async def wait_for_room(self, clock: Callable[[], float]) -> None:
        """Waits until no lossless subscriber is full. One that stays full for its `stall_timeout` loses its place.

        Cancellation leaves everything as it was.
        """
        self._room = room = anyio.Event()
        began = clock()
        try:
            while not room.is_set():
                full = [subscriber for subscriber in self.lossless if subscriber.full]
                patience = min((one.stall_timeout for one in full if one.stall_timeout is not None), default=math.inf)
                with anyio.move_on_after(began + patience - clock()):
                    await room.wait()
                if not room.is_set():
                    for subscriber in full:
                        if subscriber.full and subscriber.stall_timeout == patience:
                            subscriber.fail()
                    self.has_room()
        finally:
            self._room = None

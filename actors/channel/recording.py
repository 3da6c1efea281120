"""A recording: all events of a stream from its first on, for as long as somebody holds it.

A stream lets its log go when it ends or begins anew, and only what still reads it keeps it. Whoever wants to tell a
stream again from any of its numbers, and after its end, holds the log's beginning.
"""

from .audience import Audience
from .log import Cursor, EventLog, Run
from .mailbox import Conflate, OnAbandon, Subscriber

__all__ = ["Recording"]


class Recording:
    """The events of a stream, those that came and those that will. It may be held past the stream's end.

    `first` is the log it begins with, and `audience` wakes those who wait for more.
    """

    __slots__ = ("_last", "audience", "first")

    def __init__(self, first: EventLog, audience: Audience) -> None:
        self.first = self._last = first
        self.audience = audience

    @property
    def last(self) -> EventLog:
        """The log of the latest attempt."""
        while self._last.next is not None:
            self._last = self._last.next
        return self._last

    @property
    def seq(self) -> int:
        """The number of the last event that came."""
        return self.last.seq

    @property
    def ended(self) -> bool:
        """Whether the terminal event came."""
        return Cursor(self.last).ended

    @property
    def characters(self) -> int:
        """How much text the logs hold, counted anew each time."""
        total, log = 0, self.first
        while True:
            for entry in log.entries:
                total += sum(map(len, entry.pieces)) if isinstance(entry, Run) else 0
            if log.next is None:
                return total
            log = log.next

    def after(self, seq: int) -> Cursor:
        """A cursor behind the event numbered `seq`. Raises `ValueError` for a number that is not in the recording."""
        if not self.first.base <= seq <= self.seq:
            raise ValueError(f"{seq} is not among the events {self.first.base} to {self.seq}")
        log = self.first
        while log.next is not None and seq >= log.next.base:
            log = log.next
        return Cursor.after(log, seq)

    def subscribe(self, after: int = 0, *, on_abandon: OnAbandon = "detach") -> Subscriber:
        """One more consumer, behind the event numbered `after`; what it lags behind is merged.

        Raises `ValueError` for a number that is not in the recording.
        """
        subscriber = Subscriber(self.audience, self.after(after), Conflate(), on_abandon)
        subscriber.readers = 1
        self.audience.add(subscriber)
        return subscriber

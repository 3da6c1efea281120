"""A recording: all events of a stream from its first on, for as long as somebody holds it.

A stream lets its log go when it ends or begins anew, and only what still reads it keeps it. Whoever wants to tell a
stream again from any of its numbers, and after its end, holds the log's beginning.
"""

import itertools
from collections.abc import Mapping
from typing import Any, cast

import attrs

from ..stream import PartDeltaEvent, PartEvent, PartStartEvent, StreamEndEvent, UnknownEvent, lean
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
        """How much text the logs hold, what server tools answered included, counted anew each time."""
        return sum(map(_text_of, (entry for log in self._logs for entry in log.entries)))

    @property
    def _logs(self) -> list[EventLog]:
        logs = [self.first]
        while (following := logs[-1].next) is not None:
            logs.append(following)
        return logs

    def without_request(self) -> "Recording":
        """The same events of a stream that has ended, for those who keep them: the ending alone is left of the result,
        which else holds the request and the whole message. Whoever reads this recording goes on with it."""
        logs = self._logs
        events = logs[-1].entries
        ending = events[-1] if events else None
        assert isinstance(ending, StreamEndEvent)
        kept = [EventLog(log.stream_id, log.base) for log in logs]
        for log, copy in zip(logs, kept, strict=True):
            copy.seq, copy.entries = log.seq, log.entries
        for copy, following in itertools.pairwise(kept):
            copy.next = following
        kept[-1].entries = [*events[:-1], lean(ending)]
        audience = Audience(lambda _: None)
        audience.end()
        return Recording(kept[0], audience)

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


def _text_of(entry: PartEvent | Run) -> int:
    """How much text came with an entry. The end of a part and that of the stream only repeat it."""
    match entry:
        case Run():
            return sum(map(len, entry.pieces))
        case PartStartEvent():
            return _text_in(entry.part)
        case PartDeltaEvent():
            return _text_in(entry.delta)
        case UnknownEvent():
            return _text_in(entry.raw)
        case _:
            return 0


def _text_in(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        return sum(_text_in(name) + _text_in(field) for name, field in fields.items())
    if isinstance(value, (list, tuple)):
        return sum(map(_text_in, cast("list[Any]", value)))
    kind = cast("type[Any]", type(value))
    if attrs.has(kind):
        return sum(_text_in(getattr(value, field.name)) for field in attrs.fields(kind))
    return 0

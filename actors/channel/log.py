"""The event log: what happened in one attempt of a stream, shared by all who read it.

The producer appends and never waits. Each reader has a `Cursor`, a place in the log, so a consumer costs the producer
nothing until it is awake, many consumers share one copy, and the memory is bounded by the message itself however far
a consumer lags.

Deltas that only add text to the same part are kept as a `Run`, the bare strings in order; every other event is kept as
it is. A cursor reads a run as one merged delta (all that came since it last looked) or string by string. The sequence
number of a run's n-th string is the run's first plus n, so both readings are exact.
"""

from collections.abc import Callable
from typing import Any

import attrs

from ..message import PartDelta, ThinkingPartDelta
from ..stream import PartDeltaEvent, PartEvent, StreamEndEvent, UsageEvent
from ..wire import joined

__all__ = ["Cursor", "EventLog", "MakeDelta", "Pieces", "Run"]

MakeDelta = Callable[[str], PartDelta]


class Run:
    """Adjacent strings for one part. `make` turns a string, or several joined, into the part's delta."""

    __slots__ = ("first_seq", "index", "make", "pieces")

    def __init__(self, index: int, make: MakeDelta, first_seq: int) -> None:
        self.index = index
        self.make = make
        self.first_seq = first_seq
        self.pieces: list[str] = []


@attrs.frozen
class Pieces:
    """Some of a run's strings, each an event of its own: the first has the number `first_seq`."""

    index: int
    make: MakeDelta
    first_seq: int
    pieces: tuple[str, ...] = attrs.field(repr=False)

    @property
    def seq(self) -> int:
        """The number of the last one."""
        return self.first_seq + len(self.pieces) - 1


class EventLog:
    """The events of one attempt, numbered from `seq + 1`."""

    __slots__ = ("base", "entries", "next", "run", "seq", "stream_id")

    def __init__(self, stream_id: str, seq: int = 0) -> None:
        self.stream_id = stream_id
        self.base = seq
        """The last number before this log."""
        self.seq = seq
        """The number of the last event."""
        self.entries: list[PartEvent | Run] = []
        self.run: Run | None = None
        """The run that a string may still be added to: the last entry, if it is one."""
        self.next: EventLog | None = None
        """The log of the attempt after this one."""

    def add(self, make: Callable[..., PartEvent], *args: Any) -> None:
        """Appends the event that `make(*args)` builds."""
        self.run = None
        self.seq = seq = self.seq + 1
        self.entries.append(make(*args, stream_id=self.stream_id, first_seq=seq, seq=seq))

    def add_text(self, index: int, make: MakeDelta, piece: str) -> None:
        """Appends a delta that adds `piece` to the part at `index`."""
        self.seq += 1
        run = self.run
        if run is None or run.index != index or run.make is not make:
            self.run = run = Run(index, make, self.seq)
            self.entries.append(run)
        run.pieces.append(piece)

    def followed(self) -> "EventLog":
        """The log of the attempt after this one, to which its readers go on."""
        self.run = None
        self.next = EventLog(self.stream_id, self.seq)
        return self.next

    def add_again(self, event: PartEvent) -> None:
        """Appends an event that has its number already, the next one: it happened in another process."""
        if event.first_seq != self.seq + 1 or event.seq < event.first_seq:
            raise ValueError(f"event {event.first_seq} to {event.seq} does not follow on {self.seq}")
        self.run = None
        self.seq = event.seq
        self.entries.append(event)


class Cursor:
    """A reader's place in the logs of a stream. `seq` is the number of the last event it has read."""

    __slots__ = ("_entry", "_log", "_piece", "seq")
    _log: EventLog

    def __init__(self, log: EventLog) -> None:
        """At the end of `log`: it reads what comes after."""
        self._log = log
        self.seq = log.seq
        self._entry = len(log.entries)
        self._piece = 0
        if log.run is not None:
            self._entry -= 1
            self._piece = len(log.run.pieces)

    @classmethod
    def after(cls, log: EventLog, seq: int) -> "Cursor":
        """Behind the event numbered `seq`, which must be in `log` or the number just before it."""
        cursor = cls(log)
        cursor._entry = cursor._piece = 0
        cursor.seq = log.base
        entries = log.entries
        while cursor.seq < seq:
            entry = entries[cursor._entry]
            if isinstance(entry, Run) and entry.first_seq + len(entry.pieces) > seq:
                # At the run's very end too: it may still grow.
                cursor._piece = seq - entry.first_seq + 1
                cursor.seq = seq
            else:
                cursor._entry += 1
                cursor.seq = entry.first_seq + len(entry.pieces) - 1 if isinstance(entry, Run) else entry.seq
        return cursor

    def take(self, *, merge: bool) -> PartEvent | None:
        """The next event, or None when there is none yet.

        With `merge` a run is read as one delta up to its end, adjacent deltas of thinking (with its estimates, or its
        signature) as one, and of adjacent usages only the last is given; without it every event comes as it happened.
        """
        while True:
            entries = self._log.entries
            if self._entry == len(entries):
                following = self._log.next
                if following is None:
                    return None
                self._log, self._entry = following, 0
                continue
            entry = entries[self._entry]
            if isinstance(entry, Run):
                pieces = entry.pieces
                begin = self._piece
                if begin == len(pieces):
                    if self._log.run is entry:
                        return None
                    self._entry += 1
                    self._piece = 0
                    continue
                end = len(pieces) if merge else begin + 1
                self._piece = end
                text = pieces[begin] if end == begin + 1 else joined(pieces[begin:end])
                first, self.seq = self.seq + 1, self.seq + end - begin
                return PartDeltaEvent(
                    entry.index, entry.make(text), stream_id=self._log.stream_id, first_seq=first, seq=self.seq
                )
            self._entry += 1
            if merge:
                entry = self._merged(entry)
            self.seq = entry.seq
            return entry

    def take_apart(self) -> "PartEvent | Pieces | None":
        """The next event as it happened, or all strings that a run has by now, apart; None when there is none."""
        while True:
            entries = self._log.entries
            if self._entry < len(entries) and isinstance(run := entries[self._entry], Run):
                begin, end = self._piece, len(run.pieces)
                if begin < end:
                    self._piece = end
                    first, self.seq = self.seq + 1, self.seq + end - begin
                    return Pieces(run.index, run.make, first, tuple(run.pieces[begin:]))
                if self._log.run is run:
                    return None
                self._entry += 1
                self._piece = 0
                continue
            return self.take(merge=False)

    def _merged(self, entry: PartEvent) -> PartEvent:
        """`entry` with those right behind it that make one event with it."""
        entries = self._log.entries
        match entry:
            case UsageEvent():
                last = entry
                while self._entry < len(entries) and isinstance(later := entries[self._entry], UsageEvent):
                    last = later
                    self._entry += 1
                return entry if last is entry else attrs.evolve(last, first_seq=entry.first_seq)
            case PartDeltaEvent(delta=ThinkingPartDelta() as delta):
                deltas, seq = [delta], entry.seq
                while (
                    self._entry < len(entries)
                    and isinstance(later := entries[self._entry], PartDeltaEvent)
                    and later.index == entry.index
                    and isinstance(later.delta, ThinkingPartDelta)
                ):
                    deltas.append(later.delta)
                    seq = later.seq
                    self._entry += 1
                return entry if len(deltas) == 1 else attrs.evolve(entry, delta=_joined(deltas), seq=seq)
            case _:
                return entry

    @property
    def pending(self) -> int:
        """How many events, as they happened, are still to be read."""
        return self._last_log.seq - self.seq

    @property
    def ended(self) -> bool:
        """Whether the terminal event has happened, read or not."""
        entries = self._last_log.entries
        return bool(entries) and isinstance(entries[-1], StreamEndEvent)

    @property
    def _last_log(self) -> EventLog:
        log = self._log
        while log.next is not None:
            log = log.next
        return log


def _joined(deltas: list[ThinkingPartDelta]) -> ThinkingPartDelta:
    """One delta that does what all of them do, one after the other."""
    contents = [delta.content_delta for delta in deltas if delta.content_delta is not None]
    signatures = [delta.signature_delta for delta in deltas if delta.signature_delta is not None]
    estimates = [delta.estimated_tokens for delta in deltas if delta.estimated_tokens is not None]
    return ThinkingPartDelta(
        joined(contents) if contents else None,
        signatures[-1] if signatures else None,
        sum(estimates) if estimates else None,
        {name: value for delta in deltas for name, value in delta.extra.items()},
    )

"""A stream's events as text, a span of them at a time, and back: for stores that another process reads.

An `Entry` is all that came between two looks. The strings of a run stay apart, so that a reader of the copy can go on
behind any of them; everything else is an encoded event. It holds no request, no message, no headers and no words of the
API about an error: what a browser may not see need not lie in a store (see `lean`).
"""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, cast

import attrs

from ..message import TextPartDelta, ThinkingPartDelta, ToolCallPartDelta
from ..stream import RestartEvent, StreamEndEvent, encode_event, event_from_data, lean
from ..wire import json_text
from .log import Cursor, EventLog, MakeDelta, Pieces

__all__ = ["Copy", "Entry", "written"]

VERSION = 1


@attrs.frozen
class Entry:
    """The events `first_seq` to `seq` of a stream."""

    first_seq: int
    seq: int
    text: str = attrs.field(repr=False)
    """JSON, in ASCII."""
    ends: bool = False
    """Whether the last one is the terminal event."""


def written(cursor: Cursor) -> Entry | None:
    """What came since `cursor` looked last, which is read with this; None when that is nothing."""
    first = cursor.seq + 1
    items: list[str] = []
    ends = False
    while (taken := cursor.take_apart()) is not None:
        if isinstance(taken, Pieces):
            kind, *known = _kind_of(taken.make)
            items.append(json_text([kind, taken.index, taken.pieces, *known]))
        else:
            if isinstance(taken, StreamEndEvent):
                taken, ends = lean(taken), True
            items.append(encode_event(taken))
    if not items:
        return None
    return Entry(first, cursor.seq, f'{{"v":{VERSION},"items":[{",".join(items)}]}}', ends)


class Copy:
    """Fills a log with what another process has written, entry by entry."""

    __slots__ = ("_makes", "last")

    def __init__(self, log: EventLog) -> None:
        self.last = log
        """The log of the latest attempt."""
        self._makes: dict[tuple[int, str | None], MakeDelta] = {}

    def load(self, entry: Entry) -> StreamEndEvent | None:
        """Appends the events of the entry that follows on what is there. Returns the terminal event, if it came.

        Raises `ValueError` for one that does not follow, or is none, such as another version's.
        """
        if entry.first_seq != self.last.seq + 1:
            raise ValueError(f"events {entry.first_seq} to {entry.seq} do not follow on {self.last.seq}")
        ending: StreamEndEvent | None = None
        for item in _items(entry.text):
            if isinstance(item, list):
                self._add_pieces(*_pieces(cast("list[Any]", item)))
                continue
            event = event_from_data(item)
            self.last.stream_id = event.stream_id
            if isinstance(event, RestartEvent):
                following = EventLog(self.last.stream_id, self.last.seq)
                self.last.run, self.last.next = None, following
                self.last = following
            elif isinstance(event, StreamEndEvent):
                ending = event
            self.last.add_again(event)
        if self.last.seq != entry.seq:
            raise ValueError(f"the entry ends with event {self.last.seq}, not {entry.seq}")
        return ending

    def _add_pieces(self, kind: str, index: int, pieces: list[str], tool_call_id: str | None) -> None:
        make = self._make(kind, index, tool_call_id)
        for piece in pieces:
            self.last.add_text(index, make, piece)

    def _make(self, kind: str, index: int, tool_call_id: str | None) -> MakeDelta:
        match kind:
            case "text":
                return TextPartDelta
            case "thinking":
                return ThinkingPartDelta
            case _:
                # One object for a part, as its run goes on only with the same.
                key = index, tool_call_id
                if (make := self._makes.get(key)) is None:
                    make = self._makes[key] = partial(ToolCallPartDelta, tool_call_id=tool_call_id)
                return make


def _kind_of(make: MakeDelta) -> tuple[str, ...] | tuple[str, str | None]:
    if make is TextPartDelta:
        return ("text",)
    if make is ThinkingPartDelta:
        return ("thinking",)
    delta = make("")
    assert isinstance(delta, ToolCallPartDelta)
    return "args", delta.tool_call_id


def _items(text: str) -> Iterator[Any]:
    try:
        data = json.loads(text)
    except RecursionError:
        raise ValueError("an entry that is nested too deeply") from None
    match data:
        case {"v": version, "items": [*items]} if version == VERSION:
            return iter(items)
        case _:
            raise ValueError("an entry of a stream that another version of manystream wrote")


def _pieces(item: list[Any]) -> tuple[str, int, list[str], str | None]:
    match item:
        case ["text" | "thinking" as kind, int() as index, [*pieces]]:
            call = None
        case ["args" as kind, int() as index, [*pieces], str() | None as call]:
            pass
        case _:
            raise ValueError("no text that was added to a part")
    if not all(isinstance(piece, str) for piece in pieces):
        raise ValueError("no text that was added to a part")
    return kind, index, pieces, call

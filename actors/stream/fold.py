"""From part events to parts: the answer put together again by somebody who has only its events."""

from ..message import Part, PartDelta, TextPartDelta, ThinkingPartDelta, ToolCallPartDelta, Usage
from ..wire import joined
from .events import (
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    SnapshotEvent,
    StreamEndEvent,
    StreamStartEvent,
    UsageEvent,
)
from .result import StreamResult

__all__ = ["Fold"]


class Fold:
    """What the events of one stream come to. Feed it all of them, in order, merged or not; the work is linear in their
    text. It is for events of another process or from a file: a handle has the same as `snapshot()`."""

    __slots__ = ("_kinds", "_open", "_parts", "_texts", "message_id", "model_name", "result", "stream_id", "usage")

    def __init__(self) -> None:
        self._parts: dict[int, Part] = {}
        self._texts: dict[int, list[str]] = {}  # what was appended to a part, and is not joined with it yet
        self._kinds: dict[int, type[TextPartDelta | ThinkingPartDelta | ToolCallPartDelta]] = {}
        self._open: set[int] = set()
        self.stream_id = ""
        """As the events name it."""
        self.message_id: str | None = None
        self.model_name: str | None = None
        self.usage = Usage()
        self.result: StreamResult | None = None
        """The ending, once it came."""

    def feed(self, event: PartEvent) -> None:
        """Takes the next event in. Raises `ValueError` for a delta or an end of a part that has not begun, and for a
        delta of another kind than its part."""
        self.stream_id = event.stream_id
        match event:
            case PartDeltaEvent():
                self._grow(event.index, event.delta)
            case PartStartEvent():
                self._parts[event.index] = event.part
                self._texts.pop(event.index, None)
                self._open.add(event.index)
            case PartEndEvent():
                self._part(event.index)
                self._parts[event.index] = event.part
                self._open.discard(event.index)
            case StreamStartEvent():
                self.message_id, self.model_name = event.message_id, event.model_name
            case UsageEvent():
                self.usage = event.usage
            case RestartEvent():
                self._clear()
            case SnapshotEvent():
                self._clear()
                self._parts.update(event.parts)
                self._open.update(index for index, part in event.parts if not part.complete)
                self.usage = event.usage
                self.message_id, self.model_name = event.message_id, event.model_name
            case StreamEndEvent():
                self.result = event.result
            case _:
                pass

    def parts(self) -> tuple[tuple[int, Part], ...]:
        """The parts with their indexes, in the message's order; those that have not ended have `complete=False`."""
        return tuple((index, self._part(index)) for index in sorted(self._parts))

    def open_parts(self) -> tuple[tuple[int, Part], ...]:
        """Those that have begun and not ended."""
        return tuple((index, self._part(index)) for index in sorted(self._open))

    def _grow(self, index: int, delta: PartDelta) -> None:
        match delta:
            case TextPartDelta(text) | ThinkingPartDelta(str(text), None, None) | ToolCallPartDelta(text) if (
                not delta.extra and index in self._parts
            ):
                self._kinds[index] = type(delta)
                self._texts.setdefault(index, []).append(text)
            case _:
                self._parts[index] = delta.apply(self._part(index))

    def _part(self, index: int) -> Part:
        try:
            part = self._parts[index]
        except KeyError:
            raise ValueError(f"part {index} has not begun") from None
        if texts := self._texts.pop(index, None):
            part = self._parts[index] = self._kinds[index](joined(texts)).apply(part)
        return part

    def _clear(self) -> None:
        self._parts.clear()
        self._texts.clear()
        self._open.clear()

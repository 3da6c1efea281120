"""The output of an answer, as a consumer's events bring it: JSON that grows, and the whole items of its arrays.

The output is one JSON value. It stands in the last text of an answer, or in the arguments of the last call of one tool.
A reader is fed a consumer's own events, whatever they were merged into, and does no I/O. It knows nothing of types:
what is to be made of an item, and which strings may be shown before they are whole, is handed in.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .message import Part, TextPart, TextPartDelta, ToolCallPart, ToolCallPartDelta
from .stream import PartDeltaEvent, PartEndEvent, PartEvent, PartStartEvent, RestartEvent, SnapshotEvent
from .wire import JsonPath, PartialJSON, ValueState

__all__ = ["ItemReader", "OutputReader", "output_text"]


def output_text(part: Part, tool: str | None) -> str | None:
    """The output's text so far, if it stands in this part: in a text, or, with `tool`, in a call of the tool of that
    name. None for any other part."""
    match part:
        case TextPart(content=text) if tool is None:
            return text
        case ToolCallPart(tool_name=name, args=text) if name == tool:
            return text
        case _:
            return None


class OutputReader:
    """The output so far: `feed` it each event of one consumer, in order.

    `tool` is the name of the tool whose call holds the output; None reads texts. When another text (or another call)
    begins, or the answer begins anew, what came before is void, and `generation` is one more.

    `root` is where the output stands in the JSON.
    """

    __slots__ = (
        "_ended",
        "_index",
        "_parser",
        "_root",
        "_shown",
        "_string",
        "_tool",
        "changes",
        "generation",
        "shows",
    )

    def __init__(self, tool: str | None = None, *, root: JsonPath = ()) -> None:
        self._tool = tool
        self._root = root
        self.shows: Callable[[JsonPath], bool] | None = None
        """Says of the way to a string, from the root of the JSON on, whether its beginning is worth showing. A string
        of which it is not is None in `value` until it is whole. None shows all."""
        self._index: int | None = None  # of the part that holds the output
        self._parser = PartialJSON()
        self._ended = False
        self._string = 0  # which of the parser's strings was asked about
        self._shown = True
        self.changes = 0
        """How often the output has changed."""
        self.generation = 0
        """How many outputs have begun or were made void."""

    def feed(self, event: PartEvent) -> bool:
        """Takes one event in. Returns whether the output has changed."""
        if type(event) is PartDeltaEvent:  # by far the most of them
            if event.index != self._index:
                return False
            delta = event.delta
            if type(delta) is TextPartDelta:
                self._parser.feed(delta.content_delta)
            elif type(delta) is ToolCallPartDelta:
                self._parser.feed(delta.args_delta)
            else:
                return False
            if self.shows is not None:
                self._hide(self.shows)
            self.changes += 1
            return True
        match event:
            case PartStartEvent(index=index, part=part):
                text = output_text(part, self._tool)
                if text is None:
                    return False
                self._begin(index, text)
            case PartEndEvent(index=index, part=part):
                if index != self._index or not part.complete:
                    return False
                self._ended = True
            case SnapshotEvent(parts=parts):
                self._reset()
                for index, part in parts:
                    if (text := output_text(part, self._tool)) is not None:
                        self._begin(index, text)
                        self._ended = part.complete
            case RestartEvent():
                self._reset()
            case _:
                return False
        self.changes += 1
        return True

    def _reset(self) -> None:
        self._index, self._parser, self._ended = None, PartialJSON(), False
        self._string, self._shown = 0, True
        self.generation += 1

    def _begin(self, index: int, text: str) -> None:
        self._reset()
        self._index = index
        self._parser.feed(text)
        if self.shows is not None:
            self._hide(self.shows)

    def _hide(self, shows: Callable[[JsonPath], bool]) -> None:
        """Has the string at the end show None if its beginning is not worth showing."""
        parser = self._parser
        if parser.strings != self._string:  # another than before
            self._string = parser.strings
            self._shown = not parser.in_string or shows(parser.open_path)
        if not self._shown:
            parser.hide_growing_string()

    @property
    def value(self) -> Any:
        """The output as far as it has come, as plain JSON data; None when nothing is known yet.

        It is live: one object that grows as events are fed, until the answer begins anew. Do not change it, and copy
        what you keep.
        """
        found = self._parser.value
        for key in self._root:
            kind = found.__class__
            if kind is not dict or key not in found:
                return None
            found = found[key]
        return found

    @property
    def complete(self) -> bool:
        """Whether the output is whole JSON."""
        return self._parser.complete and self.state() == "complete"

    @property
    def invalid(self) -> bool:
        """Whether what has come is no JSON and can't become any."""
        return self._parser.invalid

    def state(self, path: Sequence[str | int] = ()) -> ValueState:
        """How far the value at `path` has come: `pending`, `growing` or `complete`; the empty path is the whole. It
        takes as long as the path. A negative number counts items from the last one that has come."""
        if not path and self._ended and self._parser.complete:
            return "complete"  # nothing follows a number that is the whole output
        return self._parser.state((*self._root, *path) if self._root else path)

    def items(self, path: JsonPath = ()) -> "ItemReader":
        """A reader of the items of the array at `path`, from its first one."""
        return ItemReader(self, path)

    def array(self, path: JsonPath) -> list[Any] | None:
        """The array at `path`, once it has begun."""
        found = self._parser.value
        for key in (*self._root, *path):
            kind = found.__class__
            if kind is dict:
                if key not in found:
                    return None
            elif kind is not list or not isinstance(key, int) or not 0 <= key < len(found):
                return None
            found = found[key]
        kind = found.__class__
        return found if kind is list else None

    def whole_items(self, array: list[Any], depth: int) -> int:
        """How many items are whole of an array that stands so deep in the JSON."""
        return self._parser.whole_items(array, depth)

    def depth_of(self, path: JsonPath) -> int:
        """In how many containers the value at `path` stands."""
        return len(self._root) + len(path)


class ItemReader:
    """The items of one array of an output, each once, when it is whole."""

    __slots__ = ("_array", "_depth", "_generation", "_path", "_reader", "taken")

    def __init__(self, reader: OutputReader, path: JsonPath) -> None:
        self._reader = reader
        self._path = path
        self._depth = reader.depth_of(path)
        self._generation = reader.generation
        self._array: list[Any] | None = None
        self.taken = 0
        """How many items of the present output were taken."""

    def take(self) -> list[Any]:
        """The items that have become whole since the last look, as plain JSON data. Of an output that was begun anew,
        they are given from the first one."""
        reader = self._reader
        if reader.generation != self._generation:
            self._generation, self._array, self.taken = reader.generation, None, 0
        array = self._array
        if array is None:
            array = self._array = reader.array(self._path)
            if array is None:
                return []
        taken = self.taken
        if len(array) <= taken or (whole := reader.whole_items(array, self._depth)) == taken:
            return []
        self.taken = whole
        return array[taken:whole]

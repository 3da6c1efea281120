"""Views of one stream's output while it comes: its whole items, and the output as far as it has grown.

Both read the stream itself, as `text_stream` does: no event is added, and no other channel is read.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Generic

from typing_extensions import TypeVar

from ...actors.channel import misuse
from ...actors.output_reader import OutputReader
from ...actors.stream import InvalidOutput, OutputT_co, PartEvent, ReadItem
from ...actors.wire import JsonPath, ValueState

__all__ = ["ItemStream", "Partial", "PartialStream"]

ItemT_co = TypeVar("ItemT_co", default=Any, covariant=True)


class Partial(Generic[OutputT_co]):
    """An output as far as it has come. It is a view: it changes as the stream is read on, so copy what you keep.

    It is plain JSON data, not yet a value of the output's type: numbers, words and strings that stand for something
    else (one of several choices, a date) are left out or None until they are whole. Only texts are shown as they grow.
    """

    def __init__(self, reader: OutputReader) -> None:
        self._reader = reader

    @property
    def value(self) -> Any:
        """The output so far: dicts, lists and scalars; None before anything has come. Do not change it."""
        return self._reader.value

    def state(self, *path: str | int) -> ValueState:
        """How far a value has come: `pending` (nothing yet), `growing` or `complete`. Without a path, it says so of the
        whole. `state("lines", -1, "sku")` asks for a field of the last line so far.

        Of a number or a word nothing is known before it is whole. It takes as long as the path, however large the
        output."""
        return self._reader.state(path)

    @property
    def complete(self) -> bool:
        """Whether all of it has come. Whether it fits its type, only the stream's end says."""
        return self._reader.complete

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state()}>"


@misuse("async for partial in stream.partials()", "with", "for", "async with")
class PartialStream(AsyncIterator[Partial[OutputT_co]]):
    """The growing output of a stream, once for each event that changed it. It is one object, and the stream's end
    raises as iterating the stream does. When the answer begins anew it is given, too, with nothing in it."""

    def __init__(self, stream: AsyncIterator[PartEvent], reader: OutputReader) -> None:
        self._stream = stream
        self._partial = Partial[OutputT_co](reader)
        self._reader = reader
        self._changes = -1

    async def __anext__(self) -> Partial[OutputT_co]:
        while self._changes == (changes := self._reader.changes):
            await anext(self._stream)
        self._changes = changes
        return self._partial


@misuse("async for item in stream.items()", "with", "for", "async with")
class ItemStream(AsyncIterator[ItemT_co]):
    """The items of one list of a stream's output, each whole, validated, and given once. The stream's end raises as
    iterating the stream does.

    An item that does not fit its type is not given, and nor are those after it: the end then says what is wrong. When
    the answer begins anew, the items are given from the first one again; `starts` counts how often that was.
    """

    def __init__(
        self,
        stream: AsyncIterator[PartEvent],
        reader: OutputReader,
        path: JsonPath,
        read: ReadItem | None,
        taken: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._items = reader.items(path)
        self._reader = reader
        self._generation: int = reader.generation
        self._read = read
        self._taken = taken
        self._ready: deque[Any] = deque()
        self._broken = False
        self.starts = 0
        """How many answers items were given of."""
        self._given_of: int | None = None

    async def __anext__(self) -> ItemT_co:
        while True:
            self._look()
            while self._ready and not self._broken:
                try:
                    item = self._made(self._ready.popleft())
                except InvalidOutput:
                    self._broken = True
                    break
                if self._given_of != self._generation:
                    self._given_of = self._generation
                    self.starts += 1
                self._taken()
                return item
            await anext(self._stream)

    def _look(self) -> None:
        reader = self._reader
        if reader.generation != self._generation:
            self._generation, self._broken = reader.generation, False
            self._ready.clear()
        self._ready.extend(self._items.take())

    def _made(self, value: Any) -> Any:
        if self._read is None:
            return value
        try:
            return self._read(value)
        except InvalidOutput:
            raise
        except Exception as exc:  # of the type's own code
            raise InvalidOutput("", type(exc).__name__) from exc

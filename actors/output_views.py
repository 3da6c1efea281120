"""Views of one stream's output while it comes: its whole items, and the output as far as it has grown.

They read events that somebody gives them, as `text_stream` does: no event is added for them.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, Generic, Protocol

from anyio.lowlevel import checkpoint
from typing_extensions import TypeVar

from .actor import StreamActor
from .channel import misuse
from .output_reader import OutputReader
from .stream import InvalidOutput, OutputT_co, PartEvent, ReadItem, as_given
from .wire import JsonPath, ValueState

__all__ = ["NOTHING", "ItemStream", "OutputView", "Partial", "PartialStream", "WholeItems"]

_ITEMS_PER_CHECKPOINT = 32

ItemT_co = TypeVar("ItemT_co", default=Any, covariant=True)

NOTHING: Final[Any] = object()
"""What is given when no item is whole: an item may be None."""


class _Growing(Protocol):
    """JSON that comes in pieces."""

    @property
    def value(self) -> Any: ...
    @property
    def complete(self) -> bool: ...
    def state(self, path: Sequence[str | int] = ()) -> ValueState: ...


def _check_path(asked: str, path: Sequence[object]) -> None:
    for key in path:
        if isinstance(key, bool) or not isinstance(key, str | int):
            words = f"{asked}() takes names and numbers one by one, as in {asked}(*path), or {asked}"
            raise TypeError(f'{words}("lines"), not {as_given(key)}')


class Partial(Generic[OutputT_co]):
    """An output as far as it has come. It is a view: it changes as the stream is read on, so copy what you keep.

    It is plain JSON data, not yet a value of the output's type: numbers, words and strings that stand for something
    else (one of several choices, a date) are left out or None until they are whole. Only texts are shown as they grow.
    """

    def __init__(self, growing: _Growing, is_void: Callable[[], bool]) -> None:
        self._growing = growing
        self._is_void = is_void

    @property
    def value(self) -> Any:
        """The output so far: dicts, lists and scalars; None before anything has come. Do not change it."""
        return self._growing.value

    def state(self, *path: str | int) -> ValueState:
        """How far a value has come: `pending` (nothing yet), `growing` or `complete`. Without a path, it says so of the
        whole. `state("lines", -1, "sku")` asks for a field of the last line so far.

        Of a number or a word nothing is known before it is whole. It takes as long as the path, however large the
        output. Raises `TypeError` for what is neither a name nor a number: a path is not given as a tuple."""
        try:
            state = self._growing.state(path)
        except TypeError:  # it can be no name, nor be looked up
            state = "pending"
        if state == "pending":
            _check_path("state", path)
        return state

    @property
    def complete(self) -> bool:
        """Whether all of it has come. Whether it fits its type, only the stream's end says."""
        return self._growing.complete

    @property
    def void(self) -> bool:
        """Whether the answer was begun anew since this was read, by a retry or a restart: nothing of `value` and
        `state` stands then. The next partial of the stream has nothing in it."""
        return self._is_void()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'void' if self.void else self.state()}>"


class OutputView:
    """What one consumer of a stream sees of its output: nothing until it asks, and from then on what it is fed."""

    def __init__(self, actor: StreamActor) -> None:
        self._actor = actor
        self.reader: OutputReader | None = None
        """What is to be fed each event; None when nobody has asked."""
        self.seq = 0
        """The number of the last event that the consumer has read."""

    def feed(self, event: PartEvent) -> None:
        """The consumer has read an event."""
        self.seq = event.seq
        if self.reader is not None:
            self.reader.feed(event)

    def is_void(self) -> bool:
        """Whether the answer was begun anew behind what the consumer has read. Its next events say so, too."""
        return self.seq < self._actor.given.void_before

    def take(self) -> bool:
        """The consumer is to be given an item. Returns whether what it has read still stands."""
        return self._actor.given.take(self.seq)

    def items(self, path: JsonPath) -> "WholeItems":
        """The items of the list at `path`. Raises `TypeError` for what is no path, `ValueError` when the type has no
        list there, and `RuntimeError` when events were read before anybody asked."""
        _check_path("items", path)
        if any(isinstance(key, int) and key < 0 for key in path):
            raise ValueError("items() counts from the first item: which is the last one changes while they come")
        output = self._actor.output
        read = None if output is None else output.item(path)
        return WholeItems(self, self._reader(), path, read)

    def partial(self) -> OutputReader:
        """The output as far as it has come. Raises `RuntimeError` when events were read before anybody asked."""
        reader = self._reader()
        if self._actor.output is not None:
            reader.shows = self._actor.output.shows
        return reader

    def _reader(self) -> OutputReader:
        if self.reader is None:
            if self.seq:
                raise RuntimeError("items() and partials() have to be called before the stream is read")
            output = self._actor.output
            self.reader = OutputReader() if output is None else OutputReader(output.tool, root=output.root)
        return self.reader


class WholeItems:
    """The items of one list of an output, each once: whole, and made by the type's own decoder."""

    def __init__(self, view: OutputView, reader: OutputReader, path: JsonPath, read: ReadItem | None) -> None:
        self._items = reader.items(path)
        self._view = view
        self._reader = reader
        self._generation: int = reader.generation
        self._read = read
        self._ready: deque[Any] = deque()
        self._broken = False
        self._starts = 1
        self._given = False  # an item of the present answer

    @property
    def starts(self) -> int:
        """1, and one more each time that items which were given have become void."""
        return self._starts + (self._given and self._view.is_void())

    def next(self) -> Any:
        """The next item, or `NOTHING` if none is whole, one before it did not fit, or what was read is void."""
        reader = self._reader
        if reader.generation != self._generation:
            self._generation = reader.generation
            self._begin_anew()
        if self._view.is_void():
            self._begin_anew()
            return NOTHING
        self._ready.extend(self._items.take())
        if not self._ready or self._broken:
            return NOTHING
        try:
            item = self._made(self._ready.popleft())
        except InvalidOutput:
            self._broken = True
            return NOTHING
        if not self._view.take():  # made void in this very moment, in another thread
            return NOTHING
        self._given = True
        return item

    def _begin_anew(self) -> None:
        self._ready.clear()
        self._broken = False
        self._starts += self._given
        self._given = False

    def _made(self, value: Any) -> Any:
        if self._read is None:
            return value
        try:
            return self._read(value)
        except InvalidOutput:
            raise
        except Exception as exc:  # of the type's own code
            raise InvalidOutput("", type(exc).__name__) from exc


@misuse("async for partial in stream.partials()", "with", "for", "async with")
class PartialStream(AsyncIterator[Partial[OutputT_co]]):
    """The growing output of a stream, once for each event that changed it. It is one object, and the stream's end
    raises as iterating the stream does.

    When the answer begins anew it is given, too, with nothing in it: what was given before is void. From that moment on
    nothing more of the void answer is given, however far this reader lags.
    """

    def __init__(self, stream: AsyncIterator[PartEvent], view: OutputView) -> None:
        self._stream = stream
        self._reader = view.partial()
        self._is_void = view.is_void
        self._partial = Partial[OutputT_co](self._reader, view.is_void)
        self._changes = -1

    async def __anext__(self) -> Partial[OutputT_co]:
        while self._changes == (changes := self._reader.changes) or self._is_void():
            await anext(self._stream)
        self._changes = changes
        return self._partial


@misuse("async for item in stream.items()", "with", "for", "async with")
class ItemStream(AsyncIterator[ItemT_co]):
    """The items of one list of a stream's output, each whole, validated, and given once. The stream's end raises as
    iterating the stream does.

    An item that does not fit its type is not given, and nor are those after it: the end then says what is wrong. When
    the answer begins anew, the items are given from the first one again, and `starts` is one more. From that moment on
    nothing more of the void answer is given, however far this reader lags.
    """

    def __init__(self, stream: AsyncIterator[PartEvent], items: WholeItems) -> None:
        self._stream = stream
        self._items = items
        self._given = 0  # since the consumer last gave way to others

    @property
    def starts(self) -> int:
        """1 at first, and one more when the answer has begun anew and items were given before: what was given under a
        lower number is void. It says so at once, before the next item, and also when none comes."""
        return self._items.starts

    async def __anext__(self) -> ItemT_co:
        if self._given >= _ITEMS_PER_CHECKPOINT:  # one event may bring any number of them
            self._given = 0
            await checkpoint()
        while (item := self._items.next()) is NOTHING:
            self._given = 0
            await anext(self._stream)
        self._given += 1
        return item

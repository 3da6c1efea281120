"""Where entries come from that can be read again and again: a file, or rows that a program has in memory.

A frame of pandas or polars is known by its methods, and neither package is imported.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import IO, Any, Protocol, cast

import attrs

from ...actors.stream import StreamRequest
from .entries import entries_of, form_of_file
from .entry import Entry, place
from .formats import Form, InputError, opened
from .plain_values import plain_row

__all__ = ["EntrySource", "FileSource", "Frame", "RowSource", "entry_of", "is_frame"]


class Frame(Protocol):
    """A frame of pandas or polars."""

    @property
    def columns(self) -> Any: ...

    def head(self, n: int = ..., /) -> Any: ...


class EntrySource(Protocol):
    """Entries, read from the beginning each time."""

    @property
    def name(self) -> str:
        """What errors call it."""
        ...

    def opened(self) -> "Any":
        """A context manager with an iterator over the entries."""
        ...

    def places(self) -> Callable[[int], str]:
        """What says of an entry's number where it is."""
        ...


@attrs.frozen
class FileSource:
    """The entries of a file. Its methods raise `InputError` when it can't be read."""

    name: str
    open: Callable[[], IO[bytes]] = attrs.field(repr=False)

    @contextmanager
    def opened(self) -> Generator[Iterator[Entry]]:
        """The entries."""
        with opened(self.name, self.open) as file:
            yield entries_of(self.name, file)

    def places(self) -> Callable[[int], str]:
        """What says of an entry's number where it is."""
        with opened(self.name, self.open) as file:
            form: Form = form_of_file(self.name, file)
        return lambda number: place(self.name, number, form)


@attrs.frozen
class RowSource:
    """Rows, prompts and requests in memory, or a frame of them."""

    items: Any = attrs.field(repr=False)
    name: str = "rows"

    def __len__(self) -> int:
        return len(self.items)

    @contextmanager
    def opened(self) -> Generator[Iterator[Entry]]:
        """The entries."""
        yield (entry_of(item, number) for number, item in enumerate(self._rows(), 1))

    def places(self) -> Callable[[int], str]:
        """What says of an entry's number where it is."""
        return _row_place

    def _rows(self) -> Iterable[Any]:
        items = self.items
        if not is_frame(items):
            return items
        names = [_column(name) for name in items.columns]
        if twice := [name for name in names if names.count(name) > 1]:
            raise InputError(f"rows: the column {twice[0]!r} is there twice")
        if hasattr(items, "iter_rows"):  # polars
            return items.iter_rows(named=True)
        return (dict(zip(names, row, strict=True)) for row in items.itertuples(index=False, name=None))  # pandas


def is_frame(items: object) -> bool:
    """Whether it is a frame of pandas or polars."""
    return hasattr(items, "columns") and (hasattr(items, "iter_rows") or hasattr(items, "itertuples"))


def entry_of(item: object, number: int) -> Entry:
    """An item that a program gives: a row, a prompt, a request, or the parameters of one."""
    where = _row_place(number)
    if isinstance(item, Mapping) and "messages" not in item:
        row = cast("Mapping[Any, Any]", item)
        return Entry(where, number, f"row-{number}", partial(plain_row, where, row), is_row="params" not in row)
    return Entry(where, number, f"request-{number}", partial(_request, where, item))


def _request(where: str, item: object) -> object:
    try:
        return cast("object", item) if isinstance(item, StreamRequest) else StreamRequest(cast("Any", item))
    except (TypeError, ValueError) as exc:
        raise InputError(f"{where}: {exc}") from None


def _row_place(number: int) -> str:
    return f"row {number}"


def _column(name: object) -> str:
    if not isinstance(name, str):
        raise InputError(f"rows: a column's name is a string, not {name!r}")
    return name

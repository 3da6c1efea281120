"""What a program gives a run as its input: a path, requests, prompts, rows, or a frame of them, once or to be iterated.

Requests and prompts go through as they are. Rows are read like those of a file: a collection is checked as a whole, and
what is iterated once is checked as it comes.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, cast

from ..combinators.arguments import check_requests
from .formats import InputError
from .invalid import Invalid
from .numbered import Numbered
from .order import Order
from .pipe import RequestPipe
from .reading import Reading
from .request_file import RequestFile, checked, read_input
from .sources import RowSource, entry_of, is_frame

__all__ = ["RowStream", "check_source", "requests_in"]


def check_source(source: object) -> None:
    """Raises `TypeError` for what can be no source, such as one row in place of many: its keys would be prompts."""
    if not isinstance(source, str | os.PathLike | RequestFile | RequestPipe) and not is_frame(source):
        check_requests(source)


def requests_in(source: Any, reading: Reading, order: Callable[[], Order], *, skip_invalid: bool) -> Any:
    """The requests of a source, ready to be run. `order` is asked where there is one to be had. Raises as
    `read_requests` does, and `ValueError` where `reading` or `order` can't be had from such a source."""
    wanted = order()
    if isinstance(source, str | os.PathLike):
        return read_input(cast("str | os.PathLike[str]", source), reading, wanted, skip_invalid=skip_invalid)
    asked = reading != Reading()
    if isinstance(source, RequestFile | RequestPipe):
        if asked or wanted.is_given:
            raise ValueError("the input was read already: give template, columns and the like to read_requests")
        return source
    if is_frame(source) or (isinstance(source, Sized) and isinstance(source, Iterable)):
        if asked or wanted.is_given or is_frame(source) or any(map(_is_row, source)):
            return checked(RowSource(source), None, reading, wanted, skip_invalid=skip_invalid)
        return source
    if wanted.is_given:
        raise ValueError("sample and shuffle need all rows at once: give a list of them, not an iterator")
    kind = _AsyncRows if isinstance(source, AsyncIterable) else _Rows
    return kind(source, reading, asked=asked, skip_invalid=skip_invalid)


def _is_row(item: object) -> bool:
    return isinstance(item, Mapping) and "messages" not in item


class RowStream:
    """What a program gives one by one."""

    def __init__(self, items: Any, reading: Reading, *, asked: bool, skip_invalid: bool) -> None:
        self.invalid = Invalid()
        """What was skipped."""
        self._items = items
        self._reading = reading
        self._asked = asked
        self._skip_invalid = skip_invalid

    def _requests(self, item: Any, number: int) -> Iterable[Any]:
        if not self._asked and not _is_row(item):
            return (item,)
        try:
            found: list[Numbered] = self._reading.checked(entry_of(item, number))
        except InputError as exc:
            if not self._skip_invalid:
                raise
            self.invalid.add(exc)
            return ()
        return found


class _Rows(RowStream):
    def __iter__(self) -> Iterator[Any]:
        for number, item in enumerate(self._items, 1):
            yield from self._requests(item, number)


class _AsyncRows(RowStream):
    async def __aiter__(self) -> AsyncIterator[Any]:
        number = 0
        async for item in self._items:
            number += 1
            for request in self._requests(item, number):
                yield request

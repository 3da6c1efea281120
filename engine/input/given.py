"""What a program gives a run as its input: a path, requests, prompts, rows, or a frame of them, once or to be iterated.

Requests and prompts go through as they are. Rows are read like those of a file: a collection is checked as a whole, and
what is iterated once is checked as it comes.
"""

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sized
from typing import Any, cast

from ..combinators.arguments import check_requests
from .numbered import Numbered
from .order import Order
from .pipe import RequestPipe
from .reading import Reading
from .request_file import RequestFile, checked, read_input
from .sources import RowSource, entry_of, is_frame

__all__ = ["check_source", "requests_in"]


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
    if isinstance(source, AsyncIterable):
        return _each_async(cast("AsyncIterable[Any]", source), reading, asked=asked)
    return _each(cast("Iterable[Any]", source), reading, asked=asked)


def _is_row(item: object) -> bool:
    return isinstance(item, Mapping) and "messages" not in item


def _each(items: Iterable[Any], reading: Reading, *, asked: bool) -> Iterator[Any]:
    for number, item in enumerate(items, 1):
        yield from _requests(item, number, reading, asked=asked)


async def _each_async(items: AsyncIterable[Any], reading: Reading, *, asked: bool) -> AsyncIterator[Any]:
    number = 0
    async for item in items:
        number += 1
        for request in _requests(item, number, reading, asked=asked):
            yield request


def _requests(item: Any, number: int, reading: Reading, *, asked: bool) -> Iterable[Any]:
    if not asked and not _is_row(item):
        return (item,)
    found: list[Numbered] = reading.checked(entry_of(item, number))
    return found

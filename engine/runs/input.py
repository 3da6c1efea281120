"""The requests of a run: from a file, all checked before any is sent, or from a pipe, checked as they come.

Three forms are read. JSON Lines of Message Batches requests, `{"custom_id": …, "params": {…}}`; in the same place the
shorthand `{"prompt": …}`, whose id is made from the line's number unless it has one; or one Message Batches body,
`{"requests": [{"custom_id": …, "params": {…}}, …]}`, as the whole file, which is held in memory. Empty lines are
skipped.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import suppress
from functools import partial
from typing import IO, cast

import anyio
import attrs
from anyio import to_thread

from ...actors.stream import StreamRequest
from .checks import check_params, request_of
from .entries import (
    Entry,
    InputError,
    body_entries,
    entries_of,
    is_body,
    is_body_file,
    line_entry,
    opened,
    place,
    used_already,
)
from .used_ids import DuplicateError, add_id, temporary_ids

__all__ = ["Invalid", "RequestFile", "RequestPipe", "read_requests"]

_TOLD = 10  # invalid requests that are told one by one


@attrs.define
class Invalid:
    """Requests that were skipped because they are invalid."""

    count: int = 0
    told: list[str] = attrs.Factory(list[str])
    """What is wrong with the first ten, a line each."""

    def add(self, error: InputError) -> None:
        """Counts one more."""
        self.count += 1
        if self.count <= _TOLD:
            self.told.append(str(error))

    def lines(self) -> list[str]:
        """What was skipped, for people."""
        more = [f"and {self.count - len(self.told):,} more"] if self.count > len(self.told) else []
        return [f"skipped: {line}" for line in self.told + more]


@attrs.frozen
class RequestFile:
    """Requests that have been checked. Iterating reads the file anew and holds one request at a time."""

    path: str | None
    """Where the file is; None for standard input."""
    count: int
    """How many requests there are."""
    model_name: str | None
    """The model that the first request names."""
    invalid: Invalid
    """What was skipped."""
    _open: Callable[[], IO[bytes]] = attrs.field(repr=False)
    _skipped: Container[int] = attrs.field(repr=False)

    @property
    def name(self) -> str:
        """The file's path, or `stdin`."""
        return "stdin" if self.path is None else self.path

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[StreamRequest]:
        """The requests in their order. Raises `InputError` when the file has changed and is no longer valid."""
        return (request for _, request in self.numbered())

    def numbered(self) -> Iterator[tuple[int, StreamRequest]]:
        """The requests with their places: the number of the line, or of the request in a Batches body, from 1. Raises
        as iterating does."""
        with opened(self.name, self._open) as file:
            for entry in entries_of(self.name, file):
                if entry.number not in self._skipped:
                    yield entry.number, request_of(entry)

    def where(self, number: int) -> str:
        """A place as errors name it."""
        with opened(self.name, self._open) as file:
            return place(self.name, number, in_body=is_body_file(file))


def read_requests(
    path: str | os.PathLike[str], *, needs_model: bool = False, skip_invalid: bool = False
) -> "RequestFile | RequestPipe":
    """Reads and checks all requests of a file; `-` is standard input. What can't be read twice, such as a pipe, is
    returned unread: it is read and checked while it is iterated.

    With `needs_model` each request has to name its model. Raises `InputError` for the first thing that is wrong, and
    for a file without requests; with `skip_invalid` invalid requests are skipped instead. Blocks. A file without errors
    makes it import `anthropic`, for the names of the API's parameters.
    """
    name = where_it_is = os.fspath(path)
    open_again: Callable[[], IO[bytes]] = partial(open, name, "rb")
    if name == "-":
        name, where_it_is, open_again = "stdin", None, _open_stdin
    with opened(name, open_again) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return RequestPipe(name, os.dup(file.fileno()), needs_model=needs_model, skip_invalid=skip_invalid)
    model_name: str | None = None
    count = 0
    invalid, skipped = Invalid(), set[int]()
    with opened(name, open_again) as file, temporary_ids() as ids:
        for entry in entries_of(name, file):
            try:
                request = request_of(entry)
                _add_id(ids, entry, cast(str, request.custom_id))
                check_params(entry.where, request, needs_model=needs_model)
            except InputError as exc:
                if not skip_invalid:
                    raise
                invalid.add(exc)
                skipped.add(entry.number)
                continue
            count += 1
            if model_name is None:
                model_name = request.params.get("model")
    if not count:
        raise InputError(f"{name}: it contains no {'valid ' if invalid.count else ''}requests")
    return RequestFile(where_it_is, count, model_name, invalid, open_again, skipped)


def _add_id(ids: sqlite3.Connection, entry: Entry, custom_id: str) -> None:
    try:
        add_id(ids, custom_id, entry.number)
    except DuplicateError as exc:
        first = f"line {exc.first}" if entry.default_id.startswith("line") else f"requests[{exc.first - 1}]"
        raise used_already(entry.where, custom_id, first) from None
    except sqlite3.Error as exc:  # its file is where temporary files are
        raise InputError(f"{entry.where}: the ids can't be compared: {exc}") from exc


class RequestPipe(AsyncIterator[tuple[int, StreamRequest]]):
    """Requests that come one after another, with their places, and are checked as they come. It is iterated once.

    Iterating raises `InputError` for the first invalid request, unless invalid ones are skipped.
    """

    path = None
    model_name = None

    def __init__(self, name: str, descriptor: int, *, needs_model: bool, skip_invalid: bool) -> None:
        self.name = name
        self.invalid = Invalid()
        """What was skipped."""
        self._descriptor = descriptor
        self._needs_model = needs_model
        self._skip_invalid = skip_invalid
        self._entries: Iterator[Entry] | None = None  # of a Batches body
        self._data = b""
        self._number = 0
        self._ended = False
        self._any = False

    def where(self, number: int) -> str:
        """A place as errors name it."""
        return place(self.name, number, in_body=self._entries is not None)

    async def __anext__(self) -> tuple[int, StreamRequest]:
        while True:
            entry = await self._next()
            if entry is None:
                if not self._any and not self.invalid.count:
                    raise InputError(f"{self.name}: it contains no requests")
                raise StopAsyncIteration
            try:
                request = request_of(entry)
                check_params(entry.where, request, needs_model=self._needs_model)
            except InputError as exc:
                if not self._skip_invalid:
                    raise
                self.invalid.add(exc)
                continue
            self._any = True
            return entry.number, request

    async def _next(self) -> Entry | None:
        if self._entries is not None:
            return next(self._entries, None)
        while True:
            line, end, rest = self._data.partition(b"\n")
            if not end and not self._ended:
                if data := await self._read():
                    self._data += data
                else:
                    self._ended = True
                continue
            if not self._number and is_body(self._data):
                while data := await self._read():
                    self._data += data
                self._entries = body_entries(self.name, self._data)
                return next(self._entries, None)
            if not end and not line:
                return None
            self._data = rest
            self._number += 1
            if line.strip():
                return line_entry(self.name, self._number, line)

    async def _read(self) -> bytes:
        try:
            if sys.platform == "win32":
                return await to_thread.run_sync(os.read, self._descriptor, 65536, abandon_on_cancel=True)
            with suppress(PermissionError):  # a device that is always ready can't be waited for
                await anyio.wait_readable(self._descriptor)
            return os.read(self._descriptor, 65536)
        except OSError as exc:
            raise InputError(f"{self.name}: {(exc.strerror or str(exc)).lower()}") from exc

    def close(self) -> None:
        """Closes the pipe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _open_stdin() -> IO[bytes]:
    file = open(os.dup(sys.stdin.fileno()), "rb")  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.seek(0)
    return file

"""The requests of a run: from a file, all checked before any is sent, or from a pipe (`pipe`), checked as they come.

Three forms are read. JSON Lines of Message Batches requests, `{"custom_id": …, "params": {…}}`; in the same place the
shorthand `{"prompt": …}`, whose id is made from the line's number unless it has one; or one document as the whole file,
which is held in memory: a Message Batches body, `{"requests": […]}`, or an array of either kind. Empty lines are
skipped. gzip and Zstandard around them are undone.
"""

import os
import sqlite3
import stat
import sys
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from functools import partial
from typing import IO, Any, cast

import attrs

from ...actors.message import EMPTY
from ...actors.stream import StreamRequest
from .checks import WholeFileError, check_params, request_of
from .entries import Entry, entries_of, form_of_file, place, used_already
from .formats import Form, InputError, opened
from .invalid import Invalid, InvalidRequestsError
from .pipe import RequestPipe
from .used_ids import DuplicateError, add_id, temporary_ids

__all__ = ["RequestFile", "read_requests"]


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
    replaced: Mapping[str, int]
    """In how many requests another value stood in place of a parameter that was given for all, by its name."""
    _open: Callable[[], IO[bytes]] = attrs.field(repr=False)
    _skipped: Container[int] = attrs.field(repr=False)
    _parameters: Mapping[str, Any] = attrs.field(default=EMPTY, repr=False)

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
        """The requests with their places: the number of the line, or of the request in a document, from 1. Raises as
        iterating does."""
        with opened(self.name, self._open) as file:
            for entry in entries_of(self.name, file):
                if entry.number not in self._skipped:
                    yield entry.number, request_of(entry, self._parameters)

    def where(self, number: int) -> str:
        """A place as errors name it."""
        with opened(self.name, self._open) as file:
            return place(self.name, number, form_of_file(file))


def read_requests(
    path: str | os.PathLike[str],
    *,
    needs_model: bool = False,
    skip_invalid: bool = False,
    parameters: Mapping[str, Any] = EMPTY,
) -> RequestFile | RequestPipe:
    """Reads and checks all requests of a file; `-` is standard input. What can't be read twice, such as a pipe, is
    returned unread: it is read and checked while it is iterated.

    With `needs_model` each request has to name its model. `parameters` of the API stand in all requests, in place of
    their own. Raises `InvalidRequestsError` for requests that are not valid, which has the first ten of them, unless
    `skip_invalid` skips them; and `InputError` for a file that can't be read, or has no requests. Blocks. A file
    without errors makes it import `anthropic`, for the names of the API's parameters.
    """
    name = where_it_is = os.fspath(path)
    open_again: Callable[[], IO[bytes]] = partial(open, name, "rb")
    if name == "-":
        name, where_it_is, open_again = "stdin", None, _open_stdin
    try:
        with open_again() as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return RequestPipe(
                    name,
                    os.dup(file.fileno()),
                    needs_model=needs_model,
                    skip_invalid=skip_invalid,
                    parameters=parameters,
                )
    except OSError as exc:
        raise InputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc
    model_name: str | None = None
    count = 0
    invalid, skipped, replaced = Invalid(), set[int](), Counter[str]()
    with opened(name, open_again) as file, temporary_ids() as ids:
        form = form_of_file(file)
        for entry in entries_of(name, file):
            try:
                request = request_of(entry, parameters, replaced)
                _add_id(ids, entry, cast(str, request.custom_id), form)
                check_params(entry, request, needs_model=needs_model)
            except InputError as exc:
                if isinstance(exc, WholeFileError) and not count and not invalid.count and not skip_invalid:
                    raise
                invalid.add(exc)
                skipped.add(entry.number)
                continue
            count += 1
            if model_name is None:
                model_name = request.params.get("model")
    if invalid.count and not skip_invalid:
        raise InvalidRequestsError(invalid)
    if not count:
        if invalid.count:
            raise InputError(f"{name}: it contains no valid requests; the first: {invalid.told[0]}")
        raise InputError(f"{name}: it contains no requests")
    return RequestFile(where_it_is, count, model_name, invalid, replaced, open_again, skipped, parameters)


def _add_id(ids: sqlite3.Connection, entry: Entry, custom_id: str, form: Form) -> None:
    try:
        add_id(ids, custom_id, entry.number)
    except DuplicateError as exc:
        first = f"line {exc.first}" if form == "lines" else place("", exc.first, form).removeprefix(": ")
        raise used_already(entry.where, custom_id, first) from None
    except sqlite3.Error as exc:  # its file is where temporary files are
        raise InputError(f"{entry.where}: the ids can't be compared: {exc}") from exc


def _open_stdin() -> IO[bytes]:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
        raise InputError("stdin: is closed")
    file = open(os.dup(sys.stdin.fileno()), "rb")  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.seek(0)
    return file

"""The requests of a run: from a file, all checked before any is sent, or from a pipe (`pipe`), checked as they come.

`formats` says what a file may be, `reading` how what is in it becomes requests.
"""

import os
import sqlite3
import stat
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import partial
from typing import IO, Any

import attrs

from ...actors.message import EMPTY
from ...actors.stream import StreamRequest, check_path
from .entry import Entry, used_already
from .formats import InputError, WholeFileError
from .invalid import Invalid, InvalidRequestsError
from .numbered import Numbered, shown_id
from .order import Order, SampledNumbers, Shuffled
from .pipe import RequestPipe
from .reading import Columns, Reading
from .remarks import Remarks
from .sources import EntrySource, FileSource
from .template import Template
from .used_ids import DuplicateError, add_id, temporary_ids

__all__ = ["RequestFile", "checked", "read_input", "read_requests"]


@attrs.frozen(kw_only=True)
class RequestFile:
    """Requests that have been checked: of a file, or of rows in memory. Iterating reads them anew and holds one at a
    time."""

    path: str | None
    """Where the file is; None for standard input, and for what a program gave."""
    count: int
    """How many requests there are."""
    entries: int
    """How many entries they come from, each answered once an epoch."""
    found: int
    """How many entries there are in all, of which these may be a sample."""
    model_name: str | None
    """The model that the first request names."""
    invalid: Invalid
    """What was skipped."""
    remarks: tuple[str, ...] = ()
    """What looks like a slip, a line each for people: columns that are not sent and may be meant to."""
    replaced: Mapping[str, int]
    """In how many requests another value stood in place of a parameter that was given for all, by its name."""
    seed: int | None = None
    """Of the sample, or of the order by chance; None if the requests are all, as they stand."""
    _source: EntrySource = attrs.field(alias="source", repr=False)
    _reading: Reading = attrs.field(alias="reading", repr=False)
    _skipped: Container[int] = attrs.field(alias="skipped", repr=False)
    _sampled: Container[int] | None = attrs.field(alias="sampled", default=None, repr=False)
    _shuffled: Shuffled | None = attrs.field(alias="shuffled", default=None, repr=False)

    @property
    def name(self) -> str:
        """The file's path, `stdin` or `rows`."""
        return self._source.name

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[StreamRequest]:
        """The requests in their order. Raises `InputError` when the file has changed and is no longer valid."""
        return (request for _, request, _ in self.numbered())

    def numbered(self) -> Iterator[Numbered]:
        """The requests with their places: the number of the line, or of the request in a document, from 1, and with
        epochs so many for each. Raises as iterating does."""
        if self._shuffled is not None:
            for entry in self._shuffled.entries():
                yield from self._reading.numbered(entry)
            return
        with self._source.opened() as entries:
            for entry in entries:
                if entry.number not in self._skipped and (self._sampled is None or entry.number in self._sampled):
                    yield from self._reading.numbered(entry)

    def where(self, number: int) -> str:
        """The place of a request as errors name it."""
        entry = self._reading.number(number)
        return self._source.places()(entry) if self._shuffled is None else self._shuffled.where(entry)


def read_requests(
    path: str | os.PathLike[str],
    *,
    needs_model: bool = False,
    skip_invalid: bool = False,
    parameters: Mapping[str, Any] = EMPTY,
    template: str | os.PathLike[str] | None = None,
    columns: Columns | None = None,
    epochs: int = 1,
    sample: int | None = None,
    shuffle: bool = False,
    seed: int = 0,
) -> RequestFile | RequestPipe:
    """Reads and checks all requests of a file; `-` is standard input. What can't be read twice, such as a pipe, is
    returned unread: it is read and checked while it is iterated.

    - With `needs_model` each request has to name its model.
    - `parameters` of the API stand in all requests, in place of their own.
    - `template` makes a prompt of each row, by Jinja: a text, or the path of a file (a `Path`). `columns` says which
      columns mean what.
    - `epochs` has each entry answered so many times: the ids end in `__1` and so on.
    - `sample` takes so many of the entries by chance, `shuffle` has all of them come by chance: which, `seed` decides.
      A larger sample with the same seed has the smaller one in it.

    Raises `InvalidRequestsError` for requests that are not valid, which has the first ten of them, unless
    `skip_invalid` skips them; and `InputError` for a file that can't be read, or has no requests. Blocks. A file
    without errors makes it import `anthropic`, for the names of the API's parameters.
    """
    check_path("path", path, "the path of a file of requests, or - for standard input")
    reading = Reading(
        parameters=parameters,
        template=Template.of(template),
        columns=columns or Columns(),
        epochs=epochs,
        needs_model=needs_model,
    )
    order = Order(sample=sample, shuffle=shuffle, seed=seed)
    return read_input(path, reading, order, skip_invalid=skip_invalid)


def read_input(
    path: str | os.PathLike[str], reading: Reading, order: Order, *, skip_invalid: bool
) -> RequestFile | RequestPipe:
    """The same, for what is said in one word."""
    name = where_it_is = os.fspath(path)
    open_again: Callable[[], IO[bytes]] = partial(open, name, "rb")
    if name == "-":
        name, where_it_is, open_again = "stdin", None, _open_stdin
    try:
        with open_again() as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                if order.is_given:
                    raise InputError(f"{name}: a pipe can't be sampled or shuffled: its end is not known; name a file")
                return RequestPipe(name, os.dup(file.fileno()), reading, skip_invalid=skip_invalid)
    except OSError as exc:
        raise InputError(f"{name}: {(exc.strerror or str(exc)).lower()}") from exc
    return checked(FileSource(name, open_again), where_it_is, reading, order, skip_invalid=skip_invalid)


def checked(
    source: EntrySource, path: str | None, reading: Reading, order: Order, *, skip_invalid: bool = False
) -> RequestFile:
    """Reads all of a source and checks it. Raises as `read_requests` does."""
    name = source.name
    model_name: str | None = None
    count = entries = found = 0
    invalid, skipped, remarks = Invalid(), set[int](), Remarks()
    sampled = None if order.sample is None or order.shuffle else SampledNumbers(order.sample)
    shuffled = Shuffled(name, order.sample) if order.shuffle else None
    with source.opened() as opened, temporary_ids() as ids:
        for entry in opened:
            try:
                requests = reading.checked(entry, remarks)
                _add_ids(ids, source, reading, entry, requests)
            except InputError as exc:
                if isinstance(exc, WholeFileError) and not found and not invalid.count and not skip_invalid:
                    raise
                invalid.add(exc)
                skipped.add(entry.number)
                continue
            found += 1
            if model_name is None:
                model_name = requests[0].request.params.get("model")
            if order.is_given:
                rank = order.rank(reading.entry_id(requests[0]))
                if shuffled is not None:
                    shuffled.add(rank, entry, entry.read())
                if sampled is not None:
                    sampled.add(rank, entry.number)
    if invalid.count and not skip_invalid:
        raise InvalidRequestsError(invalid)
    if not found:
        if invalid.count:
            raise InputError(f"{name}: it contains no valid requests; the first: {invalid.told[0]}")
        raise InputError(f"{name}: it contains no requests")
    entries = found if order.sample is None else min(order.sample, found)
    count = entries * reading.epochs
    return RequestFile(
        path=path,
        count=count,
        entries=entries,
        found=found,
        model_name=model_name,
        invalid=invalid,
        remarks=tuple(remarks.told),
        replaced=remarks.replaced,
        seed=order.seed if order.is_given else None,
        source=source,
        reading=reading,
        skipped=skipped,
        sampled=None if sampled is None else sampled.numbers(),
        shuffled=shuffled,
    )


def _add_ids(
    ids: sqlite3.Connection, source: EntrySource, reading: Reading, entry: Entry, requests: Iterable[Numbered]
) -> None:
    for number, request, beside in requests:
        try:
            add_id(ids, str(request.custom_id), number)
        except DuplicateError as exc:
            first = source.places()(reading.number(exc.first)).removeprefix(source.name).removeprefix(": ")
            first = f"line {first[1:]}" if first.startswith(":") else first
            raise used_already(entry.where, shown_id(request, beside), first) from None
        except sqlite3.Error as exc:  # its file is where temporary files are
            raise InputError(f"{entry.where}: the ids can't be compared: {exc}") from exc


def _open_stdin() -> IO[bytes]:
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  # it was closed before Python started
        raise InputError("stdin: is closed")
    file = open(os.dup(sys.stdin.fileno()), "rb")  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.seek(0)
    return file

"""The entries of an open file, whatever form it has: JSON Lines, one JSON document, CSV or TSV, or Parquet."""

import io
from collections.abc import Iterator
from typing import IO, Protocol, cast

from .delimited import DelimitedRows
from .entry import Entry
from .formats import HEAD_BYTES, Form, check_head, delimiter_of, form_of
from .json_entries import JsonLines, document_entries
from .parquet import parquet_entries

__all__ = ["ByLine", "entries_of", "form_of_file", "reader_by_line", "whole_entries"]


class ByLine(Protocol):
    """What makes entries out of lines as they come."""

    def feed(self, line: bytes) -> Entry | None: ...

    def end(self) -> Entry | None: ...


def reader_by_line(name: str, form: Form, head: bytes) -> ByLine | None:
    """What reads a file of this form that begins so; None for a form that has to be read as a whole."""
    match form:
        case "lines":
            return JsonLines(name)
        case "delimited":
            return DelimitedRows(name, delimiter_of(name, head))
        case _:
            return None


def whole_entries(name: str, form: Form, data: bytes) -> Iterator[Entry]:
    """The entries of a file that is read as a whole. Raises `InputError` when it is damaged."""
    if form == "parquet":
        return parquet_entries(name, io.BytesIO(data))
    return document_entries(name, form, data)


def form_of_file(name: str, file: IO[bytes]) -> Form:
    """What an open file holds. Goes back to the file's beginning."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    return form_of(name, head)


def entries_of(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """All entries of an open file. Raises `InputError`."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    check_head(name, head)
    form = form_of(name, head)
    reader = reader_by_line(name, form, head)
    if reader is not None:
        for line in file:
            if (entry := reader.feed(line)) is not None:
                yield entry
        if (entry := reader.end()) is not None:
            yield entry
    elif form == "parquet" and type(file) is io.BufferedReader:  # what is unpacked can hardly seek
        yield from parquet_entries(name, cast("IO[bytes]", file))
    else:
        yield from whole_entries(name, form, file.read())

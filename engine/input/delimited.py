"""CSV and TSV: rows out of lines that come one by one, by RFC 4180, with a header.

A record may go over several lines, where a line feed stands between quotes. It has the number of its first line.
"""

import csv
from functools import partial

from .entry import Entry, place
from .formats import InputError, without_bom

__all__ = ["DelimitedRows"]

# The module's own limit is 128 KiB a cell, and a prompt may be longer. It is one for the whole process.
csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))
_OPEN = "unexpected end of data"  # the module's word for a quote that is not closed yet


class DelimitedRows:
    """The rows of a table, from its lines. Empty lines are skipped."""

    def __init__(self, name: str, delimiter: str) -> None:
        self._name = name
        self._delimiter = delimiter
        self._names: list[str] | None = None
        self._pending: list[bytes] = []  # the lines of a record that is not whole
        self._began = 0
        self._line = 0
        self._rows = 0

    def feed(self, line: bytes) -> Entry | None:
        """Takes the next line. Returns the row that it completes, if it does. Raises `InputError` for a header that
        can't be one; a row that is wrong raises when it is read."""
        self._line += 1
        if self._line == 1:
            line = without_bom(line)
        if not self._pending:
            if not line.strip():
                return None
            self._began = self._line
        self._pending.append(line)
        # Only a quote can end a record that goes over several lines.
        if len(self._pending) > 1 and line.count(b'"') % 2 == 0:
            return None
        return self._complete(at_end=False)

    def end(self) -> Entry | None:
        """What is left when no more lines come."""
        return self._complete(at_end=True) if self._pending else None

    def _complete(self, *, at_end: bool) -> Entry | None:
        where = place(self._name, self._began, "delimited")
        try:
            fields: list[str] | InputError = self._fields()
        except UnicodeDecodeError as exc:
            fields = InputError(
                f"{where}: not UTF-8: {exc.reason} at byte {exc.start + 1}; save it as UTF-8, or: iconv -f"
                f" WINDOWS-1252 -t UTF-8 {self._name} > utf8.csv"
            )
        except csv.Error as exc:
            if str(exc) == _OPEN and not at_end:
                return None
            what = "a quote is opened and never closed" if str(exc) == _OPEN else f"not CSV: {exc}"
            fields = InputError(f"{where}: {what}")
        self._pending = []
        if self._names is None:
            if isinstance(fields, InputError):
                raise fields
            self._names = _header(where, fields)
            return None
        self._rows += 1
        return Entry(where, self._began, f"row-{self._rows}", partial(_row, where, self._names, fields), is_row=True)

    def _fields(self) -> list[str]:
        lines = [line.decode() for line in self._pending]
        return next(csv.reader(lines, delimiter=self._delimiter, strict=True))


def _header(where: str, names: list[str]) -> list[str]:
    """The columns' names. One without a name, as a frame's index is written, is called by its place."""
    names = [name.strip() or f"column_{number}" for number, name in enumerate(names, 1)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{where}: the column {twice[0]!r} stands twice in the header")
    return names


def _row(where: str, names: list[str], fields: list[str] | InputError) -> object:
    if isinstance(fields, InputError):
        raise fields
    if len(fields) != len(names):
        raise InputError(f"{where}: it has {len(fields)} fields, and the header has {len(names)}")
    return dict(zip(names, fields, strict=True))

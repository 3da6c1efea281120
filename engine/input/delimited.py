"""CSV and TSV: rows out of lines that come one by one, by RFC 4180, with a header.

A record may go over several lines, where a line feed stands between quotes. It has the number of its first line. What
spreadsheets leave around their rows is no error: a first line `sep=;`, rows of delimiters alone, and empty cells behind
the last column.
"""

import csv
from functools import partial

from .entry import Entry, place
from .formats import InputError, separator_in, without_bom

__all__ = ["DelimitedRows"]

# The module's own limit is 128 KiB a cell, and a prompt may be longer. It is one for the whole process.
csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))
_OPEN = "unexpected end of data"  # the module's word for a quote that is not closed yet
# Its other words that people meet, and what they mean.
_SAID = (
    ("expected after", "text stands behind a closing quote; a quote inside of a quoted cell is written twice"),
    ("new-line character", "a carriage return stands in a cell without quotes around it"),
)


class DelimitedRows:
    """The rows of a table, from its lines. Empty lines are skipped, and so are rows of delimiters alone."""

    def __init__(self, name: str, delimiter: str) -> None:
        self._name = name
        self._delimiter = delimiter
        self._nothing = delimiter.encode() + b" \t\r\n"
        self._names: list[str] | None = None
        self._nameless: frozenset[str] = frozenset()  # those that have their name from here
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
            if separator_in(line) is not None:
                return None
        if self._pending:
            self._pending.append(line)
            return None if self._stays_open(line) else self._complete(at_end=False)
        if not line.strip(self._nothing):
            return None
        self._began = self._line
        self._pending.append(line)
        return self._complete(at_end=False)

    def end(self) -> Entry | None:
        """What is left when no more lines come."""
        return self._complete(at_end=True) if self._pending else None

    def _stays_open(self, line: bytes) -> bool:
        """Whether a quote that is open before a line is open behind it, too. Only this line is read again for it: a
        cell may have many."""
        if b'"' not in line:
            return True
        try:
            next(csv.reader(['"' + line.decode(errors="replace")], delimiter=self._delimiter, strict=True))
        except csv.Error as exc:
            return str(exc) == _OPEN
        return False

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
            fields = InputError(f"{where}: {self._what(str(exc))}")
        self._pending = []
        if self._names is None:
            if isinstance(fields, InputError):
                raise fields
            self._nameless, self._names = _header(where, fields)
            return None
        self._rows += 1
        row = partial(_row, where, self._names, self._nameless, fields)
        return Entry(where, self._began, f"row-{self._rows}", row, is_row=True)

    def _what(self, said: str) -> str:
        """What the module says, for people."""
        lines = f", and takes the lines up to {self._line} with it" if self._line > self._began else ""
        if said == _OPEN:
            return f"a quote is opened and never closed{lines}"
        meant = next((meant for part, meant in _SAID if part in said), said)
        return f"not CSV: {meant}" + (f" (the row goes to line {self._line})" if lines else "")

    def _fields(self) -> list[str]:
        lines = [line.decode() for line in self._pending]
        return next(csv.reader(lines, delimiter=self._delimiter, strict=True))


def _header(where: str, fields: list[str]) -> tuple[frozenset[str], list[str]]:
    """The columns' names. One without a name, as a frame's index is written, is called by its place; these come first,
    by themselves."""
    names = [name.strip() or f"column_{number}" for number, name in enumerate(fields, 1)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{where}: the column {twice[0]!r} stands twice in the header")
    return frozenset(name for name, field in zip(names, fields, strict=True) if not field.strip()), names


def _row(where: str, names: list[str], nameless: frozenset[str], fields: list[str] | InputError) -> object:
    if isinstance(fields, InputError):
        raise fields
    if len(fields) < len(names) or any(fields[len(names) :]):
        has = "1 field" if len(fields) == 1 else f"{len(fields)} fields"
        raise InputError(
            f"{where}: it has {has}, and the header has {len(names)}; a cell with a delimiter or a line feed in it"
            " stands in quotes, with no space before them"
        )
    row = dict(zip(names, fields, strict=False))  # what is empty behind the last column is nothing
    return {name: field for name, field in row.items() if field or name not in nameless} if nameless else row

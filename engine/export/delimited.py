"""CSV and TSV, as RFC 4180 has them but for the line ends, which are line feeds, as pandas and polars write them.

| the value                                          | the cell                                                       |
|----------------------------------------------------|----------------------------------------------------------------|
| null                                               | empty, without quotes                                          |
| an empty text                                      | `""`                                                           |
| true, false                                        | `true`, `false`                                                |
| an object or an array                              | its JSON                                                       |
| a text that a spreadsheet takes for a formula      | an apostrophe before it, which spreadsheets don't show         |
| a text with NUL, which readers of C cut it at      | U+FFFD in its place                                            |
"""

import re
from typing import IO, Any

from .columns import Column
from .rows import ResultRows

__all__ = ["write_delimited"]

# https://owasp.org/www-community/attacks/CSV_Injection; a plain number is no formula.
_BEGINS = tuple("=+-@\t\r")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def write_delimited(rows: ResultRows, file: IO[bytes], delimiter: str, *, keep_formulas: bool = False) -> int:
    """Writes a header and the rows; returns how many rows there were."""
    special = re.compile(f'[{delimiter}"\r\n]')

    def quoted(text: str) -> str:
        if not keep_formulas and text[:1] in _BEGINS and not _NUMBER.fullmatch(text):
            text = f"'{text}"
        if "\0" in text:
            text = text.replace("\0", "\ufffd")
        if not text or text[0] == " " or text[-1] == " " or special.search(text):
            return '"' + text.replace('"', '""') + '"'
        return text

    def cell(column: Column, value: Any) -> str:
        match column.flat(value):
            case None:
                return ""
            case bool(flag):
                return "true" if flag else "false"
            case str(text):
                return quoted(text)
            case number:
                return repr(number)

    columns = rows.columns
    file.write(_line(delimiter, [quoted(column.name) for column in columns]))
    count = 0
    for row in rows:
        file.write(_line(delimiter, [cell(column, row[column.name]) for column in columns]))
        count += 1
    return count


def _line(delimiter: str, cells: list[str]) -> bytes:
    return (delimiter.join(cells) + "\n").encode()

"""The formats of an export, by the ends of files' names, and how its rows are written in each."""

import os
from typing import IO, Literal, get_args

from ...actors.wire import json_line
from ..runs.output import OutputError
from .delimited import write_delimited
from .parquet import write_parquet
from .rows import ResultRows

__all__ = ["Format", "format_of", "write_rows"]

Format = Literal["csv", "tsv", "parquet", "jsonl"]


def format_of(path: str, given: Format | None = None) -> Format:
    """The format of a file of this name, unless one is `given`; of standard output it is CSV. Raises `OutputError` for
    an end that is none of ours."""
    if given is not None:
        return given
    if path == "-":
        return "csv"
    end = os.path.splitext(path)[1].lower()
    for known in get_args(Format):
        if end == f".{known}":
            return known
    ends = ", ".join(f".{known}" for known in get_args(Format))
    raise OutputError(f"{path}: its name has to end with one of {ends}, or say --format")


def write_rows(rows: ResultRows, file: IO[bytes], format: Format, *, keep_formulas: bool = False) -> int:
    """Writes all rows, in memory that doesn't grow with them, and returns how many there were. With `keep_formulas`,
    no text in CSV or TSV gets an apostrophe.

    Raises `ResultsError`, `OSError`, and `OutputError` when a package is missing.
    """
    match format:
        case "csv":
            return write_delimited(rows, file, ",", keep_formulas=keep_formulas)
        case "tsv":
            return write_delimited(rows, file, "\t", keep_formulas=keep_formulas)
        case "parquet":
            return write_parquet(rows, file)
        case "jsonl":
            count = 0
            for row in rows:
                file.write(json_line(row))
                count += 1
            return count

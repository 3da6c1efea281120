"""Parquet files: rows out of their row groups, a thousand at a time. pyarrow reads them, and is imported here alone."""

from collections.abc import Iterator
from functools import partial
from importlib import import_module
from typing import IO, Any

from .entry import Entry, place
from .formats import InputError
from .plain_values import plain_row

__all__ = ["parquet_entries"]

_ROWS = 1000


def parquet_entries(name: str, file: IO[bytes]) -> Iterator[Entry]:
    """The rows of an open file, which can seek. Raises `InputError` when it is damaged, or pyarrow is missing."""
    try:
        arrow: Any = import_module("pyarrow")
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise InputError(f"{name}: reading Parquet needs another package: pip install 'manystream[parquet]'") from None
    number = 0
    try:
        table = parquet.ParquetFile(file)
        names: list[str] = table.schema_arrow.names
        if twice := [one for one in names if names.count(one) > 1]:
            raise InputError(f"{name}: the column {twice[0]!r} stands twice")
        for batch in table.iter_batches(batch_size=_ROWS):
            for row in batch.to_pylist():
                number += 1
                where = place(name, number, "parquet")
                yield Entry(where, number, f"row-{number}", partial(plain_row, where, row), is_row=True)
    except InputError:
        raise
    except (arrow.ArrowException, ValueError, OverflowError) as exc:  # the last two for moments that Python can't hold
        reason = str(exc).partition("\n")[0]
        raise InputError(f"{name}: can't be read as Parquet: {reason}") from None

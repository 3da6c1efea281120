"""Parquet, by pyarrow: group by group, with types that are known from the start.

What is nested is JSON text, and so is what a column's values don't agree on: a table of answers has to have the same
types whatever the answers are.
"""

from importlib import import_module
from typing import IO, Any

from ..runs.output import OutputError
from .rows import ResultRows
from .table_file import MARK

__all__ = ["write_parquet"]

_GROUP_ROWS = 10_000
_GROUP_CHARACTERS = 8 << 20
_TYPES = {"boolean": "bool_", "integer": "int64", "number": "float64"}  # others are texts


def write_parquet(rows: ResultRows, file: IO[bytes]) -> int:
    """Writes the rows; returns how many there were. Raises `OutputError` without pyarrow."""
    arrow, parquet = _pyarrow()
    columns = rows.columns
    fields = [(column.name, getattr(arrow, _TYPES.get(column.kind, "string"))()) for column in columns]
    schema = arrow.schema(fields, metadata={MARK: b"1"})
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        group: list[list[Any]] = [[] for _ in columns]
        waiting = characters = 0
        for row in rows:
            for column, values in zip(columns, group, strict=True):
                value = column.flat(row[column.name])
                values.append(value)
                if isinstance(value, str):
                    characters += len(value)
            count += 1
            waiting += 1
            if waiting >= _GROUP_ROWS or characters >= _GROUP_CHARACTERS:
                writer.write_table(_table(arrow, group, schema))
                group = [[] for _ in columns]
                waiting = characters = 0
        if waiting:
            writer.write_table(_table(arrow, group, schema))
    return count


def _table(arrow: Any, group: list[list[Any]], schema: Any) -> Any:
    arrays = [arrow.array(values, field.type) for values, field in zip(group, schema, strict=True)]
    return arrow.Table.from_arrays(arrays, schema=schema)


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise OutputError("writing Parquet needs another package: pip install 'manystream[parquet]'") from None

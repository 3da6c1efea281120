"""Files of results as the rows of one table.

Each file is opened before its journal is read: an answer is in the results first, so the journal knows all but the
newest answers, and for those the message's own usage counts. What only the journal has (lines whose turn has not come,
with `--ordered`, and answers that are asked for again) is not in the results, and no row.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from typing import Any, Self, cast

from ..prices import Prices
from .answer import answer_row
from .columns import Column, UserColumns
from .lines import ResultLines
from .spending import Spending

__all__ = ["ResultRows"]


class ResultRows:
    """The rows of results files, one file after the other: a context manager, to be iterated inside its block.

    The files are read once when the block is entered, to find the columns, and once each time that it is iterated.
    Entering and iterating raise `ResultsError`.
    """

    def __init__(
        self, paths: Iterable[str | os.PathLike[str]], *, column_prefix: str = "", prices: Prices | None = None
    ) -> None:
        self._paths = list(paths)
        self._prefix = column_prefix
        self._prices = Prices() if prices is None else prices
        self._users = UserColumns(column_prefix)
        self._files: list[tuple[ResultLines, Spending]] = []
        self._stack = ExitStack()
        self.columns: list[Column] = []
        """All columns, once the block is entered."""

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for path in self._paths:
                lines = stack.enter_context(closing(ResultLines(path)))
                self._files.append((lines, stack.enter_context(closing(Spending(lines.path)))))
            for lines, _ in self._files:
                for line in lines:
                    if row := _row(line):
                        self._users.note(lines.name, row)
            self._stack = stack.pop_all()
        self.columns = self._users.columns
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each with all columns. Values are as they stand in the results."""
        prices, prefix = self._prices, self._prefix
        names = [(prefix + name, name) for name in self._users.names]
        for lines, spending in self._files:
            for line in lines:
                row = answer_row(line, spending.of(line.get("custom_id")), prices)
                given = _row(line)
                for column, name in names:
                    row[column] = given.get(name)
                yield row


def _row(line: Mapping[str, Any]) -> dict[str, Any]:
    given = line.get("row")
    return cast("dict[str, Any]", given) if isinstance(given, dict) else {}

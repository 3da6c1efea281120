"""`read_results`: results in Python, as dictionaries for a data frame."""

import os
from collections.abc import Generator, Mapping
from typing import Any

from ...actors.stream import check_path
from ..prices import Price, Prices
from .rows import ResultRows

__all__ = ["read_results"]


def read_results(
    path: str | os.PathLike[str],
    *more: str | os.PathLike[str],
    column_prefix: str = "",
    prices: Mapping[str, Price] | None = None,
) -> Generator[dict[str, Any]]:
    """Yields the answers of one or more results files as flat rows, each a dictionary with the same keys.

    The files are those of `manystream run` and `open_run`, also while the run goes on, and those downloaded from the
    Message Batches API. `-` is standard input. A row holds what `manystream export` writes: `custom_id`, `epoch`,
    `state`, `text`, `output`, `stop_reason`, `model`, `input_tokens`, `cache_read_tokens`, `cache_write_tokens`,
    `output_tokens`, `cost_usd` (in dollars), `error_type`, `error_message`, and then the columns of your input, with
    `column_prefix` before their names. Where the values of one of your columns have different types, all of them are
    texts. `prices` are a caller's own, for answers of which no price is known yet: by the name of the model that
    answered or, where the run's journal lies beside the file, by the name that was asked for.

        frame = pd.DataFrame(read_results("results.jsonl"))
        frame = pl.DataFrame(read_results("results.jsonl"), infer_schema_length=None)

    Files are read line by line, twice, and stay open until the last row is given or the iterator is closed. It blocks.

    Raises `ResultsError` at the first row when a file can't be read or holds no results, or when a column of yours has
    the name of another column; and `TypeError` for what is no path.
    """
    for one in (path, *more):
        check_path("path", one, "the path of a results file, or - for standard input")
    with ResultRows((path, *more), column_prefix=column_prefix, prices=Prices(prices)) as rows:
        mixed = [column for column in rows.columns if column.kind == "mixed"]
        for row in rows:
            for column in mixed:
                row[column.name] = column.uniform(row[column.name])
            yield row

"""`manystream export`: results as rows, in a file of another format."""

from collections.abc import Sequence

from ..export import ResultsError
from ..export.formats import Format, format_of, write_rows
from ..export.rows import ResultRows
from ..export.table_file import check_place, table_file
from ..input import InputError
from ..prices import Prices
from ..runs.journal_rows import journal_path
from ..runs.output import OutputError
from .given import price_of
from .perform import Status
from .telling import fail, say

__all__ = ["export"]


def export(
    results: Sequence[str],
    output: str,
    *,
    format: Format | None,
    column_prefix: str,
    keep_formulas: bool,
    prices: Sequence[str],
) -> Status:
    """Writes the answers in the files of `results` to `output`, a row each; returns the exit status. `prices` are as
    the command line has them, MODEL=IN,OUT."""
    name = "stdout" if output == "-" else output
    try:
        chosen = format_of(output, format)
        known = Prices(dict(map(price_of, prices)))
        check_place(output, [path for one in results for path in (one, journal_path(one))])
        with ResultRows(results, column_prefix=column_prefix, prices=known) as rows, table_file(output) as file:
            count = write_rows(rows, file, chosen, keep_formulas=keep_formulas)
    except (ResultsError, OutputError, InputError) as exc:
        fail(exc)
        return Status.UNUSABLE
    except OSError as exc:
        fail(f"{name}: {(exc.strerror or str(exc)).lower()}")
        return Status.UNWRITTEN
    for model in known.unused:
        say(f"--price {model}: there is no answer of that model without a price")
    if output != "-":
        say(f"{count:,} {'row' if count == 1 else 'rows'} in {output}")
    return Status.SUCCEEDED

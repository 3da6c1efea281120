"""What a run's journal knows of its answers beyond the results: what all attempts used and cost, and how they failed.

The rows are copied into a temporary database without a name, so that they need little memory and the journal is let go
of at once. The journal is only read: `reading` says how. A run of this very process is asked in its place.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from ..runs.columns import as_key
from ..runs.journal import Journal, open_here
from ..runs.journal_rows import columns_in, format_of, is_readable_format, journal_path, readable
from ..runs.output import OutputError
from ..runs.reading import BusyError, read_journal
from .lines import ResultsError

__all__ = ["Spending", "Spent"]


@attrs.frozen
class Spent:
    """What one answer used, all attempts included, and by which name it failed."""

    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    dollars: float | None = None
    """None when the price is unknown."""
    model: str | None = None
    failure: str | None = None
    """The failure's one name; None for an answer that succeeded or was canceled."""
    asked: str | None = None
    """The model by the name that the request gave it, which may be an alias of the one that answered."""


_NAMES = [field.name for field in attrs.fields(Spent)]
_COPY = f"CREATE TABLE spent (custom_id TEXT PRIMARY KEY, {', '.join(_NAMES)}) WITHOUT ROWID"
_ROWS = f"""
SELECT custom_id, {", ".join(_NAMES[:-2])},
    CASE WHEN kind IN ('errored', 'expired') THEN coalesce({{failure}}, error) END, {{asked}}
FROM request WHERE state = 'ended'
"""
_ASKED = """
(SELECT CASE WHEN json_valid(text) THEN json_extract(text, '$.model') END FROM parameters WHERE number = request.shared)
"""
_PAGE = 1000


class Spending:
    """What the journal beside a results file says; nothing where there is none. Raises `ResultsError` when it can't be
    read."""

    def __init__(self, output: str) -> None:
        self._copy: sqlite3.Connection | None = None
        path = journal_path(output)
        if output == "-" or not os.path.isfile(path):
            return
        try:
            ours = open_here(path)
            if ours is not None:
                self._copy = _copy_of(_pages(ours))
            else:
                self._copy = read_journal(path, lambda journal: _copy_of(_rows(journal, path)))
        except sqlite3.Error as exc:
            raise ResultsError(f"{path}: not the journal of a run: {exc}") from None
        except BusyError as exc:
            raise ResultsError(f"{path}: {exc}") from None
        except OutputError as exc:
            raise ResultsError(str(exc)) from None
        except OSError as exc:
            raise ResultsError(f"{path}: cannot be read: {(exc.strerror or str(exc)).lower()}") from None

    def of(self, custom_id: str | None) -> Spent | None:
        """What the journal says of this answer; None when it says nothing."""
        if self._copy is None or custom_id is None:
            return None
        query = f"SELECT {', '.join(_NAMES)} FROM spent WHERE custom_id = ?"
        found = self._copy.execute(query, (as_key(custom_id),)).fetchone()
        return None if found is None else Spent(*found)

    def close(self) -> None:
        """Removes the copy. It may be called again."""
        if self._copy is not None:
            self._copy.close()


def _rows(journal: sqlite3.Connection, path: str) -> Iterator[Any]:
    version = format_of(journal)
    if not is_readable_format(version):
        raise ResultsError(f"{path}: its format is {version}, which this version of manystream does not read")
    failure = "failure" if "failure" in columns_in(journal) else "NULL"
    asked = _ASKED if "shared" in columns_in(journal) and columns_in(journal, "parameters") else "NULL"
    return journal.execute(f"{_ROWS.format(failure=failure, asked=asked)} ORDER BY custom_id")


def _pages(journal: Journal) -> Iterator[Any]:
    """The rows of a journal that is written meanwhile, which waits only for a page."""
    last = ""
    query = f"{_ROWS.format(failure='failure', asked=_ASKED)} AND custom_id > ? ORDER BY custom_id LIMIT {_PAGE}"
    while rows := journal.read(query, (last,)):
        yield from rows
        last = rows[-1][0]


def _copy_of(rows: Iterable[Any]) -> sqlite3.Connection:
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        copy.text_factory = readable
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute(_COPY)
        copy.execute("BEGIN")
        copy.executemany(f"INSERT INTO spent VALUES ({', '.join('?' * (1 + len(_NAMES)))})", rows)
        copy.execute("COMMIT")
    except BaseException:
        copy.close()
        raise
    return copy

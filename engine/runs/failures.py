"""What went wrong in a run: what the errors said, grouped and counted. `transient` has the names of failures.

Messages that differ only in their numbers or in a request id count as one.
"""

import re
import sqlite3
from collections.abc import Iterable

import attrs

from .journal_rows import columns_in, failure_in, shown_id_in

__all__ = ["Failure", "Failures", "read_failures"]

_TOLD = 10  # different failures that are handed out
_KEPT = 200  # different failures that are counted
_VARIES = re.compile(r"req_[A-Za-z0-9]+|[0-9]+")


@attrs.frozen
class Failure:
    """An error that requests ended with, and how many."""

    type: str
    message: str
    """The API's own words or ours, as the first request got them; never a prompt or an answer."""
    count: int = 1
    custom_id: str | None = None
    """One of the requests, as the user knows it."""


class Failures:
    """Counts failures by type and message, in memory that doesn't grow with them."""

    def __init__(self, known: Iterable[Failure] = ()) -> None:
        self._found: dict[tuple[str, str], Failure] = {}
        for failure in known:
            self.add(failure)

    def add(self, failure: Failure) -> None:
        """Counts a failure, or several that are the same."""
        found = self._found
        key = failure.type, _VARIES.sub("0", failure.message)
        known = found.get(key)
        if known is not None:
            found[key] = attrs.evolve(known, count=known.count + failure.count)
            return
        if len(found) >= _KEPT:
            del found[min(found, key=lambda one: found[one].count)]
        found[key] = failure

    def top(self) -> tuple[Failure, ...]:
        """The most frequent ones, the first of them first; at most ten."""
        return tuple(sorted(self._found.values(), key=lambda one: -one.count)[:_TOLD])

    def every(self) -> tuple[Failure, ...]:
        """All that are counted."""
        return tuple(self._found.values())

    def top_of_each(self, most: int) -> tuple[Failure, ...]:
        """The most frequent ones of each type, at most so many of one type, the most frequent first."""
        told: dict[str, int] = {}
        found: list[Failure] = []
        for failure in sorted(self._found.values(), key=lambda one: -one.count):
            told[failure.type] = told.get(failure.type, 0) + 1
            if told[failure.type] <= most:
                found.append(failure)
        return tuple(found)


_SAID = """
SELECT {failure}, message, count(*) AS times, min({shown_id}) FROM request
WHERE state = 'ended' AND kind = 'errored' AND message IS NOT NULL GROUP BY 1, message ORDER BY times DESC, message
"""


def read_failures(journal: sqlite3.Connection) -> Failures:
    """The failures in an open journal; none in one that an older release wrote without messages."""
    if "message" not in columns_in(journal):
        return Failures()
    said = _SAID.format(failure=failure_in(journal), shown_id=shown_id_in(journal))
    return Failures(Failure(*row) for row in journal.execute(said))

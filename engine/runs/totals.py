"""What a run's journal adds up to, over all of its sessions: read in one go when a run goes on, and for its report."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import attrs

from ...actors.message import EMPTY

__all__ = ["Totals", "read_totals"]


@attrs.frozen(kw_only=True)
class Totals:
    """Sums over the requests that have their answer, and over what was lost on the way."""

    endings: Mapping[str, int] = EMPTY
    """Answers by their type: `succeeded`, `errored`, `canceled`, `expired`."""
    errors: Mapping[str, int] = EMPTY
    """Errored answers by their error's type."""
    pending: int = 0
    """Requests that have no answer; not those that were never read from the input."""
    attempts: int = 0
    retried: int = 0
    """Requests that took more than one attempt."""
    input_tokens: int = 0
    """Uncached."""
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    dollars: float = 0.0
    unpriced: int = 0
    """Answers that used tokens at a price that nobody knows."""
    lost_input_tokens: int = 0
    """What was paid for in streams that an interruption cut, with nothing to show for it: an estimate."""
    lost_output_tokens: int = 0
    lost_dollars: float = 0.0
    lost: int = 0
    """Requests that lost something so."""

    @property
    def done(self) -> int:
        """Requests that have their answer."""
        return sum(self.endings.values())

    @property
    def total_input_tokens(self) -> int:
        """Input of all kinds."""
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens


# total, not sum: whatever a server counted, it does not overflow.
_SUMS = """
SELECT cast(total(state <> 'ended') AS INTEGER) AS pending,
    cast(total(lost_input_tokens) AS INTEGER) AS lost_input_tokens,
    cast(total(lost_output_tokens) AS INTEGER) AS lost_output_tokens,
    total(lost_dollars) AS lost_dollars,
    cast(total(coalesce(lost_input_tokens, 0) + coalesce(lost_output_tokens, 0) > 0) AS INTEGER) AS lost
FROM request
"""
_SUMS_OF_ENDED = """
SELECT cast(total(attempts) AS INTEGER) AS attempts,
    cast(total(attempts > 1) AS INTEGER) AS retried,
    cast(total(input_tokens) AS INTEGER) AS input_tokens,
    cast(total(cache_write_tokens) AS INTEGER) AS cache_write_tokens,
    cast(total(cache_read_tokens) AS INTEGER) AS cache_read_tokens,
    cast(total(output_tokens) AS INTEGER) AS output_tokens,
    total(dollars) AS dollars,
    cast(total(dollars IS NULL AND coalesce(input_tokens, 0) + coalesce(output_tokens, 0) > 0) AS INTEGER) AS unpriced
FROM request WHERE state = 'ended'
"""


def read_totals(journal: sqlite3.Connection) -> Totals:
    """Adds up an open journal. Raises `sqlite3.Error`."""
    sums: dict[str, Any] = {}
    for query in (_SUMS, _SUMS_OF_ENDED):
        found = journal.execute(query)
        sums |= dict(zip((column[0] for column in found.description), found.fetchone(), strict=True))
    return Totals(
        endings=dict(journal.execute("SELECT kind, count(*) FROM request WHERE state = 'ended' GROUP BY kind")),
        errors=dict(
            journal.execute(
                "SELECT coalesce(error, 'unknown'), count(*) FROM request WHERE state = 'ended' AND kind = 'errored'"
                " GROUP BY error ORDER BY count(*) DESC"
            )
        ),
        **sums,
    )

"""The sums over a run's journal, all sessions included: read when a run continues, and for its report."""

import sqlite3
from collections.abc import Mapping
from typing import Any

import attrs

from ...actors.message import EMPTY
from .failures import Failure, read_failures
from .journal_rows import UNANSWERED, columns_in, failure_in, session_table

__all__ = ["Totals", "read_totals"]


@attrs.frozen(kw_only=True)
class Totals:
    """Sums over the requests that have an answer, and over what was lost."""

    endings: Mapping[str, int] = EMPTY
    """Answers by type: `succeeded`, `errored`, `canceled`, `expired`."""
    errors: Mapping[str, int] = EMPTY
    """Errored answers by the failure's name."""
    failures: tuple[Failure, ...] = ()
    """What errored answers were told, the most frequent first; at most ten."""
    stop_reasons: Mapping[str, int] = EMPTY
    """Messages by the reason why they stopped, the most frequent first."""
    passing: Mapping[str, int] = EMPTY
    """Errored answers whose error passes by itself, by the failure's name: a run that goes on asks again."""
    lasting: Mapping[str, int] = EMPTY
    """The other answers that errored or expired, by the failure's name."""
    pending: int = 0
    """Requests that still have to be answered; those that were never read from the input, or are no longer in it, are
    not among them."""
    attempts: int = 0
    """Attempts of all requests that have an answer."""
    retried: int = 0
    """Requests that took more than one attempt."""
    input_tokens: int = 0
    """Uncached input tokens."""
    cache_write_tokens: int = 0
    """Input tokens that were written to the cache."""
    cache_read_tokens: int = 0
    """Input tokens that were read from the cache."""
    output_tokens: int = 0
    """Output tokens."""
    dollars: float = 0.0
    """What the answers cost, as far as prices are known."""
    unpriced: int = 0
    """Answers that used tokens at an unknown price."""
    estimated: int = 0
    """Answers whose output tokens, and so whose dollars, are in part an estimate, since an attempt was cut."""
    lost_input_tokens: int = 0
    """Input tokens of all kinds that were paid for without getting an answer, since the stream was interrupted. The
    three lost sums are estimates."""
    lost_output_tokens: int = 0
    """Output tokens that were paid for without getting an answer."""
    lost_dollars: float = 0.0
    """What the lost tokens cost."""
    lost: int = 0
    """Requests that lost tokens."""
    restarts: int = 0
    """Attempts that were paid for and begun anew, of requests that have an answer."""
    restarted_dollars: float = 0.0
    """What those cost: a part of the dollars."""
    sessions: int = 0
    """How often the run was begun or continued."""

    @property
    def done(self) -> int:
        """Requests that have an answer."""
        return sum(self.endings.values())

    @property
    def failed(self) -> int:
        """Answers that errored or expired."""
        return self.endings.get("errored", 0) + self.endings.get("expired", 0)

    @property
    def spent(self) -> float:
        """Dollars of answers and of what was lost, as far as prices are known."""
        return self.dollars + self.lost_dollars

    @property
    def total_input_tokens(self) -> int:
        """Input tokens of all kinds."""
        return self.input_tokens + self.cache_write_tokens + self.cache_read_tokens


# `total` and not `sum`, which overflows at the counts that a server may send.
_SUMS = f"""
SELECT cast(total({UNANSWERED}) AS INTEGER) AS pending,
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
_STOP_REASONS = """
SELECT stop_reason, count(*) AS times FROM request
WHERE state = 'ended' AND kind = 'succeeded' AND stop_reason IS NOT NULL GROUP BY stop_reason ORDER BY times DESC
"""
_ESTIMATED = "SELECT count(*) FROM request WHERE state = 'ended' AND estimated"
# Of journals that have these columns.
_SUMS_OF_RESTARTS = """
SELECT cast(total(restarts) AS INTEGER) AS restarts, total(restarted_dollars) AS restarted_dollars
FROM request WHERE state = 'ended'
"""
_FAILED_BY = """
SELECT coalesce(failure, error, kind), count(*) FROM request
WHERE state = 'ended' AND kind IN ('errored', 'expired') AND coalesce(transient, 0) = ? GROUP BY 1 ORDER BY 2 DESC
"""


def read_totals(journal: sqlite3.Connection) -> Totals:
    """The sums over an open journal. Raises `sqlite3.Error`."""
    sums: dict[str, Any] = {}
    later, passing, lasting = (), dict[str, int](), dict[str, int]()
    if "restarts" in columns_in(journal):
        later = (_SUMS_OF_RESTARTS,)
        passing, lasting = (dict(journal.execute(_FAILED_BY, (passes,))) for passes in (1, 0))
    for query in (_SUMS, _SUMS_OF_ENDED, *later):
        found = journal.execute(query)
        sums |= dict(zip((column[0] for column in found.description), found.fetchone(), strict=True))
    return Totals(
        endings=dict(journal.execute("SELECT kind, count(*) FROM request WHERE state = 'ended' GROUP BY kind")),
        errors=dict(
            journal.execute(
                f"SELECT {failure_in(journal)}, count(*) FROM request WHERE state = 'ended' AND kind = 'errored'"
                " GROUP BY 1 ORDER BY 2 DESC"
            )
        ),
        failures=read_failures(journal).top(),
        stop_reasons=dict(journal.execute(_STOP_REASONS)),
        estimated=journal.execute(_ESTIMATED).fetchone()[0] if "estimated" in columns_in(journal) else 0,
        passing=passing,
        lasting=lasting,
        sessions=journal.execute(f"SELECT count(*) FROM {session_table(journal)}").fetchone()[0],
        **sums,
    )

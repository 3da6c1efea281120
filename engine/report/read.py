"""A run's report, read from its journal in one pass over the requests, in memory that doesn't grow with them."""

import heapq
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from ..runs.failures import Failure, Failures, read_failures
from ..runs.histogram import Histogram
from ..runs.journal_rows import (
    FORMAT,
    columns_in,
    failure_in,
    format_of,
    is_readable_format,
    journal_path,
    session_table,
    shown_id_in,
)
from ..runs.reading import BusyError, is_written, read_journal
from ..runs.shared_limits import SharedLimits
from ..runs.totals import Totals, read_totals
from .distribution import Distribution, distribution_of
from .timeline import Session, Timeline

__all__ = [
    "MESSAGES",
    "SLOWEST",
    "CacheMisses",
    "ModelShare",
    "Report",
    "ReportError",
    "Slow",
    "in_order",
    "read_report",
]

SLOWEST = 10
MESSAGES = 3
"""Of each type of error."""


class ReportError(Exception):
    """The report can't be made. The message is one line that says why."""


@attrs.frozen(kw_only=True)
class ModelShare:
    """The part of the answers that one model gave."""

    model: str | None
    """None for requests whose answer never began."""
    requests: int = 0
    input_tokens: int = 0
    """Uncached input tokens."""
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0
    output_tokens: int = 0
    dollars: float = 0.0
    """What they cost, as far as the price is known."""
    unpriced: int = 0
    """Requests at an unknown price."""
    estimated: int = 0
    """Requests whose output tokens are in part an estimate."""


@attrs.frozen
class CacheMisses:
    """The answers whose prompt cache was not read in full for one reason, where the API was asked (`diagnostics`)."""

    reason: str
    requests: int
    missed_tokens: int
    """About how many input tokens would have been read from the cache."""
    dollars: float
    """What that cost, as far as prices are known."""


@attrs.frozen(kw_only=True)
class Slow:
    """One of the slowest requests."""

    custom_id: str
    seconds: float
    """From its slot to its end, including all attempts."""
    ttft: float | None
    output_tokens: int
    attempts: int
    ending: str


@attrs.frozen(kw_only=True)
class Report:
    """A run, including all of its sessions, which `timeline` lists. Times are in seconds, moments in Unix seconds."""

    output: str
    totals: Totals
    messages: tuple[Failure, ...] = ()
    """What errors of each type said most often, the most frequent first. The journals of some older releases have
    none."""
    goes_on: bool = False
    """Whether a run is writing the journal."""
    models: tuple[ModelShare, ...]
    """The most expensive first."""
    cache_misses: tuple[CacheMisses, ...] = ()
    """The most frequent reason first."""
    queued: Distribution | None
    """The time from submission to the slot."""
    first_content: Distribution | None
    """The time from sending the request to its first content, in the attempt that brought content."""
    durations: Distribution | None
    """The time from the slot to the end."""
    gap_p50: Distribution | None
    """Each request's own median of the time between contents; the next two are its p90 and p99."""
    gap_p90: Distribution | None
    gap_p99: Distribution | None
    slowest: tuple[Slow, ...]
    timeline: Timeline
    histograms: Mapping[str, Histogram] = attrs.field(factory=dict[str, Histogram], eq=False, repr=False)
    """What the distributions were made from, by their names."""
    failures: Failures = attrs.field(factory=Failures, eq=False, repr=False)
    """What the messages were chosen from."""

    @property
    def exact(self) -> bool:
        """Whether the dollars are all that it cost: nothing is estimated, and every price is known."""
        return not (self.totals.unpriced or self.totals.estimated or self.totals.lost)


def read_report(output: str) -> Report:
    """Reads the report of the run whose results are in `output`. Changes nothing.

    The run may go on meanwhile: the report has what is in its journal by then.

    Raises `ReportError` when there is no journal, or when it can't be read: because its format is unknown, because it
    is not a journal, or because the system refuses.
    """
    path = journal_path(output)
    if not os.path.isfile(path):
        raise ReportError(_no_journal(output, path))
    try:
        goes_on = is_written(path)
        return read_journal(path, lambda journal: _read(journal, path, output, goes_on=goes_on))
    except sqlite3.Error as exc:
        raise ReportError(f"{path}: {_why(exc)}") from None
    except BusyError as exc:
        raise ReportError(f"{path}: {exc}") from None
    except OSError as exc:
        raise ReportError(f"{path}: cannot be read: {(exc.strerror or str(exc)).lower()}") from None


def _why(exc: sqlite3.Error) -> str:
    match getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_PERM | sqlite3.SQLITE_READONLY:
            return f"cannot be read: {exc}"
        case _:
            return f"not the journal of a run: {exc}"


def _no_journal(output: str, path: str) -> str:
    if output.endswith(".journal") and os.path.isfile(output):
        return f"{output}: this is the journal; name the results file, {output.removesuffix('.journal')}"
    if os.path.isdir(output):
        return f"{output}: is a folder; name the results file in it"
    if os.path.exists(output):
        return f"{path}: no such file, and the report is read from it"
    return f"{output}: no such results"


_ROWS = """
SELECT {shown}, kind, {failure}, model, submitted, submitted + seconds, queued, ttft, seconds,
    gap_p50, gap_p90, gap_p99, coalesce(attempts, 0), coalesce(input_tokens, 0), coalesce(cache_write_tokens, 0),
    coalesce(cache_read_tokens, 0), coalesce(output_tokens, 0), dollars, {estimated}
FROM request WHERE state = 'ended'
"""


def _read(journal: sqlite3.Connection, path: str, output: str, *, goes_on: bool) -> Report:
    format_found = format_of(journal)
    if not is_readable_format(format_found):
        raise ReportError(f"{path}: its format is {format_found}, this version of manystream reads up to {FORMAT}")
    journal.execute("BEGIN")  # so that all queries see the same state
    totals = read_totals(journal)
    times = Timeline.of(_sessions(journal), _ends(journal))
    models: dict[str | None, list[float]] = {}
    names = ("queued", "first_content", "durations", "gap_p50", "gap_p90", "gap_p99")
    histograms = {name: Histogram() for name in names}
    slowest: list[tuple[float, str, Slow]] = []
    rows = _ROWS.format(
        shown=shown_id_in(journal),
        failure=failure_in(journal),
        estimated="coalesce(estimated, 0)" if "estimated" in columns_in(journal) else "0",
    )
    for row in journal.execute(rows):
        custom_id, kind, error, model, submitted, end, queued, ttft, seconds, gap50, gap90, gap99, attempts, *used = row
        took = None if seconds is None else max(0.0, seconds - (queued or 0.0))
        for name, value in zip(names, (queued, ttft, took, gap50, gap90, gap99), strict=True):
            if value is not None:
                histograms[name].add(value)
        *tokens, dollars, estimated = used
        if end is not None:
            times.add(end, error if kind == "errored" else kind)
            times.ran(submitted + (queued or 0.0), end, tokens[3])
        sums = models.setdefault(model, [0] * 8)
        unpriced = dollars is None and any(tokens)
        for index, value in enumerate((1, *tokens, dollars or 0.0, unpriced, estimated)):
            sums[index] += value
        if took is not None and (len(slowest) < SLOWEST or took > slowest[0][0]):
            slow = Slow(
                custom_id=custom_id, seconds=took, ttft=ttft, output_tokens=tokens[3], attempts=attempts, ending=kind
            )
            (heapq.heappush if len(slowest) < SLOWEST else heapq.heapreplace)(slowest, (took, custom_id, slow))
    failures = read_failures(journal)
    return Report(
        output=output,
        totals=totals,
        messages=failures.top_of_each(MESSAGES),
        goes_on=goes_on,
        models=in_order(_shares(models)),
        cache_misses=_cache_misses(journal),
        slowest=tuple(slow for _, _, slow in sorted(slowest, key=lambda entry: (-entry[0], entry[1]))),
        timeline=times,
        histograms=histograms,
        failures=failures,
        **{name: distribution_of(histogram) for name, histogram in histograms.items()},
    )


def _sessions(journal: sqlite3.Connection) -> list[Session]:
    table = session_table(journal)
    names = tuple(attrs.fields_dict(SharedLimits))
    shared = names if columns_in(journal, table).issuperset(names) else ("NULL",)
    columns = ", ".join(("number", "began", "ended", "how", *shared))
    rows = journal.execute(f"SELECT {columns} FROM {table} WHERE began IS NOT NULL ORDER BY began")
    return [
        Session(number, began, ended, how, _shared(dict(zip(names, told, strict=False))))
        for number, began, ended, how, *told in rows
    ]


def _shared(found: dict[str, Any]) -> SharedLimits | None:
    if not isinstance(found.get("participants"), int) or not isinstance(found.get("share"), int | float):
        return None
    return SharedLimits(**found)


def _ends(journal: sqlite3.Connection) -> Iterator[float]:
    for (end,) in journal.execute("SELECT submitted + seconds FROM request WHERE state = 'ended'"):
        if end is not None:
            yield end


_MISSED = """
SELECT cache_miss, count(*) AS times, coalesce(sum(cache_missed_tokens), 0), coalesce(sum(cache_missed_dollars), 0.0)
FROM request WHERE state = 'ended' AND cache_miss IS NOT NULL GROUP BY cache_miss ORDER BY times DESC, cache_miss
"""


def _cache_misses(journal: sqlite3.Connection) -> tuple[CacheMisses, ...]:
    if "cache_miss" not in columns_in(journal):
        return ()
    return tuple(CacheMisses(*row) for row in journal.execute(_MISSED))


def _shares(models: dict[str | None, list[float]]) -> list[ModelShare]:
    return [
        ModelShare(
            model=model,
            requests=int(sums[0]),
            input_tokens=int(sums[1]),
            cache_write_tokens=int(sums[2]),
            cache_read_tokens=int(sums[3]),
            output_tokens=int(sums[4]),
            dollars=sums[5],
            unpriced=int(sums[6]),
            estimated=int(sums[7]),
        )
        for model, sums in models.items()
    ]


def in_order(shares: Iterable[ModelShare]) -> tuple[ModelShare, ...]:
    """The most expensive first."""
    return tuple(sorted(shares, key=lambda share: (-share.dollars, -share.output_tokens, share.model or "")))

"""A run's report in words: the rows of the terminal's tables and of the page's."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from ..runs.shared_limits import SharedLimits
from ..runs.totals import Totals
from .distribution import Distribution
from .read import Report
from .units import cost, duration, plain, rate, seconds

__all__ = ["DEFINITIONS", "Rows", "all_rows", "headline"]

DEFINITIONS = (
    "Time to first content: from sending the request to its first content, in the attempt that brought content.",
    "Time between contents: between two content events of one stream. The table has percentiles of each request's own.",
    "A request's time: from its slot to its end, including all attempts.",
    "At once, and output tokens a second: of requests that have ended; the tokens of each are spread over its time.",
    "Percentiles are by nearest rank, right within 1 %.",
    "Dollars are by public prices: ~ if something is estimated or has no known price, ? if no price is known.",
)
_MOST_SESSIONS = 20


@attrs.frozen
class Rows:
    """A table: its title, the heads of its columns, and its cells. The first column names the row."""

    title: str
    heads: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


def headline(report: Report, files: Sequence[Report] = ()) -> tuple[tuple[str, str], ...]:
    """The most important figures, each with its name. `files` are the reports that this one puts together."""
    totals = report.totals
    done = totals.done
    succeeded = totals.endings.get("succeeded", 0)
    figures = [("answers", f"{done:,}"), ("succeeded", _share(succeeded, done))]
    if done > succeeded:
        figures.append(("failed", f"{done - succeeded:,}"))
    stops = (("stopped at max_tokens", "max_tokens"), ("refused", "refusal"))
    figures += [(name, f"{count:,}") for name, reason in stops if (count := totals.stop_reasons.get(reason))]
    if totals.pending:
        figures.append(("not run yet" if report.goes_on else "not run", f"{totals.pending:,}"))
    return (
        *figures,
        ("cost", run_cost(report)),
        *(() if files else (("running time", duration(report.timeline.seconds)),)),
        ("median to first content", seconds(None if report.first_content is None else report.first_content.p50)),
    )


def run_cost(report: Report) -> str:
    """What the run cost, including what was lost."""
    totals = report.totals
    return cost(
        totals.dollars + totals.lost_dollars,
        exact=report.exact,
        known=totals.unpriced < totals.done or not totals.unpriced,
    )


def all_rows(report: Report, files: Sequence[Report] = ()) -> tuple[Rows, ...]:
    """All tables of the report that are not empty. `files` are the reports that this one puts together."""
    totals = report.totals
    tables = (
        Rows("Files", _FILE_HEADS, tuple(map(_file, (*files, report))) if files else ()),
        Rows("Requests", ("ended as", "requests", "share"), _counts(_endings(report), totals.done + totals.pending)),
        Rows("Errors", ("type", "requests", "share"), _counts(totals.errors, totals.done)),
        Rows(
            "Error messages",
            ("message", "type", "requests", "such as"),
            tuple(
                (plain(said.message), plain(said.type), f"{said.count:,}", plain(said.custom_id or "-"))
                for said in report.messages
            ),
        ),
        Rows("Stop reasons", ("reason", "requests", "share"), _counts(report.totals.stop_reasons, totals.done)),
        Rows("Speed", ("", "on average", "at most"), _speed(report)),
        Rows("Times", ("", "p50", "p90", "p99", "longest"), _times(report)),
        Rows(
            "Tokens and cost",
            ("model", "requests", "input", "cache writes", "cache reads", "output", "cost"),
            _models(report),
        ),
        Rows(
            "Cache misses",
            ("reason", "requests", "input tokens not read", "cost more"),
            tuple(
                (plain(miss.reason), f"{miss.requests:,}", f"~{miss.missed_tokens:,}", cost(miss.dollars, exact=False))
                for miss in report.cache_misses
            ),
        ),
        Rows("Attempts", ("", ""), _attempts(report)),
        Rows("Sessions", ("began", "took", "ended"), _sessions(report)),
        Rows(
            "Shared limits",
            ("session began", "shared with, at most", "our fair share", "budget out of reach", "spent together"),
            _shared(report),
        ),
        Rows(
            "Slowest requests",
            ("custom_id", "took", "first content", "output tokens", "attempts", "ended as"),
            tuple(
                (
                    plain(slow.custom_id),
                    seconds(slow.seconds),
                    seconds(slow.ttft),
                    f"{slow.output_tokens:,}",
                    f"{slow.attempts:,}",
                    plain(slow.ending),
                )
                for slow in report.slowest
            ),
        ),
    )
    return tuple(table for table in tables if table.cells)


_FILE_HEADS = (
    *("results", "answers", "succeeded", "failed", "not run", "input", "output", "cost"),
    *("running time", "first content p50"),
)


def _file(report: Report) -> tuple[str, ...]:
    """A line for one of several reports, or for all together, which have no time in common."""
    totals = report.totals
    succeeded = totals.endings.get("succeeded", 0)
    return (
        plain(report.output) + (", so far" if report.goes_on else ""),
        f"{totals.done:,}",
        _share(succeeded, totals.done),
        f"{totals.done - succeeded:,}",
        f"{totals.pending:,}",
        f"{totals.total_input_tokens + totals.lost_input_tokens:,}",
        _about(totals.output_tokens + totals.lost_output_tokens, totals.estimated + totals.lost),
        run_cost(report),
        duration(report.timeline.seconds) if report.timeline.sessions else "",
        seconds(None if report.first_content is None else report.first_content.p50),
    )


def _endings(report: Report) -> dict[str, int]:
    endings = dict(sorted(report.totals.endings.items(), key=lambda entry: -entry[1]))
    return {**endings, **({"not run": report.totals.pending} if report.totals.pending else {})}


def _counts(counts: Mapping[str, int], total: int) -> tuple[tuple[str, ...], ...]:
    return tuple((plain(name), f"{count:,}", _share(count, total)) for name, count in counts.items())


def _share(count: int, total: int) -> str:
    if not total:
        return "-"
    share = 100 * count / total
    # Only all is 100 %, and only nothing is 0 %.
    return f"{share:.0f} %" if share in (0, 100) else f"{min(99.9, max(0.1, share)):.1f} %"


def _speed(report: Report) -> tuple[tuple[str, ...], ...]:
    times = report.timeline
    if not times.seconds or not report.totals.done:
        return ()
    named = (
        ("answers a second", [one.total() / times.width for one in times.bins]),
        ("output tokens a second", times.tokens_a_second),
        ("requests at once", times.running),
    )
    return tuple((name, rate(sum(values) * times.width / times.seconds), rate(max(values))) for name, values in named)


def _times(report: Report) -> tuple[tuple[str, ...], ...]:
    named: tuple[tuple[str, Distribution | None], ...] = (
        ("waited for a slot", report.queued),
        ("to first content", report.first_content),
        ("between contents: a request's p50", report.gap_p50),
        ("between contents: a request's p90", report.gap_p90),
        ("between contents: a request's p99", report.gap_p99),
        ("a request's time", report.durations),
    )
    return tuple(
        (name, *map(seconds, (found.p50, found.p90, found.p99, found.most)))
        for name, found in named
        if found is not None
    )


def _models(report: Report) -> tuple[tuple[str, ...], ...]:
    rows = [
        (
            "no answer began" if share.model is None else plain(share.model),
            *(
                f"{count:,}"
                for count in (share.requests, share.input_tokens, share.cache_write_tokens, share.cache_read_tokens)
            ),
            _about(share.output_tokens, share.estimated),
            cost(
                share.dollars,
                exact=not share.unpriced and not share.estimated,
                known=share.unpriced < share.requests or not share.unpriced,
            ),
        )
        for share in report.models
    ]
    totals = report.totals
    if totals.lost:
        rows.append(
            (
                "lost by interruptions",
                f"{totals.lost:,}",
                f"{totals.lost_input_tokens:,}",
                "",
                "",
                f"~{totals.lost_output_tokens:,}",
                cost(totals.lost_dollars, exact=False),
            )
        )
    if len(rows) > 1:
        rows.append(
            (
                "together",
                f"{totals.done:,}",
                f"{totals.input_tokens + totals.lost_input_tokens:,}",
                f"{totals.cache_write_tokens:,}",
                f"{totals.cache_read_tokens:,}",
                _about(totals.output_tokens + totals.lost_output_tokens, totals.estimated + totals.lost),
                run_cost(report),
            )
        )
    return tuple(rows)


def _about(tokens: int, estimated: int) -> str:
    """A count of tokens, with a mark if some of them are estimated."""
    return f"{'~' if estimated else ''}{tokens:,}"


def _attempts(report: Report) -> tuple[tuple[str, str], ...]:
    totals = report.totals
    return (
        ("attempts", f"{totals.attempts:,}"),
        ("requests that took more than one", f"{totals.retried:,} ({_share(totals.retried, totals.done)})"),
        ("requests that were interrupted or asked for again", f"{totals.lost:,}"),
        ("attempts that were paid for and begun anew", f"{totals.restarts:,}"),
        (
            "paid twice",
            cost(totals.restarted_dollars + totals.lost_dollars, exact=False) if _twice(totals) else "$0.00",
        ),
    )


def _twice(totals: Totals) -> bool:
    return bool(totals.restarted_dollars or totals.lost_dollars)


def _sessions(report: Report) -> tuple[tuple[str, ...], ...]:
    times = report.timeline
    rows: list[tuple[str, ...]] = []
    for session, start, end, how in times.each(goes_on=report.goes_on):
        rows.append((_moment(session.began), duration(end - start), plain(how)))
    if len(rows) > _MOST_SESSIONS:
        left_out = len(rows) - _MOST_SESSIONS
        rows = [(f"{left_out:,} earlier ones", duration(times.starts[left_out]), ""), *rows[left_out:]]
    return tuple(rows)


def _shared(report: Report) -> tuple[tuple[str, ...], ...]:
    """The sessions that shared their limits with others, the last ones."""
    rows: list[tuple[str, ...]] = []
    for session in report.timeline.sessions:
        if (shared := session.shared) is not None and shared.tells:
            others = shared.participants - 1
            rows.append(
                (
                    _moment(session.began),
                    f"{others:,} {'other' if others == 1 else 'others'}" if others > 0 else "nobody",
                    f"{round(100 * shared.share)} %",
                    duration(shared.unreached) if shared.unreached else "",
                    _spent_together(shared),
                )
            )
    return tuple(rows[-_MOST_SESSIONS:])


def _spent_together(shared: SharedLimits) -> str:
    if shared.spent_together is None:
        return ""
    of = "" if shared.cap_together is None else f" of {cost(shared.cap_together)}"
    return f"{cost(shared.spent_together)}{of}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")

"""A run's report as plain figures, for programs: no bins of a plot, no words for people. Times are in seconds, moments
in ISO 8601, dollars as far as prices are known."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from .distribution import Distribution
from .read import Report

__all__ = ["figures", "figures_of_several"]

_TIMES = ("queued", "first_content", "gap_p50", "gap_p90", "gap_p99", "durations")


def figures(report: Report) -> dict[str, Any]:
    """The report as data that is ready for JSON."""
    totals, timeline = report.totals, report.timeline
    seconds = timeline.seconds
    return {
        "output": report.output,
        "goes_on": report.goes_on,
        "totals": {
            "done": totals.done,
            **attrs.asdict(totals, filter=lambda field, _: field.name != "failures"),
            "total_dollars": totals.dollars + totals.lost_dollars,
            "exact": report.exact,
        },
        "messages": [attrs.asdict(said) for said in report.messages],
        "models": [attrs.asdict(share) for share in report.models],
        "cache_misses": [attrs.asdict(miss) for miss in report.cache_misses],
        "seconds": seconds,
        "requests_per_second": totals.done / seconds if seconds else None,
        "output_tokens_per_second": totals.output_tokens / seconds if seconds else None,
        "most_at_once": timeline.most_at_once,
        "times": {name: _percentiles(getattr(report, name)) for name in _TIMES},
        "slowest": [attrs.asdict(slow) for slow in report.slowest],
        "sessions": [
            {
                "began": datetime.fromtimestamp(session.began, UTC).isoformat(),
                "seconds": end - start,
                "how": how,
                "shared": None if session.shared is None else attrs.asdict(session.shared),
            }
            for session, start, end, how in timeline.each(goes_on=report.goes_on)
        ],
    }


def figures_of_several(reports: Sequence[Report], sums: Report) -> dict[str, Any]:
    """Several reports as data, and what they are `together`. Those have no time in common: pace, sessions and the
    slowest requests are each file's own."""
    found = figures(sums)
    shared = ("goes_on", "totals", "messages", "models", "cache_misses", "times")
    return {"files": [figures(report) for report in reports], "together": {name: found[name] for name in shared}}


def _percentiles(found: Distribution | None) -> dict[str, float] | None:
    return None if found is None else attrs.asdict(found, filter=lambda field, _: field.name != "spans")

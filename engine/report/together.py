"""The reports of several runs as one: what adds up is added up. They have no time in common, and so no timeline."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import attrs

from ..runs.failures import Failures
from ..runs.histogram import Histogram
from ..runs.totals import Totals
from .distribution import distribution_of
from .read import MESSAGES, SLOWEST, CacheMisses, ModelShare, Report, ReportError, in_order
from .timeline import Timeline

__all__ = ["together"]


def together(reports: Sequence[Report]) -> Report:
    """The reports of two or more runs as one; ids have the name of their results before them.

    Raises `ReportError` when a run is there twice.
    """
    _check_differ(reports)
    failures = Failures(
        attrs.evolve(said, custom_id=f"{report.output}:{said.custom_id}")
        for report in reports
        for said in report.failures.every()
    )
    histograms = _histograms(reports)
    slowest = [
        attrs.evolve(slow, custom_id=f"{report.output}:{slow.custom_id}")
        for report in reports
        for slow in report.slowest
    ]
    return Report(
        output=f"{len(reports)} runs",
        totals=attrs.evolve(_totals(report.totals for report in reports), failures=failures.top()),
        messages=failures.top_of_each(MESSAGES),
        goes_on=any(report.goes_on for report in reports),
        models=in_order(_models(share for report in reports for share in report.models)),
        cache_misses=_misses(miss for report in reports for miss in report.cache_misses),
        slowest=tuple(sorted(slowest, key=lambda slow: (-slow.seconds, slow.custom_id))[:SLOWEST]),
        timeline=Timeline.of((), ()),
        histograms=histograms,
        failures=failures,
        **{name: distribution_of(histogram) for name, histogram in histograms.items()},
    )


def _check_differ(reports: Sequence[Report]) -> None:
    found: set[str] = set()
    for report in reports:
        path = os.path.realpath(report.output)
        if path in found:
            raise ReportError(f"{report.output}: is there twice; name each run once")
        found.add(path)


def _totals(totals: Iterable[Totals]) -> Totals:
    sums: dict[str, Any] = {}
    for one in totals:
        for field in attrs.fields(Totals):
            value = getattr(one, field.name)
            if isinstance(value, Mapping):
                sums.setdefault(field.name, Counter()).update(cast("Mapping[str, int]", value))
            elif isinstance(value, int | float):
                sums[field.name] = sums.get(field.name, 0) + value
    for name, value in sums.items():
        if isinstance(value, Counter):
            sums[name] = dict(cast("Counter[str]", value).most_common())
    return Totals(**sums)


def _models(shares: Iterable[ModelShare]) -> list[ModelShare]:
    found: dict[str | None, ModelShare] = {}
    for share in shares:
        known = found.get(share.model)
        if known is not None:
            sums = {
                field.name: getattr(known, field.name) + getattr(share, field.name)
                for field in attrs.fields(ModelShare)
                if field.name != "model"
            }
            share = attrs.evolve(share, **sums)
        found[share.model] = share
    return list(found.values())


def _misses(misses: Iterable[CacheMisses]) -> tuple[CacheMisses, ...]:
    found: dict[str, CacheMisses] = {}
    for miss in misses:
        known = found.get(miss.reason, CacheMisses(miss.reason, 0, 0, 0.0))
        found[miss.reason] = CacheMisses(
            miss.reason,
            known.requests + miss.requests,
            known.missed_tokens + miss.missed_tokens,
            known.dollars + miss.dollars,
        )
    return tuple(sorted(found.values(), key=lambda miss: (-miss.requests, miss.reason)))


def _histograms(reports: Iterable[Report]) -> dict[str, Histogram]:
    found: dict[str, Histogram] = {}
    for report in reports:
        for name, histogram in report.histograms.items():
            found.setdefault(name, Histogram()).add_all(histogram)
    return found

"""How times are distributed: percentiles, and spans for a plot."""

import math
from collections import Counter

import attrs

from ..runs.histogram import Histogram

__all__ = ["Distribution", "Span", "distribution_of"]

_SHARES = (0.5, 0.9, 0.99, 1.0)


@attrs.frozen
class Span:
    """How many values there are from `low` to below `high`."""

    low: float
    high: float
    count: int


@attrs.frozen(kw_only=True)
class Distribution:
    """How times in seconds are distributed. Percentiles are by nearest rank, each right within 1 %."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float
    spans: tuple[Span, ...]
    """The bars of a plot, in rising order, including the empty ones."""


def distribution_of(histogram: Histogram) -> Distribution | None:
    found = histogram.percentiles(*_SHARES)
    if found is None:
        return None
    p50, p90, p99, most = found
    return Distribution(count=histogram.count, p50=p50, p90=p90, p99=p99, most=most, spans=_spans(histogram))


_MOST_SPANS = 36


def _spans(histogram: Histogram) -> tuple[Span, ...]:
    """The values in spans of equal width on a logarithmic scale, as narrow as possible without becoming too many. Zeros
    have a span of their own."""
    values = list(histogram.values())
    zeros = values.pop(0)[1] if values[0][0] == 0 else 0
    spans = [Span(0.0, 0.0, zeros)] if zeros else []
    if not values:
        return tuple(spans)
    for steps in (40, 20, 10, 5, 2, 1):  # spans a decade
        counts: Counter[int] = Counter()
        for value, count in values:
            counts[_step(value, steps)] += count
        first, last = min(counts), max(counts)
        if last - first < _MOST_SPANS:
            break
    return (*spans, *(Span(10 ** (n / steps), 10 ** ((n + 1) / steps), counts[n]) for n in range(first, last + 1)))


def _step(value: float, steps: int) -> int:
    return math.floor(math.log10(value) * steps)

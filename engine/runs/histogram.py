"""A distribution in little memory: a histogram whose buckets grow by 2 %, so that a percentile is right within 1 %.

Percentiles are by nearest rank: the smallest value that at least this share of all values does not exceed. The result
is the middle of that value's bucket. (The idea is DDSketch's: Masson, Rim and Lee, 2019.)
"""

import math
from collections import Counter
from collections.abc import Iterator

from ...actors.stream import nearest_rank

__all__ = ["Histogram"]

_GROWTH = 1.02
_LOG = math.log(_GROWTH)
_LEAST = 1e-6  # smaller values count as 0
_MOST = 1e7  # larger values count as this: there are at most 1,513 buckets


class Histogram:
    """Values of 0 or more, such as seconds."""

    __slots__ = ("_buckets", "_zeros", "count")

    def __init__(self) -> None:
        self.count = 0
        """How many values were added."""
        self._zeros = 0
        self._buckets: Counter[int] = Counter()  # by the power of the growth at its upper end

    def add(self, value: float) -> None:
        """Adds a value."""
        self.count += 1
        if value < _LEAST:
            self._zeros += 1
        else:
            self._buckets[math.ceil(math.log(min(value, _MOST)) / _LOG)] += 1

    def add_all(self, other: "Histogram") -> None:
        """Adds the values of another histogram."""
        self.count += other.count
        self._zeros += other._zeros
        self._buckets.update(other._buckets)

    def percentiles(self, *shares: float) -> tuple[float, ...] | None:
        """The percentiles at these shares, which are from 0 to 1 and in rising order; None when there are no values."""
        if not self.count:
            return None
        found: list[float] = []
        buckets, reached, value = iter(sorted(self._buckets.items())), self._zeros, 0.0
        for share in shares:
            rank = nearest_rank(share, self.count)
            while reached < rank:
                power, count = next(buckets)
                reached += count
                value = _middle(power)
            found.append(value)
        return tuple(found)

    def values(self) -> Iterator[tuple[float, int]]:
        """The values in rising order, each right within 1 %, and how often each was added."""
        if self._zeros:
            yield 0.0, self._zeros
        for power, count in sorted(self._buckets.items()):
            yield _middle(power), count


def _middle(power: int) -> float:
    return 2 * _GROWTH**power / (_GROWTH + 1)

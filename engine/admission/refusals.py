"""Whether a refusal says something about the service, or only about the one request: judged by the order in which
requests were sent.

A service that is shut, by an outage or an empty bucket, refuses everything that is sent to it. One that refuses by
chance, as gateways do, accepts the next request as if nothing had happened. So only refusals in a row count, with
nothing accepted that was sent after the first of them. How many make a row depends on the share that is refused by
chance anyhow: three where hardly any are, ten where every third is.

A refusal comes at once, an answer takes its time. So requests that were sent in between and have no answer yet are
likely to be accepted: where there are more than a few, there is no row.
"""

import math

from .remembered import Remembered

__all__ = ["Refusals"]

_SHORTEST_ROW = 3
_LONGEST_ROW = 20
_DENSE = 0.8  # of the requests from the first to the last of a row are refused; the others have no answer yet
_BY_CHANCE = 1e-4  # how likely a row may be to come by chance
_NEWEST = 0.01  # the newest answer's weight in the share
_PRIOR = 20  # so many answers the first guess is worth
_FIRST_GUESS = 0.01


class Refusals(Remembered):
    """The answers of one pool. Requests are numbered in the order in which they are sent."""

    def __init__(self) -> None:
        self.share = _FIRST_GUESS
        """The share of the requests that are refused one by one, between others that are accepted."""
        self._answers = _PRIOR
        self._accepted = -1  # the highest number
        self._row: list[int] = []  # refused since, and sent after it
        self._last_row = 0  # its length

    def accepted(self, number: int) -> int:
        """The API accepted the request with this number. Returns how many requests turn out by that to have been
        refused alone: they were sent before it, and are no row."""
        self._learn(0.0)
        if number <= self._accepted:
            return 0
        self._accepted = number
        if not self._row:
            return 0
        left = [refused for refused in self._row if refused > number]
        alone, self._row = len(self._row) - len(left), left
        for _ in range(alone):
            self._learn(1.0)
        return alone

    def refused(self, number: int) -> bool:
        """The API refused the request with this number. Returns whether it is the last of a row: the service is shut,
        and another row begins."""
        if number < self._accepted:
            self._learn(1.0)
            return False
        row = self._row
        row.append(number)
        length = self._row_length()
        if len(row) < length:
            return False
        row.sort()
        if _DENSE * (row[-1] - row[-length] + 1) > length:
            return False
        self._row, self._last_row = [], length
        return True

    def open_again(self) -> None:
        """The service accepts again. The last row may have come by chance: a longer one has to show the next time."""
        for _ in range(self._last_row):
            self._learn(1.0)
        self._last_row = 0

    def _row_length(self) -> int:
        if self.share < 0.01:
            return _SHORTEST_ROW
        length = math.ceil(math.log(_BY_CHANCE) / math.log(self.share))
        return min(max(_SHORTEST_ROW, length), _LONGEST_ROW)

    def _learn(self, refused: float) -> None:
        self._answers += 1
        self.share += max(_NEWEST, 1 / self._answers) * (refused - self.share)

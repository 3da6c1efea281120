"""Dollars counted exactly against a cap."""

import math

from ...actors.stream import check_number

__all__ = ["SpendCap"]


class SpendCap:
    """A cap on dollars: what is spent, and what is reserved for requests that run.

    The cap is as exact as the estimates: a request that costs more than was reserved for it may exceed the cap. Raises
    `ValueError` for a cap that is not above 0, and for amounts below 0.
    """

    def __init__(self, dollars: float) -> None:
        check_number("a spend cap is a number of dollars above 0", dollars, above=0)
        self.dollars = dollars
        self._cap = _exact(dollars)
        self._spent = 0
        self._reserved = 0

    @property
    def spent(self) -> float:
        """Dollars that were spent."""
        return self._spent / _UNIT

    @property
    def reserved(self) -> float:
        """Dollars reserved for requests that are not settled yet."""
        return self._reserved / _UNIT

    def room_for(self, estimate: float) -> bool:
        """Whether `estimate` dollars more stay within the cap."""
        return self._spent + self._reserved + _exact(estimate) <= self._cap

    def reached_by(self, estimate: float) -> bool:
        """Whether `estimate` dollars are more than will ever be left: nothing is reserved that could be given back."""
        return not self._reserved and not self.room_for(estimate)

    def allow(self, dollars: float) -> None:
        """Changes the cap, for one that is only a part of another."""
        self._cap = _exact(dollars)

    def reserve(self, estimate: float) -> None:
        """Reserves `estimate` dollars. The caller asks before whether there is room."""
        self._reserved += _exact(estimate)

    def count(self, dollars: float) -> None:
        """Counts dollars as spent for which nothing was reserved."""
        self._spent += _exact(dollars)

    def settle(self, estimate: float, real: float) -> None:
        """Gives back the `estimate` that was reserved, and counts the `real` cost as spent. Raises `ValueError` when
        less is reserved."""
        given_back, cost = _exact(estimate), _exact(real)
        if given_back > self._reserved:
            raise ValueError(f"{estimate} dollars are settled, but only {self.reserved} are reserved")
        self._reserved -= given_back
        self._spent += cost


# Sums are kept in whole units, so that they are exact: what is reserved and given back leaves nothing, and ten times
# ten cents are a dollar. A unit is far less than the price of a token.
_UNIT = 10**12


def _exact(dollars: float) -> int:
    if not 0 <= dollars < math.inf:
        raise ValueError(f"an amount is a number of dollars, 0 or more, not {dollars!r}")
    return round(dollars * _UNIT)

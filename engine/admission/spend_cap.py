"""Dollars counted exactly against a cap."""

import math

__all__ = ["SpendCap"]


class SpendCap:
    """Keeps count of dollars against a cap: what is spent, and what those who run may spend yet.

    The cap holds as far as the estimates do: a request that costs more than was reserved for it takes the sum beyond
    it. Raises `ValueError` for a cap that isn't above 0, and for amounts below 0.
    """

    def __init__(self, dollars: float) -> None:
        if not 0 < dollars < math.inf:
            raise ValueError(f"a spend cap is a number of dollars above 0, not {dollars!r}")
        self.dollars = dollars
        self._cap = _exact(dollars)
        self._spent = 0
        self._reserved = 0

    @property
    def spent(self) -> float:
        """Dollars spent for certain."""
        return self._spent / _UNIT

    @property
    def reserved(self) -> float:
        """Dollars set aside for requests that are not settled yet."""
        return self._reserved / _UNIT

    def room_for(self, estimate: float) -> bool:
        """Whether `estimate` dollars more stay within the cap."""
        return self._spent + self._reserved + _exact(estimate) <= self._cap

    def reached_by(self, estimate: float) -> bool:
        """Whether `estimate` dollars are more than will ever be left: nobody is about to give any back."""
        return not self._reserved and not self.room_for(estimate)

    def reserve(self, estimate: float) -> None:
        """Sets `estimate` dollars aside. Whether there is room is for the caller to ask before."""
        self._reserved += _exact(estimate)

    def settle(self, estimate: float, real: float) -> None:
        """Gives back the `estimate` that was reserved, and counts the `real` cost as spent."""
        given_back, cost = _exact(estimate), _exact(real)
        if given_back > self._reserved:
            raise ValueError(f"{estimate} dollars are settled, but only {self.reserved} are reserved")
        self._reserved -= given_back
        self._spent += cost


# Sums are kept in whole units, so that what was reserved and given back leaves nothing, and ten times ten cents are a
# dollar. A unit is far below the price of a token.
_UNIT = 10**12


def _exact(dollars: float) -> int:
    if not 0 <= dollars < math.inf:
        raise ValueError(f"an amount is a number of dollars, 0 or more, not {dollars!r}")
    return round(dollars * _UNIT)

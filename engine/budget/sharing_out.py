"""How an amount is shared out among those who want some of it: strictly by priority, then in fair shares by weight.

A share is max-min fair: nobody gets more than it needs, and what one leaves goes to the others in proportion to their
weights.
"""

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

__all__ = ["Want", "shared_out"]


class Want(NamedTuple):
    """What one of them could use."""

    amount: float
    weight: float = 1.0
    priority: int = 0
    """Whoever has a higher one comes first."""


def shared_out(total: float, wants: Mapping[str, Want]) -> dict[str, float]:
    """How much of `total` each gets. Who wants nothing is left out."""
    wanting = {name: want for name, want in wants.items() if want.amount > 0}
    if sum([want.amount for want in wanting.values()]) <= total:
        return {name: want.amount for name, want in wanting.items()}
    got: dict[str, float] = {}
    # Whoever needs the least for its weight is served first: what it leaves is shared by those after it.
    order = sorted(
        (-priority, amount / weight, amount, weight, name) for name, (amount, weight, priority) in wanting.items()
    )
    for _, level in groupby(order, itemgetter(0)):
        ones = list(level)
        weights = sum([one[3] for one in ones])
        for _, _, amount, weight, name in ones:
            share = max(0.0, total) * weight / weights if weights > 0 else 0.0
            got[name] = given = min(amount, share)
            total -= given
            weights -= weight
    return got

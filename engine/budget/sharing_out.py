"""How an amount is shared out among those who want some of it: strictly by priority, then in fair shares by weight.

A share is max-min fair: nobody gets more than it needs, and what one leaves goes to the others in proportion to their
weights.
"""

from collections.abc import Mapping

import attrs

__all__ = ["Want", "shared_out"]


@attrs.frozen
class Want:
    """What one of them could use."""

    amount: float
    weight: float = 1.0
    priority: int = 0
    """Whoever has a higher one comes first."""


def shared_out(total: float, wants: Mapping[str, Want]) -> dict[str, float]:
    """How much of `total` each gets. Who wants nothing is left out."""
    got: dict[str, float] = {}
    by_priority: dict[int, dict[str, Want]] = {}
    for name, want in wants.items():
        if want.amount > 0:
            by_priority.setdefault(want.priority, {})[name] = want
    for priority in sorted(by_priority, reverse=True):
        level = by_priority[priority]
        # Whoever needs the least for its weight is served first: what it leaves is shared by those after it.
        order = sorted(level, key=lambda name: level[name].amount / level[name].weight)
        weights = sum(want.weight for want in level.values())
        for name in order:
            want = level[name]
            share = max(0.0, total) * want.weight / weights if weights > 0 else 0.0
            got[name] = min(want.amount, share)
            total -= got[name]
            weights -= want.weight
    return got

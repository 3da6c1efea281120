"""An engine's part in a budget at one moment."""

import attrs

__all__ = ["BudgetStats"]


@attrs.frozen
class BudgetStats:
    """An engine's part in a budget that it shares with others."""

    participants: int
    """How many engines have something to do under the same limits, this one included; of several pools, the most."""
    share: float
    """The fair share of this engine, from 0 to 1. While others need less than theirs, it gets more."""
    age: float
    """How many seconds ago it was granted what it has now."""
    alone: bool
    """Whether the budget can't be reached: the engine goes on with the share that it had."""
    on_host: bool = True
    """Whether the others are processes of this host."""
    spent: float | None = None
    """What all who give the budget's name have spent, in dollars; None without a spend cap of the budget."""
    spend_cap: float | None = None
    """What they may spend together."""

"""A budget in the memory of one process."""

from collections.abc import Callable
from typing import cast

from .dollars import Purse, Spending, exchange_dollars
from .ledger import exchange
from .messages import GrantT, Report, Told
from .state import State

__all__ = ["MemoryLedgers"]


class MemoryLedgers:
    """The ledgers of any number of accounts. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: dict[str, State] = {}
        self._purses: dict[str, Purse] = {}

    def exchange(self, account: str, report: Told[GrantT]) -> GrantT:
        """Takes a report in, and grants a share."""
        now = self._clock()
        if isinstance(report, Spending):
            self._purses[account], allowed = exchange_dollars(self._purses.get(account), report, now)
            return cast("GrantT", allowed)
        self._states[account], grant = exchange(self._states.get(account), cast("Report", report), now)
        return cast("GrantT", grant)

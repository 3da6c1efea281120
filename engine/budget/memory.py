"""A budget in the memory of one process."""

from collections.abc import Callable

from .ledger import exchange
from .messages import Grant, Report
from .state import State

__all__ = ["MemoryLedgers"]


class MemoryLedgers:
    """The ledgers of any number of accounts. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: dict[str, State] = {}

    def exchange(self, account: str, report: Report) -> Grant:
        """Takes a report in, and grants a share."""
        self._states[account], grant = exchange(self._states.get(account), report, self._clock())
        return grant

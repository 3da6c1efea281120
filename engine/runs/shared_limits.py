"""What a session of a run has had of limits that it shares with others, summed up for the report."""

import attrs

from ..budget.stats import BudgetStats

__all__ = ["SharedLimits", "SharedSoFar"]


@attrs.frozen(kw_only=True)
class SharedLimits:
    """A session's part in a budget. The fields are columns of the journal's sessions."""

    participants: int
    """How many shared the limits, this run included: the most at any moment."""
    share: float
    """The run's fair share, from 0 to 1: the mean over the session."""
    unreached: float = 0.0
    """For how many seconds the budget could not be reached."""
    spent_together: float | None = None
    """What all who give the budget's name had spent in the end, in dollars; None without a spend cap of the budget."""
    cap_together: float | None = None
    """What they may spend together, in dollars."""

    @property
    def tells(self) -> bool:
        """Whether there is anything to tell: a run that nobody shared with had everything."""
        return self.participants > 1 or self.unreached > 0 or self.spent_together is not None


class SharedSoFar:
    """The sum of what was seen of a session's part in a budget."""

    def __init__(self) -> None:
        self._participants = 0
        self._seconds = self._weighted = self._unreached = 0.0
        self._last: BudgetStats | None = None

    def see(self, budget: BudgetStats | None, seconds: float) -> None:
        """It has been so for so many seconds. None stands for an engine without a budget."""
        if budget is None:
            return
        self._weighted += budget.share * seconds
        self._seconds += seconds
        self._unreached += seconds if budget.alone else 0.0
        self._participants = max(self._participants, budget.participants)
        self._last = budget

    @property
    def so_far(self) -> SharedLimits | None:
        """What it comes to; None when there is no budget."""
        last = self._last
        if last is None:
            return None
        return SharedLimits(
            participants=self._participants,
            share=self._weighted / self._seconds if self._seconds else last.share,
            unreached=self._unreached,
            spent_together=last.spent,
            cap_together=last.spend_cap,
        )

"""An engine's part in a spend cap that is shared: a cap that grows as it is allowed more, and what it reports."""

import math
from collections.abc import Callable
from itertools import count
from uuid import uuid4

from ..admission.spend_cap import SpendCap
from .dollars import Allowance, Spending

__all__ = ["SharedCap"]

_ACTIVE = 0.25  # seconds between two reports while something is going on
_SOON = 0.025  # seconds, at least, between two reports
_AHEAD = 32  # requests for which is asked


class SharedCap(SpendCap):
    """A cap of `dollars` for all who share it. `wake` is called when it should report soon.

    Nothing is spent beyond what was allowed, even if nobody can be asked any more. Who never could has the cap for
    itself.
    """

    def __init__(self, dollars: float, *, weight: float, priority: int, wake: Callable[[], None]) -> None:
        super().__init__(dollars)
        self._participant = uuid4().hex[:16]
        self._reports = count(1)
        self._weight, self._priority = weight, priority
        self._wake = wake
        self._largest = 0.0
        self._told = -1.0, -1.0
        self._reported_at = -math.inf
        self._allowance: Allowance | None = None
        self._own_then = 0.0
        self.allow(0.0)
        self.alone = False
        """Whether nobody can be asked."""

    @property
    def spent(self) -> float:
        """Dollars that all have spent, as far as is known."""
        others = 0.0 if self._allowance is None else self._allowance.spent - self._own_then
        return others + self.own

    @property
    def own(self) -> float:
        """Dollars that this engine has spent."""
        return super().spent

    def room_for(self, estimate: float) -> bool:
        """Whether `estimate` dollars more are allowed. If not, more is asked for."""
        self._largest = max(self._largest, estimate)
        if super().room_for(estimate):
            return True
        self._wake()
        return False

    def reached_by(self, estimate: float) -> bool:
        """Whether `estimate` dollars are more than will ever be left."""
        self._largest = max(self._largest, estimate)
        if self._allowance is None or self.reserved or self._allowance.pending > 1e-9:
            return self._allowance is None and self.alone and super().reached_by(estimate)
        return self.spent + estimate > self.dollars + 1e-9

    def due(self, now: float, waiting: int) -> float:
        """When to report next; infinity while there is nothing to report."""
        if self._allowance is None or (self._largest and waiting):
            return max(now, self._reported_at + (_ACTIVE if self.alone else _SOON))
        return self._reported_at + _ACTIVE if self._told != (self.own, self.reserved) else math.inf

    def report(self, waiting: int, now: float, *, leaving: bool = False) -> Spending:
        """What is to be told now."""
        self._reported_at, self._told, self._own_then = now, (self.own, self.reserved), self.own
        least = self._largest if waiting else 0.0
        self._largest = 0.0
        return Spending(
            participant=self._participant,
            number=next(self._reports),
            cap=self.dollars,
            spent=self.own,
            reserved=self.reserved,
            need=0.0 if leaving else least * min(waiting, _AHEAD),
            least=0.0 if leaving else least,
            weight=self._weight,
            priority=self._priority,
        )

    def take(self, allowance: Allowance) -> None:
        """What was allowed upon the last report."""
        self._allowance, self.alone = allowance, False
        self.allow(allowance.total)

    def fail(self) -> None:
        """Nothing came of the last report."""
        self.alone = True
        if self._allowance is None:
            self.allow(self.dollars)

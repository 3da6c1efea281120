"""One shared pool's membership in a budget: when it reports, and what it does when its reports don't arrive.

It joins when there is something to do, and leaves when there has been nothing for some seconds: who is idle takes no
share of anything. When the carrier fails, the engine goes on with a ledger of its own, whose limits are the fair share
that it had last, and shrink: those who can still ask are granted what it no longer asks for. It begins with what the
engine holds, since of the real buckets the rest is the others', or used up.
"""

import math

import attrs

from ..admission import Reason
from ..admission.demand import Demand
from .ledger import exchange, parted
from .messages import Grant, Report
from .share import SharedPool
from .state import State

__all__ = ["Membership"]

_ACTIVE = 0.25  # seconds between two reports while something is going on
_CALM = 1.0  # seconds, while streams only run
_MANY, _SELDOM = 16, 0.75  # of more than so many each reports less often, but while its lease still grows
_SOON = 0.025  # seconds, at least, between two reports
_LEAVES_AFTER = 3.0  # seconds without a stream
_HALVES = 60.0  # seconds in which the share halves that nobody grants any more
_LEAST = 0.25  # of it stays


class Membership:
    """Of `pool` in the budget's `account`. Times are seconds on the engine's clock."""

    def __init__(self, pool: SharedPool, account: str) -> None:
        self.pool = pool
        self.account = account
        self._last_use = -math.inf
        self._soon = _SOON
        self._slots = 0
        self._pressed = False
        # While the carrier fails:
        self._alone_since: float | None = None
        self._own: State | None = None
        self._last: Grant | None = None

    @property
    def alone(self) -> bool:
        """Whether nobody grants it anything: the carrier fails."""
        return self._alone_since is not None

    @property
    def is_new(self) -> bool:
        """Whether nothing has come of any report yet."""
        return self._last is None and not self.alone

    def due(self, now: float) -> float:
        """When to report next; infinity while there is nothing to report."""
        pool, notes = self.pool, self.pool.notes
        since = pool.reported_at
        if pool.grant is None:
            return max(now, since + _SOON) if notes.dry or notes.urgent or pool.running else math.inf
        if self.alone:
            return since + _CALM if not (notes.urgent or notes.dry) else since + _ACTIVE
        if notes.urgent or (notes.dry and not pool.reported_waiting):
            return since + _SOON
        if notes.pressed and notes:
            return since + self._soon  # the window may grow
        active = min(_SELDOM, _ACTIVE * max(1.0, pool.grant.participants / _MANY))
        return since + (active if pool.busy or pool.reported_waiting else _CALM)

    def report(self, demand: Demand, now: float, *, leaving: bool = False) -> Report:
        """What is to be told now."""
        pool = self.pool
        if pool.running or demand.waiting or pool.busy:
            self._last_use = now
        self._pressed = pool.notes.pressed
        return pool.report(demand, now, leaving=leaving or self._idle(now))

    def _idle(self, now: float) -> bool:
        return self.pool.grant is not None and now - self._last_use >= _LEAVES_AFTER

    def granted(self, report: Report, grant: Grant, now: float) -> None:
        """The carrier brought this."""
        self._use(report, grant, now)
        self._alone_since = self._own = None
        if not report.leaving:
            self._last = grant

    def failed(self, report: Report, now: float) -> None:
        """The carrier brought nothing: goes on alone."""
        if self._alone_since is None:
            self._alone_since = now
        alone = self._alone(report, now)
        if self._own is None:
            self._own = parted(alone, now)
        self._own, grant = exchange(self._own, alone, now)
        self._use(report, grant, now)

    def _alone(self, report: Report, now: float) -> Report:
        """The report as its own ledger is to see it: with the limits of the share that it had."""
        last, since = self._last, self._alone_since
        if last is None or since is None:
            return report
        part = last.share * max(_LEAST, 0.5 ** ((now - since) / _HALVES))
        fixed: dict[Reason, float] = {
            reason: lease.limit * part
            for reason, lease in last.leases.items()
            if lease.limit is not None and reason != "pace"
        }
        return attrs.evolve(report, fixed=fixed, ceiling=max(1, int(last.size * part)))

    def _use(self, report: Report, grant: Grant, now: float) -> None:
        pool = self.pool
        if report.leaving:
            pool.give_back(grant, now)
            return
        pool.take(grant, now)
        grows = grant.slots > self._slots
        self._soon = _SOON if grows or not self._pressed else min(2 * self._soon, _ACTIVE)
        self._slots = grant.slots

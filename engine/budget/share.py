"""A pool whose limits are a share of a budget: what it tells the ledger, and what it does with what it is granted."""

import math
from collections.abc import Callable
from itertools import count
from uuid import uuid4

import attrs

from ..admission import Limits, Reason
from ..admission.bucket import Bucket
from ..admission.demand import Demand
from ..admission.pool import Pool
from .leases import LeasedBucket, LeasedThrottle, Notes
from .messages import Grant, Lease, Report, Use

__all__ = ["SharedPool"]

_HORIZON = 0.5  # seconds over which a need is looked at
_SHORTEST = 0.05  # seconds, at least, over which it is measured how much was sent


class SharedPool(Pool):
    """A pool that takes its limits from grants. `wake` is called when it should report sooner than usual."""

    def __init__(
        self,
        name: str,
        ceiling: int,
        limits: Limits,
        now: float,
        *,
        fixed: bool,
        fast: bool,
        weight: float,
        priority: int,
        clock: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        super().__init__(name, ceiling, Limits(), now, fixed=fixed, fast=fast)
        self.notes = Notes(clock, wake)
        self._participant = uuid4().hex[:16]
        self._ceiling = ceiling
        self._weight, self._priority = weight, priority
        given: dict[Reason, float] = {
            reason: limit for reason in self.buckets if (limit := getattr(limits, reason)) is not None
        }
        self._fixed, self._told = (given, {}) if fixed else ({}, given)
        self._leased: dict[Reason, LeasedBucket] = {
            reason: LeasedBucket(reason, now, self.notes, unit=bucket.unit) for reason, bucket in self.buckets.items()
        }
        self.buckets: dict[Reason, Bucket] = dict(self._leased)
        self.throttle = self._share = LeasedThrottle(now, self.notes)
        self.reported_at = -math.inf
        """When it reported last."""
        self.reported_waiting = 0
        self._reported_sent = 0
        self._reports = count(1)
        self.grant: Grant | None = None
        """The last that was granted; None when there is none that holds."""
        self.granted_at = -math.inf

    @property
    def participant(self) -> str:
        """Its name in the ledger."""
        return self._participant

    @property
    def busy(self) -> bool:
        """Whether anything happened since the last report that changes what it needs."""
        return bool(self.notes or self.notes.dry or self._share.requests_sent > self._reported_sent)

    def report(self, demand: Demand, now: float, *, leaving: bool = False) -> Report:
        """What is to be told now."""
        share, notes = self._share, self.notes
        recently = _HORIZON / max(now - self.reported_at, _SHORTEST)
        lately = (share.requests_sent - self._reported_sent) * recently
        # No more than its streams can take until it asks again: who asks first must not take everything.
        sendable = min(demand.waiting, max(1, int(share.size) - self.running) + math.ceil(lately))
        uses: dict[Reason, Use] = {
            reason: bucket.tell(
                max(demand.amounts.get(reason, 0.0) * sendable, bucket.spent * recently),
                demand.amounts.get(reason, 0.0) * demand.waiting,
                demand.heads.get(reason, 0.0),
                now,
            )
            for reason, bucket in self._leased.items()
        }
        uses["pace"] = share.pace_lease.tell(max(sendable, lately), demand.waiting, 1.0 if demand.waiting else 0.0, now)
        report = Report(
            participant=self._participant,
            number=next(self._reports),
            weight=self._weight,
            priority=self._priority,
            ceiling=self._ceiling,
            running=self.running,
            wanted=self.running + max(demand.waiting, math.ceil(lately), 0 if self.grant or leaving else 1),
            waiting=demand.waiting,
            sent=share.requests_sent,
            pressed=notes.pressed,
            uses=uses,
            fixed=self._fixed,
            told=self._told,
            first_event=notes.first,
            events=notes.events(now),
            leaving=leaving,
        )
        notes.urgent = notes.dry = notes.pressed = False
        self.reported_at, self.reported_waiting = now, demand.waiting
        self._reported_sent = share.requests_sent
        return report

    def take(self, grant: Grant, now: float) -> None:
        """What was granted upon the last report, from now on."""
        for reason, bucket in self._leased.items():
            bucket.take(grant.leases[reason], now)
        self._share.take(
            slots=grant.slots,
            pause=grant.pause,
            out=grant.out,
            probe=grant.probe,
            pace=grant.leases["pace"],
            now=now,
        )
        self.notes.taken_in(grant.events)
        self.grant, self.granted_at = grant, now

    def give_back(self, grant: Grant, now: float) -> None:
        """It has left the ledger: it may use nothing until it is granted something again."""
        nothing: dict[Reason, Lease] = {
            reason: attrs.evolve(lease, held=0.0, rate=0.0) for reason, lease in grant.leases.items()
        }
        self.take(attrs.evolve(grant, slots=0, probe=False, leases=nothing), now)
        self.grant = None

"""A participant's limits: they look like those of a pool of its own, and are filled by leases.

What happens is noted, to be told at the next exchange. The notes also say whether that should be soon.
"""

import math
from collections.abc import Callable
from typing import Literal

import attrs

from ..admission import Reason
from ..admission.bucket import Bucket, Mark
from ..admission.throttle import Block, Refusal, Throttle
from .ledger import VALID
from .messages import Event, Lease, Seen, Use

__all__ = ["LeasedBucket", "LeasedThrottle", "Notes"]

_ASK_AGAIN = 0.25  # seconds
# Refusals that no limit explains. They come at once: nothing more is sent before the ledger has heard of so many.
_ENOUGH = 2


@attrs.frozen(kw_only=True)
class _Note:
    kind: Literal["answered", "refused", "gone", "overloaded", "capped", "contradicted"]
    at: float
    number: int = 0
    sent: float = 0.0
    refusal: Refusal | None = None
    reason: Reason | None = None
    remaining: float = 0.0


class Notes:
    """What happened since the last exchange. `wake` is called when there is a reason for another one."""

    def __init__(self, clock: Callable[[], float], wake: Callable[[], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._notes: list[_Note] = []
        self.first = 0
        """How many were taken in before."""
        self.urgent = False
        """Whether the others should know of it at once."""
        self.pressed = False
        """Whether the share of the streams held a request back."""
        self.dry = False
        """Whether any share did."""

    def __len__(self) -> int:
        return len(self._notes)

    def add(
        self,
        kind: Literal["answered", "refused", "gone", "overloaded", "capped", "contradicted"],
        *,
        number: int = 0,
        sent: float = 0.0,
        refusal: Refusal | None = None,
        reason: Reason | None = None,
        remaining: float = 0.0,
    ) -> None:
        """Notes how the API answered."""
        self._notes.append(
            _Note(
                kind=kind,
                at=self._clock(),
                number=number,
                sent=sent,
                refusal=refusal,
                reason=reason,
                remaining=remaining,
            )
        )
        if kind not in ("answered", "gone"):
            self.urge()

    def urge(self) -> None:
        """The others should know at once."""
        if not self.urgent:
            self.urgent = True
            self._wake()

    def hold_back(self, *, pressed: bool = False) -> None:
        """The share is too small for a request that waits."""
        self.pressed |= pressed
        if not self.dry:
            self.dry = True
            self._wake()

    def events(self, now: float) -> tuple[Event, ...]:
        """What is to be told."""
        return tuple(
            Event(
                kind=note.kind,
                age=now - note.at,
                number=note.number,
                sent_age=now - note.sent,
                refusal=note.refusal,
                reason=note.reason,
                remaining=note.remaining,
            )
            for note in self._notes
        )

    def taken_in(self, events: int) -> None:
        """So many events are taken in, from the first of all on."""
        del self._notes[: max(0, events - self.first)]
        self.first = max(self.first, events)


class LeasedBucket(Bucket):
    """One limit, of which a lease may be used."""

    def __init__(self, reason: Reason, now: float, notes: Notes, *, unit: int = 1) -> None:
        super().__init__(None, now, unit=unit)
        self._reason: Reason = reason
        self._notes = notes
        self._capacity = math.inf
        self._rate = 0.0
        self._until = now
        self._counted_then = 0.0
        self._all_reserved = self._all_settled = self._all_used = 0.0
        self._told = Use()
        self._seen: tuple[float, float, Mark] | None = None

    @property
    def capacity(self) -> float:
        """The most that the whole bucket holds."""
        return self._capacity

    def left(self, now: float) -> float:
        """What may be reserved at `now`."""
        return self.level + self._rate * max(0.0, min(now, self._until) - self._since)

    def wait(self, amount: float, now: float) -> float:
        """In how many seconds `amount` may be reserved, as it looks now; 0 for at once."""
        if self.limit is None:
            return 0.0
        self._refill(now)
        missing = min(amount, self._capacity) - self.level
        if missing <= 1e-9:
            return 0.0
        self._notes.hold_back()
        return missing / self._rate if self._rate > 1e-6 else max(_ASK_AGAIN, missing * 60 / self.limit)

    def reserve(self, amount: float, now: float) -> Mark:
        """Sets `amount` aside for a request that is sent now."""
        self.level -= amount
        self.outstanding += amount
        self._all_reserved += amount
        return Mark(now, self._counted_then + amount)

    def settle(self, reserved: float, used: float) -> None:
        """What was reserved for a request turned out to be `used`."""
        super().settle(reserved, used)
        self._all_settled += reserved
        self._all_used += used

    def observe(self, limit: float, remaining: float, mark: Mark, now: float, *, granted: float = 0.0) -> None:
        """The answer to the request with this mark gave a limit, and how much remains of it."""
        if self._seen is None or mark.moment >= self._seen[2].moment:
            self._seen = limit, remaining, mark
        if self.limit is None:
            self._notes.urge()

    def cap(self, remaining: float) -> None:
        """The API refused a request, and told that so much remains now."""
        super().cap(remaining)
        self._notes.add("capped", reason=self._reason, remaining=remaining)

    def contradict(self, now: float) -> None:
        """The API refused a request that should have passed."""
        self._refill(now)
        self.level = min(self.level, 0.0)
        self._notes.add("contradicted", reason=self._reason)

    @property
    def spent(self) -> float:
        """What was set aside since the last report."""
        return self._all_reserved - self._told.reserved

    def tell(self, need: float, backlog: float, head: float, now: float) -> Use:
        """The part of the next report that concerns this limit."""
        seen, self._seen = self._seen, None
        self._told = Use(
            reserved=self._all_reserved,
            settled=self._all_settled,
            used=self._all_used,
            held=self.left(now) if self.limit is not None else 0.0,
            need=need,
            backlog=backlog,
            head=head,
            seen=None if seen is None else Seen(seen[0], seen[1], seen[2].counted, now - seen[2].moment),
        )
        return self._told

    def take(self, lease: Lease, now: float) -> None:
        """The lease that was granted upon the last report: what was used meanwhile comes off it."""
        self._counted_then, self._capacity, self._since = lease.counted, lease.capacity, now
        self.limit, self._rate, self._until = lease.limit, lease.rate, now + VALID
        told = self._told
        given_back = self._all_settled - told.settled - (self._all_used - told.used)
        self.level = lease.held - (self._all_reserved - told.reserved) + given_back


class LeasedThrottle(Throttle):
    """How many requests may run and how fast they may follow each other, as far as this participant's share goes. What
    the answers teach is learnt by the ledger."""

    def __init__(self, now: float, notes: Notes) -> None:
        super().__init__(1)
        self._notes = notes
        self._pace = LeasedBucket("pace", now, notes)
        self._slots = 0
        self._paused_until = -math.inf
        self._out = self._may_probe = False
        self._sent = 0
        self._unexplained = 0  # refusals since the last grant

    @property
    def size(self) -> float:
        """How many streams it may run."""
        return self._slots

    @property
    def out(self) -> bool:
        """Whether the service is shut: then one request at a time is sent, of all participants together."""
        return self._out

    @property
    def paused_until(self) -> float:
        """Nothing is sent before this moment."""
        return self._paused_until

    @property
    def requests_sent(self) -> int:
        """How many requests it ever sent."""
        return self._sent

    @property
    def pace_lease(self) -> LeasedBucket:
        """Its part in the pace."""
        return self._pace

    def shut(self, running: int, now: float) -> Block | None:
        """What keeps every request from being sent now; None when nothing does."""
        if now < self._paused_until:
            return "pause", self._paused_until
        if self._unexplained >= _ENOUGH:
            return "pause", now + _ASK_AGAIN
        if self._out:
            if self._may_probe:
                return None
            self._notes.hold_back()
            return "pause", now + _ASK_AGAIN
        if running >= self._slots:
            self._notes.hold_back(pressed=True)
            return "adaptive_concurrency", None
        if (wait := self._pace.wait(1.0, now)) > 0:
            return "pace", now + wait
        return None

    def sent(self, now: float) -> int:
        """A request is sent; returns its number, for its answer."""
        number, self._sent = self._sent, self._sent + 1
        self._may_probe = False
        self._pace.reserve(1.0, now)
        self._pace.settle(1.0, 1.0)
        return number

    def gone(self, number: int) -> None:
        """The request with this number was given up before its answer came, or never reached the API."""
        self._notes.add("gone", number=number)
        if self._out:
            self._notes.urge()

    def answered(self, number: int, sent: float, running: int, now: float) -> None:
        """The API took the request with this number on, or refused it for what it asked."""
        self._notes.add("answered", number=number, sent=sent)
        if self._out:
            self._notes.urge()

    def refused(self, number: int, sent: float, refusal: Refusal, now: float) -> None:
        """The API refused the request with this number for now, or could not be reached."""
        if refusal.pause:
            self._paused_until = max(self._paused_until, now + refusal.pause)
        if refusal.room is not False:
            self._unexplained += 1
        self._notes.add("refused", number=number, sent=sent, refusal=refusal)

    def overloaded(self) -> None:
        """The API broke an answer off because it was overloaded."""
        self._notes.add("overloaded")

    def take(self, *, slots: int, pause: float, out: bool, probe: bool, pace: Lease, now: float) -> None:
        """The share that was granted."""
        self._slots, self._out, self._may_probe, self._unexplained = slots, out, probe, 0
        self._paused_until = now + pause if pause else -math.inf
        self._pace.take(pace, now)

"""A limit per minute as a token bucket. The API keeps the real bucket; its level can only be inferred.

Each running request has reserved an estimate, and it is unknown how much of that the API has already taken. A header
does not tell the present level either: it was written after its request was sent, and may not count requests that were
under way then or were sent since. So a header gives two bounds. A level outside them is corrected: others draw on the
same bucket, or the estimates were wrong.
"""

import math

import attrs

from .remembered import Remembered

__all__ = ["Bucket", "Mark"]

_SMALLEST_BURST = 1 / 60  # of a minute's worth: a limit of 60 a minute that is enforced as one a second


@attrs.frozen
class Mark:
    """The state of a bucket when a request was sent, with which the headers of its answer are compared."""

    moment: float
    counted: float
    """How much of all that was ever reserved the API must have counted by the time it answered this request."""


class Bucket(Remembered):
    """One limit. Amounts are requests or tokens, times are seconds on the engine's clock.

    `per_minute` is the limit, which headers never raise if it is `fixed`; None for one that is learnt from headers, and
    limits nothing until then. `unit` is the step to which the headers' figures are rounded.
    """

    _fixed_parts = frozenset({"unit"})

    def __init__(self, per_minute: float | None, now: float, *, unit: int = 1, fixed: bool = True) -> None:
        self.limit = per_minute
        self.level = per_minute or 0.0
        """What may still be reserved; negative when more was used than had been reserved."""
        self.outstanding = 0.0
        """What is reserved and not settled."""
        self.unit = unit
        self._fixed = fixed and per_minute is not None
        self._since = now
        self._reserved = 0.0  # all that ever was
        self._burst = 1.0  # of a minute's worth, the most the bucket holds
        self._most_seen = 0.0  # in headers
        self.taken_by_others = 0.0
        """What is gone that nobody here has taken: others draw on the same limit."""

    @property
    def capacity(self) -> float:
        """The most the bucket holds."""
        return math.inf if self.limit is None else self.limit * self._burst

    @property
    def counted(self) -> float:
        """How much of all that was ever reserved is settled."""
        return self._reserved - self.outstanding

    def limit_to(self, per_minute: float, now: float, *, fixed: bool, burst: float | None = None) -> None:
        """The limit is this from now on, and is `fixed` or only told. `burst` is the most the bucket holds, in minutes'
        worth; as before, if it is not given."""
        if self.limit is None:
            self.limit, self.level, self._since = per_minute, self.level + per_minute, now
        else:
            self._refill(now)
            self.limit = per_minute
        if burst is not None:
            self._burst = burst
        self._fixed = fixed
        self.level = min(self.level, self.capacity)

    def left(self, now: float) -> float:
        """What may be reserved at `now`. (`level` is from the last look.)"""
        refilled = 0.0 if self.limit is None else (now - self._since) * self.limit / 60
        return min(self.capacity, self.level + refilled)

    def wait(self, amount: float, now: float) -> float:
        """In how many seconds `amount` may be reserved; 0 for at once. An amount larger than the bucket passes when the
        bucket is full."""
        if self.limit is None:
            return 0.0
        self._refill(now)
        missing = min(amount, self.capacity) - self.level
        return 0.0 if missing <= 1e-9 else missing * 60 / self.limit

    def reserve(self, amount: float, now: float) -> Mark:
        """Sets `amount` aside for a request that is sent now."""
        mark = Mark(now, self._reserved - self.outstanding + amount)
        self._reserved += amount
        self.level -= amount
        self.outstanding += amount
        return mark

    def settle(self, reserved: float, used: float) -> None:
        """What was reserved for a request turned out to be `used`."""
        # At most one bucket below 0: while a long answer was written, much was refilled that was not counted here.
        self.level = max(self.level + reserved - used, min(self.level, -self.capacity))
        self.outstanding -= reserved

    def observe(self, limit: float, remaining: float, mark: Mark, now: float, *, granted: float = 0.0) -> None:
        """The answer to the request with this mark gave a limit, and how much remains of it. `granted` is what others
        may have taken unseen: the level counts it as still there."""
        least = remaining - (self._reserved - mark.counted)
        self._most_seen = max(self._most_seen, remaining)
        if self.limit is None:
            self.limit, self.level, self._since = limit, least, now
            return
        self._refill(now)
        if not self._fixed:
            self.limit = limit
            self.level = max(self.level, min(least, self.capacity))
        most = remaining + (now - mark.moment) * self.limit / 60 + self.unit + granted
        if self.level > most:
            if self.level <= self._most_seen:  # else the bucket may hold less than a minute's worth
                self.taken_by_others += self.level - most
            self.level = remaining + granted

    def cap(self, remaining: float) -> None:
        """The API refused a request, and told that so much remains now: a refusal comes at once, so it is up to
        date."""
        self.level = min(self.level, remaining)

    def contradict(self, now: float) -> None:
        """The API refused a request that should have passed: its bucket must hold less than a minute's worth.

        From now on a quarter as much may be taken at once. The rate stays as it is.
        """
        if self.limit is not None:
            self._refill(now)
            self._burst = max(_SMALLEST_BURST, self._burst / 4)
            self.level = min(self.level, 0.0)

    def _refill(self, now: float) -> None:
        self.level = self.left(now)
        self._since = now

"""A limit per minute, as we believe its bucket to stand: a token bucket that the API keeps and we can only infer.

What runs has reserved an estimate, and nobody knows how much of it the API has taken yet. Nor does a header tell how
things stand now: it was written after its request was sent, at a moment that need not know of what was under way then
or was sent since. So it gives two bounds, and a level outside them is corrected: somebody else draws on the same
bucket, or our estimates were off.
"""

import math

import attrs

__all__ = ["Bucket", "Mark"]

_SMALLEST_BURST = 1 / 60  # of a minute's worth: a limit of 60 a minute that is enforced as one a second


@attrs.frozen
class Mark:
    """How a bucket stood when a request was sent: what the headers of its answer can be held against."""

    moment: float
    counted: float
    """How much of all that was ever reserved the API had surely counted by then, this request included."""


class Bucket:
    """One limit. Amounts are requests or tokens, times are seconds on the engine's clock.

    `per_minute` is a limit set by hand, which headers never raise; None for one that is learnt from headers, and stands
    in nobody's way until then. `unit` is how coarse the headers' figures are.
    """

    __slots__ = ("_burst", "_fixed", "_reserved", "_since", "level", "limit", "outstanding", "unit")

    def __init__(self, per_minute: float | None, now: float, *, unit: int = 1) -> None:
        self.limit = per_minute
        self.level = per_minute or 0.0
        """What may still be reserved; negative when more was used than had been reserved."""
        self.outstanding = 0.0
        """What is reserved and not settled."""
        self.unit = unit
        self._fixed = per_minute is not None
        self._since = now
        self._reserved = 0.0  # all that ever was
        self._burst = 1.0  # of a minute's worth, the most the bucket holds

    @property
    def capacity(self) -> float:
        """The most the bucket holds."""
        return math.inf if self.limit is None else self.limit * self._burst

    def left(self, now: float) -> float:
        """What may be reserved at `now`; `level` is as of the last look."""
        refilled = 0.0 if self.limit is None else (now - self._since) * self.limit / 60
        return min(self.capacity, self.level + refilled)

    def wait(self, amount: float, now: float) -> float:
        """How many seconds from now `amount` may be reserved; 0 for at once. More than it holds passes when it is
        full."""
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
        # No deeper than a bucket's worth: of a long answer much was refilled while it was written, and never counted.
        self.level = max(self.level + reserved - used, min(self.level, -self.capacity))
        self.outstanding -= reserved

    def observe(self, limit: float, remaining: float, mark: Mark, now: float) -> None:
        """The answer to the request with this mark said how much is left of what limit."""
        least = remaining - (self._reserved - mark.counted)
        if self.limit is None:
            self.limit, self.level, self._since = limit, least, now
            return
        self._refill(now)
        if not self._fixed:
            self.limit = limit
            self.level = max(self.level, min(least, self.capacity))
        if self.level > remaining + (now - mark.moment) * self.limit / 60 + self.unit:
            self.level = remaining

    def contradict(self, now: float) -> None:
        """The API refused what should have passed by all that is known: it holds less at a time than a minute's worth.

        From now on a quarter as much may be taken at once. The rate stays as it is.
        """
        if self.limit is not None:
            self._refill(now)
            self._burst = max(_SMALLEST_BURST, self._burst / 4)
            self.level = min(self.level, 0.0)

    def _refill(self, now: float) -> None:
        self.level = self.left(now)
        self._since = now

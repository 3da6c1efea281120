"""What refuses a request whatever its model: too steep an increase, and a service without room.

The API doesn't say how it measures an increase. Here it is a rate that grows with its use.
"""

from __future__ import annotations

from random import Random

from .conditions import Overload, Ramp
from .errors import RefusalError
from .limits import Bucket, retry_after

__all__ = ["Acceleration", "Capacity"]

_INTERVAL = 10.0  # seconds after which the allowed rate is set anew, by what was used of it meanwhile


class Acceleration:
    """Keeps requests from becoming more too fast."""

    def __init__(self, ramp: Ramp | None) -> None:
        self._ramp = ramp
        self._rate = 0.0  # allowed requests a minute
        self._let_in = 0  # in this interval
        self._ends = 0.0  # of this interval
        self._bucket: Bucket | None = None

    def check(self, now: float) -> None:
        """Raises RefusalError (429) when one more request would be too steep an increase."""
        if self._ramp is None:
            return
        if (wait := self._at(self._ramp, now).wait(1, now)) > 0:
            message = (
                "This request would exceed your organization's acceleration limit: at most "
                f"{self._rate:.0f} requests per minute for now. Please ramp up your traffic gradually."
            )
            raise RefusalError(
                429,
                message,
                retry_after=retry_after(wait),
                error_code="ramp_limit_exceeded",
                refused_by="ramp",
            )

    def let_in(self, now: float) -> None:
        """Counts a request."""
        if self._ramp is not None:
            self._at(self._ramp, now).take(1, now)
            self._let_in += 1

    def _at(self, ramp: Ramp, now: float) -> Bucket:
        """Returns the bucket as it is at that time, the rate having been set anew as often as it was due."""
        if self._bucket is None:
            self._rate = ramp.requests_per_minute
            self._ends = now + _INTERVAL
            self._bucket = Bucket(self._rate / 60, self._rate * ramp.burst_seconds / 60, now)
        factor = ramp.growth ** (_INTERVAL / 60)
        while self._ends <= now:
            used = self._let_in >= self._rate * _INTERVAL / 60 / 2
            if not used and self._rate == ramp.requests_per_minute:  # an idle service: nothing changes any more
                self._ends += ((now - self._ends) // _INTERVAL + 1) * _INTERVAL
                self._let_in = 0
                break
            self._rate = max(ramp.requests_per_minute, self._rate * factor if used else self._rate / factor)
            self._bucket.change(self._rate / 60, self._rate * ramp.burst_seconds / 60, self._ends)
            self._let_in = 0
            self._ends += _INTERVAL
        return self._bucket


class Capacity:
    """Whether there is room at all."""

    def __init__(self, overload: Overload) -> None:
        self._overload = overload
        self._since: float | None = None  # the first request

    def check(self, luck: str, now: float) -> None:
        """Raises RefusalError (529) in an outage, or when the seed `luck` will have it."""
        if self._since is None:
            self._since = now
        elapsed = now - self._since
        unlucky = self._overload.probability > 0 and Random(luck).random() < self._overload.probability
        if unlucky or any(start <= elapsed < end for start, end in self._overload.outages):
            raise RefusalError(529, "Overloaded", refused_by="overload")

"""The budget that all retries of an engine share, so that an outage is not met with a storm of them.

Each retry takes a token. Each request that the API accepts gives one back, and so does each second. While half of the
requests pass, the budget holds nothing back; when none pass, an engine of any size retries once a second. Engines that
share their limits share that as well: each has its part, so that together they retry as one would.
"""

__all__ = ["RetryBudget"]

_RETURNED = 1.0
_PER_SECOND = 1.0
_LEAST = 0.01  # part of it


class RetryBudget:
    """A token bucket that is full at first. Times are seconds on the engine's clock."""

    def __init__(self, capacity: float, now: float) -> None:
        self._whole = self._capacity = self._tokens = capacity
        self._per_second = _PER_SECOND
        self._since = now

    def share(self, part: float, now: float) -> None:
        """Only this part of it is ours, from 0 to 1: others retry, too."""
        self._refill(now)
        self._per_second = max(_LEAST, part) * _PER_SECOND
        self._capacity = max(1.0, part * self._whole)
        self._tokens = min(self._tokens, self._capacity)

    def wait(self, now: float) -> float:
        """In how many seconds the next retry may be made; 0 for at once."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / self._per_second)

    def take(self) -> None:
        """A retry is made."""
        self._tokens -= 1.0

    def give_back(self) -> None:
        """The API accepted a request."""
        self._tokens = min(self._capacity, self._tokens + _RETURNED)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._capacity, self._tokens + (now - self._since) * self._per_second)
        self._since = now

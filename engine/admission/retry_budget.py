"""The budget that all retries of an engine draw on, so that an outage is not answered with a storm.

Each retry takes a token; each request that the API takes on gives half a one back, and time gives one a second. While
most requests pass, nobody notices; when none do, an engine of any size tries no more than once a second.
"""

__all__ = ["RetryBudget"]

_RETURNED = 0.5
_PER_SECOND = 1.0


class RetryBudget:
    """A token bucket that begins full. Times are seconds on the engine's clock."""

    def __init__(self, capacity: float, now: float) -> None:
        self._capacity = capacity
        self._tokens = capacity
        self._since = now

    def wait(self, now: float) -> float:
        """How many seconds from now the next retry may be made; 0 for at once."""
        self._refill(now)
        return max(0.0, (1.0 - self._tokens) / _PER_SECOND)

    def take(self) -> None:
        """A retry is made."""
        self._tokens -= 1.0

    def give_back(self) -> None:
        """The API took a request on."""
        self._tokens = min(self._capacity, self._tokens + _RETURNED)

    def _refill(self, now: float) -> None:
        self._tokens = min(self._capacity, self._tokens + (now - self._since) * _PER_SECOND)
        self._since = now

"""The limits of the batches' own: requests to their endpoints, and requests that wait to be processed.

All models and workspaces share them, and they have nothing to do with those of messages.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from ..service import Bucket, RefusalError, retry_after
from .settings import Batches

__all__ = ["BatchLimits"]


class BatchLimits:
    """The limits of one organisation. A limit that isn't set refuses nothing, and no header tells of it."""

    def __init__(self, settings: Batches) -> None:
        self._per_minute = settings.requests_per_minute
        self._queued = settings.queued_requests
        per_minute = self._per_minute or 1
        self._requests = Bucket(per_minute / 60, per_minute, 0.0)  # full whenever the first comes

    def let_in(self, now: float) -> None:
        """Counts an HTTP request; raises RefusalError (429) when it has to wait, and then doesn't count it."""
        if self._per_minute is None:
            return
        if wait := self._requests.wait(1, now):
            message = (
                f"This request would exceed your organization's rate limit of {self._per_minute:,} requests per minute "
                "to the Message Batches API. Please try again later."
            )
            raise RefusalError(429, message, retry_after=retry_after(wait), refused_by="batches.requests_per_minute")
        self._requests.take(1, now)

    def check_queue(self, waiting: int, more: int, wait: float) -> None:
        """Raises RefusalError (429) when the queue has no room for so many more; `wait` is the seconds until it has."""
        if self._queued is not None and waiting + more > self._queued:
            message = (
                f"This request would exceed your organization's limit of {self._queued:,} batch requests in the "
                "processing queue. Please try again later."
            )
            raise RefusalError(429, message, retry_after=retry_after(wait), refused_by="batches.queued_requests")

    def headers(self, now: float) -> dict[str, str]:
        """Returns the headers that tell where the limit of HTTP requests stands."""
        if self._per_minute is None:
            return {}
        full = now + self._requests.wait(self._requests.capacity, now)
        return {
            "anthropic-ratelimit-requests-limit": str(self._per_minute),
            "anthropic-ratelimit-requests-remaining": str(max(0, int(self._requests.level_at(now) + 1e-6))),
            "anthropic-ratelimit-requests-reset": f"{datetime.fromtimestamp(math.ceil(full), UTC):%Y-%m-%dT%H:%M:%SZ}",
        }

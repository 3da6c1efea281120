"""A warning when limits hold the engine back: which one, how many requests wait for it, and for how long.

It is told once it has been so for some seconds, and again only when another limit holds the engine back, or after a
minute: not for each request.
"""

import math
from collections import Counter
from collections.abc import Callable
from itertools import islice

from .admission import Admission, Reason
from .admission.pool import Pool
from .telemetry import warn

__all__ = ["LimitWatch"]

_SECONDS = 5.0  # a shorter wait is nothing to tell of
_QUIET = 60.0  # seconds before the same is told again
_MOST = 1000  # requests that are looked at: a hundred thousand may wait, and the event loop waits for us

_SOME, _MUCH = 10.0, 0.1  # requests, and of a minute's worth, that others took

_LIMITS: dict[Reason, str] = {
    "adaptive_concurrency": "the API accepts no more streams at once",
    "pause": "the API asked to wait, or is down",
    "pace": "the API refused requests that followed each other faster",
    "requests_per_minute": "requests per minute",
    "input_tokens_per_minute": "input tokens per minute",
    "output_tokens_per_minute": "output tokens per minute",
}


class LimitWatch:
    """Looks at what waits, whenever it is asked, but at most once a second."""

    def __init__(self, clock: Callable[[], float], admission: Admission, warn: Callable[..., object] = warn) -> None:
        self._warn = warn
        self._clock = clock
        self._admission = admission
        self._next_look = -math.inf
        self._since: float | None = None
        """Since when limits have held requests back."""
        self._told: Reason | None = None
        self._told_at = -math.inf

    @property
    def patience(self) -> float:
        """How many seconds may pass before it has to be asked again."""
        return _SECONDS if self._admission.waiting else math.inf

    def look(self) -> None:
        """Warns if there is something to tell."""
        now = self._clock()
        if not self._admission.waiting:
            self._since = None
            return
        if now < self._next_look:
            return
        self._next_look = now + 1.0
        waits: list[tuple[Reason, float | None, Pool]] = [
            (reason, until, ticket.pool)
            for ticket, (reason, until) in islice(self._admission.waits(), _MOST)
            if reason in _LIMITS
        ]
        if not waits:
            self._since = None
            return
        self._since = now if self._since is None else self._since
        counts = Counter[Reason](reason for reason, _, _ in waits)
        ((reason, _),) = counts.most_common(1)
        again = reason == self._told and now - self._told_at < _QUIET
        if now - self._since < _SECONDS or again or now - self._told_at < _SECONDS:
            return
        self._told, self._told_at = reason, now
        until, pool = min(
            ((math.inf if until is None else until, pool) for found, until, pool in waits if found == reason),
            key=lambda one: one[0],
        )
        self._warn(
            "limits.holding_back",
            limit=reason,
            why=_LIMITS[reason],
            **_how_much(pool, reason, now),
            pool=pool.name,
            waiting=self._admission.waiting,
            running=self._admission.running,
            next_in=None if until == math.inf else round(max(0.0, until - now), 1),
            **_hint(pool),
        )


def _how_much(pool: Pool, reason: Reason, now: float) -> dict[str, float]:
    bucket = pool.buckets.get(reason)
    if bucket is None or bucket.limit is None:
        return {"concurrency": int(pool.throttle.size)} if reason == "adaptive_concurrency" else {}
    return {"per_minute": round(bucket.limit), "left": round(bucket.left(now))}


def _hint(pool: Pool) -> dict[str, str]:
    """What may help, when others use the same key."""
    bucket = pool.buckets["requests_per_minute"]  # of tokens it is not known exactly what was taken
    if bucket.limit is None or bucket.taken_by_others < max(_SOME, _MUCH * bucket.limit):
        return {}
    return {"hint": 'others draw on this limit, too; if they run on this host, share it: Engine(..., budget="host")'}

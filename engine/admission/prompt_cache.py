"""Which prompt prefixes the API has cached: of the requests that share a prefix, one writes it and the rest read it.

A prefix can be read once the first response that writes it has begun. A hundred requests sent at the same time would
all be billed for writing it. So one request leads, and those that share the prefix follow when its answer begins.
"""

from collections.abc import Iterable

from .prompt import Prefix
from .reservation import Reservation

__all__ = ["Prefixes"]

_PATIENCE = 30.0  # seconds that the others wait for the request that leads
_MANY = 10_000


class Prefixes:
    """The prefixes of one pool. Times are seconds on the engine's clock."""

    def __init__(self) -> None:
        self._readable: dict[bytes, float] = {}  # until when
        self._never_cached: set[bytes] = set()
        self._written_by: dict[bytes, Reservation] = {}
        self._prune_at = _MANY

    def readable(self, prefixes: Iterable[Prefix], now: float) -> int:
        """How many tokens of these prefixes, each longer than the one before, can be read from the cache."""
        return max(
            (
                prefix.tokens
                for prefix in prefixes
                if self._readable.get(prefix.key, -1.0) > now and prefix.key not in self._never_cached
            ),
            default=0,
        )

    def leader_of(self, reservation: Reservation, now: float) -> Reservation | None:
        """The request that is about to write a prefix which this one could read; None when this one need not wait."""
        for prefix in reversed(reservation.prompt.prefixes):
            if self._readable.get(prefix.key, -1.0) > now:
                return None
            if (leader := self._written_by.get(prefix.key)) is not None:
                return leader if leader.led_until > now else None
        return None

    def lead(self, reservation: Reservation, now: float) -> None:
        """The request is sent: it reads the prefixes that can be read, and leads for the rest."""
        for prefix in reservation.prompt.prefixes:
            if self._readable.get(prefix.key, -1.0) > now:
                self._readable[prefix.key] = now + prefix.ttl
            elif prefix.key not in self._written_by:
                self._written_by[prefix.key] = reservation
                reservation.leads = (*reservation.leads, prefix.key)
                reservation.led_until = now + _PATIENCE

    def written(self, reservation: Reservation, now: float, *, cached: bool) -> None:
        """The request's answer has begun: the prefixes that it leads can be read. `cached` says whether the API has
        cached anything. If not, nothing of them is read from the cache, but no request waits for them any more."""
        if reservation.leads:
            lasts = {prefix.key: prefix.ttl for prefix in reservation.prompt.prefixes}
            for key in reservation.leads:
                self._readable[key] = now + lasts[key]
                if not cached:
                    self._never_cached.add(key)
            self.given_up(reservation)
            if len(self._readable) > self._prune_at:
                self._readable = {key: until for key, until in self._readable.items() if until > now}
                self._never_cached &= self._readable.keys()
                self._prune_at = 2 * len(self._readable) + _MANY

    def given_up(self, reservation: Reservation) -> None:
        """The request leads no more."""
        for key in reservation.leads:
            del self._written_by[key]
        reservation.leads = ()

"""Which prompt prefixes are in the API's cache: of the requests that share one, one writes it and the rest read it.

A prefix can be read once the first response that writes it has begun. Sent at once, a hundred requests would all be
billed for writing it. So one leads, and those that share a prefix with it follow when its answer begins.
"""

from collections.abc import Iterable

from .prompt import Prefix
from .reservation import Reservation

__all__ = ["Prefixes"]

_PATIENCE = 30.0  # seconds for which the others wait for the one that leads
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
        """Who is about to write a prefix that this request could read."""
        for prefix in reversed(reservation.prompt.prefixes):
            if self._readable.get(prefix.key, -1.0) > now:
                return None
            if (leader := self._written_by.get(prefix.key)) is not None:
                return leader if leader.led_until > now else None
        return None

    def lead(self, reservation: Reservation, now: float) -> None:
        """The request is sent: it reads what can be read, and writes the rest."""
        for prefix in reservation.prompt.prefixes:
            if self._readable.get(prefix.key, -1.0) > now:
                self._readable[prefix.key] = now + prefix.ttl
            elif prefix.key not in self._written_by:
                self._written_by[prefix.key] = reservation
                reservation.leads = (*reservation.leads, prefix.key)
                reservation.led_until = now + _PATIENCE

    def written(self, reservation: Reservation, now: float, *, cached: bool) -> None:
        """The request's answer has begun: what it leads can be read. `cached` tells whether the API caches it at all;
        if it doesn't, nobody is to wait for it either."""
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

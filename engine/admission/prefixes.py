"""Which prompt prefixes are in the API's cache: of the requests that share one, one writes it and the rest read it.

A prefix can be read once the first response that writes it has begun. Sent at once, a hundred requests would all be
billed for writing it. So one leads, and those that share a prefix with it follow when its answer begins.
"""

from collections.abc import Iterable

from ..prompt import Prefix
from .ticket import Ticket

__all__ = ["Prefixes"]


class Prefixes:
    """The prefixes of one pool. Times are seconds on the engine's clock."""

    def __init__(self) -> None:
        self._readable: dict[bytes, float] = {}  # until when
        self._written_by: dict[bytes, Ticket] = {}

    def readable(self, prefixes: Iterable[Prefix], now: float) -> int:
        """How many tokens of these prefixes, each longer than the one before, can be read from the cache."""
        return max((prefix.tokens for prefix in prefixes if self._readable.get(prefix.key, -1.0) > now), default=0)

    def leader_of(self, ticket: Ticket, now: float) -> Ticket | None:
        """Who is about to write a prefix that this request could read."""
        for prefix in reversed(ticket.prompt.prefixes):
            if self._readable.get(prefix.key, -1.0) > now:
                return None
            if (leader := self._written_by.get(prefix.key)) is not None:
                return leader
        return None

    def lead(self, ticket: Ticket, now: float) -> None:
        """The request is sent: it reads what can be read, and writes the rest."""
        for prefix in ticket.prompt.prefixes:
            if self._readable.get(prefix.key, -1.0) > now:
                self._readable[prefix.key] = now + prefix.ttl
            elif prefix.key not in self._written_by:
                self._written_by[prefix.key] = ticket
                ticket.leads = (*ticket.leads, prefix.key)

    def written(self, ticket: Ticket, now: float) -> None:
        """The request's answer has begun: what it leads can be read."""
        if ticket.leads:
            lasts = {prefix.key: prefix.ttl for prefix in ticket.prompt.prefixes}
            for key in ticket.leads:
                self._readable[key] = now + lasts[key]
            self.given_up(ticket)
            if len(self._readable) > 10_000:
                self._readable = {key: until for key, until in self._readable.items() if until > now}

    def given_up(self, ticket: Ticket) -> None:
        """The request leads no more."""
        for key in ticket.leads:
            del self._written_by[key]
        ticket.leads = ()

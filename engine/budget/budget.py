"""What carries a budget between those who share it."""

from collections.abc import Hashable
from hashlib import blake2b
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    from .messages import GrantT, Told

__all__ = ["Budget", "CarrierFailed", "ImmediateBudget", "Owner", "account_of", "owner_of", "purse_of"]


class CarrierFailed(Exception):
    """A carrier can't reach the ledger now. The message says why, and nothing secret."""


@runtime_checkable
class Budget(Protocol):
    """A carrier: it takes an engine's reports to the ledger that all share, and brings back what is granted. Its one
    method joins, renews, settles, teaches and leaves."""

    name: str | None
    """Whoever gives the same name shares, whatever key is used; None: whoever uses the same key at the same URL."""
    weight: float
    """The size of an engine's fair share, in proportion to those of others."""
    priority: int
    """Whoever has a higher one gets what it needs first."""
    spend_cap: float | None
    """What all who give the same name may spend together, in dollars; None for no cap."""
    on_host: bool
    """Whether it reaches no further than this host."""

    async def exchange(self, account: str, report: "Told[GrantT]") -> "GrantT":
        """Takes a report to the ledger of this account. It may raise any `Exception`: the engine goes on with the share
        that it had."""
        ...

    async def aclose(self) -> None:
        """Gives up what is held open. A later exchange opens it again."""
        ...


@runtime_checkable
class ImmediateBudget(Budget, Protocol):
    """A carrier that need not wait."""

    def exchange_now(self, account: str, report: "Told[GrantT]") -> "GrantT | None":
        """Takes a report to the ledger at once; None when that would take a while. It may raise any `Exception`."""
        ...


@attrs.frozen
class Owner:
    """Whose limits they are, for those who don't keep the key: a hash of it."""

    digest: str


def owner_of(credentials: Hashable) -> Owner:
    """The owner of the limits that requests with these credentials count against. No key can be found from it."""
    return Owner(_hash(repr(("key", credentials)), b"manystream.owner"))


def account_of(credentials: Hashable, pool: str, name: str | None) -> str | None:
    """The account of one pool of limits: a hash, from which no key can be found. None when it is unknown whose the
    limits are: nobody else can know either. The credentials may be an `Owner`."""
    if name is not None:
        owner = Owner(_hash(repr(("name", name)), b"manystream.owner"))
    elif credentials is None:
        return None
    else:
        owner = credentials if isinstance(credentials, Owner) else owner_of(credentials)
    return _hash(f"{owner.digest} {pool!r}", b"manystream.pool")


def purse_of(name: str | None) -> str | None:
    """The account of the dollars that are spent under a name; None without one."""
    return None if name is None else _hash(repr(("name", name)), b"manystream.purse")


def _hash(text: str, purpose: bytes) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16, person=purpose).hexdigest()

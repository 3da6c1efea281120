"""What a hub asks of a store, as plain values.

A store holds entries of events, in order, and for each stream who writes it. A writer is told apart by the stream's
epoch, which grows when another process takes the stream over: what a writer of an earlier epoch appends is refused, so
two processes never write one stream, whatever each believes. A process that lives renews its lease; when it has run
out, its streams are orphans, and the first to claim one writes it from then on.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import attrs

from ....actors.channel import Entry

__all__ = ["Head", "Row", "Store", "StoreFailed", "Written"]


class StoreFailed(ConnectionError):
    """The store could not be reached, or is busy. The hub tries again."""


@attrs.frozen
class Head:
    """What is known of a stream beside its events."""

    id: str
    key: str | None
    run_id: str
    epoch: int
    ended: bool = False
    request: str | None = attrs.field(default=None, repr=False)
    """The request as JSON, if it was kept."""


@attrs.frozen
class Row:
    """An entry to be appended by the writer of an epoch."""

    id: str
    epoch: int
    entry: Entry


@attrs.frozen
class Written:
    """What a write came to."""

    lost: frozenset[str] = frozenset()
    """Streams that another process has taken over."""
    stops: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Own streams that somebody wants to stop, and why."""
    watched: frozenset[str] = frozenset()
    """Own streams that browsers read from other processes."""
    orphans: Sequence[Head] = ()
    """Streams whose writer is gone."""


class Store(Protocol):
    """Its methods block, and are called in a thread, one at a time. All raise `StoreFailed`."""

    def create(self, head: Head, owner: str, lease: float) -> None:
        """A stream that `owner` writes, who has a lease of so many seconds. It is the latest of its key."""
        ...

    def look(self, name: str) -> Head | None:
        """The stream with this id, or the latest of this key."""
        ...

    def write(self, owner: str, lease: float, rows: Sequence[Row], reading: Sequence[str], retention: float) -> Written:
        """Renews the lease for so many seconds, appends what may be appended, notes which streams are `reading` here,
        and forgets streams that ended longer than `retention` seconds ago. A row that was appended before is appended
        no second time."""
        ...

    def read(self, wants: Mapping[str, int]) -> Sequence[Row]:
        """The entries behind these numbers, by the streams' ids, in order."""
        ...

    def claim(self, head: Head, owner: str) -> bool:
        """Makes `owner` the writer of an orphan, in the epoch after the head's, unless somebody else was first."""
        ...

    def stop(self, name: str, reason: str) -> bool:
        """Asks the writer of the stream with this id to stop it, or those of all streams of this key that have not
        ended. Returns whether there was one."""
        ...

    def release(self, owner: str) -> None:
        """Ends the lease: what the owner still writes may be taken over at once."""
        ...

    def close(self) -> None:
        """Closes what is open. The store may be used again."""
        ...

"""What a participant tells the ledger of a shared budget, and what it is granted.

Moments cross as ages, since no two clocks agree. What was used is told as sums since the participant began, so that a
report which comes twice, or whose grant was lost, counts once.
"""

from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, TypeVar

import attrs

from ..admission import Reason
from ..admission.throttle import Refusal

__all__ = ["Event", "Grant", "GrantT", "Lease", "OutOfDateError", "Report", "Seen", "Told", "Use"]

GrantT = TypeVar("GrantT")


class OutOfDateError(Exception):
    """A later report of the same participant was booked before."""


class Told(Generic[GrantT]):
    """What a participant tells a ledger, which grants it a `GrantT`."""

    participant: str
    """Its name, which nobody else has; empty for one that takes no part."""
    number: int
    """Of the report, in the order in which it made them: one that comes after a later one is out of date."""
    lasting: ClassVar[bool] = False
    """Whether the account is to be kept however long nobody touches it."""


@attrs.frozen
class Seen:
    """What the headers of an answer gave of a limit."""

    limit: float
    remaining: float
    counted: float
    """How much of all that was ever reserved the API must have counted by then."""
    age: float
    """How many seconds ago the answered request was sent."""


@attrs.frozen(kw_only=True)
class Use:
    """A participant's part in one limit. Sums count from its beginning."""

    reserved: float = 0.0
    """All that was set aside for requests that were sent."""
    settled: float = 0.0
    """What of that is settled."""
    used: float = 0.0
    """What that turned out to be."""
    held: float = 0.0
    """What is left of its lease."""
    need: float = 0.0
    """What it could use until it asks again."""
    backlog: float = 0.0
    """What all need that wait."""
    head: float = 0.0
    """What the first of its waiting requests needs."""
    seen: Seen | None = None


@attrs.frozen(kw_only=True)
class Event:
    """How the API answered, as far as it says how much may be sent."""

    kind: Literal["answered", "refused", "gone", "overloaded", "capped", "contradicted"]
    age: float
    number: int = 0
    """The request's, in the order in which the participant sent them."""
    sent_age: float = 0.0
    """How many seconds ago it was sent."""
    refusal: Refusal | None = None
    reason: Reason | None = None
    """The limit that was `capped` or `contradicted`."""
    remaining: float = 0.0


@attrs.frozen(kw_only=True)
class Lease:
    """A part of one limit: an amount now, and a rate at which it grows for a second at most."""

    limit: float | None
    """The whole limit, per minute; None while it is unknown."""
    capacity: float
    """The most that the whole bucket holds."""
    held: float
    """Negative when more was used than was set aside."""
    rate: float
    """A second."""
    counted: float
    """How much of all that was ever reserved is settled."""


@attrs.frozen(kw_only=True)
class Grant:
    """A participant's share, until it asks again."""

    participants: int
    """How many share, this one included."""
    leases: Mapping[Reason, Lease]
    slots: int
    """How many streams it may run."""
    size: float
    """How many all may run together."""
    share: float
    """Its fair share of everything, from 0 to 1: what it may count on when it can't ask."""
    out: bool
    """Whether the service is shut."""
    probe: bool
    """Whether it may send the one request that finds out whether the service is open again."""
    pause: float
    """Seconds for which nothing is sent."""
    events: int
    """How many events are taken in."""


@attrs.frozen(kw_only=True)
class Report(Told[Grant]):
    """What a participant tells each time."""

    participant: str
    number: int = 0
    weight: float = 1.0
    priority: int = 0
    ceiling: int
    """How many streams it runs at most."""
    running: int = 0
    wanted: int = 0
    """How many streams it would run until it asks again."""
    waiting: int = 0
    sent: int = 0
    """How many requests it ever sent."""
    pressed: bool = False
    """Whether its share of the streams held a request back."""
    uses: Mapping[Reason, Use]
    fixed: Mapping[Reason, float]
    """Limits that were set by hand."""
    told: Mapping[Reason, float]
    """Limits that the API told when it was asked."""
    first_event: int = 0
    """How many events came before these."""
    events: tuple[Event, ...] = ()
    leaving: bool = False

"""How the simulated service processes batches: how fast, in which order, within which limits, and what goes wrong."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import attrs

from ..service import check_positive, check_probability, check_whole, is_number

__all__ = ["Batches", "Scheduler"]

Scheduler: TypeAlias = Literal["first_come", "equal_share"]
"""`"first_come"`: one batch after the other, in the order of creation. `"equal_share"`: all of them at once."""


def _check_not_negative(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not is_number(value) or not 0 <= value < math.inf:
        raise ValueError(f"{attribute.name} must be a number, 0 or more, not {value!r}")


def _check_scheduler(_: object, attribute: attrs.Attribute[Scheduler], value: Scheduler) -> None:
    if value not in get_args(Scheduler):
        raise ValueError(f"{attribute.name} must be one of {', '.join(get_args(Scheduler))}, not {value!r}")


@attrs.frozen(kw_only=True)
class Batches:
    """How batches are processed. Seconds are those of the batches' own clock.

    Raises ValueError for a setting that makes no sense. By default there are no limits, and nothing goes wrong.
    """

    per_second: float = attrs.field(default=100.0, validator=check_positive)
    """How many requests are processed in a second, of all batches together."""
    scheduler: Scheduler = attrs.field(default="first_come", validator=_check_scheduler)
    """`"first_come"` or `"equal_share"`: which of the batches that are open get on."""
    speed: float = attrs.field(default=1.0, validator=check_positive)
    """How many seconds pass for batches in one of the simulator's: with 3,600 a day takes 24 s."""
    ending_seconds: float = attrs.field(default=0.0, validator=_check_not_negative)
    """How long a batch is still in progress after its last request."""
    canceling_seconds: float = attrs.field(default=0.0, validator=_check_not_negative)
    """How long a batch is canceling before it ends."""
    listed_after: float = attrs.field(default=0.0, validator=_check_not_negative)
    """How long a new batch isn't in the list yet, though it can be retrieved."""
    errored: float = attrs.field(default=0.0, validator=check_probability)
    """The probability that a request errs for the service's own reasons (`api_error`)."""
    expired: float = attrs.field(default=0.0, validator=check_probability)
    """The probability that a request's turn never comes; its batch then ends only when it expires, after 24 hours."""
    requests_per_minute: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_whole))
    """How many HTTP requests to the batches' endpoints are let in, by the simulator's clock; None for any number."""
    queued_requests: int | None = attrs.field(default=None, validator=attrs.validators.optional(check_whole))
    """How many requests of all batches may wait to be processed; None for any number."""

"""Deadlines: how long each stage of a stream may take. Arithmetic over times that were taken anyway; no timers here.

One watchdog asks each stream when its next deadline is due, and looks again then: nothing is set or cancelled for an
event. Connecting is the exception: only the HTTP client sees it, and keeps that deadline itself.
"""

from typing import Literal

import attrs

from .checks import number

__all__ = ["DeadlineName", "Deadlines"]

DeadlineName = Literal["queued", "connect", "silence", "first_event", "first_content", "idle", "total"]


_seconds = number(
    "the deadline {} is a number of seconds above 0, or None for ever", above=0, infinite=True, optional=True
)


@attrs.frozen(kw_only=True)
class Deadlines:
    """How long each stage may take, in seconds; None is for ever.

    `queued` and `total` count from submission, the others from the beginning of each attempt or from what happened
    last in it. Passing one before content has come is retried as other failures are, and after it as the request's
    `recovery` says; `queued` and `total` are final.
    """

    queued: float | None = attrs.field(default=None, validator=_seconds)
    """Waiting for a slot."""
    connect: float | None = attrs.field(default=10.0, validator=_seconds)
    """Making the connection, TLS included."""
    silence: float | None = attrs.field(default=120.0, validator=_seconds)
    """No byte at all; pings count as bytes."""
    first_event: float | None = attrs.field(default=None, validator=_seconds)
    """From sending the request to the first event."""
    first_content: float | None = attrs.field(default=None, validator=_seconds)
    """From sending the request to the first content."""
    idle: float | None = attrs.field(default=None, validator=_seconds)
    """Between contents: a ping proves that the line lives, not that the answer goes on."""
    total: float | None = attrs.field(default=None, validator=_seconds)
    """From submission to the end, queueing and retries included."""

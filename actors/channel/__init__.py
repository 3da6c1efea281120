"""From one stream to its consumers: the log of its events, and the mailboxes that read it."""

from .audience import Audience
from .log import Cursor, EventLog, MakeDelta
from .mailbox import (
    Conflate,
    Linger,
    Lossless,
    Mailbox,
    OnAbandon,
    Parked,
    Policy,
    Subscriber,
    check_on_abandon,
    check_policy,
)
from .misuse import Use, misuse
from .receiving import Home, Receiving

__all__ = [
    "Audience",
    "Conflate",
    "Cursor",
    "EventLog",
    "Home",
    "Linger",
    "Lossless",
    "Mailbox",
    "MakeDelta",
    "OnAbandon",
    "Parked",
    "Policy",
    "Receiving",
    "Subscriber",
    "Use",
    "check_on_abandon",
    "check_policy",
    "misuse",
]

"""From one stream to its consumers: the log of its events, and the mailboxes that read it."""

from .audience import Audience
from .entries import Copy, Entry, written
from .log import Cursor, EventLog, MakeDelta, Pieces
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
from .recording import Recording
from .wake import Wake, wake_factory

__all__ = [
    "Audience",
    "Conflate",
    "Copy",
    "Cursor",
    "Entry",
    "EventLog",
    "Home",
    "Linger",
    "Lossless",
    "Mailbox",
    "MakeDelta",
    "OnAbandon",
    "Parked",
    "Pieces",
    "Policy",
    "Receiving",
    "Recording",
    "Subscriber",
    "Use",
    "Wake",
    "check_on_abandon",
    "check_policy",
    "misuse",
    "wake_factory",
    "written",
]

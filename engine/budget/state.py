"""What the ledger keeps between two exchanges: plain values, and their form as bytes."""

from typing import Any

import msgspec

from ..admission import Reason

__all__ = ["FORMAT", "Account", "Participant", "State", "decoded", "encoded"]

FORMAT = 1
"""Of the bytes. Those of another format are never read: it is part of the name under which they are kept."""


class Account(msgspec.Struct, array_like=True):
    """A participant's part in one limit, as it told it last."""

    reserved: float = 0.0
    settled: float = 0.0
    used: float = 0.0
    held: float = 0.0
    rate: float = 0.0
    need: float = 0.0
    backlog: float = 0.0
    recent: float = 0.0
    """What it used lately."""
    head: float = 0.0
    saving_since: float = 0.0


class Participant(msgspec.Struct, array_like=True):
    """One who draws on the budget. Times are on the ledger's clock."""

    at: float
    """When it asked last."""
    weight: float = 1.0
    priority: int = 0
    ceiling: int = 1
    running: int = 0
    wanted: int = 0
    slots: int = 0
    sent: int = 0
    sent_at: float = 0.0
    numbered: list[tuple[int, int]] = msgspec.field(default_factory=list[tuple[int, int]])
    """From which of its own numbers on its requests have which numbers of the ledger."""
    events: int = 0
    accounts: dict[Reason, Account] = msgspec.field(default_factory=dict[Reason, Account])
    fixed: dict[Reason, float] = msgspec.field(default_factory=dict[Reason, float])
    number: int = 0
    """Of the last report that was booked."""


class State(msgspec.Struct, array_like=True):
    """All that is known of one pool of limits."""

    at: float
    """When it was written."""
    participants: dict[str, Participant] = msgspec.field(default_factory=dict[str, Participant])
    buckets: dict[Reason, dict[str, Any]] = msgspec.field(default_factory=dict[Reason, dict[str, Any]])
    throttle: dict[str, Any] | None = None
    prober: str | None = None
    """Who may send the one request that finds out whether the service is open again, or has sent it."""
    probe_until: float = 0.0
    """Until when it may."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


def encoded(state: State) -> bytes:
    """The state as bytes."""
    return _encoder.encode(state)


def decoded(data: bytes) -> State:
    """The state again. Raises `ValueError` for bytes that are none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError("it is not the state of a budget") from exc

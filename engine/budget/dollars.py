"""The ledger of the dollars that all who give a budget's name may spend together. It does no I/O and has no clock.

Each participant has an allowance: a sum that it may spend and reserve from its beginning on. What is free is the cap
less what all others have spent and may still spend on their allowances. In an exchange a participant tells its sums,
and is allowed what it needs next, in fair shares as limits are. So together they never spend more than the cap, but for
what a request costs more than it was reckoned at.

A participant that is silent for three seconds is taken for dead. Its whole allowance counts as spent; should it come
back, what it really spent counts. Nothing is forgotten before somebody resets it.
"""

from typing import ClassVar, Literal

import attrs
import msgspec

from .messages import OutOfDateError, Told
from .sharing_out import Want, shared_out

__all__ = ["Allowance", "Purse", "Spending", "decoded_purse", "encoded_purse", "exchange_dollars"]

_DEAD = 3.0  # seconds of silence
_MOST_GONE = 1000  # of so many it is known what was counted for them


@attrs.frozen(kw_only=True)
class Allowance:
    """What a participant may spend, in dollars."""

    total: float
    """The most that it may have spent and reserved together, from its beginning on."""
    spent: float
    """What all have spent, this one included."""
    pending: float
    """What others may still spend on their allowances, or not."""
    participants: int
    """How many there are."""


@attrs.frozen(kw_only=True)
class Spending(Told[Allowance]):
    """What a participant tells, in dollars. Sums count from its beginning."""

    lasting: ClassVar[bool] = True

    participant: str = ""
    number: int = 0
    asks: Literal["share", "look", "reset"] = "share"
    """Whether it takes part, only looks, or begins the account anew."""
    cap: float = 0.0
    spent: float = 0.0
    reserved: float = 0.0
    """For requests that run."""
    need: float = 0.0
    """What it could use until it asks again."""
    least: float = 0.0
    """What the first of its waiting requests needs."""
    weight: float = 1.0
    priority: int = 0


class Spender(msgspec.Struct, array_like=True):
    """One who spends."""

    at: float
    spent: float = 0.0
    allowed: float = 0.0
    base: float = 0.0
    """What it had spent when the account began anew."""
    need: float = 0.0
    weight: float = 1.0
    priority: int = 0
    number: int = 0
    """Of the last report that was booked."""

    @property
    def claim(self) -> float:
        """What counts for it: what it has spent, or may have."""
        return max(self.spent, self.allowed) - self.base


class Purse(msgspec.Struct, array_like=True):
    """What is known of one account of dollars."""

    at: float = 0.0
    spent: float = 0.0
    """By those who are gone."""
    spenders: dict[str, Spender] = msgspec.field(default_factory=dict[str, Spender])
    gone: dict[str, tuple[float, float]] = msgspec.field(default_factory=dict[str, tuple[float, float]])
    """What was counted for those who are gone, and what they had spent when the account began anew."""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Purse)


def encoded_purse(purse: Purse) -> bytes:
    """The purse as bytes."""
    return _encoder.encode(purse)


def decoded_purse(data: bytes) -> Purse:
    """The purse again. Raises `ValueError` for bytes that are none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError("it is no account of dollars") from exc


def exchange_dollars(purse: Purse | None, report: Spending, now: float) -> tuple[Purse, Allowance]:
    """Takes a report in at `now`, in seconds on the ledger's clock. Returns what to keep, and what is allowed.

    Raises `OutOfDateError` for a report that comes after a later one; nothing has changed then.
    """
    purse = Purse(now) if purse is None else purse
    known = purse.spenders.get(report.participant)
    if known is not None and report.number < known.number:
        raise OutOfDateError
    another_clock = now < purse.at - 1.0  # as of a computer that was started again
    purse.at = now
    for name, one in list(purse.spenders.items()):
        if name != report.participant and (another_clock or now - one.at > _DEAD):
            _bury(purse, name, one)
    if report.asks == "reset":
        _reset(purse)
    me = _take_in(purse, report, now) if report.asks == "share" else None
    others = {name: one for name, one in purse.spenders.items() if one is not me}
    if me is not None:
        _allow(purse, me, others, report)
    spent = purse.spent + sum(one.spent - one.base for one in purse.spenders.values())
    pending = sum(one.claim - (one.spent - one.base) for one in others.values())
    total = 0.0 if me is None else me.allowed
    return purse, Allowance(total=total, spent=spent, pending=pending, participants=len(purse.spenders))


def _bury(purse: Purse, name: str, dead: Spender) -> None:
    del purse.spenders[name]
    purse.spent += dead.claim
    purse.gone[name] = dead.claim, dead.base
    while len(purse.gone) > _MOST_GONE:
        del purse.gone[next(iter(purse.gone))]


def _reset(purse: Purse) -> None:
    purse.spent = 0.0
    purse.gone = {name: (0.0, base + counted) for name, (counted, base) in purse.gone.items()}
    for one in purse.spenders.values():
        one.base = one.spent


def _take_in(purse: Purse, report: Spending, now: float) -> Spender:
    me = purse.spenders.get(report.participant)
    if me is None:
        counted, base = purse.gone.pop(report.participant, (0.0, 0.0))
        purse.spent -= counted
        me = purse.spenders[report.participant] = Spender(now, base=base)
    me.at, me.spent, me.need, me.number = now, report.spent, report.need, report.number
    me.weight, me.priority = report.weight, report.priority
    return me


def _allow(purse: Purse, me: Spender, others: dict[str, Spender], report: Spending) -> None:
    used = report.spent + report.reserved
    free = report.cap - purse.spent - sum(one.claim for one in others.values()) - (used - me.base)
    wants = {name: Want(one.need, one.weight, one.priority) for name, one in others.items()}
    share = shared_out(free, {**wants, "": Want(me.need, me.weight, me.priority)}).get("", 0.0)
    if share < report.least <= free:
        share = report.least  # shares in which no request fits are of use to nobody
    me.allowed = used + max(0.0, share)

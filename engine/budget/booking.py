"""What a participant tells, booked on what was kept elsewhere as bytes, which may be anything."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from .dollars import Purse, Spending, decoded_purse, encoded_purse, exchange_dollars
from .ledger import exchange
from .messages import GrantT, Report, Told
from .state import State, decoded, encoded

__all__ = ["booked"]

StateT = TypeVar("StateT", State, Purse)


def booked(data: object, report: Told[GrantT], now: float) -> tuple[bytes, GrantT]:
    """What the ledger makes of these bytes and the report at `now`. What is no state counts for nothing: it begins
    anew."""
    if isinstance(report, Spending):
        purse, granted = _booked(data, decoded_purse, lambda kept: exchange_dollars(kept, report, now))
        return encoded_purse(purse), cast("GrantT", granted)
    told = cast("Report", report)
    state, granted = _booked(data, decoded, lambda kept: exchange(kept, told, now))
    return encoded(state), cast("GrantT", granted)


def _booked(
    data: object, decode: Callable[[bytes], StateT], take_in: Callable[[StateT | None], tuple[StateT, Any]]
) -> tuple[StateT, Any]:
    try:
        return take_in(decode(data) if isinstance(data, bytes) and data else None)
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return take_in(None)

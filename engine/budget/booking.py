"""A report booked on a state that was kept elsewhere as bytes, which may be anything."""

from .ledger import exchange
from .messages import Grant, Report
from .state import State, decoded

__all__ = ["booked"]


def booked(data: object, report: Report, now: float) -> tuple[State, Grant]:
    """What the ledger makes of these bytes and the report at `now`. What is no state counts for nothing: it begins
    anew."""
    try:
        return exchange(decoded(data) if isinstance(data, bytes) and data else None, report, now)
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return exchange(None, report, now)

"""Values on their way into the journal. A server may send anything: it is stored as far as SQLite can hold it, and no
answer is lost because of it."""

import json

from ...actors.wire import plain_text

__all__ = ["as_key", "as_number", "as_text", "as_whole"]

_MOST = 2**53  # exact in every JSON reader, and small enough to be added up


def as_key(value: object) -> str:
    """A custom_id: all of it, with halves of surrogate pairs as escapes."""
    text = value if isinstance(value, str) else str(value)
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def as_text(value: object) -> str | None:
    """A name or a message, in at most 300 characters, with control characters escaped. Other values become JSON."""
    if value is None:
        return None
    if not isinstance(value, str):
        try:
            value = json.dumps(value, default=str)
        except (ValueError, TypeError, RecursionError):
            value = type(value).__name__
    return plain_text(value)


def as_whole(value: object) -> int | None:
    """A count, limited to 2**53 either way; None for what is not an integer."""
    if not isinstance(value, int):
        return None
    return max(-_MOST, min(_MOST, int(value)))


def as_number(value: object) -> float | None:
    """Seconds or dollars; None for what is not a number, or beyond 2**53, where sums might not be finite."""
    if not isinstance(value, int | float) or not -_MOST <= value <= _MOST:
        return None
    return float(value)

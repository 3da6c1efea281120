"""Whether and when to try again: decisions made from facts, with no clock and no I/O.

Which failures may be retried follows the Messages API (see the SDK's own rules): 408, 409, 429, everything from 500 on,
and connection failures; the header `x-should-retry` overrides the status. What refuses the whole account, such as a
spend limit, is never retried.

The delay is full-jitter exponential backoff ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015), and what
the API asked for in `retry-after-ms` or `retry-after` if it asked.
"""

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import attrs

from .account import refuses_account, refuses_profile

__all__ = ["RetryPolicy", "is_retryable", "retry_after"]

_LONGEST_WAIT = 60.0  # seconds: a longer retry-after is not waited for unseen, the failure is told instead


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often, and how long apart, a request is tried again: before its first content always, after it as far as its
    `recovery` goes."""

    max_attempts: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """Attempts in all; 1 never retries."""
    base_delay: float = attrs.field(default=0.5, validator=attrs.validators.gt(0))
    """The first delay's upper bound, in seconds; it doubles with each attempt."""
    max_delay: float = attrs.field(default=16.0, validator=attrs.validators.gt(0))
    """The upper bound of every delay, in seconds."""

    def delay(
        self,
        attempt: int,
        *,
        retryable: bool,
        asked: float | None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Seconds to wait before the attempt after number `attempt`, or None when there is to be none.

        `asked` is what the API asked to wait, in seconds; the backoff comes on top so that not all come back at once.
        """
        if not retryable or attempt >= self.max_attempts:
            return None
        if asked is not None and asked > _LONGEST_WAIT:
            return None
        doubled = 2.0 ** min(attempt - 1, 1000)
        return (asked or 0.0) + uniform(0.0, min(self.max_delay, self.base_delay * doubled))


def is_retryable(status: int, headers: Mapping[str, str], error_code: str | None = None, message: str = "") -> bool:
    """Whether a response with this status may be tried again. `error_code` is the error's own code, if it has one."""
    if refuses_account(error_code, message) or refuses_profile(error_code):
        return False
    match headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
        case _:
            return status in (408, 409, 429) or status >= 500


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """The wait the API asks for, in seconds; None when it asks for none that can be read."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return max(0.0, milliseconds / 1000)
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and value is not None:
        seconds = _seconds_until(value, now or datetime.now(UTC))
    return None if seconds is None else max(0.0, seconds)


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds_until(value: str, now: datetime) -> float | None:
    from email.utils import parsedate_to_datetime  # here: few answer with a date, and it takes a while to import

    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):  # what garbage makes of it, release by release
        return None
    # HTTP dates are in GMT, whether they say so or not.
    return (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()

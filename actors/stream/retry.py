"""Whether and when to try again: decisions made from facts, with no clock and no I/O.

Which failures may be retried follows the Messages API (see the SDK's own rules): 408, 409, 429, everything from 500 on,
and connection failures; the header `x-should-retry` overrides the status. What refuses the whole account, such as a
spend limit, is never retried.

The delay is full-jitter exponential backoff ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). When the
API asked for a wait, in `retry-after-ms` or `retry-after`, it comes on top of that, so that not all come back at once.
It does not grow then: the API has said how long to wait, unless that is shorter than the first backoff.
"""

import math
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import attrs

from .account import refuses_account, refuses_profile
from .checks import number

__all__ = ["RetryPolicy", "is_retryable", "retry_after"]


_seconds = number("{} is a number of seconds above 0", above=0, infinite=True)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often, and how long apart, a request is tried again: before its first content always, after it as far as its
    `recovery` goes."""

    max_attempts: int = attrs.field(
        default=4, validator=number("{} is a whole number, at least 1", least=1, whole=True)
    )
    """Attempts in all; 1 never retries."""
    base_delay: float = attrs.field(default=0.5, validator=_seconds)
    """The first delay's upper bound, in seconds; it doubles with each attempt."""
    max_delay: float = attrs.field(default=16.0, validator=_seconds)
    """The upper bound of every backoff, in seconds. What the API asks for may be longer."""
    longest_wait: float = attrs.field(default=600.0, validator=_seconds)
    """The longest wait that the API may ask for, in seconds. When it asks for a longer one the stream fails, and its
    error says until when; `math.inf` waits any time."""

    def delay(
        self,
        attempt: int,
        *,
        retryable: bool,
        asked: float | None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> float | None:
        """Seconds to wait before the attempt after number `attempt`, or None when there is to be none.

        `asked` is what the API asked to wait, in seconds.
        """
        if not retryable or attempt >= self.max_attempts or self.asks_too_much(asked):
            return None
        wait = asked or 0.0
        doubled = 1.0 if wait >= self.base_delay else 2.0 ** min(attempt - 1, 1000)
        return wait + uniform(0.0, min(self.max_delay, self.base_delay * doubled))

    def asks_too_much(self, asked: float | None) -> bool:
        """Whether the API asked for a longer wait than `longest_wait`."""
        return asked is not None and asked > self.longest_wait

    def refusal(self, asked: float, *, now: datetime | None = None) -> str:
        """Why there is no other attempt when the API asks too much, and until when it asked to wait."""
        return (
            f"the API asks to wait {asked:,.0f} s, until {_moment(asked, now=now)};"
            f" this is longer than the longest_wait of the RetryPolicy, {self.longest_wait:,g} s"
        )


def _moment(seconds: float, *, now: datetime | None = None) -> str:
    """The moment in so many seconds, for people: a date and time in UTC."""
    try:
        then = (now or datetime.now(UTC)) + timedelta(seconds=math.ceil(seconds))
    except OverflowError:
        return "after the year 9999"
    return f"{then.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


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

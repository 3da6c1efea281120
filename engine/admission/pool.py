"""One rate-limit pool: all that is known of what one set of credentials may send to the models that share a limit.

It says whether a request may be sent now, and learns from how the API answers. The order of the requests is decided
elsewhere.
"""

import math
from collections.abc import Mapping

from ...actors.message import Usage
from ...actors.stream import ErrorInfo, refuses_account
from .bucket import Bucket
from .estimates import Estimates
from .pace import Pace
from .prompt_cache import Prefixes
from .refusals import Refusals
from .reservation import Reservation
from .settings import Limits, Reason
from .window import Window

__all__ = ["Block", "Pool", "is_overload"]

Block = tuple[Reason, float | None]
"""Why a request waits, and the moment at which that may be over; None when it depends on other requests."""

_LIMIT_NAMES: dict[Reason, str] = {
    "requests_per_minute": "requests",
    "input_tokens_per_minute": "input-tokens",
    "output_tokens_per_minute": "output-tokens",
}
_BY_CHANCE = 60.0  # seconds: a refusal that asks to wait for longer does not come by chance
_RAMP = "ramp_limit_exceeded"
_MOST_ESTIMATES = 10_000
_UNIT = 1000  # token figures in the headers are rounded to thousands


def is_overload(info: ErrorInfo) -> bool:
    """Whether a failure tells of too many requests: the API refuses them for now, or can't be reached."""
    if refuses_account(info.code, info.message):
        return False  # fewer requests would be refused as well
    return info.status in (429, 502, 503, 504, 529) or info.type == "connection_error" or info.deadline == "connect"


class Pool:
    """The state of one pool. Times are seconds on the engine's clock. `fixed` says that `limits` are set by hand."""

    def __init__(
        self, name: str, ceiling: int, limits: Limits, now: float, *, fixed: bool = True, fast: bool = False
    ) -> None:
        self.name = name
        self._headers = "anthropic-fast" if fast else "anthropic-ratelimit"
        self.running = 0
        self.window = Window(ceiling)
        self.pace = Pace()
        self.refusals = Refusals()
        self.prefixes = Prefixes()
        self.buckets: dict[Reason, Bucket] = {
            "requests_per_minute": Bucket(limits.requests_per_minute, now, fixed=fixed),
            "input_tokens_per_minute": Bucket(limits.input_tokens_per_minute, now, unit=_UNIT, fixed=fixed),
            "output_tokens_per_minute": Bucket(limits.output_tokens_per_minute, now, unit=_UNIT, fixed=fixed),
        }
        self._estimates: dict[tuple[str | None, str], Estimates] = {}

    def estimates(self, group: str | None, model_name: str) -> Estimates:
        """What is known of the requests of a group to one model."""
        found = self._estimates.get((group, model_name))
        if found is None:
            if len(self._estimates) >= _MOST_ESTIMATES:
                del self._estimates[next(iter(self._estimates))]  # the oldest; it can be learnt again
            found = self._estimates[group, model_name] = Estimates()
        return found

    def shut(self, now: float) -> Block | None:
        """What keeps every request from being sent now, however small; None when nothing does."""
        window = self.window
        if now < window.paused_until:
            return "pause", window.paused_until
        if window.full(self.running, now):
            return ("pause", window.probe_until) if window.out else ("adaptive_concurrency", None)
        if (wait := self.pace.wait(now)) > 0:
            return "pace", now + wait
        return None

    def blocked(self, reservation: Reservation, now: float) -> Block | None:
        """What keeps this request from being sent now; None when nothing does."""
        if (block := self.shut(now)) is not None:
            return block
        for reason, amount in self._needs(reservation, now).items():
            if (wait := self.buckets[reason].wait(amount, now)) > 0:
                return reason, now + wait
        return None

    def _needs(self, reservation: Reservation, now: float) -> dict[Reason, float]:
        estimates = self.estimates(reservation.group, reservation.model_name)
        return {
            "requests_per_minute": 1.0,
            "input_tokens_per_minute": estimates.input(self._uncached(reservation, now)),
            "output_tokens_per_minute": estimates.output(reservation.max_tokens),
        }

    def _uncached(self, reservation: Reservation, now: float) -> float:
        return reservation.prompt.tokens - self.prefixes.readable(reservation.prompt.prefixes, now)

    # -- a request's way

    def send(self, reservation: Reservation, now: float) -> None:
        """The request is sent now: sets aside what it will need."""
        self.running += 1
        reservation.sending = self.window.sent(now)
        self.pace.sent(now)
        reservation.reserved = self._needs(reservation, now)
        reservation.marks = {
            reason: self.buckets[reason].reserve(amount, now) for reason, amount in reservation.reserved.items()
        }
        self.prefixes.lead(reservation, now)

    def accepted(self, reservation: Reservation, headers: Mapping[str, str], now: float) -> None:
        """The API accepted the request: the head of an answer has come."""
        if reservation.sending is None:
            return
        self._answered(reservation, reservation.sending, now)
        reservation.sending = None
        self._settle(reservation, "requests_per_minute", 1.0)
        self._observe(reservation, headers, now)

    def _answered(self, reservation: Reservation, sending: int, now: float) -> None:
        """The API took the request with this number on, or refused it for what it asked."""
        alone = self.refusals.accepted(sending)
        self.pace.accepted(now, reservation.marks["requests_per_minute"].moment, alone)
        if self.window.accepted(sending, self.running) and not self.pace.limits:
            self.refusals.open_again()

    def refused(self, reservation: Reservation, info: ErrorInfo, now: float) -> None:
        """The API answered with an error, or could not be reached."""
        if reservation.sending is None:
            return
        sending, reservation.sending = reservation.sending, None
        for reason in list(reservation.reserved):
            self._settle(reservation, reason, 0.0)
        room = self._has_room(info.rate_limits)
        self._observe(reservation, info.rate_limits, now)
        if not is_overload(info):
            if info.status is None:
                self.window.gone(sending)  # it never reached the API
                return
            self._answered(reservation, sending, now)
            return
        asked = info.retry_after or 0.0
        if asked > _BY_CHANCE or (asked and info.status == 429 and (room is not None or info.code == _RAMP)):
            self.window.pause(now + asked)
        if info.status == 429 and (room is None or info.code == _RAMP):
            self.pace.turned_down(reservation.marks["requests_per_minute"].moment)
        if info.status == 429 and info.code == _RAMP:
            self.pace.told(now)
            self.window.gone(sending)
        elif info.status == 429 and room is False:
            self._cap(info.rate_limits)
            self.window.gone(sending)  # a bucket was empty, and is now known to be
        else:
            self._refused_unexplained(reservation, sending, info, room, now)

    def _refused_unexplained(
        self, reservation: Reservation, sending: int, info: ErrorInfo, room: bool | None, now: float
    ) -> None:
        """No limit that is known explains why the request was refused."""
        window, rate = self.window, info.status == 429 and room is None
        tells = window.tells(sending)
        if rate:
            window.gone(sending)
        else:
            window.refused(sending)
        if info.status == 429 and room:
            self.buckets["requests_per_minute"].contradict(now)
            self.buckets["input_tokens_per_minute"].contradict(now)
        if tells:
            window.shut(sending, now, info.retry_after or 0.0)
        elif window.out:
            pass  # it was sent before
        elif self.refusals.refused(sending):
            window.shut(sending, now, info.retry_after or 0.0)
            if rate:
                self.pace.shut(now, reservation.marks["requests_per_minute"].moment)
        elif rate:
            self.pace.refused(now, reservation.marks["requests_per_minute"].moment)

    def began(self, reservation: Reservation, usage: Usage, now: float) -> None:
        """The answer has begun; `usage` is what it says of the input."""
        cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens > 0
        self.prefixes.written(reservation, now, cached=cached or not usage.total_input_tokens)
        self._settle_input(reservation, usage)

    def overloaded(self) -> None:
        """The API broke an answer off because it was overloaded."""
        self.window.overloaded()

    def leave(self, reservation: Reservation, usage: Usage, *, whole: bool, now: float) -> None:
        """The request runs no more, and used so much. `whole` says whether its answer came to its end."""
        self.running -= 1
        if reservation.sending is not None:
            self.window.gone(reservation.sending)
            reservation.sending = None
        self.prefixes.given_up(reservation)
        self._settle(reservation, "requests_per_minute", 1.0)
        self._settle_input(reservation, usage)
        # When the API has not said how much input it counted, the estimate stands.
        self._settle(reservation, "input_tokens_per_minute", reservation.reserved.get("input_tokens_per_minute", 0.0))
        self._settle(reservation, "output_tokens_per_minute", usage.output_tokens)
        if whole:
            self.estimates(reservation.group, reservation.model_name).learn_output(usage.output_tokens)

    def _settle_input(self, reservation: Reservation, usage: Usage) -> None:
        if usage.total_input_tokens and "input_tokens_per_minute" in reservation.reserved:
            used = usage.input_tokens + usage.cache_creation_input_tokens
            self._settle(reservation, "input_tokens_per_minute", used)
            self.estimates(reservation.group, reservation.model_name).learn_input(
                reservation.prompt.tokens, usage.total_input_tokens
            )

    def _settle(self, reservation: Reservation, reason: Reason, used: float) -> None:
        reserved = reservation.reserved.pop(reason, None)
        if reserved is not None:
            self.buckets[reason].settle(reserved, used)

    # -- headers

    def _header(self, reason: Reason) -> str:
        return f"{self._headers}-{_LIMIT_NAMES[reason]}"

    def _observe(self, reservation: Reservation, headers: Mapping[str, str], now: float) -> None:
        for reason, bucket in self.buckets.items():
            found = _figures(headers, self._header(reason))
            if found is not None:
                bucket.observe(*found, reservation.marks[reason], now)

    def _cap(self, headers: Mapping[str, str]) -> None:
        """Lowers the levels to what a refusal's headers give: a refusal comes at once, so they are up to date."""
        for reason, bucket in self.buckets.items():
            found = _figures(headers, self._header(reason))
            if found is not None:
                bucket.level = min(bucket.level, found[1])

    def _has_room(self, headers: Mapping[str, str]) -> bool | None:
        """Whether a refusal's headers give room in every limit; None when they name no limit."""
        rooms = [
            found[1] >= bucket.unit
            for reason, bucket in self.buckets.items()
            if (found := _figures(headers, self._header(reason))) is not None
        ]
        return all(rooms) if rooms else None


def _figures(headers: Mapping[str, str], name: str) -> tuple[float, float] | None:
    """A limit and what remains of it; None when the headers don't give both."""
    try:
        limit = float(headers[f"{name}-limit"])
        remaining = float(headers[f"{name}-remaining"])
    except (KeyError, ValueError):
        return None
    return (limit, remaining) if limit > 0 and math.isfinite(limit) and math.isfinite(remaining) else None

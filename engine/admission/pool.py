"""One rate-limit pool: all that is known of what one set of credentials may send to the models that share a limit.

It says whether a request may be sent now, and learns from how the API answers. The order of the requests is decided
elsewhere.
"""

import math
from collections.abc import Hashable, Mapping
from typing import Protocol

from ...actors.message import Usage
from ...actors.stream import ErrorInfo, refuses_account
from .bucket import Bucket
from .estimates import Estimates
from .prompt_cache import Prefixes
from .reservation import Reservation
from .settings import Limits, Reason
from .throttle import Block, Refusal, Throttle

__all__ = ["MakePool", "Pool", "is_overload", "pool_of_its_own"]

_LIMIT_NAMES: dict[Reason, str] = {
    "requests_per_minute": "requests",
    "input_tokens_per_minute": "input-tokens",
    "output_tokens_per_minute": "output-tokens",
}
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
        self.throttle = Throttle(ceiling)
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
        return self.throttle.shut(self.running, now)

    def blocked(self, reservation: Reservation, now: float) -> Block | None:
        """What keeps this request from being sent now; None when nothing does."""
        if (block := self.shut(now)) is not None:
            return block
        for reason, amount in self.needs(reservation, now).items():
            if (wait := self.buckets[reason].wait(amount, now)) > 0:
                return reason, now + wait
        return None

    def needs(self, reservation: Reservation, now: float) -> dict[Reason, float]:
        """What it will take of each limit if it is sent now: an estimate."""
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
        reservation.sending = self.throttle.sent(now)
        reservation.reserved = self.needs(reservation, now)
        reservation.marks = {
            reason: self.buckets[reason].reserve(amount, now) for reason, amount in reservation.reserved.items()
        }
        self.prefixes.lead(reservation, now)

    def accepted(self, reservation: Reservation, headers: Mapping[str, str], now: float) -> None:
        """The API accepted the request: the head of an answer has come."""
        if reservation.sending is None:
            return
        self.throttle.answered(reservation.sending, _sent(reservation), self.running, now)
        reservation.sending = None
        self._settle(reservation, "requests_per_minute", 1.0)
        self._observe(reservation, headers, now)

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
                self.throttle.gone(sending)  # it never reached the API
            else:
                self.throttle.answered(sending, _sent(reservation), self.running, now)
            return
        ramp = info.code == _RAMP
        if info.status == 429 and room is not None and not ramp:
            if room:
                self.buckets["requests_per_minute"].contradict(now)
                self.buckets["input_tokens_per_minute"].contradict(now)
            else:
                self._cap(info.rate_limits)
        refusal = Refusal(info.status, room, ramp, info.retry_after or 0.0)
        self.throttle.refused(sending, _sent(reservation), refusal, now)

    def began(self, reservation: Reservation, usage: Usage, now: float) -> None:
        """The answer has begun; `usage` is what it says of the input."""
        cached = usage.cache_creation_input_tokens + usage.cache_read_input_tokens > 0
        self.prefixes.written(reservation, now, cached=cached or not usage.total_input_tokens)
        self._settle_input(reservation, usage)

    def overloaded(self) -> None:
        """The API broke an answer off because it was overloaded."""
        self.throttle.overloaded()

    def leave(self, reservation: Reservation, usage: Usage, *, whole: bool, now: float) -> None:
        """The request runs no more, and used so much. `whole` says whether its answer came to its end."""
        self.running -= 1
        if reservation.sending is not None:
            self.throttle.gone(reservation.sending)
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
                bucket.cap(found[1])

    def _has_room(self, headers: Mapping[str, str]) -> bool | None:
        """Whether a refusal's headers give room in every limit; None when they name no limit."""
        rooms = [
            found[1] >= bucket.unit
            for reason, bucket in self.buckets.items()
            if (found := _figures(headers, self._header(reason))) is not None
        ]
        return all(rooms) if rooms else None


class MakePool(Protocol):
    """Makes the pool of a customer, whose `credentials` are secret."""

    def __call__(
        self,
        credentials: Hashable,
        name: str,
        ceiling: int,
        limits: Limits,
        now: float,
        /,
        *,
        fixed: bool,
        fast: bool,
    ) -> Pool: ...


def pool_of_its_own(
    credentials: Hashable, name: str, ceiling: int, limits: Limits, now: float, /, *, fixed: bool, fast: bool
) -> Pool:
    """A pool that no other engine knows of."""
    return Pool(name, ceiling, limits, now, fixed=fixed, fast=fast)


def _sent(reservation: Reservation) -> float:
    return reservation.marks["requests_per_minute"].moment


def _figures(headers: Mapping[str, str], name: str) -> tuple[float, float] | None:
    """A limit and what remains of it; None when the headers don't give both."""
    try:
        limit = float(headers[f"{name}-limit"])
        remaining = float(headers[f"{name}-remaining"])
    except (KeyError, ValueError):
        return None
    return (limit, remaining) if limit > 0 and math.isfinite(limit) and math.isfinite(remaining) else None

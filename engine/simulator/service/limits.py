"""Rate limits: for each model a token bucket of requests, of input and of output, and the headers that tell of them.

A request is let in when one request, its input and a token of output are there. It takes the first two then; output
is taken as it is produced, so that what runs can put that bucket in debt, and nothing is let in until it is out of it.
Input that is read from the prompt cache is free. Input larger than a whole bucket is let in when the bucket is full,
and leaves it in debt.

The real service differs: some models share their limits, workspaces, priority traffic and fast traffic have limits of
their own, and some older models count cache reads.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import UTC, datetime

import attrs

from .conditions import Condition, ServiceLimits
from .errors import RefusalError

__all__ = ["Bucket", "RateLimits", "retry_after"]

_MODELS_KEPT = 1_000
_ALMOST_THERE = 1e-6  # seconds: a clock that counts from 1970 resolves no less, and who waited as told is let in
_LAST_SECOND = 253_402_300_799  # of the year 9999


@attrs.define
class Bucket:
    """So much a second, up to `capacity`. `level` is what was there at `since` (seconds); debts are below zero."""

    rate: float
    capacity: float
    since: float
    level: float = attrs.field(default=attrs.Factory(lambda bucket: bucket.capacity, takes_self=True))

    def level_at(self, now: float) -> float:
        """Returns what is there at that time."""
        return min(self.capacity, self.level + max(0.0, now - self.since) * self.rate)

    def wait(self, amount: float, now: float) -> float:
        """Returns the seconds until so much is there, or the bucket is full if it can't hold as much; 0 when it is."""
        seconds = (min(amount, self.capacity) - self.level_at(now)) / self.rate
        return seconds if seconds > _ALMOST_THERE else 0.0

    def take(self, amount: float, now: float) -> None:
        """Takes so much out, whether it is there or not."""
        self.level = self.level_at(now) - amount
        self.since = now

    def change(self, rate: float, capacity: float, now: float) -> None:
        """From now on refill at another rate, up to another capacity."""
        self.take(0, now)
        self.rate, self.capacity = rate, capacity


def retry_after(wait: float) -> int:
    """Returns a wait in seconds as the header has it: whole seconds, not less than one."""
    return max(1, math.ceil(wait - _ALMOST_THERE))


@attrs.define
class _Limit:
    """One limit of one model; one that isn't enforced isn't set."""

    name: Condition
    header: str
    per_minute: int
    enforced: bool
    unit: int  # what the headers round to
    bucket: Bucket

    def wait(self, amount: float, now: float) -> float:
        return self.bucket.wait(amount, now) if self.enforced else 0.0

    def take(self, amount: float, now: float) -> None:
        if self.enforced:
            self.bucket.take(amount, now)

    def remaining(self, now: float) -> int:
        there = max(0.0, self.bucket.level_at(now))
        return int(there + _ALMOST_THERE) if self.unit == 1 else round(there / self.unit) * self.unit

    def full_at(self, now: float) -> float:
        return now + self.bucket.wait(self.bucket.capacity, now)


@attrs.define
class _Model:
    """The limits of one model."""

    requests: _Limit
    input: _Limit
    output: _Limit


class RateLimits:
    """The limits of one organisation."""

    def __init__(self, limits: ServiceLimits) -> None:
        self._limits = limits
        self._models: OrderedDict[str, _Model] = OrderedDict()

    def check(self, model: str, input_tokens: int, now: float) -> None:
        """Raises RefusalError (429) when a request with so much input that isn't cached has to wait.

        It names the limit that it has to wait for the longest.
        """
        of = self._of(model, now)
        waits = ((of.requests, 1), (of.input, input_tokens), (of.output, 1))
        wait, limit = max(((limit.wait(amount, now), limit) for limit, amount in waits), key=lambda pair: pair[0])
        if wait > 0:
            what = limit.header.replace("-", " ")
            message = (
                f"This request would exceed your organization's rate limit of {limit.per_minute:,} {what} per minute "
                f"(model: {model}). Please try again later."
            )
            raise RefusalError(429, message, retry_after=retry_after(wait), refused_by=limit.name)

    def let_in(self, model: str, input_tokens: int, now: float) -> None:
        """Counts a request with so much input that isn't cached."""
        of = self._of(model, now)
        of.requests.take(1, now)
        of.input.take(input_tokens, now)

    def produced(self, model: str, tokens: int, now: float) -> None:
        """Counts tokens that a model has made."""
        self._of(model, now).output.take(tokens, now)

    def use_up(self, model: str, now: float) -> dict[Condition, float]:
        """Takes what a model's limits hold: from now on only what refills is there. Returns what was taken."""
        of = self._of(model, now)
        taken: dict[Condition, float] = {}
        for limit in (of.requests, of.input, of.output):
            taken[limit.name] = max(0.0, limit.bucket.level_at(now))
            limit.take(taken[limit.name], now)
        return taken

    def headers(self, model: str, now: float) -> list[tuple[str, str]]:
        """Returns the headers that tell where the limits stand; none of what isn't set, or where it doesn't tell."""
        if not self._limits.headers:
            return []
        of = self._of(model, now)
        told = (
            ("requests", [of.requests]),
            ("tokens", [of.input, of.output]),
            ("input-tokens", [of.input]),
            ("output-tokens", [of.output]),
        )
        return [
            header
            for name, limits in told
            if (enforced := [limit for limit in limits if limit.enforced])
            for header in _headers(name, enforced, now)
        ]

    def _of(self, model: str, now: float) -> _Model:
        if (known := self._models.get(model)) is not None:
            return known
        made = self._models[model] = _Model(
            self._limit("requests_per_minute", "requests", 1, now),
            self._limit("input_tokens_per_minute", "input-tokens", 1_000, now),
            self._limit("output_tokens_per_minute", "output-tokens", 1_000, now),
        )
        if len(self._models) > _MODELS_KEPT:  # any name that begins with "claude-" is a model
            self._models.popitem(last=False)
        return made

    def _limit(self, name: Condition, header: str, unit: int, now: float) -> _Limit:
        configured: int | None = getattr(self._limits, name)
        per_minute = configured or 1  # of what isn't set, nothing is asked
        bucket = Bucket(per_minute / 60, per_minute * self._limits.burst_seconds / 60, now)
        return _Limit(name, header, per_minute, configured is not None, unit, bucket)


def _headers(name: str, limits: list[_Limit], now: float) -> list[tuple[str, str]]:
    """The limit, what remains, and when all of it is there again; of several limits together, their sum."""
    full = math.ceil(max(limit.full_at(now) for limit in limits) - _ALMOST_THERE)
    reset = datetime.fromtimestamp(min(full, _LAST_SECOND), UTC)
    prefix = f"anthropic-ratelimit-{name}"
    return [
        (f"{prefix}-limit", str(sum(limit.per_minute for limit in limits))),
        (f"{prefix}-remaining", str(sum(limit.remaining(now) for limit in limits))),
        (f"{prefix}-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ")),
    ]

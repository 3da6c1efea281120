"""The figures behind the rate-limit headers: used-up allowances that refill evenly over a minute.

They are only told, never enforced: a request beyond them is still answered.
"""

from __future__ import annotations

from datetime import UTC, datetime

import attrs

__all__ = ["Allowance", "RateLimits"]


@attrs.define
class Allowance:
    """So much a minute. `used` is what had been taken and not refilled by `since` (seconds since the epoch)."""

    limit: int
    unit: int = 1
    used: float = 0.0
    since: float = 0.0

    def take(self, amount: int, now: float) -> None:
        """Use up `amount`, after what has refilled by `now`; never more than all of it."""
        self.used = min(self.limit, self._used_at(now) + amount)
        self.since = now

    def headers(self, name: str, now: float) -> list[tuple[str, str]]:
        """Return the limit, what remains (rounded down to `unit`), and when all of it is there again."""
        used = self._used_at(now)
        remaining = int((self.limit - used) // self.unit) * self.unit
        reset = datetime.fromtimestamp(now + used * 60 / self.limit, UTC)
        prefix = f"anthropic-ratelimit-{name}"
        return [
            (f"{prefix}-limit", str(self.limit)),
            (f"{prefix}-remaining", str(remaining)),
            (f"{prefix}-reset", reset.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ]

    def _used_at(self, now: float) -> float:
        return max(0.0, self.used - (now - self.since) * self.limit / 60)


class RateLimits:
    """The four allowances of one organisation."""

    def __init__(self) -> None:
        self._requests = Allowance(4_000)
        self._input = Allowance(400_000, unit=1_000)
        self._output = Allowance(80_000, unit=1_000)
        self._tokens = Allowance(480_000, unit=1_000)

    def take(self, input_tokens: int, output_tokens: int, now: float) -> None:
        """Count one request with these tokens."""
        self._requests.take(1, now)
        self._input.take(input_tokens, now)
        self._output.take(output_tokens, now)
        self._tokens.take(input_tokens + output_tokens, now)

    def headers(self, now: float) -> list[tuple[str, str]]:
        """Return the headers that tell where the allowances stand."""
        return [
            *self._requests.headers("requests", now),
            *self._tokens.headers("tokens", now),
            *self._input.headers("input-tokens", now),
            *self._output.headers("output-tokens", now),
        ]

"""The tries at one request, and what they cost together."""

from collections.abc import Iterable

import attrs

from ..message import Usage
from .failure import ErrorInfo

__all__ = ["Attempt", "billed_for", "known_usage"]


@attrs.frozen
class Attempt:
    """One try at the request."""

    number: int
    """1 for the first."""
    started: float
    """When it began to connect, in seconds since submission."""
    ended: float
    """When it was over, in seconds since submission."""
    request_id: str | None = None
    usage: Usage = Usage()
    """What the API said this attempt used; zeros when it never said. An attempt that was cut did not get to its last
    word, which counts most of the output."""
    error: ErrorInfo | None = None
    """Why it failed, or None."""
    output_estimate: int | None = attrs.field(default=None, kw_only=True)
    """Where the API never said its last word: about how many output tokens came, at four characters a token."""

    @property
    def known_usage(self) -> Usage:
        """What it used as far as anybody knows: the API's word, or the estimate where that is more."""
        return known_usage(self.usage, self.output_estimate)


def known_usage(usage: Usage, output_estimate: int | None) -> Usage:
    """What an attempt used as far as anybody knows: `usage`, with the estimate of its output where that is more."""
    if output_estimate is None or output_estimate <= usage.output_tokens:
        return usage
    return attrs.evolve(usage, output_tokens=output_estimate)


def billed_for(attempts: Iterable[Attempt]) -> Usage:
    """What the attempts used together as far as anybody knows: the sum of their `known_usage`."""
    return sum((attempt.known_usage for attempt in attempts), Usage())

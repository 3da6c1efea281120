"""What callers may set of admission, limits per minute and groups, and the reasons why a request waits."""

from typing import Literal

import attrs

from ...actors.stream import number

__all__ = ["Group", "Limits", "Reason"]

Reason = Literal[
    "concurrency",
    "adaptive_concurrency",
    "pause",
    "pace",
    "requests_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
    "retry_budget",
    "group",
    "cache",
    "spend_cap",
]
"""Why a request waits:

- `concurrency`: the engine runs `max_concurrency` streams already;
- `adaptive_concurrency`: the engine runs as many streams as the API has turned out to accept;
- `pause`: the API asked to wait, or is down and is tried again now and then;
- `pace`: the API refused requests that followed each other faster;
- `requests_per_minute`, `input_tokens_per_minute`, `output_tokens_per_minute`: too little is left of this limit;
- `retry_budget`: it is a retry, and there were too many retries;
- `group`: its group runs as many streams as it may;
- `cache`: another request is about to write the prompt prefix that they share;
- `spend_cap`: the streams that run may use up the rest of the spend cap.
"""


_positive = number("{} is a finite number above 0, or None", above=0, optional=True)


@attrs.frozen(kw_only=True)
class Limits:
    """Limits per minute, set by hand or told by the API. None for one that is only learnt from the headers.

    Raises `ValueError` for a limit that is not above 0, or not finite.
    """

    requests_per_minute: float | None = attrs.field(default=None, validator=_positive)
    input_tokens_per_minute: float | None = attrs.field(default=None, validator=_positive)
    """Uncached input tokens: cache reads do not count."""
    output_tokens_per_minute: float | None = attrs.field(default=None, validator=_positive)


@attrs.frozen(kw_only=True)
class Group:
    """How the requests of one group (`StreamRequest.group`) are treated beside the others.

    Raises `ValueError` for a setting that is not above 0, or not finite.
    """

    max_concurrency: int | None = attrs.field(
        default=None,
        validator=number("{} is a number of streams, at least 1, or None", least=1, whole=True, optional=True),
    )
    """How many of them run at a time; None for as many as the engine runs."""
    weight: float = attrs.field(default=1.0, validator=number("{} is a finite number above 0", above=0))
    """How often its turn comes, in proportion to the weights of other groups of the same priority."""
    spend_cap: float | None = attrs.field(default=None, validator=_positive)
    """What they may cost together, in dollars; it works as the engine's `spend_cap` does."""

"""What callers set of admission: limits a minute, and groups; and what a request may wait for."""

import math
from typing import Any, Literal

import attrs

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
"""What a request waits for:

- `concurrency`: the engine runs `max_concurrency` streams already;
- `adaptive_concurrency`: as many run as the API was seen to bear;
- `pause`: the API asked to wait, or is out and asked again now and then;
- `pace`: the API refused requests that followed each other faster;
- `requests_per_minute`, `input_tokens_per_minute`, `output_tokens_per_minute`: that limit's bucket;
- `retry_budget`: it is a retry, and there were too many;
- `group`: its group runs as many as it may;
- `cache`: another request is about to write the prompt prefix that it shares;
- `spend_cap`: what runs may use up what is left of the spend cap.
"""


def _positive(_: object, field: "attrs.Attribute[Any]", value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"{field.name} is a number above 0, or None; not {value!r}")
    if value is not None and not value < math.inf:
        raise ValueError(f"{field.name} is a finite number, or None; not {value!r}")


@attrs.frozen(kw_only=True)
class Limits:
    """Limits per minute that are kept in any case; None for one that is only learnt from the API's headers."""

    requests_per_minute: float | None = attrs.field(default=None, validator=_positive)
    input_tokens_per_minute: float | None = attrs.field(default=None, validator=_positive)
    """Uncached input: cache reads are free of it."""
    output_tokens_per_minute: float | None = attrs.field(default=None, validator=_positive)


@attrs.frozen(kw_only=True)
class Group:
    """How the requests of one group (`StreamRequest.group`) are treated beside the others."""

    max_concurrency: int | None = attrs.field(default=None, validator=_positive)
    """How many of them run at a time; None for as many as the engine does."""
    weight: float = attrs.field(default=1.0, validator=_positive)
    """How often its turn comes beside the other groups of the same priority."""
    spend_cap: float | None = attrs.field(default=None, validator=_positive)
    """What they may cost together, in dollars, as `Engine.spend_cap`."""

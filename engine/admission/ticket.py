"""A request's place in admission: what it will need, and what was set aside for it."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import attrs

from .bucket import Mark
from .prompt import Prompt

if TYPE_CHECKING:
    from .pool import Pool

__all__ = ["Group", "Limits", "Reason", "Ticket"]

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


def _nothing(*_: object) -> None:
    pass


@attrs.define(eq=False, kw_only=True)
class Ticket:
    """A request that waits, then runs. `admitted` is called once, when its turn comes; `turned_away` instead, with a
    word why, when it never will."""

    stream_id: str = ""
    custom_id: str | None = None
    pool: "Pool"
    model_name: str
    prompt: Prompt
    max_tokens: int
    admitted: Callable[[], None] = _nothing
    turned_away: Callable[[str], None] = _nothing
    group: str | None = None
    priority: int = 0
    attempt: int = 1
    number: int = -1
    """The order of submission; below 0 until it is submitted."""
    state: Literal["new", "waiting", "running", "done"] = "new"
    reserved: "dict[Reason, float]" = attrs.field(factory=dict["Reason", float])
    """What is set aside for it, by limit, and not settled yet."""
    marks: "dict[Reason, Mark]" = attrs.field(factory=dict["Reason", Mark])
    """How the limits stood when it was sent."""
    cost: float = 0.0
    """The dollars set aside for it."""
    sending: int | None = None
    """The window's number for it, while its answer has not come."""
    leads: tuple[bytes, ...] = ()
    """The prompt prefixes it is about to write into the cache."""
    led_until: float = 0.0
    """How long others wait for that."""

    def forget(self) -> None:
        """It is called by nobody any more: its entry in a lane keeps nothing alive."""
        self.admitted = self.turned_away = _nothing

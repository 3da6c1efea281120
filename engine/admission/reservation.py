"""What a request will need of its pool, and what was set aside for it when it was sent."""

import attrs

from .bucket import Mark
from .prompt import Prompt
from .settings import Reason

__all__ = ["Reservation"]


@attrs.define(eq=False, kw_only=True)
class Reservation:
    """A request's account with its pool: an estimate at first, settled by what the API says."""

    model_name: str
    prompt: Prompt
    max_tokens: int
    group: str | None = None
    reserved: dict[Reason, float] = attrs.field(factory=dict["Reason", float])
    """What is set aside for it, by limit, and not settled yet."""
    marks: dict[Reason, Mark] = attrs.field(factory=dict["Reason", Mark])
    """How the limits stood when it was sent."""
    cost: float = 0.0
    """The dollars set aside for it."""
    sending: int | None = None
    """The window's number for it, until its answer comes."""
    leads: tuple[bytes, ...] = ()
    """The prompt prefixes that it is about to write into the cache."""
    led_until: float = 0.0
    """How long others wait for that."""

"""A request's place in admission: what it will need, and what was set aside for it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import attrs

from .bucket import Mark
from .prompt import Prompt
from .settings import Reason

if TYPE_CHECKING:
    from .pool import Pool

__all__ = ["Ticket"]


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

"""A request's place in admission: whose turn comes before it, and whom to tell when its own has come."""

from collections.abc import Callable
from typing import Literal, Self

import attrs

from .pool import Pool
from .reservation import Reservation
from .spend_cap import SpendCap

__all__ = ["Ticket"]


def _nothing(*_: object) -> None:
    pass


@attrs.define(eq=False, kw_only=True)
class Ticket(Reservation):
    """A request that waits, then runs. `admitted` is called once, when its turn comes; `turned_away` is called instead,
    with the reason in words, when its turn will never come."""

    stream_id: str = ""
    custom_id: str | None = None
    pool: Pool
    cap: SpendCap | None = None
    """A cap of its credentials, beside the engine's and its group's."""
    admitted: Callable[[], None] = _nothing
    turned_away: Callable[[str], None] = _nothing
    priority: int = 0
    attempt: int = 1
    number: int = -1
    """The order of submission; below 0 until it is submitted."""
    state: Literal["new", "waiting", "running", "done"] = "new"

    def again(self) -> Self:
        """The ticket of the next attempt. It keeps its place in the order of submission."""
        return attrs.evolve(self, attempt=self.attempt + 1, state="new", leads=(), sending=None)

    def forget(self) -> None:
        """Nobody is to be called any more: its entry in a lane keeps nothing alive."""
        self.admitted = self.turned_away = _nothing

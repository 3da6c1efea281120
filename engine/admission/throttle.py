"""How many requests of a pool may run at once, and how fast they may follow each other: learnt from which of them the
API refuses, where no limit that it tells explains why.

Three views of the same answers stand here side by side: the window (how many), the pace (how fast), and the rows of
refusals that tell whether the service is shut. An answer is told to all three in one order.
"""

import attrs

from .pace import Pace
from .refusals import Refusals
from .remembered import Remembered
from .settings import Reason
from .window import Window

__all__ = ["Block", "Refusal", "Throttle"]

Block = tuple[Reason, float | None]
"""Why a request waits, and the moment at which that may be over; None when it depends on other requests."""

_BY_CHANCE = 60.0  # seconds: a refusal that asks to wait for longer does not come by chance


@attrs.frozen
class Refusal:
    """What of a refusal says something about how many requests may be sent."""

    status: int | None
    """None when the API could not be reached."""
    room: bool | None
    """Whether its headers give room in every limit; None when they name no limit."""
    ramp: bool = False
    """Whether it says that requests followed each other too fast."""
    asked: float = 0.0
    """Seconds for which the API asks to wait; 0 when it does not."""

    @property
    def pause(self) -> float:
        """Seconds for which nothing is to be sent, since the API asks for it, and not by chance."""
        told = self.status == 429 and (self.room is not None or self.ramp)
        return self.asked if told or self.asked > _BY_CHANCE else 0.0


class Throttle(Remembered):
    """What the answers of one pool have taught. Times are seconds on the engine's clock. `grain` is how many seconds
    the moments of sending may be off, so that fewer of them are kept."""

    def __init__(self, ceiling: int, *, grain: float = 0.0) -> None:
        self.window = Window(ceiling)
        self.pace = Pace(grain)
        self.refusals = Refusals()

    @property
    def size(self) -> float:
        """How many requests at once the API is believed to accept."""
        return self.window.size

    @property
    def out(self) -> bool:
        """Whether the service is shut: then one request at a time is sent."""
        return self.window.out

    @property
    def paused_until(self) -> float:
        """Nothing is sent before this moment."""
        return self.window.paused_until

    def shut(self, running: int, now: float) -> Block | None:
        """What keeps every request from being sent now, beside `running` others; None when nothing does."""
        window = self.window
        if now < window.paused_until:
            return "pause", window.paused_until
        if window.full(running, now):
            return ("pause", window.probe_until) if window.out else ("adaptive_concurrency", None)
        if (wait := self.pace.wait(now)) > 0:
            return "pace", now + wait
        return None

    def sent(self, now: float) -> int:
        """A request is sent; returns its number, for its answer."""
        self.pace.sent(now)
        return self.window.sent(now)

    def gone(self, number: int) -> None:
        """The request with this number was given up before its answer came, or never reached the API."""
        self.window.gone(number)

    def answered(self, number: int, sent: float, running: int, now: float) -> None:
        """The API took the request with this number on, which was sent at that moment and is one of `running`; or it
        refused it for what it asked."""
        alone = self.refusals.accepted(number)
        self.pace.accepted(now, sent, alone)
        if self.window.accepted(number, running) and not self.pace.limits:
            self.refusals.open_again()

    def refused(self, number: int, sent: float, refusal: Refusal, now: float) -> None:
        """The API refused the request with this number for now, or could not be reached."""
        status, room = refusal.status, refusal.room
        if refusal.pause:
            self.window.pause(now + refusal.pause)
        if status == 429 and (room is None or refusal.ramp):
            self.pace.turned_down(sent)
        if status == 429 and refusal.ramp:
            self.pace.told(now)
            self.window.gone(number)
        elif status == 429 and room is False:
            self.window.gone(number)  # a bucket was empty, and is now known to be
        else:
            self._unexplained(number, sent, refusal, now)

    def _unexplained(self, number: int, sent: float, refusal: Refusal, now: float) -> None:
        """No limit that is known explains why the request was refused."""
        window, rate = self.window, refusal.status == 429 and refusal.room is None
        tells = window.tells(number)
        if rate:
            window.gone(number)
        else:
            window.refused(number)
        if tells:
            window.shut(number, now, refusal.asked)
        elif window.out:
            pass  # it was sent before
        elif self.refusals.refused(number):
            window.shut(number, now, refusal.asked)
            if rate:
                self.pace.shut(now, sent)
        elif rate:
            self.pace.refused(now, sent)

    def overloaded(self) -> None:
        """The API broke an answer off because it was overloaded."""
        self.window.overloaded()

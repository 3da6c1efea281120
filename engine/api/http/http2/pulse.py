"""Whether the server lives, and whether the connection is of use. No clock: time is an argument, in seconds."""

from typing import Literal

__all__ = ["DEAD_SECONDS", "PING_SECONDS", "Pulse"]

PING_SECONDS = 20.0
"""After so long a silence the server is asked whether it still lives."""

DEAD_SECONDS = 10.0
"""So long it may take to answer that."""


class Pulse:
    """When something was last heard, and since when no stream has been open."""

    def __init__(self, now: float) -> None:
        self.heard = self.idle_since = now
        self._pinged: float | None = None

    def look(self, now: float, *, busy: bool, expiry: float) -> float | Literal["ping", "over"]:
        """In how many seconds to look again. Or that a ping is to be sent now, and to look again in `DEAD_SECONDS`; or
        that the connection is over: the server is dead, or nothing was open for `expiry` seconds."""
        if not busy:
            self._pinged = None
            idle = now - self.idle_since
            return "over" if idle >= expiry else min(PING_SECONDS, expiry - idle)
        if self._pinged is not None and self.heard < self._pinged:
            waited = now - self._pinged
            return "over" if waited >= DEAD_SECONDS else DEAD_SECONDS - waited
        self._pinged = None
        silent = now - self.heard
        if silent < PING_SECONDS:
            return PING_SECONDS - silent
        self._pinged = now
        return "ping"

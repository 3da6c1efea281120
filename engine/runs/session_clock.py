"""The clock of a session: Unix seconds that never jump, so that what lies between two moments is right.

It is set by the wall clock once, when the session begins, and goes on by the monotonic clock. A machine whose wall
clock is put right in the middle of a run, or between two of its sessions, changes no duration in the journal.
"""

import time
from collections.abc import Callable

from ...actors.stream import StreamResult

__all__ = ["SessionClock"]

_JUMP = 1.0  # seconds by which the clocks may differ before the wall clock has jumped


class SessionClock:
    """Begins now, but not before `after`: where an earlier session left off, in Unix seconds."""

    def __init__(
        self,
        *,
        after: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._begun = monotonic()
        self._set_at = wall()
        self.began = max(self._set_at, after)
        """When the session began, in Unix seconds."""

    def now(self) -> float:
        """This moment, in Unix seconds."""
        return self.began + self._monotonic() - self._begun

    def submitted(self, result: StreamResult) -> float:
        """When the request of a stream that has just ended was submitted, in Unix seconds."""
        passed = self._monotonic() - self._begun
        if self.began == self._set_at and abs(self._wall() - self._set_at - passed) < _JUMP:
            return result.timestamp.timestamp()
        return max(self.began, self.began + passed - result.timings.end)

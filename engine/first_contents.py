"""How long an engine's streams usually take to their first content: what a second try waits for."""

from collections import deque

from ..actors.actor import StreamActor
from ..actors.stream import nearest_rank

__all__ = ["FirstContents"]

_ENOUGH = 20
_KEPT = 1000
_SHARE = 0.95


class FirstContents:
    """The times to first content of the last streams that had any."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_KEPT)

    def add(self, actor: StreamActor) -> None:
        """Takes a stream that has ended."""
        if actor.result is not None and (seconds := actor.result.timings.ttft) is not None:
            self._seconds.append(seconds)

    @property
    def usual(self) -> float | None:
        """Their 95th percentile, in seconds; None before there are 20 of them."""
        ordered = sorted(self._seconds)
        return None if len(ordered) < _ENOUGH else ordered[nearest_rank(_SHARE, len(ordered)) - 1]

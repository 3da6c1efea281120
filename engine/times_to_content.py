"""How long an engine's latest streams took to their first content: for knowing when one takes unusually long."""

from collections import deque

from ..actors.actor import StreamActor
from ..actors.stream import nearest_rank

__all__ = ["TimesToFirstContent"]

_ENOUGH = 20
_MOST = 1000


class TimesToFirstContent:
    """Of the last 1,000 streams that had content, in seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=_MOST)

    def add(self, actor: StreamActor) -> None:
        """A stream has ended."""
        if actor.result is not None and (ttft := actor.result.timings.ttft) is not None:
            self._times.append(ttft)

    def usual_longest(self) -> float | None:
        """Their 95th percentile; None while there are fewer than 20."""
        times = sorted(self._times)
        return None if len(times) < _ENOUGH else times[nearest_rank(0.95, len(times)) - 1]

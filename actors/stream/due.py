"""When a stream's next deadline passes: arithmetic over times that were taken anyway."""

from typing import TYPE_CHECKING

from .lifecycle import State

if TYPE_CHECKING:
    from .stopwatch import Stopwatch
from .deadlines import DeadlineName, Deadlines

__all__ = ["next_due"]


def next_due(deadlines: Deadlines, state: State, watch: "Stopwatch") -> tuple[float, DeadlineName] | None:
    """When the next deadline of a stream in `state` passes, on the stopwatch's clock, and which; None if none does."""
    soonest: tuple[float, DeadlineName] | None = None
    if deadlines.total is not None:
        soonest = watch.submitted + deadlines.total, "total"
    if state is State.NEW or state is State.QUEUED:
        if watch.queued is None:
            soonest = _sooner(soonest, "queued", watch.submitted, deadlines.queued)
    elif (state is State.CONNECTING or state is State.STREAMING) and not watch.paused:
        heard = max(watch.last_byte or 0.0, watch.connected or 0.0, watch.sent or 0.0, watch.resumed)
        soonest = _sooner(soonest, "silence", heard, deadlines.silence)
        if watch.first_event is None:
            soonest = _sooner(soonest, "first_event", watch.sent, deadlines.first_event)
        if watch.first_content is None:
            soonest = _sooner(soonest, "first_content", watch.sent, deadlines.first_content)
        else:
            soonest = _sooner(soonest, "idle", max(watch.last_content or 0.0, watch.resumed), deadlines.idle)
    return soonest


def _sooner(
    soonest: tuple[float, DeadlineName] | None, name: DeadlineName, since: float | None, seconds: float | None
) -> tuple[float, DeadlineName] | None:
    if seconds is None or since is None or (soonest is not None and soonest[0] <= since + seconds):
        return soonest
    return since + seconds, name

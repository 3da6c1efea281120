"""How fast a run goes, and how long it will still take."""

from collections import deque

import attrs

from .figures import Figures

__all__ = ["Rates", "Speed"]

_RATE_SECONDS = 5.0
_ESTIMATE_SECONDS = 60.0
_ESTIMATE_DONE = 10  # requests that end in the time that the estimate looks back
_FEWEST = 3  # with fewer answers there is no estimate
_SAMPLES = 3600


@attrs.frozen
class Speed:
    """How fast a run goes at the moment: counts a second, and the time that remains."""

    events: float = 0.0
    tokens: float = 0.0
    """Output tokens. They count when their stream ends."""
    requests: float = 0.0
    """Answers, over the time that the estimate looks back."""
    remaining: float | None = None
    """Seconds to the end, estimated from `requests`; None while there is too little to go by."""


@attrs.frozen
class _Sample:
    moment: float
    events: int
    tokens: int
    done: int


class Rates:
    """How fast counts grow: events and tokens over the last five seconds, answers over the last minute.

    The minute becomes longer where requests take long or few of them end: at least three times the median request, and
    long enough to see ten requests end. So the estimate of the remaining time neither jumps nor relies on the first
    second.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._samples: deque[_Sample] = deque(maxlen=_SAMPLES)
        self._now = self._take()
        self._samples.append(self._now)

    def sample(self) -> Speed:
        """Takes a sample of the counts, and returns the rates up to now."""
        figures, samples = self._figures, self._samples
        self._now = now = self._take()
        back = max(_ESTIMATE_SECONDS, 3 * figures.typical_duration())
        while (
            len(samples) > 1 and now.moment - samples[1].moment >= back and now.done - samples[1].done >= _ESTIMATE_DONE
        ):
            samples.popleft()
        recent = next((one for one in reversed(samples) if now.moment - one.moment >= _RATE_SECONDS), samples[0])
        oldest = samples[0]
        if now.moment - samples[-1].moment >= 1:
            samples.append(now)
        if now.moment <= recent.moment:
            return Speed()
        took = now.moment - recent.moment
        requests = (now.done - oldest.done) / (now.moment - oldest.moment)
        return Speed(
            events=(now.events - recent.events) / took,
            tokens=(now.tokens - recent.tokens) / took,
            requests=requests,
            remaining=self._remaining(requests) if now.done - oldest.done >= _FEWEST else None,
        )

    def _take(self) -> _Sample:
        figures = self._figures
        return _Sample(figures.seconds, figures.events, figures.output_tokens, figures.done)

    def _remaining(self, requests: float) -> float | None:
        figures = self._figures
        if figures.stopping:
            return figures.running / requests
        return None if figures.total is None else max(0, figures.total - figures.done) / requests

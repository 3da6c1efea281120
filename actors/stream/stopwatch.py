"""When things happened in a stream: a few numbers taken once a read, made into percentiles at the end."""

import math
from array import array
from collections.abc import Callable, Sequence

import attrs

__all__ = ["Stopwatch", "Timings", "nearest_rank"]


def nearest_rank(share: float, count: int) -> int:
    """Which of `count` values in rising order is the percentile at `share`, 0 to 1: the first, counted from 1, that at
    least this share of all values do not exceed."""
    return max(1, math.ceil(share * count - 1e-9))  # 0.07 * 100 is a little more than 7


@attrs.frozen(kw_only=True)
class Timings:
    """When things happened, in seconds since submission; None for what never did. The last attempt counts."""

    queued: float | None = None
    """How long the first attempt waited for its slot."""
    sent: float | None = None
    """When the request was handed to the connection."""
    connected: float | None = None
    """When the response's head had come."""
    first_event: float | None = None
    first_content: float | None = None
    """When the first content came: a delta, or a block that arrives whole."""
    end: float = 0.0
    contents: int = 0
    """How many content events came."""
    inter_content_p50: float | None = None
    """Percentiles of the time between content events (nearest rank). Those read at once are 0 apart."""
    inter_content_p90: float | None = None
    inter_content_p99: float | None = None

    @property
    def ttft(self) -> float | None:
        """Time to first token: from `sent` to `first_content`, in seconds."""
        return None if self.first_content is None or self.sent is None else self.first_content - self.sent


class Stopwatch:
    """Takes the times of one stream; `clock` is the event loop's, in seconds."""

    __slots__ = (
        "_gaps",
        "_last_content",
        "clock",
        "connected",
        "contents",
        "ended",
        "first_content",
        "first_event",
        "last_byte",
        "paused",
        "paused_since",
        "queued",
        "resumed",
        "sent",
        "submitted",
    )

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.submitted = clock()
        self.queued: float | None = None
        self.ended: float | None = None
        self.begin_attempt()
        self.sent = None

    def begin_attempt(self) -> None:
        """Another attempt: only its times count from here."""
        self.sent: float | None = self.clock()
        self.connected: float | None = None
        self.first_event: float | None = None
        self.first_content: float | None = None
        self.last_byte: float | None = None
        self.paused = False
        """Whether nothing is read because a consumer holds the stream back."""
        self.paused_since = 0.0
        """When such a pause began, while there is one."""
        self.resumed = 0.0
        """When reading went on after such a pause."""
        self._last_content: float | None = None
        self.contents = 0
        # Gaps between reads that brought content; the contents of one read are 0 apart and need no entry.
        self._gaps = array("f")

    @property
    def gaps(self) -> Sequence[float]:
        """The seconds between reads that brought content. What one read brought has no gap."""
        return self._gaps

    @property
    def last_content(self) -> float | None:
        """When content last came."""
        return self._last_content

    def content(self, now: float, count: int) -> None:
        """A read brought `count` content events."""
        if self._last_content is None:
            self.first_content = now
        else:
            self._gaps.append(now - self._last_content)
        self._last_content = now
        self.contents += count

    def pause(self) -> None:
        """Nothing is read from now on: a consumer holds the stream back."""
        self.paused = True
        self.paused_since = self.clock()

    def resume(self) -> None:
        """Reading goes on."""
        self.paused = False
        self.resumed = self.clock()

    def timings(self) -> Timings:
        """All of it, in seconds since submission."""

        def since(moment: float | None) -> float | None:
            return None if moment is None else moment - self.submitted

        gaps = sorted(self._gaps)
        zeros = max(0, self.contents - 1 - len(gaps))
        total = zeros + len(gaps)

        def percentile(share: float) -> float | None:
            if not total:
                return None
            rank = nearest_rank(share, total)
            return 0.0 if rank <= zeros else gaps[rank - zeros - 1]

        return Timings(
            queued=since(self.queued),
            sent=since(self.sent),
            connected=since(self.connected),
            first_event=since(self.first_event),
            first_content=since(self.first_content),
            end=(self.clock() if self.ended is None else self.ended) - self.submitted,
            contents=self.contents,
            inter_content_p50=percentile(0.5),
            inter_content_p90=percentile(0.9),
            inter_content_p99=percentile(0.99),
        )

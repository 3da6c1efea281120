"""The streams of a run that are running now, and what each of them has used so far."""

from ..engine import Engine
from ..prices import Prices
from .journal_rows import Begun
from .session_clock import SessionClock

__all__ = ["LiveStreams"]


class LiveStreams:
    """The running streams, by their requests' ids."""

    def __init__(self, engine: Engine, prices: Prices, clock: SessionClock) -> None:
        self._engine = engine
        self._prices = prices
        self._clock = clock
        self._streams: dict[str, tuple[str, float]] = {}  # the stream's id, and when its answer began in Unix seconds

    def __len__(self) -> int:
        return len(self._streams)

    def began(self, custom_id: str, stream_id: str) -> None:
        """Adds a stream whose answer has begun. Does nothing when another attempt of it begins."""
        self._streams.setdefault(custom_id, (stream_id, self._clock.now()))

    def ended(self, custom_id: str) -> None:
        """Removes a stream, if it is there."""
        self._streams.pop(custom_id, None)

    def used(self) -> list[Begun]:
        """What each running stream has used so far. Streams that the engine no longer knows are left out."""
        found: list[Begun] = []
        for custom_id, (stream_id, began) in self._streams.items():
            handle = self._engine.get(stream_id)
            if handle is not None:
                usage, name = handle.billed, handle.model_name
                dollars = self._prices.cost(name, usage) if isinstance(name, str) else None
                found.append(Begun(custom_id, began, usage, dollars))
        return found

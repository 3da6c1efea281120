"""The streams that a hub knows: those that run, and those that ended lately, bounded in time and size. No I/O."""

from collections.abc import Callable, Iterator

from .relayed import Relayed

__all__ = ["Shelf"]


class Shelf:
    """Streams by their ids, and the latest of each key. Those that ended are kept for `retention` seconds, and
    `max_kept` characters of them at most; those that are being read are kept in any case."""

    def __init__(self, retention: float, max_kept: int, clock: Callable[[], float]) -> None:
        self._retention = retention
        self._max_kept = max_kept
        self._clock = clock
        self._by_id: dict[str, Relayed] = {}
        self._by_key: dict[str, Relayed] = {}

    def __iter__(self) -> Iterator[Relayed]:
        return iter(list(self._by_id.values()))

    def __len__(self) -> int:
        return len(self._by_id)

    def add(self, stream: Relayed) -> None:
        """Takes a stream in: it is the one of its key from now on."""
        self._by_id[stream.id] = stream
        if stream.key is not None:
            self._by_key[stream.key] = stream

    def get(self, stream_id: str) -> Relayed | None:
        """The stream with this id."""
        return self._by_id.get(stream_id)

    def of_key(self, key: str) -> Relayed | None:
        """The latest stream of this key."""
        return self._by_key.get(key)

    def running(self, key: str) -> list[Relayed]:
        """The streams of this key that have not ended."""
        return [stream for stream in self if stream.key == key and stream.ended_at is None]

    def remove(self, stream: Relayed) -> None:
        """Forgets a stream."""
        self._by_id.pop(stream.id, None)
        if stream.key is not None and self._by_key.get(stream.key) is stream:
            del self._by_key[stream.key]

    def clear_out(self) -> None:
        """Forgets what ended too long ago, and of the rest the oldest while it is too much; and copies that are no
        longer kept up."""
        now = self._clock()
        for stream in self:
            if stream.unread and not stream.tabs:
                self.remove(stream)
        ended = [stream for stream in self if stream.ended_at is not None and not stream.tabs]
        ended.sort(key=lambda stream: stream.ended_at or 0.0)
        size = sum(stream.size for stream in ended)
        for stream in ended:
            if size > self._max_kept or now - (stream.ended_at or 0.0) >= self._retention:
                size -= stream.size
                self.remove(stream)

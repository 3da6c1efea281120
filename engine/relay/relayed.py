"""A relayed stream: what a hub knows of one stream while it runs, and for a while after its end."""

from collections.abc import Callable

from ...actors.channel import Recording
from ...actors.handle import StreamHandle
from .tab import Tab

__all__ = ["Relayed"]

_BESIDE = 2000  # characters' worth of memory that a stream takes beside its text


class Relayed:
    """One stream of a hub. State only.

    `handle` is the stream's own where it runs in this process; without it the recording is a copy of what another
    process writes.
    """

    def __init__(
        self,
        stream_id: str,
        key: str | None,
        recording: Recording,
        clock: Callable[[], float],
        *,
        handle: StreamHandle | None = None,
        epoch: int = 1,
        run_id: str | None = None,
    ) -> None:
        self.id = stream_id
        self.key = key
        self.recording = recording
        self.handle = handle
        self.epoch = epoch
        self.run_id = run_id or stream_id
        self.cuts: list[tuple[int, int]] = []
        """Where another process took the stream over: the new epoch, and the last number that was kept."""
        self.is_copy = handle is None
        """Whether its recording is of what another process wrote, or this one in its place."""
        self.fenced = False
        """Whether it ran here and was taken over by another process."""
        self.unread = False
        """Whether it is a copy that is no longer kept up."""
        self.unreadable = False
        """Whether what another process wrote of it can't be read here."""
        self.tabs: set[Tab] = set()
        self.alone_since: float | None = clock()
        """Since when no tab has read it; None while one does."""
        self.ended_at: float | None = None
        self.stopped = False
        """Whether it was asked to stop."""
        self._size: int | None = None
        self._clock = clock

    @property
    def name(self) -> str:
        """Its key, or its id when it has none."""
        return self.id if self.key is None else self.key

    @property
    def ending(self) -> bool:
        """Whether its end has come, or is about to."""
        return self.stopped or self.recording.ended

    def stop(self, reason: str | None) -> None:
        """Asks it to stop, if it runs here."""
        if self.handle is not None:
            self.stopped = True
            self.handle.cancel(reason)

    def joined(self, tab: Tab) -> None:
        """A browser reads it."""
        self.tabs.add(tab)
        self.alone_since = None

    def left(self, tab: Tab) -> None:
        """A browser is gone."""
        self.tabs.discard(tab)
        if not self.tabs:
            self.alone_since = self._clock()

    def ended(self) -> None:
        """The stream is over. What it was asked is let go; what it said is kept."""
        if self.ended_at is None:
            self.ended_at = self._clock()
            self.handle = None
            if not self.is_copy and self.recording.ended:
                self.recording = self.recording.without_request()

    @property
    def size(self) -> int:
        """How much it holds, in characters."""
        if self._size is not None:
            return self._size
        size = _BESIDE + self.recording.characters
        if self.recording.ended:
            self._size = size
        return size

    def taken_over(self, epoch: int, kept: int) -> None:
        """Another process writes it from now on, after the event numbered `kept`."""
        self.epoch = epoch
        self.cuts.append((epoch, kept))

    def kept(self, epoch: int, seq: int) -> bool:
        """Whether the event that a browser knows as number `seq` of `epoch` is the one that has the number here."""
        if seq > self.recording.seq or epoch > self.epoch:
            return False
        return all(seq <= last for began, last in self.cuts if began > epoch)

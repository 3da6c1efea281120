"""The latest state of a stream, for those who do not want each event."""

import anyio
from anyio.abc import ObjectReceiveStream
from anyio.lowlevel import checkpoint

from .actor import StreamActor
from .channel import Home
from .stream import SnapshotEvent

__all__ = ["Snapshots"]


class Snapshots(ObjectReceiveStream[SnapshotEvent]):
    """A channel that gives only a stream's latest state, as often as it is asked and something is new.

    It may lose what lies between two looks, which is why it is not a policy of `subscribe`. After the stream's last
    state it ends. It keeps no stream from being abandoned.
    """

    def __init__(self, actor: StreamActor, home: Home | None = None) -> None:
        self._actor = actor
        self._home = home
        self._seen = -1
        self._changed: anyio.Event | None = None  # set when there is something new; None while nobody asked
        self._closed = False

    def wake(self) -> None:
        """There is something new."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def receive(self) -> SnapshotEvent:
        """The latest state, once it differs from the one given before.

        Raises `anyio.EndOfStream` when the last state was given, `anyio.ClosedResourceError` after `aclose`, and
        `RuntimeError` outside of the engine's event loop. Cancellation loses nothing.
        """
        if self._home is not None:
            self._home.check()
        await checkpoint()
        while True:
            if self._closed:
                raise anyio.ClosedResourceError
            snapshot = self._actor.snapshot() if self._actor.log.seq > self._seen else None
            if snapshot is not None and snapshot.seq > self._seen:
                self._seen = snapshot.seq
                return snapshot
            if self._actor.life.ended:
                raise anyio.EndOfStream
            if self._changed is None:
                self._changed = anyio.Event()
                self._actor.audience.park(self)
            await self._changed.wait()

    async def aclose(self) -> None:
        """Ends the channel; whoever waits in `receive` gets `anyio.ClosedResourceError`."""
        self._closed = True
        self._actor.audience.forget(self)
        self.wake()
        await checkpoint()

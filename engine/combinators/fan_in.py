"""A channel that many streams flow into: how it waits, and how it ends. What it gives, its kinds say."""

from typing import ClassVar, TypeVar

import anyio
from anyio.lowlevel import checkpoint

from ...actors.actor import StreamActor
from ...actors.channel import Receiving

__all__ = ["FanIn"]

T_co = TypeVar("T_co", covariant=True)


class FanIn(Receiving[T_co]):
    """What `engine.merge` and `engine.as_completed` give. It ends when no more streams will be added and everything of
    those that were has been received."""

    _for_others: ClassVar[frozenset[str]] = Receiving._for_others | {"add", "exhaust", "queue", "released", "done"}

    def __init__(self) -> None:
        self._changed: anyio.Event | None = None  # while somebody waits
        self._exhausted = False
        self._error: Exception | None = None
        self._closed = False

    # -- for the block that fills it

    def add(self, actor: StreamActor) -> None:
        """Another stream has started."""
        raise NotImplementedError

    def exhaust(self, error: Exception | None = None) -> None:
        """No more streams will be added; with `error`, because taking the next request raised it."""
        self._exhausted = True
        self._error = error
        self._wake()

    # -- for its kinds

    def _wake(self) -> None:
        """There is something new for those who wait."""
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _nothing_ready(self, *, pending: bool) -> Exception:
        """What `receive_nowait` raises when it has nothing to give; `pending` says whether a stream still may have."""
        if self._error is not None:
            return self._error
        return anyio.EndOfStream() if self._exhausted and not pending else anyio.WouldBlock()

    # -- for the consumer

    async def _wait(self) -> None:
        self._check_home()
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    async def receive_batch(self) -> list[T_co]:
        """All items that are ready, at least one: it waits for the first. It always gives way to other tasks.

        Raises as `receive` does, and loses nothing on cancellation.
        """
        self._taken = 0
        await checkpoint()
        batch = [await self.receive()]
        try:
            while True:
                batch.append(self.receive_nowait())
        except Exception:
            return batch  # what it is, other than `WouldBlock`, the next call raises again

    def close(self) -> None:
        """Gives nothing more: reading raises `anyio.ClosedResourceError`. Leaving the block stops the streams."""
        self._closed = True
        self._wake()

    async def aclose(self) -> None:
        """As `close`."""
        self.close()
        await checkpoint()

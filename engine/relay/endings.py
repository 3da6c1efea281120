"""The endings of a hub's streams, told to the app: each once, and none of them can keep the hub from closing."""

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
from anyio import TaskHandle

from ...actors.stream import StreamResult
from .relayed import Relayed

if TYPE_CHECKING:
    from ..engine import Engine

__all__ = ["Endings", "OnEnd"]

_PATIENCE = 5.0  # seconds for which the next question waits
_LAST_ENDS = 0.5  # seconds for streams to end whose engine is over
_log = logging.getLogger("manystream.relay")

OnEnd = Callable[[str, StreamResult], Awaitable[object]]


class Endings:
    """Which streams' ends are still to come or to be told to `on_end`, if there is one."""

    def __init__(self, engine: "Engine", on_end: OnEnd | None) -> None:
        self._engine = engine
        self._on_end = on_end
        self._open: dict[Relayed, TaskHandle[None] | None] = {}  # with the task that tells of it
        self._late: list[tuple[Relayed, StreamResult]] = []  # that the engine runs no task for any more
        self._changed = anyio.Event()
        self._closed = False

    def expect(self, stream: Relayed) -> None:
        """A stream's end is to come."""
        self._open[stream] = None

    def forget(self, stream: Relayed) -> None:
        """A stream's end is told, or is not to be told here."""
        self._open.pop(stream, None)
        self._change()

    def came(self, stream: Relayed, result: StreamResult) -> None:
        """A stream's end has come. It is told, if it was expected."""
        if stream not in self._open:
            return
        if self._on_end is None:
            self.forget(stream)
        elif self._closed:
            _log.warning("on_end is not called for a relayed stream: its hub was closed before it ended")
            self.forget(stream)
        elif self._engine.closing:
            self._late.append((stream, result))  # it was left first, or crashed: the hub tells when it is left
            self._change()
        else:
            self._open[stream] = self._engine.start_side_task(self._tell(stream, self._on_end, result))

    async def _tell(self, stream: Relayed, on_end: OnEnd, result: StreamResult) -> None:
        try:
            await on_end(stream.name, result)
        except anyio.get_cancelled_exc_class():
            _log.warning("on_end was cut off for a relayed stream: it had not returned when its hub or engine closed")
            raise
        except Exception:
            _log.exception("on_end failed for a relayed stream")
        finally:
            self.forget(stream)

    async def all_told(self) -> None:
        """Waits until the end of every stream has come and was told, or the engine is over."""
        while self._open and not self._engine.closing:
            await self._changed.wait()

    async def settled(self, key: str) -> None:
        """Waits until the ends of a key's streams are told that have come, or that somebody asked for; five seconds at
        most."""
        with anyio.move_on_after(_PATIENCE):
            while self._on_end is not None and any(stream.key == key and stream.ending for stream in self._open):
                await self._changed.wait()
            return
        _log.warning("on_end takes long for a relayed stream: the next one of its key does not wait for it any more")

    async def close(self, patience: float) -> None:
        """Tells what is still to be told, and waits for it `patience` seconds; what is not told by then is cut off."""
        with anyio.move_on_after(patience):
            await self.all_told()
        if self._on_end is not None:
            with anyio.move_on_after(_LAST_ENDS):
                while self._engine.closing and len(self._late) < len(self._open):
                    await self._changed.wait()
            late, self._late = self._late, []
            with anyio.move_on_after(patience):
                async with anyio.create_task_group() as tasks:
                    for stream, result in late:
                        tasks.start_soon(self._tell, stream, self._on_end, result)
        self._closed = True
        for task in list(self._open.values()):
            if task is not None:
                task.cancel()

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

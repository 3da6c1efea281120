"""The streams of a hub and the tabs that read them: found by whoever may, and looked after as time passes."""

import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from .access import Action, Authorize
from .encoders import Shown
from .ids import issued_by, new_id, new_instance
from .pacer import Pacer
from .relayed import Relayed
from .settings import HubSettings
from .shelf import Shelf
from .tab import Scope, Tab

if TYPE_CHECKING:
    from ..engine import Engine

__all__ = ["RelayedStreams"]

_log = logging.getLogger("manystream.relay")
_TICK = 1.0  # seconds between two looks at what time asks for, or less where it asks for something sooner
_SHORTEST_TICK = 0.05
_SHARES = 8  # so much later than it should, by its own time, something happens at most


class RelayedStreams:
    """What a hub keeps. `begin` it in the event loop of its engine."""

    def __init__(self, engine: "Engine", settings: HubSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._instance = new_instance()
        self._shelf: Shelf | None = None
        self._work = anyio.Event()

    def begin(self) -> None:
        """Looks after the streams from now on. Raises `RuntimeError` the second time, and without a running engine."""
        if self._shelf is not None:
            raise RuntimeError("a hub is entered once; make another")
        home, settings = self._engine.home, self._settings
        if home is None:
            raise RuntimeError("enter the engine first: async with Engine(...) as engine, StreamHub(engine) as hub")
        self.clock: Callable[[], float] = home.clock
        self._shelf = Shelf(settings.retention, settings.max_kept, home.clock)
        self._pacer = Pacer(settings.pace, home.clock, lambda pacer: self._engine.start_side_task(pacer.run()))
        self._engine.start_side_task(self._keep_house())

    @property
    def shelf(self) -> Shelf:
        """The streams. Raises `RuntimeError` before the hub is entered."""
        if self._shelf is None:
            raise RuntimeError("enter the hub first: async with StreamHub(engine) as hub")
        return self._shelf

    @property
    def shown(self) -> Shown:
        """What browsers are told."""
        return self._settings.shown

    def new_id(self) -> str:
        """An id for a stream of this process."""
        return new_id(self._instance)

    def add(self, stream: Relayed) -> None:
        """Takes a stream in."""
        self.shelf.add(stream)
        self._work.set()

    async def find(self, scope: Scope, name: str, action: Action, authorize: Authorize | None) -> Relayed | None:
        """The stream of an id or a key, if the sender of the request may do this with it."""
        stream = self.shelf.get(name)
        if stream is not None:
            may = authorize is None or await authorize(scope, stream.name, action)
        elif authorize is None:
            return None
        else:
            may = await authorize(scope, name, action)
            stream = self.shelf.of_key(name)
        return stream if may else None

    def is_elsewhere(self, name: str) -> bool:
        """Whether another process of the service issued this id; logs what helps, if so."""
        instance = issued_by(name)
        if instance is None or instance == self._instance:
            return False
        _log.warning(
            "a browser asked for a stream of another process, which can't be found here: processes that serve the same "
            "browsers need a shared store, or each browser has to come to the same process"
        )
        return True

    def tab(self, stream: Relayed, make: Callable[..., Tab]) -> Tab:
        """A tab of a stream, made by `make(clock=…, pacer=…)`."""
        tab = make(clock=self.clock, pacer=self._pacer if self._settings.pace else None)
        stream.joined(tab)
        self._work.set()
        return tab

    # -- in time

    async def _keep_house(self) -> None:
        settings, linger = self._settings, self._settings.linger
        soonest = min(settings.keepalive, settings.send_timeout, math.inf if linger is None else linger)
        tick = min(_TICK, max(soonest / _SHARES, _SHORTEST_TICK))
        while True:
            if not len(self.shelf):
                self._work = anyio.Event()
                await self._work.wait()
            await anyio.sleep(tick)
            now = self.clock()
            for stream in self.shelf:
                for tab in tuple(stream.tabs):
                    tab.tick(settings.keepalive, settings.send_timeout)
                alone, handle = stream.alone_since, stream.handle
                if linger is None or alone is None or handle is None or stream.ended_at is not None:
                    continue
                if now - alone >= linger:
                    handle.cancel("nobody reads it any more")
            self.shelf.clear_out()

"""The streams of a hub and the tabs that read them: found by whoever may, and looked after as time passes."""

import logging
import math
from collections.abc import Callable
from random import uniform
from typing import TYPE_CHECKING

import anyio

from .access import Action, Authorize
from .encoders import Shown
from .ids import issued_by, new_id, new_instance
from .pacer import Pacer
from .relayed import Relayed
from .settings import HubSettings
from .shared import SharedStreams
from .shelf import Shelf
from .stores import Head
from .tab import Scope, Tab

if TYPE_CHECKING:
    from ..engine import Engine

__all__ = ["PARTING", "RelayedStreams"]

PARTING = 5.0
"""Seconds in which tabs go that were sent away."""

_log = logging.getLogger("manystream.relay")
_TICK = 1.0  # seconds between two looks at what time asks for, or less where it asks for something sooner
_SHORTEST_TICK = 0.05
_RETRY = 500, 2500  # milliseconds after which a browser comes again, spread so that not all come at once
_SHARES = 8  # so much later than it should, by its own time, something happens at most


class RelayedStreams:
    """What a hub keeps. `begin` it in the event loop of its engine."""

    def __init__(self, engine: "Engine", settings: HubSettings) -> None:
        self._engine = engine
        self._settings = settings
        self.instance = new_instance()
        """The tag of this process."""
        self.shared: SharedStreams | None = None
        """Its part in a store, if it shares one."""
        self.going = False
        """Whether nothing more is started, and whoever comes to read what runs is sent away with what there is."""
        self._copying = anyio.Lock()
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
        return new_id(self.instance)

    def add(self, stream: Relayed) -> None:
        """Takes a stream in."""
        self.shelf.add(stream)
        self._work.set()

    def adopt(self, stream: Relayed) -> None:
        """Takes in a copy of a stream that is now written here, unless it is known already."""
        if self.shelf.get(stream.id) is None:
            self.add(stream)

    async def find(self, scope: Scope, name: str, action: Action, authorize: Authorize | None) -> Relayed | None:
        """The stream of an id or a key, if the sender of the request may do this with it. Raises `StoreFailed`."""
        stream = await self.of_id(name)
        if stream is not None:
            return stream if authorize is None or await authorize(scope, stream.name, action) else None
        if authorize is None or not await authorize(scope, name, action):
            return None
        return await self.of_key(name)

    async def of_id(self, name: str) -> Relayed | None:
        """The stream with this id. Raises `StoreFailed`."""
        stream = self._kept(name)
        if stream is not None or self.shared is None or issued_by(name) is None:
            return stream
        head = await self.shared.look(name)
        return None if head is None or head.id != name else await self._copied(head)

    async def of_key(self, key: str) -> Relayed | None:
        """The latest stream of this key. Raises `StoreFailed`."""
        if self.shared is None:
            return self.shelf.of_key(key)
        head = await self.shared.look(key)
        return None if head is None or head.key != key else await self._copied(head)

    def _kept(self, stream_id: str) -> Relayed | None:
        stream = self.shelf.get(stream_id)
        if stream is not None and stream.unread:
            self.shelf.remove(stream)
            return None
        return stream

    async def _copied(self, head: Head) -> Relayed:
        """The stream of a head: the one that runs here, or a copy."""
        assert self.shared is not None
        async with self._copying:  # two tabs at once read one copy
            stream = self._kept(head.id)
            if stream is None:
                stream = await self.shared.copy(head)
                self.add(stream)
            return stream

    def is_elsewhere(self, name: str) -> bool:
        """Whether another process of the service issued this id, and they share no store; logs what helps, if so."""
        instance = issued_by(name)
        if instance is None or instance == self.instance or self.shared is not None:
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
        if self.going and not stream.recording.ended:
            _send_away(tab)  # a server that is told to stop would wait for it
        self._work.set()
        return tab

    def send_away(self) -> list[Tab]:
        """Sends the tabs away, and those that come from now on. Returns those that are to go."""
        self.going = True
        tabs = [tab for stream in self.shelf for tab in stream.tabs]
        for tab in tabs:
            _send_away(tab)
        return tabs

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
            patience = min(settings.send_timeout, PARTING) if self.going else settings.send_timeout
            for stream in self.shelf:
                for tab in tuple(stream.tabs):
                    tab.tick(settings.keepalive, patience)
                alone, handle = stream.alone_since, stream.handle
                if linger is None or alone is None or handle is None or stream.ended_at is not None:
                    continue
                if now - alone >= linger:  # readers of other processes move `alone_since` on
                    handle.cancel("nobody reads it any more")
            self.shelf.clear_out()


def _send_away(tab: Tab) -> None:
    tab.part(b"retry: %d\n\n" % uniform(*_RETRY))

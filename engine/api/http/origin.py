"""Which HTTP/2 connection to a server a new stream gets, and when another one is made. Decisions alone: no I/O."""

from typing import Generic, Protocol, TypeVar

import anyio

__all__ = ["Dial", "Origin"]

_MOST_JOINED = 100  # requests that wait for one connection, while nobody knows how many streams the server allows
_MOST_BROKEN = 3  # connections in a row on which the server broke HTTP/2
_HTTP1_SECONDS = 3600.0  # then HTTP/2 is offered once more: servers are updated, and incidents end


class _Link(Protocol):
    @property
    def has_room(self) -> bool: ...
    @property
    def load(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def broke_http2(self) -> bool: ...
    @property
    def wants_http1(self) -> bool: ...
    @property
    def answered(self) -> bool: ...


_L = TypeVar("_L", bound=_Link)


class Dial:
    """A connection that is being made: by one request, for all that have joined it."""

    def __init__(self) -> None:
        self.joined = 1
        self.done = anyio.Event()
        self.error: Exception | None = None
        """Why there is none; nothing of it is known to those who joined when it was given up by the one who made it."""


class Origin(Generic[_L]):
    """The connections to one server."""

    def __init__(self) -> None:
        self._http1 = False
        self._http1_since: float | None = None  # when that was first seen
        self.links: list[_L] = []
        """The connections that are open, those too that get no new streams."""
        self._dials: list[Dial] = []
        self._allowed = _MOST_JOINED  # streams on a connection, as the server last said
        self._broken = 0

    def speak_http1(self) -> None:
        """Is told that the server chose HTTP/1.1."""
        self._http1, self._http1_since = True, None

    def speaks_http1(self, now: float) -> bool:
        """Whether HTTP/1.1 is spoken: the server chose it, wants it, or broke HTTP/2 again and again, within the last
        hour."""
        if any(link.wants_http1 for link in self.links):
            self.speak_http1()
        if self._http1_since is None:
            self._http1_since = now
        elif now - self._http1_since >= _HTTP1_SECONDS:
            self._http1 = False
        return self._http1

    def choose(self) -> _L | None:
        """The connection for the next stream when HTTP/2 is spoken, which is the least loaded; None when all are
        full."""
        best: _L | None = None
        for link in self.links:
            if link.has_room and (best is None or link.load < best.load):
                best = link
        return best

    def join(self) -> Dial | None:
        """A connection that is being made, and will have room for one more; None when another has to be begun."""
        for dial in self._dials:
            if dial.joined < self._allowed:
                dial.joined += 1
                return dial
        return None

    def begin(self) -> Dial:
        """Begins a connection, which others may join."""
        dial = Dial()
        self._dials.append(dial)
        return dial

    def finish(self, dial: Dial, link: _L | None) -> None:
        """Ends what `begin` began: with a connection that has room, or with none."""
        self._dials.remove(dial)
        if link is not None:
            self.links.append(link)
            self._allowed = max(1, link.limit)
        dial.done.set()

    def remove(self, link: _L) -> None:
        """Forgets a connection that is over, and learns from how it ended."""
        if link in self.links:
            self.links.remove(link)
        if link.broke_http2:
            self._broken += 1
            if self._broken >= _MOST_BROKEN:
                self.speak_http1()
        elif link.answered:
            self._broken = 0
        if link.wants_http1:
            self.speak_http1()

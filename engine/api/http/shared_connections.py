"""The HTTP/2 connections of a transport: a stream for a request, on a connection that is there, or on one that is made
for it and for all that come meanwhile."""

from collections.abc import Awaitable, Iterator
from functools import partial
from typing import Protocol

import anyio
import httpx2

from .connection import SocketConnection
from .destination import Destination
from .dialling import dialling
from .http2.connection import Http2Connection
from .http2.stream import Http2Stream, Unprocessed
from .origin import Origin
from .outgoing import OutgoingRequest

__all__ = ["Repeats", "SharedConnections"]

_MOST_AGAIN = 3  # times that a request is sent again because a server went away before it had looked at it


class _Connect(Protocol):
    def __call__(
        self, outgoing: OutgoingRequest, *, seconds: float | None, http2: bool
    ) -> Awaitable[SocketConnection]: ...


class SharedConnections:
    """Makes connections by `connect`, and drops each when it was idle for `expiry` seconds."""

    def __init__(self, connect: _Connect, expiry: float) -> None:
        self._connect = connect
        self._expiry = expiry
        self._origins: dict[Destination, Origin[Http2Connection]] = {}
        self._open: set[Http2Connection] = set()
        self._closed = False

    def __iter__(self) -> Iterator[tuple[Destination, Http2Connection]]:
        for destination, origin in self._origins.items():
            for link in origin.links:
                yield destination, link

    async def find(self, outgoing: OutgoingRequest) -> Http2Stream | SocketConnection | None:
        """A stream for a request; or, when the server turns out to speak HTTP/1.1, the connection that was made; or
        None when it is known to. Then the request needs a connection of its own.

        Raises `httpx2.ConnectError`, `ConnectTimeout` or `ProxyError`. Cancelled, it leaves nothing open; those who
        waited for the same connection make another.
        """
        origin = self._origins.get(outgoing.destination)
        if origin is None:
            origin = self._origins[outgoing.destination] = Origin()
        if origin.speaks_http1(anyio.current_time()):
            return None
        if (link := origin.choose()) is not None:
            return link.new_stream(outgoing.method)
        with dialling():
            return await self._wait(origin, outgoing)

    def abort(self) -> None:
        """Drops all connections."""
        self._closed = True
        for link in list(self._open):
            link.abort()

    async def _wait(
        self, origin: Origin[Http2Connection], outgoing: OutgoingRequest
    ) -> Http2Stream | SocketConnection | None:
        seconds = outgoing.timeouts.get("connect")
        until = None if seconds is None else anyio.current_time() + seconds
        while not origin.speaks_http1(anyio.current_time()):
            if (link := origin.choose()) is not None:
                return link.new_stream(outgoing.method)
            if (dial := origin.join()) is None:
                if (made := await self._dial(origin, outgoing, until)) is not None:
                    return made
                continue
            try:
                with anyio.move_on_after(_left(until)):
                    await dial.done.wait()
            finally:
                dial.joined -= 1
            if not dial.done.is_set():
                raise _too_late(outgoing)
            if dial.error is not None:
                raise type(dial.error)(str(dial.error)) from dial.error.__cause__
        return None

    async def _dial(
        self, origin: Origin[Http2Connection], outgoing: OutgoingRequest, until: float | None
    ) -> Http2Stream | SocketConnection | None:
        """What comes of a new connection; None when the server wants HTTP/1.1."""
        dial, link = origin.begin(), None
        try:
            connection = await self._connect(outgoing, seconds=_left(until), http2=True)
            if not connection.chose_http2:
                origin.speak_http1()
                return connection
            link = await self._greeted(origin, connection, outgoing, until)
            return None if link is None else link.new_stream(outgoing.method)
        except httpx2.ConnectTimeout:
            raise  # the time of this request: others may have more
        except Exception as exc:
            dial.error = exc.with_traceback(None)
            raise
        finally:
            origin.finish(dial, link)

    async def _greeted(
        self,
        origin: Origin[Http2Connection],
        connection: SocketConnection,
        outgoing: OutgoingRequest,
        until: float | None,
    ) -> Http2Connection | None:
        """The connection, once the server has said how many streams it allows, and allows one."""
        link = Http2Connection(connection.into_wire(), self._expiry, partial(self._over, origin))
        if link.session.failure is None:
            self._open.add(link)
        try:
            with anyio.move_on_after(_left(until)):
                await link.wait_for_room()
                if self._closed:
                    raise httpx2.ConnectError("the HTTP transport was closed meanwhile")
                return link
        except httpx2.TransportError as exc:
            link.abort()
            if origin.speaks_http1(anyio.current_time()):
                return None
            raise httpx2.ConnectError(f"{outgoing.destination.authority}: {exc}") from None
        except BaseException:
            link.abort()
            raise
        link.abort()
        raise _too_late(outgoing)

    def _over(self, origin: Origin[Http2Connection], link: Http2Connection) -> None:
        self._open.discard(link)
        origin.remove(link)


class Repeats:
    """Whether a request that the server has not looked at is sent again at once."""

    def __init__(self, outgoing: OutgoingRequest) -> None:
        self._left = 0 if outgoing.pieces is not None else _MOST_AGAIN
        self._refused = False

    def allow(self, exc: Unprocessed) -> bool:
        """A stream that was refused is opened again once: the server may have had one too many."""
        if exc.reason == "refused":
            if self._refused:
                return False
            self._refused = True
        self._left -= 1
        return self._left >= 0


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - anyio.current_time())


def _too_late(outgoing: OutgoingRequest) -> httpx2.ConnectTimeout:
    return httpx2.ConnectTimeout(f"{outgoing.destination.authority} did not answer in time")

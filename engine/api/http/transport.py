"""The transport itself: httpx2's requests in, its responses out."""

import ssl
from functools import partial
from typing import TYPE_CHECKING

import attrs
import httpx2
from anyio.lowlevel import checkpoint

from ...event_loop import HomeLoop
from .connect import OpenConnection, connect
from .connection import READ_SIZE, Connection, SocketConnection
from .connection_stats import ConnectionStats
from .destination import Destination
from .dialling import dialling
from .exchange import Exchange
from .idle import IdlePool
from .outgoing import OutgoingRequest

if TYPE_CHECKING:
    from .shared_connections import SharedConnections

__all__ = ["HttpTransport"]

_BROKEN = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)


class HttpTransport(httpx2.AsyncBaseTransport):
    """HTTP with little work between the socket and the reader of the bytes, on asyncio and on trio: HTTP/1.1, and with
    `http2` also HTTP/2, where a server chooses it in TLS's handshake.

    All requests go through `proxy` if it is given; it speaks `http` or `https`. Up to `max_idle` idle connections are
    kept, each for `keepalive_expiry` seconds; open connections are not limited. The timeouts honoured are `connect`,
    `read` and `write`. SOCKS and upgrades are not supported.

    A response has extensions of its own. `exchange` is the open `Exchange`, whose `pump` reads the body with nothing
    between, and whose `abort` drops the connection. `await again(body)` sends the same request with another body, past
    the client whose request it was, and returns the open `Exchange` once its response's head has come; `blank` is what
    it sends, but for the body and its length. Neither is there when the body was sent in chunks.

    Bodies encoded as gzip or deflate are inflated on their way, 64 KiB at a time, and other tasks run between; the
    response's headers no longer name the encoding. Any other encoding raises `httpx2.DecodingError`. Of an error's body
    (status 300 and above) at most 1 MiB is read; then the connection is dropped, and what has come is the body.

    A request is sent again, on another connection, if its connection had been used before and broke before any byte of
    a response came, and the method is idempotent (RFC 9110, 9.2.2). POST is not: the caller decides whether to ask, and
    maybe to pay, again. An idle connection is checked before it is used, so that this is rare. Over HTTP/2 any request
    is sent again, a few times, if the server says that it has not looked at it.

    A transport belongs to the event loop in which it sent its first request, and raises `RuntimeError` in others.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        proxy: httpx2.Proxy | None = None,
        keepalive_expiry: float = 15.0,
        max_idle: int = 1000,
        http2: bool = False,
    ) -> None:
        if proxy is not None and proxy.url.scheme not in ("http", "https"):
            raise ValueError(f"this transport speaks to http and https proxies, not to {proxy.url.scheme}")
        self._ssl_context = ssl_context
        self._proxy = proxy
        self._pool: IdlePool[SocketConnection] = IdlePool(expiry=keepalive_expiry, size=max_idle)
        self._busy: set[Exchange] = set()
        self._home: _Home | None = None
        self._closed = False
        self._shared: SharedConnections | None = None
        if http2:
            from . import shared_connections  # few use HTTP/2

            self._shared = shared_connections.SharedConnections(self._connect, keepalive_expiry)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request; returns the response once its head has come. Raises httpx2's exceptions, and
        `RuntimeError` in another event loop or once it is closed. Cancelled, it drops the connection."""
        outgoing = OutgoingRequest(request, self._proxy)
        response = (await self._exchange(outgoing)).response()
        if (blank := outgoing.without_body()) is not None:
            response.extensions["again"] = partial(self._again, blank)
            response.extensions["blank"] = blank
        return response

    async def _again(self, blank: OutgoingRequest, body: bytes) -> Exchange:
        return await self._exchange(blank.with_body(body))

    async def _exchange(self, outgoing: OutgoingRequest) -> Exchange:
        """An exchange whose response's head has come."""
        home = self._enter()
        while True:
            connection: Connection | None = self._pool.take(outgoing.key, home.loop.clock())
            used_before = connection is not None
            if connection is None and self._shared is not None and outgoing.destination.secure:
                return await self._exchange_shared(self._shared, outgoing)
            if connection is None:
                with dialling():
                    connection = await self._connect(outgoing, seconds=outgoing.timeouts.get("connect"))
            exchange = self._begin(outgoing, connection)
            try:
                await exchange.open()
                return exchange
            except _BROKEN:
                if not (used_before and outgoing.repeatable) or exchange.reader.started:
                    raise

    async def _exchange_shared(self, shared: "SharedConnections", outgoing: OutgoingRequest) -> Exchange:
        """An exchange on a stream of a shared connection; or on a connection of its own, to a server that does not
        speak HTTP/2."""
        from .http2.stream import Http2Stream, Unprocessed
        from .shared_connections import Repeats

        repeats = Repeats(outgoing)
        while True:
            connection = await shared.find(outgoing)
            if connection is None:
                with dialling():
                    connection = await self._connect(outgoing, seconds=outgoing.timeouts.get("connect"))
            exchange = self._begin(outgoing, connection)
            try:
                await exchange.open()
                return exchange
            except Unprocessed as exc:
                if not repeats.allow(exc):
                    raise
            except _BROKEN:
                used_before = isinstance(connection, Http2Stream) and connection.on_used
                if not (used_before and outgoing.repeatable) or exchange.reader.started:
                    raise

    def _begin(self, outgoing: OutgoingRequest, connection: Connection) -> Exchange:
        exchange = Exchange(outgoing, connection, self._over)
        if self._closed:
            exchange.abort()
            raise httpx2.ConnectError("the HTTP transport was closed meanwhile")
        self._busy.add(exchange)
        return exchange

    async def _connect(
        self, outgoing: OutgoingRequest, *, seconds: float | None, http2: bool = False
    ) -> SocketConnection:
        return await connect(
            self._enter().open_connection,
            outgoing.destination,
            ssl_context=self._ssl_context,
            proxy=self._proxy,
            seconds=seconds,
            http2=http2,
        )

    def connections(self) -> list[ConnectionStats]:
        """The open connections, and what runs on each."""
        proxy = "" if self._proxy is None else str(self._proxy.url.copy_with(userinfo=b""))
        found = [
            ConnectionStats(exchange.request.destination.origin, "HTTP/1.1", 1, 1)
            for exchange in self._busy
            if exchange.reader.version != b"2"
        ]
        for key, count in self._pool.counts().items():
            origin = key.origin if isinstance(key, Destination) else proxy
            found += [ConnectionStats(origin, "HTTP/1.1", 0, 1)] * count
        for destination, link in self._shared or ():
            found.append(ConnectionStats(destination.origin, "HTTP/2", link.load, link.limit, link.going_away))
        return found

    async def aclose(self) -> None:
        """Drops all connections."""
        self._closed = True
        self._pool.clear()
        for exchange in list(self._busy):
            exchange.abort()
        if self._shared is not None:
            self._shared.abort()
        await checkpoint()  # in which asyncio closes the sockets

    def _over(self, exchange: Exchange, connection: Connection, *, reusable: bool) -> None:
        """Takes back the connection of an exchange that is over, and keeps or drops it."""
        self._busy.discard(exchange)
        if reusable and isinstance(connection, SocketConnection) and not self._closed and self._home is not None:
            self._pool.put(exchange.request.key, connection, self._home.loop.clock())
        else:
            connection.abort()  # which does nothing to a stream that has ended

    def _enter(self) -> "_Home":
        """Where the transport lives: the event loop in which it is used first. Raises `RuntimeError` in others."""
        if self._closed:
            raise RuntimeError("this HTTP transport is closed")
        if self._home is None:
            loop = HomeLoop("HTTP transport")
            self._home = _Home(loop, _opening_in(loop))
        self._home.loop.check()
        return self._home


@attrs.frozen
class _Home:
    loop: HomeLoop
    open_connection: OpenConnection


def _opening_in(loop: HomeLoop) -> OpenConnection:
    """How connections are opened in `loop`, all of which read into one buffer."""
    buffer = memoryview(bytearray(READ_SIZE))
    if loop.library == "trio":
        from . import on_trio

        return partial(on_trio.open_connection, buffer=buffer)
    from . import on_asyncio

    return partial(on_asyncio.open_connection, buffer=buffer)

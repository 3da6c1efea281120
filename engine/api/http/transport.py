"""The transport itself: httpx2's requests in, its responses out."""

import ssl
from functools import partial

import attrs
import httpx2
from anyio.lowlevel import checkpoint

from ....actors.response import told_of_dialling
from ...event_loop import HomeLoop
from .connect import OpenConnection, connect
from .connection import READ_SIZE, Connection, SocketConnection
from .exchange import Exchange
from .idle import IdlePool
from .outgoing import OutgoingRequest

__all__ = ["HttpTransport"]

_BROKEN = (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError)


class HttpTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 with little work between the socket and the reader of the bytes, on asyncio and on trio.

    All requests go through `proxy` if it is given; it speaks `http` or `https`. Up to `max_idle` idle connections are
    kept, each for `keepalive_expiry` seconds; open connections are not limited. The timeouts honoured are `connect`,
    `read` and `write`. HTTP/2, SOCKS and upgrades are not supported.

    A response has extensions of its own. `exchange` is the open `Exchange`, whose `pump` reads the body with nothing
    between, and whose `abort` drops the connection. `await again(body)` sends the same request with another body, past
    the client whose request it was, and returns the open `Exchange` once its response's head has come; `blank` is what
    it sends, but for the body and its length. Neither is there when the body was sent in chunks.

    Bodies encoded as gzip or deflate are inflated on their way, 64 KiB at a time, and other tasks run between; the
    response's headers no longer name the encoding. Any other encoding raises `httpx2.DecodingError`. Of an error's body
    (status 300 and above) at most 1 MiB is read; then the connection is dropped, and what has come is the body.

    A request is sent again, on another connection, if its connection had been used before and broke before any byte of
    a response came, and the method is idempotent (RFC 9110, 9.2.2). POST is not: the caller decides whether to ask, and
    maybe to pay, again. An idle connection is checked before it is used, so that this is rare.

    A transport belongs to the event loop in which it sent its first request, and raises `RuntimeError` in others.
    """

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext,
        proxy: httpx2.Proxy | None = None,
        keepalive_expiry: float = 15.0,
        max_idle: int = 1000,
    ) -> None:
        if proxy is not None and proxy.url.scheme not in ("http", "https"):
            raise ValueError(f"this transport speaks to http and https proxies, not to {proxy.url.scheme}")
        self._ssl_context = ssl_context
        self._proxy = proxy
        self._pool: IdlePool[SocketConnection] = IdlePool(expiry=keepalive_expiry, size=max_idle)
        self._busy: set[Exchange] = set()
        self._home: _Home | None = None
        self._closed = False

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
            connection = self._pool.take(outgoing.key, home.loop.clock())
            used_before = connection is not None
            if connection is None:
                connection = await self._connect(home, outgoing)
            exchange = Exchange(outgoing, connection, self._over)
            if self._closed:
                exchange.abort()
                raise httpx2.ConnectError("the HTTP transport was closed meanwhile")
            self._busy.add(exchange)
            try:
                await exchange.open()
                return exchange
            except _BROKEN:
                if not (used_before and outgoing.repeatable) or exchange.reader.started:
                    raise

    async def _connect(self, home: "_Home", outgoing: OutgoingRequest) -> SocketConnection:
        told = told_of_dialling.get(None)
        tell = None if told is None else told()
        if tell is not None:
            tell(True)
        try:
            return await connect(
                home.open_connection,
                outgoing.destination,
                ssl_context=self._ssl_context,
                proxy=self._proxy,
                seconds=outgoing.timeouts.get("connect"),
            )
        finally:
            if tell is not None:
                tell(False)

    async def aclose(self) -> None:
        """Drops all connections."""
        self._closed = True
        self._pool.clear()
        for exchange in list(self._busy):
            exchange.abort()
        await checkpoint()  # in which asyncio closes the sockets

    def _over(self, exchange: Exchange, connection: Connection, *, reusable: bool) -> None:
        """Takes back the connection of an exchange that is over, and keeps or drops it."""
        self._busy.discard(exchange)
        if reusable and isinstance(connection, SocketConnection) and not self._closed and self._home is not None:
            self._pool.put(exchange.request.key, connection, self._home.loop.clock())
        else:
            connection.abort()

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

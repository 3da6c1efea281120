"""Making a connection: straight to the server or through a proxy, with TLS or without."""

import ssl
from collections.abc import Awaitable, Callable

import anyio
import httpx2

from .connection import SocketConnection
from .destination import Destination, proxy_headers
from .http1.protocol import ResponseReader, request_head
from .tls import TlsLayer
from .unconnected import why_unconnected

__all__ = ["OpenConnection", "connect"]

# ValueError and OverflowError are of names that can't be resolved, or that no certificate can have. RuntimeError comes
# when an event loop ends: asyncio's threads and uvloop's handles are gone by then.
_FAILURES = (OSError, ValueError, OverflowError, RuntimeError, httpx2.NetworkError)

OpenConnection = Callable[[str, int], Awaitable[SocketConnection]]
"""Connects to a host's port. Raises `OSError`."""


async def connect(
    open_connection: OpenConnection,
    destination: Destination,
    *,
    ssl_context: ssl.SSLContext,
    proxy: httpx2.Proxy | None,
    seconds: float | None,
    http2: bool = False,
) -> SocketConnection:
    """A connection to `destination`, made within `seconds`; for plain HTTP behind a proxy, to the proxy. With `http2`
    the destination may choose HTTP/2 in TLS's handshake.

    Raises `httpx2.ConnectError`, `ConnectTimeout` or `ProxyError`. An error of TLS, such as
    `ssl.SSLCertVerificationError`, is the cause of a `ConnectError`. Cancelled, it leaves nothing open.
    """
    connection: SocketConnection | None = None
    first = destination if proxy is None else _proxy_destination(proxy)
    name = first.authority if proxy is None else f"the proxy {first.authority}"
    try:
        with anyio.move_on_after(seconds):
            connection = await open_connection(first.host, first.port)
            below: TlsLayer | None = None
            if proxy is not None and first.secure:
                below = TlsLayer(proxy.ssl_context or ssl_context, first.host)
                await connection.start_tls(below)
            if destination.secure:
                if proxy is not None:
                    await _open_tunnel(connection, destination, proxy)
                layer = TlsLayer(ssl_context, destination.server_name or destination.host, below, http2=http2)
                await connection.start_tls(layer)
            return connection
    except BaseException as exc:
        if connection is not None:
            connection.abort()
        if isinstance(exc, _FAILURES):
            raise httpx2.ConnectError(why_unconnected(exc, first.host, name)) from exc
        raise
    if connection is not None:
        connection.abort()
    raise httpx2.ConnectTimeout(f"{name} did not answer in time")


def _proxy_destination(proxy: httpx2.Proxy) -> Destination:
    secure = proxy.url.scheme == "https"
    return Destination(secure, proxy.url.raw_host.decode("ascii"), proxy.url.port or (443 if secure else 80))


async def _open_tunnel(connection: SocketConnection, destination: Destination, proxy: httpx2.Proxy) -> None:
    target = destination.authority.encode("ascii")
    head = request_head(b"CONNECT", target, [(b"Host", target), (b"Accept", b"*/*"), *proxy_headers(proxy)])
    reader = ResponseReader("CONNECT")
    connection.receive_into(reader, None)
    try:
        await connection.send(head, None)
        await connection.read_head()
    except httpx2.TransportError as exc:
        raise httpx2.ProxyError(f"the proxy made no connection: {exc}") from exc
    connection.end()
    if not 200 <= reader.status < 300:
        reason = reader.reason.decode("ascii", "replace")
        raise httpx2.ProxyError(f"the proxy made no connection: it answered {reader.status} {reason}".rstrip())

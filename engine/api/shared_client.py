"""The shared HTTP client: one for each run of an event loop, counted by the engines that use it. Those that want HTTP/2
share another one.

It is kept in an `anyio.lowlevel.RunVar`, so that a second event loop never gets a client of the first. The last engine
to leave removes it from there at once, then closes it. The engine alone decides how many requests run at a time: the
client has no limit of its own, behind which a stream could wait unseen.
"""

import os
import ssl
import weakref
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import attrs
import httpx2
from anyio.lowlevel import RunVar

from .http import HttpTransport
from .http.connection_stats import ConnectionStats
from .http.httpx2_internals import TransportChoosingClient
from .redirects import SameOriginClient

__all__ = ["ClientLease", "acquire_shared_client", "client_timeout", "no_cookies"]

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0


def client_timeout() -> httpx2.Timeout:
    """httpx2's timeouts: 10 s to connect, and no other, since streams end by the engine's deadlines."""
    return httpx2.Timeout(None, connect=_CONNECT_SECONDS)


def no_cookies() -> CookieJar:
    """A cookie jar that accepts no cookies."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _ssl_context() -> ssl.SSLContext:
    """The TLS context with the certificates that the environment names. All threads may share it."""
    return _make_ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache  # loading the certificates blocks the event loop for a tenth of a second
def _make_ssl_context(cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:  # pyright: ignore[reportUnusedParameter]
    return httpx2.create_ssl_context()


class _Client(SameOriginClient, TransportChoosingClient):
    """httpx2's client with our own transport below it, behind the environment's proxies too."""

    def __init__(self, *, http2: bool, **arguments: Any) -> None:
        self._with_http2 = http2
        self._transports: list[HttpTransport] = []
        super().__init__(**arguments)

    def make_transport(self, proxy: httpx2.Proxy | None) -> httpx2.AsyncBaseTransport | None:
        if proxy is not None and proxy.url.scheme not in ("http", "https"):
            return None  # httpx2 speaks SOCKS
        transport = HttpTransport(ssl_context=_ssl_context(), proxy=proxy, http2=self._with_http2)
        self._transports.append(transport)
        return transport

    def connections(self) -> list[ConnectionStats]:
        """The open connections, but for those through a SOCKS proxy."""
        return [connection for transport in self._transports for connection in transport.connections()]


def _make_client(*, http2: bool) -> _Client:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=15.0)
    return _Client(
        http2=http2,
        timeout=client_timeout(),
        headers={"accept-encoding": "gzip, deflate"},  # what the transport reads
        cookies=no_cookies(),
        limits=limits,
        verify=_ssl_context(),
    )


@attrs.define(eq=False)
class _Shared:
    client: _Client
    where: "RunVar[weakref.ref[_Shared] | None]"
    leases: int = 0


# The reference is weak, since the client refers to its event loop: if an engine were never left, a loop whose variable
# held the client would never be freed. The leases keep the client alive.
_shared: RunVar[weakref.ref[_Shared] | None] = RunVar("manystream_shared_client", None)
_shared_http2: RunVar[weakref.ref[_Shared] | None] = RunVar("manystream_shared_http2_client", None)


def _current(where: RunVar[weakref.ref[_Shared] | None]) -> _Shared | None:
    reference = where.get()
    return None if reference is None else reference()


@attrs.define(eq=False)
class ClientLease:
    """One engine's share in a client. `client` may be used until `aclose`."""

    _shared: _Shared
    _closed: bool = False

    @property
    def client(self) -> httpx2.AsyncClient:
        """The shared client."""
        return self._shared.client

    def connections(self) -> list[ConnectionStats]:
        """The client's open connections, those of other engines among them."""
        return self._shared.client.connections()

    async def aclose(self) -> None:
        """Gives the share back. The last share closes the client, for at most two seconds whatever happens; closing
        twice does nothing."""
        if self._give_back():
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self._shared.client.aclose()

    def drop(self) -> None:
        """Gives back a share that was not used, in the step that acquired it: a client that has just been made has
        nothing to close."""
        self._give_back()

    def _give_back(self) -> bool:
        """Returns whether it was the last share. Then nobody can acquire the client any more."""
        if self._closed:
            return False
        self._closed = True
        self._shared.leases -= 1
        if self._shared.leases:
            return False
        if _current(self._shared.where) is self._shared:
            self._shared.where.set(None)
        return True


def acquire_shared_client(*, http2: bool = False) -> ClientLease:
    """A share in the client of the running event loop, which is made if there is none."""
    where = _shared_http2 if http2 else _shared
    shared = _current(where)
    if shared is None:
        shared = _Shared(_make_client(http2=http2), where)
        where.set(weakref.ref(shared))
    shared.leases += 1
    return ClientLease(shared)

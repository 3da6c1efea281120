"""The shared HTTP client: one for each run of an event loop, counted by the engines that use it.

It is kept in an `anyio.lowlevel.RunVar`, so that a second event loop never meets a client of the first. The last engine
out removes it from there at once, then closes it. How many requests run at a time is the engine's decision alone: the
client has no limit of its own in which a stream could wait unseen.
"""

import os
import ssl
import weakref
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy

import anyio
import attrs
import httpx2
from anyio.lowlevel import RunVar

from .http import HttpTransport
from .http.httpx2_internals import TransportChoosingClient
from .redirects import SameOriginClient

__all__ = ["ClientLease", "acquire_shared_client", "client_timeout", "no_cookies"]

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0


def client_timeout() -> httpx2.Timeout:
    """httpx2's timeouts as the engine wants them: to connect, and none else, since streams end by deadlines."""
    return httpx2.Timeout(None, connect=_CONNECT_SECONDS)


def no_cookies() -> CookieJar:
    """A cookie jar that takes none in."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _ssl_context() -> ssl.SSLContext:
    """The context for the certificates that the environment names. It holds no connection, and serves all threads."""
    return _make_ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache  # to load the certificates takes a tenth of a second, in which the event loop stands still
def _make_ssl_context(cert_file: str | None, cert_dir: str | None) -> ssl.SSLContext:  # pyright: ignore[reportUnusedParameter]
    return httpx2.create_ssl_context()


class _Client(SameOriginClient, TransportChoosingClient):
    """httpx2's client with our own transport below it, behind the environment's proxies too."""

    def make_transport(self, proxy: httpx2.Proxy | None) -> httpx2.AsyncBaseTransport | None:
        if proxy is not None and proxy.url.scheme not in ("http", "https"):
            return None  # httpx2 speaks SOCKS
        return HttpTransport(ssl_context=_ssl_context(), proxy=proxy)


def _make_client() -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=15.0)
    return _Client(
        timeout=client_timeout(),
        headers={"accept-encoding": "gzip, deflate"},  # what the transport reads
        cookies=no_cookies(),
        limits=limits,
        verify=_ssl_context(),
    )


@attrs.define(eq=False)
class _Shared:
    client: httpx2.AsyncClient
    leases: int = 0


# A reference that is weak: the client knows its event loop, which would never be freed if the loop's own variable held
# the client when an engine was never left. The leases keep the client.
_shared: RunVar[weakref.ref[_Shared] | None] = RunVar("manystream_shared_client", None)


def _current() -> _Shared | None:
    reference = _shared.get()
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

    async def aclose(self) -> None:
        """Gives the share back. The last share closes the client, for at most two seconds whatever happens; closing
        twice does nothing."""
        if self._give_back():
            with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
                await self._shared.client.aclose()

    def drop(self) -> None:
        """Gives a share back that nothing was sent by, in the step that acquired it. A client that has just been made
        has nothing open that would have to be closed."""
        self._give_back()

    def _give_back(self) -> bool:
        """Returns whether it was the last share, whose client nobody can acquire any more."""
        if self._closed:
            return False
        self._closed = True
        self._shared.leases -= 1
        if self._shared.leases:
            return False
        if _current() is self._shared:
            _shared.set(None)
        return True


def acquire_shared_client() -> ClientLease:
    """A share in this event loop's client, which is made if there is none. To be called inside the event loop."""
    shared = _current()
    if shared is None:
        shared = _Shared(_make_client())
        _shared.set(weakref.ref(shared))
    shared.leases += 1
    return ClientLease(shared)

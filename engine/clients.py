"""The shared HTTP client: one for each run of an event loop, counted by the engines that use it.

It is kept in an `anyio.lowlevel.RunVar`, so that a second event loop never meets a client of the first. The last engine
out removes it from there at once, then closes it. How many requests run at a time is the engine's decision alone: the
client has no limit of its own in which a stream could wait unseen.
"""

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import attrs
import httpx2
import sniffio
from anyio.lowlevel import RunVar

__all__ = ["ClientLease", "acquire_shared_client", "client_timeout"]

_CONNECT_SECONDS = 10.0
_CLOSE_SECONDS = 2.0


def client_timeout() -> httpx2.Timeout:
    """httpx2's timeouts as the engine wants them: to connect, and none else, since streams end by deadlines."""
    return httpx2.Timeout(None, connect=_CONNECT_SECONDS)


class _AiohttpClient(httpx2.AsyncClient):
    """httpx2's client with our transport on aiohttp below it, behind the environment's proxies too."""

    def _init_transport(self, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return self._aiohttp_transport(None)

    def _init_proxy_transport(self, proxy: httpx2.Proxy, *args: Any, **kwargs: Any) -> httpx2.AsyncBaseTransport:
        return self._aiohttp_transport(proxy)

    def _aiohttp_transport(self, proxy: httpx2.Proxy | None) -> httpx2.AsyncBaseTransport:
        from .aiohttp_transport import AiohttpTransport

        return AiohttpTransport(ssl_context=httpx2.create_ssl_context(), proxy=proxy)


def _make_client() -> httpx2.AsyncClient:
    cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))  # takes none in
    if sniffio.current_async_library() == "asyncio":
        return _AiohttpClient(timeout=client_timeout(), follow_redirects=True, cookies=cookies)
    from anthropic import DefaultAsyncHttpxClient  # with its keep-alive options for sockets

    return DefaultAsyncHttpxClient(
        timeout=client_timeout(),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=15.0),
        cookies=cookies,
    )


@attrs.define(eq=False)
class _Shared:
    client: httpx2.AsyncClient
    leases: int = 0


_shared: RunVar[_Shared | None] = RunVar("manystream_shared_client", None)


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
        if self._closed:
            return
        self._closed = True
        self._shared.leases -= 1
        if self._shared.leases:
            return
        if _shared.get() is self._shared:
            _shared.set(None)
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            await self._shared.client.aclose()


def acquire_shared_client() -> ClientLease:
    """A share in this event loop's client, which is made if there is none. To be called inside the event loop."""
    shared = _shared.get()
    if shared is None:
        shared = _Shared(_make_client())
        _shared.set(shared)
    shared.leases += 1
    return ClientLease(shared)

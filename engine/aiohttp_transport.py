"""An httpx2 transport on aiohttp: the fastest way to read a response on asyncio.

It is our own, rather than the SDK's, for two things: a response can be *aborted* (its extension `abort` drops the
connection at once, where closing would wait for a silent TLS peer), and chunks come as they were read, uncut.
"""

import base64
import math
import ssl
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from typing import Any

import aiohttp
import httpx2
import yarl

__all__ = ["AiohttpTransport"]


class _Connector(aiohttp.TCPConnector):
    """aiohttp closes a connection gracefully when its request is cancelled before the response's head; over TLS that
    waits for the peer. Here what is not to be used again is aborted."""

    def _release(self, key: Any, protocol: Any, *, should_close: bool = False) -> None:
        if should_close and protocol.transport is not None:
            protocol.transport.abort()
        super()._release(key, protocol, should_close=should_close)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _mapped_errors():
            async for chunk in self._response.content.iter_any():
                yield chunk

    async def aclose(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Drops the connection at once, unless it was given back, as it is when the body was read to its end."""
        self._response.close()


class AiohttpTransport(httpx2.AsyncBaseTransport):
    """Sends httpx2's requests through one aiohttp session. It sets no limit on connections and keeps no cookies.

    `proxy` is for all requests. The timeouts honoured are `connect` and `read`. To be used in the event loop in which
    it sent its first request.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext, proxy: httpx2.Proxy | None = None) -> None:
        self._ssl_context = ssl_context
        self._proxy = proxy
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Sends the request; raises httpx2's exceptions."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(limit=0, ssl=self._ssl_context),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                requote_redirect_url=False,
            )
        timeout = request.extensions.get("timeout", {})
        try:
            body: bytes | AsyncIterator[bytes] | None = request.content or None
        except httpx2.RequestNotRead:
            assert isinstance(request.stream, httpx2.AsyncByteStream)
            body = aiter(request.stream)
            request.headers.pop("transfer-encoding", None)  # aiohttp sets it
        headers, proxy, proxy_headers = request.headers.multi_items(), self._proxy, None
        if proxy is not None:
            proxy_headers = list(proxy.headers.multi_items())
            if proxy.auth is not None:
                credentials = base64.b64encode(":".join(proxy.auth).encode()).decode()
                proxy_headers.append(("Proxy-Authorization", f"Basic {credentials}"))
            if request.url.scheme == "http":
                # There is no CONNECT that the proxy's headers would go with: the proxy reads the request's.
                headers, proxy_headers = headers + proxy_headers, None
        with _mapped_errors(before_response=True):
            response = await self._session.request(
                request.method,
                yarl.URL(str(request.url), encoded=True),
                headers=headers,
                skip_auto_headers=("accept", "accept-encoding", "content-type", "user-agent"),
                data=body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(
                    connect=timeout.get("connect"),  # to find the address included
                    sock_connect=timeout.get("connect"),
                    sock_read=timeout.get("read"),
                    ceil_threshold=math.inf,  # to the point, not to the next whole second
                ),
                proxy=None if proxy is None else str(proxy.url),
                proxy_headers=proxy_headers,
            )
        stream = _Body(response)
        return httpx2.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=stream,
            request=request,
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (response.reason or "").encode("ascii", "ignore"),
                "abort": stream.abort,
            },
        )

    async def aclose(self) -> None:
        """Closes the session; idle connections are dropped."""
        if self._session is not None:
            await self._session.close()


@contextmanager
def _mapped_errors(*, before_response: bool = False) -> Generator[None]:
    try:
        yield
    except aiohttp.ConnectionTimeoutError as exc:
        raise httpx2.ConnectTimeout("the connection was not made in time") from exc
    except (aiohttp.ServerTimeoutError, TimeoutError) as exc:
        raise httpx2.ReadTimeout("the server sent nothing in time") from exc
    except (aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError) as exc:
        raise httpx2.ProxyError(str(exc)) from exc
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorDNSError) as exc:
        raise httpx2.ConnectError(str(exc)) from exc
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError) as exc:
        raise httpx2.RemoteProtocolError("the server closed the connection early") from exc
    except aiohttp.ClientResponseError as exc:
        raise httpx2.RemoteProtocolError(f"the response is not valid HTTP: {exc.message}") from exc
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as exc:
        raise httpx2.UnsupportedProtocol(str(exc)) from exc
    except (aiohttp.ClientError, OSError) as exc:
        raise (httpx2.ConnectError if before_response else httpx2.ReadError)(str(exc)) from exc

"""Lets a client of the older httpx package serve where httpx2 is needed: an httpx2 transport that hands requests on."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2

from .clients import no_cookies

__all__ = ["adapt"]


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx.HTTPError as exc:
            raise _mapped(exc) from exc

    async def aclose(self) -> None:
        await self._response.aclose()


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        timeout: dict[str, Any] = request.extensions.get("timeout", {})
        old = self._client.build_request(
            request.method,
            str(request.url),
            headers=request.headers.multi_items(),
            content=await request.aread(),
            timeout=httpx.Timeout(**{name: timeout.get(name) for name in ("connect", "read", "write", "pool")}),
        )
        try:
            response = await self._client.send(old, stream=True, follow_redirects=False)
        except httpx.HTTPError as exc:
            raise _mapped(exc) from exc
        return httpx2.Response(
            response.status_code,
            headers=response.headers.multi_items(),
            stream=_Body(response),
            request=request,
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": response.reason_phrase.encode("ascii", "ignore")},
        )


def _mapped(exc: httpx.HTTPError) -> httpx2.HTTPError:
    """httpx2's exception of the same name: it kept them all."""
    kind = getattr(httpx2, type(exc).__name__, httpx2.TransportError)
    return kind(str(exc))


def adapt(client: httpx.AsyncClient) -> httpx2.AsyncClient:
    """An httpx2 client that sends through `client`, which stays the caller's to close."""
    return httpx2.AsyncClient(
        transport=_Transport(client), follow_redirects=True, timeout=None, cookies=no_cookies(), trust_env=False
    )

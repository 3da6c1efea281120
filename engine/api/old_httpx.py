"""An adapter for clients of the older httpx package: an httpx2 transport that sends through such a client."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, NoReturn

import anyio
import httpx
import httpx2

from .http.ungrouped import one_of, ungrouped
from .redirects import SameOriginClient
from .shared_client import no_cookies

__all__ = ["adapt"]

# Failures of the network that httpx's backends do not translate.
_BELOW = (OSError, EOFError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
            return
        except BaseExceptionGroup as exc:
            failure = one_of(exc)
        except Exception as exc:
            failure = exc
        # Raised outside of `except`: there its context would be the group that holds it, a reference cycle.
        try:
            _raise_mapped(failure, httpx2.ReadError)
        finally:
            del failure

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
            response = await ungrouped(partial(self._client.send, old, stream=True, follow_redirects=False))
        except Exception as exc:
            _raise_mapped(exc, httpx2.ConnectError)
        return httpx2.Response(
            response.status_code,
            headers=response.headers.multi_items(),
            stream=_Body(response),
            request=request,
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": response.reason_phrase.encode("ascii", "ignore")},
        )


def _raise_mapped(exc: BaseException, otherwise: type[httpx2.TransportError]) -> NoReturn:
    """Raises httpx2's exception with the name of httpx's (httpx2 has them all), `otherwise` for a failure below httpx,
    and anything else as it is."""
    if isinstance(exc, httpx.HTTPError):
        kind = getattr(httpx2, type(exc).__name__, httpx2.TransportError)
        raise kind(str(exc)) from exc
    if isinstance(exc, httpx.InvalidURL):  # httpx parses the URL of a redirect that it does not follow
        raise httpx2.UnsupportedProtocol(f"the server sends on to no URL: {exc}") from exc
    if isinstance(exc, _BELOW):
        raise otherwise(str(exc) or type(exc).__name__) from exc
    raise exc


def adapt(client: httpx.AsyncClient) -> httpx2.AsyncClient:
    """An httpx2 client that sends through `client`, which stays the caller's to close. Redirects are followed as our
    own clients follow them, whatever `client` would do."""
    return SameOriginClient(transport=_Transport(client), timeout=None, cookies=no_cookies(), trust_env=False)

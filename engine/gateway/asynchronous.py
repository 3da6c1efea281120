"""The transport under the SDK's asynchronous client: requests for messages run in the engine, all others pass through.

A response's bytes are taken from the transit by whoever reads them, with one wake a read of the socket.
"""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import anyio
import httpx2

from ...actors.channel.wake import Wake, wake_factory
from ..finish import uninterrupted
from .answers import Answer
from .endings import ending_of
from .foreign import Foreign, is_messages, passed_on
from .gateway import Gateway, OnEnd
from .transit import Transit

__all__ = ["EngineTransport", "upstream_request"]

_LEFT = "the caller left the response"


def upstream_request(request: httpx2.Request, body: bytes) -> httpx2.Request:
    """A request that passes through, for the client that sends it."""
    kept = [(b"accept-encoding", value) for name, value in request.headers.raw if name.lower() == b"accept-encoding"]
    headers = [*passed_on(request.headers.raw), *kept]
    return httpx2.Request(request.method, request.url, headers=headers, content=body, extensions=request.extensions)


class EngineTransport(httpx2.AsyncBaseTransport):
    """What `gateway` runs is sent by `upstream`, as is what passes through. `credentials` and `on_end` are as in
    `Gateway.begin`. To be made and used in the engine's event loop."""

    def __init__(
        self, gateway: Gateway, upstream: httpx2.AsyncClient, *, credentials: object, on_end: OnEnd | None
    ) -> None:
        self._gateway = gateway
        self._upstream = upstream
        self._begin = partial(
            gateway.begin, send=partial(upstream.send, stream=True), credentials=credentials, on_end=on_end
        )
        self._make_wake = wake_factory()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Answers one request. Raises an `AnswerFailed` where there is no answer with a status, and `RuntimeError` in
        another event loop. A cancellation cancels the stream, and is raised when that has stopped."""
        body = await request.aread()
        if not is_messages(request.method, request.url.path):
            return await self._pass(request, body)
        foreign = Foreign(
            request.method, request.url, request.headers.raw, body, request.extensions.get("timeout") or {}
        )
        transit = self._begin(foreign)
        if isinstance(transit, Answer):
            return _response(transit)
        try:
            while not (transit.over or transit.streams):
                wake = self._make_wake()
                transit.news = wake.set
                await wake.wait()
        except anyio.get_cancelled_exc_class():
            self._gateway.drop(transit, "the caller cancelled the request")
            await uninterrupted(transit.actor.closed.wait)
            raise
        if transit.streams:
            stream = _Body(transit, self._gateway, self._make_wake, request)
            return httpx2.Response(200, headers=list(transit.head), stream=stream, extensions=_extensions())
        answer = transit.answer
        if answer is None:
            raise ending_of(transit.result, request)
        return _response(answer)

    async def _pass(self, request: httpx2.Request, body: bytes) -> httpx2.Response:
        response = await self._upstream.send(upstream_request(request, body), stream=True)
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        return httpx2.Response(
            response.status_code, headers=response.headers.raw, stream=response.stream, extensions=response.extensions
        )

    async def aclose(self) -> None:
        """Does nothing: the connections are the engine's, or those of the client that was given."""


class _Body(httpx2.AsyncByteStream):
    """The body of a streamed answer."""

    def __init__(
        self, transit: Transit, gateway: Gateway, make_wake: Callable[[], Wake], request: httpx2.Request
    ) -> None:
        self._transit = transit
        self._gateway = gateway
        self._make_wake = make_wake
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        transit, make_wake = self._transit, self._make_wake
        while True:
            if data := transit.take():
                yield data
            elif transit.over:
                break
            else:
                wake = make_wake()
                transit.news = wake.set
                await wake.wait()
        if transit.broken is not None:
            raise ending_of(transit.broken, self._request)

    async def aclose(self) -> None:
        """Cancels the stream, unless it has ended; returns when its connection is gone or back in the pool."""
        closed = self._transit.actor.closed
        if not closed.is_set():
            self._gateway.drop(self._transit, _LEFT)
            await uninterrupted(closed.wait)

    def __del__(self) -> None:
        transit: Transit | None = getattr(self, "_transit", None)
        if transit is not None and not transit.over:
            self._gateway.drop_soon(transit, "its response was dropped")


def _response(answer: Answer) -> httpx2.Response:
    return httpx2.Response(answer.status, headers=list(answer.headers), content=answer.body, extensions=_extensions())


def _extensions() -> dict[str, Any]:
    return {"http_version": b"HTTP/1.1"}

"""Open responses: their bytes as SSE, whatever way they came.

`DirectResponse` reads from our own transport, with nothing between. `SdkResponse` reads through any other HTTP client.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, NoReturn

import anyio
import httpx2

from ...actors.response import ResponseFailed, Sink
from .failures import rate_limits_in, reading_failed
from .http.exchange import Exchange

__all__ = ["WITHOUT_BODY", "DirectResponse", "SdkResponse"]

WITHOUT_BODY = (204, 205)
"""The statuses of success with which no body comes."""

_CLOSE_SECONDS = 1.0
_BROKEN = (httpx2.HTTPError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, ResponseFailed)


class DirectResponse:
    """An open response of our own transport. `close` is called instead of the exchange's own `aclose`."""

    def __init__(self, exchange: Exchange, close: Callable[[], Awaitable[object]] | None = None) -> None:
        self._exchange = exchange
        self._close = close or exchange.aclose
        self._headers = {name.lower(): value for name, value in exchange.headers}

    @property
    def status(self) -> int:
        return self._exchange.status

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.decode("latin-1"): value.decode("latin-1") for name, value in self._headers.items()}

    @property
    def is_stream(self) -> bool:
        content_type = self._headers.get(b"content-type", b"")
        return self.status not in WITHOUT_BODY and (
            content_type == b"text/event-stream" or _is_stream_type(content_type.decode("latin-1"))
        )

    @property
    def coding(self) -> str:
        return ""

    @property
    def request_id(self) -> str | None:
        request_id = self._headers.get(b"request-id")
        return None if request_id is None else request_id.decode("ascii", "replace")

    @property
    def rate_limits(self) -> Mapping[str, str]:
        return rate_limits_in(
            {
                name.decode("ascii"): value.decode("ascii", "replace")
                for name, value in self._headers.items()
                if name.startswith(b"anthropic-")
            }
        )

    async def pump(self, sink: Sink) -> bool:
        try:
            return await self._exchange.pump(sink)
        except Exception as exc:
            _raise_failure(exc, sink)

    async def aclose(self) -> None:
        await self._close()  # which doesn't wait


class SdkResponse:
    """An open response as the SDK, or an HTTP client, gives it.

    `sse` is read instead of its body, if it is given. `close` is what gives the response back.
    """

    def __init__(
        self,
        http_response: httpx2.Response,
        close: Callable[[], Awaitable[object]],
        *,
        sse: AsyncGenerator[bytes] | None = None,
    ) -> None:
        self.http_response = http_response
        self._close = close
        self._is_sse = sse is not None
        self._body = _plain_bytes(http_response) if sse is None else sse

    @property
    def status(self) -> int:
        return self.http_response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self.http_response.headers

    @property
    def is_stream(self) -> bool:
        if self._is_sse:
            return True
        return self.status not in WITHOUT_BODY and _is_stream_type(self.headers.get("content-type", ""))

    @property
    def coding(self) -> str:
        return self.headers.get("content-encoding", "")

    @property
    def request_id(self) -> str | None:
        return self.http_response.headers.get("request-id")

    @property
    def rate_limits(self) -> Mapping[str, str]:
        return rate_limits_in(self.http_response.headers)

    async def pump(self, sink: Sink) -> bool:
        try:
            async for chunk in self._body:
                if not sink(chunk):
                    return False
        except Exception as exc:
            _raise_failure(exc, sink)
        return True

    async def aclose(self) -> None:
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            if not self.http_response.is_closed:
                await self._leave_body()
            # When closing fails, the connection is gone all the same.
            with contextlib.suppress(*_BROKEN):
                await self._close()

    async def _leave_body(self) -> None:
        """Ends the reading of a body before its end. The body may be a chain of generators down to the socket: they
        end, all at once, only when the innermost is interrupted."""
        exchange: Exchange | None = self.http_response.extensions.get("exchange")
        if exchange is not None:
            exchange.abort()
        with contextlib.suppress(*_BROKEN), anyio.CancelScope() as scope:
            scope.cancel()
            async for _ in self._body:
                pass


def _is_stream_type(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "text/event-stream")


def _raise_failure(exc: Exception, sink: Sink) -> NoReturn:
    """Raises what `exc`, which came while a body was read, says of the connection. What the sink itself raised is no
    failure of the connection, and is raised as it is."""
    if isinstance(exc, ResponseFailed) or _came_through(exc, sink):
        raise exc
    raise ResponseFailed(reading_failed(exc)) from None


def _came_through(exc: Exception, sink: Sink) -> bool:
    """Whether the sink raised it. The traceback tells, so that no call of the sink costs anything for it."""
    function: Any = getattr(sink, "__func__", sink)
    code: object = getattr(function, "__code__", None) or getattr(type(sink).__call__, "__code__", None)
    step = exc.__traceback__
    while step is not None:
        if step.tb_frame.f_code is code:
            return True
        step = step.tb_next
    return False


def _plain_bytes(response: httpx2.Response) -> AsyncGenerator[bytes]:
    # A response that a transport made with its content at hand has been read already, and only gives it decoded.
    plain = response.headers.get("content-encoding", "identity") == "identity" and not response.is_stream_consumed
    return response.aiter_raw() if plain else response.aiter_bytes()

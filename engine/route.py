"""The way to the API and back: a request goes out through the SDK, the response comes back as bytes.

The SDK builds, signs and sends the request and maps its errors; its streaming-response route leaves the body to us.
What it has built once need not be built again: see `repeats`.
Only the legacy Bedrock client does not speak SSE: the SDK's decoder reads its events, which are written as SSE again,
so that one reading of the wire serves all.
"""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anthropic
import anyio
import attrs
import httpx2
from anthropic.lib.bedrock import AsyncAnthropicBedrock
from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder

from ..actors.deadlines import Deadlines
from ..actors.errors import STATUS_OF_TYPE, ErrorInfo
from ..actors.request import StreamRequest
from ..actors.retry import is_retryable, retry_after
from ..actors.source import Open, Response, ResponseFailed, Sink
from .http.exchange import Exchange
from .model import AnthropicModel, Connection, sdk_parameters
from .repeats import Repeats

__all__ = ["open_route"]

_CLOSE_SECONDS = 1.0
_LIMIT_ENDINGS = ("-limit", "-remaining", "-reset")  # such as those of the priority tier
_BROKEN = (httpx2.HTTPError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
_TYPE_OF_STATUS = {status: type for type, status in STATUS_OF_TYPE.items()}


def open_route(model: AnthropicModel, connection: Connection, deadlines: Deadlines) -> Open:
    """A function that sends requests to `model` through `connection` and returns their open responses.

    The deadline `connect`, of the request or else of `deadlines`, is the HTTP client's to keep.
    """
    client: Any = connection.client
    legacy_bedrock = isinstance(client, AsyncAnthropicBedrock)
    repeats = Repeats(client) if connection.repeatable else None

    async def open_response(request: StreamRequest) -> Response:
        params = model.params_for(request)
        seconds = (request.deadlines or deadlines).connect
        try:
            repeat = None if repeats is None else repeats.find(request, params, seconds)
            if repeat is not None and (exchange := await repeat.send()) is not None:
                return _unwrapped(exchange)
            return await build_and_send(request, params, seconds)
        except Exception as exc:
            info = _error_info(exc)
            if isinstance(info.cause and info.cause.__cause__, httpx2.ConnectTimeout):
                message = f"the deadline connect of {seconds:g} s passed"
                info = attrs.evolve(info, type="deadline_exceeded", message=message, deadline="connect")
            raise ResponseFailed(info) from None

    async def build_and_send(request: StreamRequest, params: dict[str, Any], seconds: float | None) -> Response:
        named = sdk_parameters(beta=bool(request.betas))
        unnamed = {name: value for name, value in params.items() if name not in named}
        options: dict[str, Any] = {
            "timeout": httpx2.Timeout(None, connect=seconds),
            "extra_headers": {"accept-encoding": "identity", **request.extra_headers},
            "extra_body": {**unnamed, **request.extra_body} or None,
            "extra_query": dict(request.extra_query) or None,
        }
        messages = client.messages
        if request.betas:
            messages = client.beta.messages
            options["betas"] = list(request.betas)
        manager = messages.with_streaming_response.create(
            stream=True, **{name: value for name, value in params.items() if name in named}, **options
        )
        response: httpx2.Response = (await manager.__aenter__()).http_response
        if repeats is not None:
            repeats.learn(request, params, seconds, response)
        close = partial(manager.__aexit__, None, None, None)
        if legacy_bedrock:
            return _Response(response, close, _eventstream_as_sse(response))
        return _Response(response, close, _sse_bytes(response), response.extensions.get("pump"))

    return open_response


def _unwrapped(exchange: Exchange) -> Response:
    """A response that comes past the SDK, straight from our own transport."""
    if exchange.plain:
        return _Pumped(exchange)
    response = exchange.response()
    return _Response(response, response.aclose, response.aiter_bytes())


class _Pumped:
    """An open response of our own transport, with nothing around it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._headers = {name.lower(): value for name, value in exchange.headers}

    @property
    def request_id(self) -> str | None:
        request_id = self._headers.get(b"request-id")
        return None if request_id is None else request_id.decode("ascii", "replace")

    @property
    def rate_limits(self) -> Mapping[str, str]:
        return _rate_limits(
            {
                name.decode("ascii"): value.decode("ascii", "replace")
                for name, value in self._headers.items()
                if name.startswith(b"anthropic-")
            }
        )

    async def pump(self, sink: Sink) -> bool:
        try:
            return await self._exchange.pump(sink)
        except httpx2.TransportError as exc:
            raise ResponseFailed(_connection_error(exc)) from None

    async def aclose(self) -> None:
        await self._exchange.aclose()


class _Response:
    """An open response. `body` gives its bytes as SSE, and so does `pump`, if the transport has one, with less ado."""

    def __init__(
        self,
        http_response: httpx2.Response,
        close: Callable[[], Awaitable[object]],
        body: AsyncGenerator[bytes],
        pump: Callable[[Sink], Awaitable[bool]] | None = None,
    ) -> None:
        self.http_response = http_response
        self._close = close
        self._body = body
        self._pump = pump

    @property
    def request_id(self) -> str | None:
        return self.http_response.headers.get("request-id")

    @property
    def rate_limits(self) -> Mapping[str, str]:
        return _rate_limits(self.http_response.headers)

    async def pump(self, sink: Sink) -> bool:
        try:
            if self._pump is not None:
                return await self._pump(sink)
            async for chunk in self._body:
                if not sink(chunk):
                    return False
        except (httpx2.TransportError, httpx2.DecodingError) as exc:
            raise ResponseFailed(_connection_error(exc)) from None
        return True

    async def aclose(self) -> None:
        if self._pump is not None:
            await self._close()  # our own transport closes without waiting
            return
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            if not self.http_response.is_closed:
                await self._leave_body()
            # When closing fails, the connection is gone all the same.
            with contextlib.suppress(*_BROKEN):
                await self._close()

    async def _leave_body(self) -> None:
        """The body is left before its end. It may be a chain of generators down to the socket, which only end, all of
        them and at once, when the innermost is interrupted."""
        abort: Callable[[], None] | None = self.http_response.extensions.get("abort")
        if abort is not None:
            abort()
        with contextlib.suppress(*_BROKEN), anyio.CancelScope() as scope:
            scope.cancel()
            async for _ in self._body:
                pass


def _rate_limits(headers: Mapping[str, str]) -> Mapping[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.startswith("anthropic-") and ("ratelimit" in name or name.endswith(_LIMIT_ENDINGS))
    }


def _sse_bytes(response: httpx2.Response) -> AsyncGenerator[bytes]:
    # A response that a transport made with its content at hand has been read already, and only gives it decoded.
    plain = response.headers.get("content-encoding", "identity") == "identity" and not response.is_stream_consumed
    return response.aiter_raw() if plain else response.aiter_bytes()


async def _eventstream_as_sse(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """What the SDK's decoder finds in an AWS event stream: each event's own JSON, as it was sent."""
    decoder: Any = AWSEventStreamDecoder()
    async for event in decoder.aiter_bytes(response.aiter_bytes()):
        data = event.data.replace("\n", "\ndata: ")
        yield f"event: {event.event}\ndata: {data}\n\n".encode()


def _error_info(exc: Exception) -> ErrorInfo:
    """What an exception on the way to the response's head says. Whatever it is, it concerns this request alone."""
    match exc:
        case anthropic.APIStatusError():
            return _status_error(exc)
        case anthropic.APIConnectionError():
            return _connection_error(exc)
        case _:
            # The request can't be built, signed or sent: a value that isn't JSON, credentials that can't be read …
            return ErrorInfo(type="request_error", message=f"{type(exc).__name__}: {exc}", cause=_bare(exc))


def _status_error(exc: anthropic.APIStatusError) -> ErrorInfo:
    status, headers = exc.status_code, exc.response.headers
    kind = exc.type or _TYPE_OF_STATUS.get(status) or "api_error"
    return ErrorInfo(
        type=kind,
        message=exc.api_message or f"the API answered {status}",
        status=STATUS_OF_TYPE.get(kind, 500) if status == 200 else status,
        request_id=exc.request_id,
        code=exc.error_code,
        retryable=is_retryable(status, headers, exc.error_code),
        retry_after=retry_after(headers),
        rate_limits=_rate_limits(headers),
        cause=_bare(exc),
    )


def _connection_error(exc: Exception) -> ErrorInfo:
    """A connection that could not be made, or broke."""
    cause = exc.__cause__ if isinstance(exc, anthropic.APIConnectionError) and exc.__cause__ is not None else exc
    return ErrorInfo(
        type="connection_error",
        message=str(cause) or type(cause).__name__,
        retryable=not isinstance(cause, httpx2.UnsupportedProtocol | httpx2.LocalProtocolError),  # our own fault
        cause=_bare(exc),
    )


def _bare(exc: Exception) -> Exception:
    """`exc` without its traceback, whose frames would keep the request and the response alive."""
    inner: BaseException | None = exc
    while inner is not None:
        inner.__traceback__ = None
        inner = inner.__cause__ or inner.__context__
    return exc

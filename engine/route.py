"""The way to the API and back: a request goes out through the SDK, the response comes back as bytes.

The SDK builds, signs and sends the request and maps its errors; its streaming-response route leaves the body to us.
Only the legacy Bedrock client, which does not speak SSE, gives decoded events, which are written as SSE again, so that
one reading of the wire serves all.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Protocol

import anthropic
import anyio
import attrs
import httpx2
from anthropic.lib.bedrock import AsyncAnthropicBedrock

from ..actors.deadlines import Deadlines
from ..actors.errors import STATUS_OF_TYPE, ErrorInfo
from ..actors.request import StreamRequest
from ..actors.retry import is_retryable, retry_after
from ..actors.source import Open, Response, ResponseFailed
from .model import AnthropicModel, Connection

__all__ = ["open_route"]

_CLOSE_SECONDS = 1.0
_LIMIT_ENDINGS = ("-limit", "-remaining", "-reset")  # such as those of the priority tier
_TYPE_OF_STATUS = {status: type for type, status in STATUS_OF_TYPE.items()}


def open_route(model: AnthropicModel, connection: Connection, deadlines: Deadlines) -> Open:
    """A function that sends requests to `model` through `connection` and returns their open responses.

    The deadline `connect`, of the request or else of `deadlines`, is the HTTP client's to keep.
    """
    client: Any = connection.client
    legacy_bedrock = isinstance(client, AsyncAnthropicBedrock)

    async def open_response(request: StreamRequest) -> Response:
        params = model.params_for(request)
        seconds = (request.deadlines or deadlines).connect
        options: dict[str, Any] = {
            "timeout": httpx2.Timeout(None, connect=seconds),
            "extra_headers": {"accept-encoding": "identity", **request.extra_headers},
            "extra_body": dict(request.extra_body) or None,
            "extra_query": dict(request.extra_query) or None,
        }
        messages = client.messages
        if request.betas:
            messages = client.beta.messages
            options["betas"] = list(request.betas)
        try:
            if legacy_bedrock:
                return _EventResponse(await messages.create(stream=True, **params, **options))
            manager = messages.with_streaming_response.create(stream=True, **params, **options)
            return _ByteResponse((await manager.__aenter__()).http_response, manager)
        except Exception as exc:
            info = _error_info(exc)
            if isinstance(info.cause and info.cause.__cause__, httpx2.ConnectTimeout):
                message = f"the deadline connect of {seconds:g} s passed"
                info = attrs.evolve(info, type="deadline_exceeded", message=message, deadline="connect")
            raise ResponseFailed(info) from None

    return open_response


class _Head:
    """What both kinds of response read from the HTTP response's head."""

    def __init__(self, http_response: httpx2.Response) -> None:
        self.http_response = http_response

    @property
    def request_id(self) -> str | None:
        return self.http_response.headers.get("request-id")

    @property
    def rate_limits(self) -> Mapping[str, str]:
        return {
            name: value
            for name, value in self.http_response.headers.items()
            if name.startswith("anthropic-") and ("ratelimit" in name or name.endswith(_LIMIT_ENDINGS))
        }

    async def _close(self, close: Callable[[], Awaitable[object]]) -> None:
        abort: Callable[[], None] | None = self.http_response.extensions.get("abort")
        if abort is not None and not self.http_response.is_closed:
            abort()
        with anyio.move_on_after(_CLOSE_SECONDS, shield=True):
            # When closing fails, the connection is gone all the same.
            with contextlib.suppress(httpx2.HTTPError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                await close()


class _Manager(Protocol):
    async def __aexit__(self, exc_type: None, exc: None, tb: None, /) -> object: ...


class _ByteResponse(_Head):
    """An SSE body, read as bytes."""

    def __init__(self, http_response: httpx2.Response, manager: _Manager) -> None:
        super().__init__(http_response)
        self._manager = manager

    async def chunks(self) -> AsyncIterator[bytes]:
        response = self.http_response
        plain = response.headers.get("content-encoding", "identity") == "identity"
        try:
            async for chunk in response.aiter_raw() if plain else response.aiter_bytes():
                yield chunk
        except (httpx2.TransportError, httpx2.DecodingError) as exc:
            raise ResponseFailed(_connection_error(exc)) from None

    async def aclose(self) -> None:
        await self._close(lambda: self._manager.__aexit__(None, None, None))


class _EventResponse(_Head):
    """Legacy Bedrock's events, written as SSE."""

    def __init__(self, stream: anthropic.AsyncStream[Any]) -> None:
        super().__init__(stream.response)
        self._stream = stream

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for event in self._stream:
                data = json.dumps(event.to_dict(mode="json"), separators=(",", ":"))
                yield f"data: {data}\n\n".encode()
        except (httpx2.TransportError, httpx2.DecodingError) as exc:
            raise ResponseFailed(_connection_error(exc)) from None
        except anthropic.APIStatusError as exc:
            info = _status_error(exc)
            error = {"type": "error", "error": {"type": info.type, "message": info.message}}
            yield f"event: error\ndata: {json.dumps(error)}\n\n".encode()

    async def aclose(self) -> None:
        await self._close(self._stream.close)


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
        retryable=is_retryable(status, headers, exc.error_code),
        retry_after=retry_after(headers),
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

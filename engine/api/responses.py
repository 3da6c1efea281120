"""Open responses: what a 200 is, and its bytes as SSE whatever they came as.

A response of type `text/event-stream`, or of none, is a stream, and is left as it is. Anything else is read whole, up
to a bound: a Messages object is the answer, and is written as the events of one; an error is that error, as if it had
come with its own status; and of a web page or the like it is said what came from where.

Only the legacy Bedrock client does not speak SSE: the SDK's decoder reads its events, which are written as SSE again,
so that one reading of the wire serves all.
"""

import contextlib
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal, NoReturn, Protocol, cast

import anyio
import httpx2
import msgspec

from ...actors.response import Response, ResponseFailed, Sink
from ...actors.stream import ErrorInfo
from ...actors.wire import plain_text, read_error_body
from .failures import (
    AWS_TYPES,
    aws_name,
    corrupt,
    rate_limits_in,
    reading_failed,
    refusal,
    shown_url,
    unexpected,
    words_of,
)
from .http.exchange import Exchange

__all__ = ["LARGEST_ERROR", "DirectResponse", "SdkResponse", "accepted", "direct_response", "read_bounded"]

LARGEST_ANSWER = 32 * 1024 * 1024
"""How many bytes of a JSON body at 200 are read."""
LARGEST_ERROR = 1024 * 1024
"""How many bytes of any other body are read that is no stream."""

_CLOSE_SECONDS = 1.0
_BROKEN = (httpx2.HTTPError, OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, ResponseFailed)
_LONGEST_MESSAGE = 300
_WITHOUT_BODY = (204, 205)
_SSE_BEGINNINGS = (b"event:", b"data:", b":")
_BOM = b"\xef\xbb\xbf"
_EVENTSTREAM = "application/vnd.amazon.eventstream"


class _Opened(Response, Protocol):
    """A response whose type may be looked at."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def is_stream(self) -> bool:
        """Whether its head says that it is one."""
        ...

    @property
    def coding(self) -> str:
        """How its body is encoded, such as `gzip`; empty when it is as it was written."""
        ...


class DirectResponse:
    """An open response of our own transport, with nothing around it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
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
        return self.status not in _WITHOUT_BODY and (
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
        await self._exchange.aclose()


class SdkResponse:
    """An open response as the SDK, or an HTTP client, gives it. `legacy_bedrock` is its dialect.

    Its bytes come by its transport's own `pump`, if it has one, and else by the HTTP client's iteration.
    """

    def __init__(
        self, http_response: httpx2.Response, close: Callable[[], Awaitable[object]], *, legacy_bedrock: bool = False
    ) -> None:
        self.http_response = http_response
        self._close = close
        content_type = http_response.headers.get("content-type", "")
        self._decoded = legacy_bedrock and self.status not in _WITHOUT_BODY and _may_be_eventstream(content_type)
        self._pump: Callable[[Sink], Awaitable[bool]] | None = None
        if self._decoded:
            self._body = _eventstream_as_sse(http_response)
        else:
            self._body = _plain_bytes(http_response)
            self._pump = http_response.extensions.get("pump")

    @property
    def status(self) -> int:
        return self.http_response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        return self.http_response.headers

    @property
    def is_stream(self) -> bool:
        if self._decoded:
            return True
        return self.status not in _WITHOUT_BODY and _is_stream_type(self.headers.get("content-type", ""))

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
            if self._pump is not None:
                return await self._pump(sink)
            async for chunk in self._body:
                if not sink(chunk):
                    return False
        except Exception as exc:
            _raise_failure(exc, sink)
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


def direct_response(exchange: Exchange) -> "DirectResponse | SdkResponse":
    """A response that comes past the SDK, straight from our own transport."""
    if exchange.plain:
        return DirectResponse(exchange)
    response = exchange.response()
    return SdkResponse(response, response.aclose)


# -- what it is


async def accepted(response: _Opened, url: httpx2.URL) -> Response:
    """The stream that an open response with a status of success is: itself, if its head says so.

    Otherwise its body is read whole first. Raises `ResponseFailed` for what is no answer. When it raises, or is
    cancelled, the response is closed.
    """
    if response.is_stream and not response.coding:
        return response
    try:
        if (coding := _unreadable(response.coding)) is not None:
            raise _not_a_stream(response, url, f"its body is encoded as {coding}, which is not understood")
        if response.is_stream:
            return response
        return await _read_whole(response, url)
    except BaseException:
        await response.aclose()
        raise


async def _read_whole(response: _Opened, url: httpx2.URL) -> Response:
    content_type = response.headers.get("content-type", "")
    is_json = _is_json_type(content_type)
    body = _Body(LARGEST_ANSWER if is_json else LARGEST_ERROR)
    if response.status not in _WITHOUT_BODY:
        body.begins_stream = None
    try:
        ended = await response.pump(body)
    except ResponseFailed:
        if is_json or not body.size:
            raise
        ended = False  # what came tells what it is
    if body.begins_stream:
        return _Begun(response, body.content, ended=ended)
    await response.aclose()
    content = body.content
    if is_json and body.size > LARGEST_ANSWER:
        raise _not_a_stream(response, url, f"more than {LARGEST_ANSWER >> 20} MiB")
    if (events := message_as_sse(content)) is not None:
        return _Begun(response, events, ended=True)
    text = content[:LARGEST_ERROR].decode("utf-8", "replace")
    value = words_of(text, content_type)
    if not isinstance(value, str) and _is_error(value):
        raise ResponseFailed(refusal(response.status, response.headers, value, url))
    words = read_error_body(value).message or plain_text(text)
    raise _not_a_stream(response, url, None if words else "an empty body", words)


def _not_a_stream(response: _Opened, url: httpx2.URL, what: str | None, words: str = "") -> ResponseFailed:
    content_type = plain_text(response.headers.get("content-type", "").partition(";")[0], 80)
    said = f"{shown_url(url)} answered {response.status}{content_type and ' '}{content_type}, not an event stream: "
    if what is None:
        what = f'"{plain_text(words, max(80, _LONGEST_MESSAGE - len(said) - 2))}"'
    return ResponseFailed(
        ErrorInfo(
            type="protocol_error",
            message=said + what,
            status=response.status,
            request_id=response.request_id,
            rate_limits=response.rate_limits,
        )
    )


def _is_stream_type(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("", "text/event-stream")


def _is_json_type(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _may_be_eventstream(content_type: str) -> bool:
    """Whether a Bedrock client's 200 is read as AWS's event stream: unless it says that it is text."""
    kind = content_type.partition(";")[0].strip().lower()
    return kind == _EVENTSTREAM or not (kind.startswith("text/") or "json" in kind or "xml" in kind or "html" in kind)


def _unreadable(coding: str) -> str | None:
    """The first of the content codings named that can't be undone, if there is one."""
    codings = [name.strip().lower() for name in coding.split(",")]
    return next((plain_text(name, 40) for name in codings if name and name not in _readable_codings()), None)


def _readable_codings() -> set[str]:
    """What httpx2 undoes with the packages that are installed: that is private to it."""
    known: object = getattr(sys.modules.get("httpx2._decoders"), "SUPPORTED_DECODERS", ())
    return {"identity", "gzip", "deflate", *cast("dict[str, object]", known)}


class _Body:
    """Takes a body, up to `limit` bytes and the piece in which they end."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        self.begins_stream: bool | None = False
        """Whether it begins as SSE does; None while that can't be told. A stream is not read on."""

    def __call__(self, piece: bytes) -> bool:
        self._pieces.append(piece)
        self.size += len(piece)
        if self.begins_stream is None:
            self.begins_stream = _begins_as_sse(b"".join(self._pieces))
        return not self.begins_stream and self.size <= self._limit

    @property
    def content(self) -> bytes:
        return b"".join(self._pieces)


def _begins_as_sse(data: bytes) -> bool | None:
    """Whether it is evidently an event stream, though its type denies it, as some gateways' do."""
    beginning = data[:64].removeprefix(_BOM).lstrip()
    if beginning.startswith(_SSE_BEGINNINGS):
        return True
    undecided = any(known.startswith(beginning) for known in _SSE_BEGINNINGS)
    return None if undecided and len(data) < 64 else False


async def read_bounded(response: Response) -> bytes:
    """The body of an error, up to a bound. The response is closed. Raises `ResponseFailed`."""
    body = _Body(LARGEST_ERROR)
    try:
        await response.pump(body)
    finally:
        await response.aclose()
    return body.content[:LARGEST_ERROR]


# -- a whole message


class _Block(msgspec.Struct):
    """Any JSON object."""


class _Message(msgspec.Struct):
    """What tells a whole answer from other JSON. The rest is left to the reading of the wire."""

    type: Literal["message"]
    content: list[_Block]


def message_as_sse(body: bytes) -> bytes | None:
    """A whole message as the events of a stream that gives it at once; None for what is none."""
    body = body.removeprefix(_BOM)
    try:
        msgspec.json.decode(body, type=_Message)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if not _is_message(body):
            return None
    line = body.replace(b"\n", b" ").replace(b"\r", b" ")  # in JSON they only stand between tokens
    return b"".join(
        (
            b'event: message_start\ndata: {"type":"message_start","message":',
            line,
            b'}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n',
        )
    )


def _is_message(body: bytes) -> bool:
    """The same of JSON that msgspec refuses, such as with halves of surrogate pairs."""
    try:
        value: object = json.loads(body.decode(), parse_int=str)
        msgspec.convert(value, _Message)
    except (ValueError, RecursionError):
        return False
    return True


_ERROR_WORDS = ("detail", "message", "Message", "errors", "error_description", "error_msg", "msg")
_ANSWER_WORDS = ("choices", "content", "candidates", "completion", "output")


def _is_error(value: object) -> bool:
    """Whether JSON that came with 200 is an error, in any of the shapes they have."""
    if isinstance(value, list):
        items = cast("list[object]", value)
        return len(items) == 1 and isinstance(items[0], dict) and _is_error(cast("object", items[0]))
    if not isinstance(value, dict):
        return False
    fields = cast("dict[str, object]", value)
    kind = fields.get("type")
    if fields.get("error") or kind == "error" or fields.get("__type"):
        return True
    if isinstance(kind, str) and kind.endswith(("_error", "Exception")):
        return True
    return any(fields.get(name) for name in _ERROR_WORDS) and not any(name in fields for name in _ANSWER_WORDS)


class _Begun:
    """A response of which `content` has been read already; all of it, if it has `ended`."""

    def __init__(self, response: Response, content: bytes, *, ended: bool) -> None:
        self._response = response
        self._content = content
        self._ended = ended

    @property
    def request_id(self) -> str | None:
        return self._response.request_id

    @property
    def rate_limits(self) -> Mapping[str, str]:
        return self._response.rate_limits

    async def pump(self, sink: Sink) -> bool:
        content, self._content = self._content, b""
        if content and not sink(content):
            return False
        return self._ended or await self._response.pump(sink)

    async def aclose(self) -> None:
        await self._response.aclose()


# -- how it is read


def _raise_failure(exc: Exception, sink: Sink) -> NoReturn:
    """Raises what an exception says that came while a body was read. What the sink itself raised is not the
    connection's: it is raised as it is."""
    if isinstance(exc, ResponseFailed) or _came_through(exc, sink):
        raise exc
    raise ResponseFailed(reading_failed(exc)) from None


def _came_through(exc: Exception, sink: Sink) -> bool:
    """Whether the sink raised it: told by the traceback, since to watch over each call would cost each call."""
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


async def _eventstream_as_sse(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """What the SDK's decoder finds in an AWS event stream: each event's own JSON, as it was sent."""

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except Exception as exc:
            raise ResponseFailed(reading_failed(exc)) from None

    begun = False
    try:
        async for event in _eventstream_decoder().aiter_bytes(pieces()):
            begun = True
            data: str = _with_our_types(event.data) if event.event == "error" else event.data
            data = data.replace("\n", "\ndata: ")
            yield f"event: {event.event}\ndata: {data}\n\n".encode()
    except ResponseFailed:
        raise
    except ImportError as exc:  # botocore, which the SDK's extra brings
        raise ResponseFailed(unexpected(exc, exc)) from None
    except Exception as exc:
        what = "the event stream is corrupt"
        if not begun:
            what = f"{shown_url(response.url)} answered {response.status_code}, but no AWS event stream"
        raise ResponseFailed(corrupt(exc, what, retryable=begun)) from None


def _eventstream_decoder() -> Any:
    """The SDK's decoder of AWS event streams, which is private to it."""
    from anthropic.lib.bedrock._stream_decoder import AWSEventStreamDecoder

    return AWSEventStreamDecoder()


def _with_our_types(data: str) -> str:
    """An error as the SDK wrote it for an exception of AWS, with the Messages API's type; AWS's own is its code."""
    error: dict[str, Any] = json.loads(data)["error"]
    name = aws_name(str(error["type"]))
    kind = AWS_TYPES.get(name)
    if kind is None:
        return data
    details = {"error_code": f"{name}Exception"}
    return json.dumps({"type": "error", "error": {**error, "type": kind, "details": details}})

"""What a response with a status of success is: a stream, or what its body says instead.

A response of type `text/event-stream`, or of none, is a stream, and is left as it is. Anything else is read whole, up
to a bound. A Messages object is the answer, and is given as the events of one. An error is that error, as if it had
come with its own status. Of anything else, such as a web page, the failure says what came from where.
"""

from collections.abc import Mapping
from typing import Protocol, cast

import httpx2

from ...actors.response import Response, ResponseFailed, Sink
from ...actors.stream import ErrorInfo
from ...actors.wire import plain_text, read_error_body
from .failures import refusal, words_of
from .http.httpx2_internals import content_decoders
from .responses import WITHOUT_BODY
from .shown_url import shown_url
from .whole_message import BOM, message_as_sse

__all__ = ["accepted", "read_bounded"]

_LARGEST_ANSWER = 32 * 1024 * 1024  # bytes of a JSON body
_LARGEST_ERROR = 1024 * 1024  # bytes of any other body that is no stream
_LONGEST_MESSAGE = 300
_SSE_BEGINNINGS = (b"event:", b"data:", b":")
_ERROR_WORDS = ("detail", "message", "Message", "errors", "error_description", "error_msg", "msg")
_ANSWER_WORDS = ("choices", "content", "candidates", "completion", "output")


class _Opened(Response, Protocol):
    """An open response with its status and headers."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def is_stream(self) -> bool:
        """Whether its head says that it is an event stream."""
        ...

    @property
    def coding(self) -> str:
        """The content codings that its body still has, such as `gzip`; empty for none."""
        ...


async def accepted(response: _Opened, url: httpx2.URL) -> Response:
    """The answer in an open response with a status of success: the response itself, if its head says that it is a
    stream; else what its body says, which is read first.

    Raises `ResponseFailed` when there is no answer. The response is closed when it raises or is cancelled.
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
    body = _Body(_LARGEST_ANSWER if is_json else _LARGEST_ERROR)
    if response.status not in WITHOUT_BODY:
        body.begins_stream = None
    try:
        ended = await response.pump(body)
    except ResponseFailed:
        if is_json or not body.size:
            raise
        ended = False  # what has come may be enough to tell what it is
    if body.begins_stream:
        return _Begun(response, body.content, ended=ended)
    await response.aclose()
    content = body.content
    if is_json and body.size > _LARGEST_ANSWER:
        raise _not_a_stream(response, url, f"more than {_LARGEST_ANSWER >> 20} MiB")
    if (events := message_as_sse(content)) is not None:
        return _Begun(response, events, ended=True)
    text = content[:_LARGEST_ERROR].decode("utf-8", "replace")
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


def _is_json_type(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind in ("application/json", "text/json") or kind.endswith("+json")


def _unreadable(coding: str) -> str | None:
    """The first of the named content codings that can't be undone; None when all can."""
    codings = [name.strip().lower() for name in coding.split(",")]
    return next((plain_text(name, 40) for name in codings if name and name not in content_decoders()), None)


class _Body:
    """A sink that keeps a body, and wants no more once it has `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self.size = 0
        self.begins_stream: bool | None = False
        """Whether it begins as SSE does; None while that can't be told. Once it does, no more of it is wanted."""

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
    """Whether it is an event stream, though its type denies it: some gateways name the wrong one."""
    beginning = data[:64].removeprefix(BOM).lstrip()
    if beginning.startswith(_SSE_BEGINNINGS):
        return True
    undecided = any(known.startswith(beginning) for known in _SSE_BEGINNINGS)
    return None if undecided and len(data) < 64 else False


async def read_bounded(response: Response) -> bytes:
    """The first 1 MiB of an error's body. The response is closed, whatever happens. Raises `ResponseFailed` when the
    connection breaks."""
    body = _Body(_LARGEST_ERROR)
    try:
        await response.pump(body)
    finally:
        await response.aclose()
    return body.content[:_LARGEST_ERROR]


class _Begun:
    """A response whose `content` has been read already. If it has `ended`, there is no more."""

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


def _is_error(value: object) -> bool:
    """Whether JSON that came with a status of success is an error, in any of the shapes that servers give it."""
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

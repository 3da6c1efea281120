"""The legacy Bedrock client's answers as SSE.

It is the one client whose API does not speak SSE: AWS sends event streams of its own format. The SDK's decoder reads
them, and each event is written as SSE, so that one reading of the wire serves all clients.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import httpx2

from ...actors.response import ResponseFailed
from .failures import AWS_TYPES, aws_name, corrupt, reading_failed, unexpected
from .responses import WITHOUT_BODY
from .sdk_internals import eventstream_decoder
from .shown_url import shown_url

__all__ = ["eventstream_as_sse", "holds_eventstream"]

_EVENTSTREAM = "application/vnd.amazon.eventstream"


def holds_eventstream(response: httpx2.Response) -> bool:
    """Whether a response's body is read as AWS's event stream: if there is one, and its type is not one of text."""
    if response.status_code in WITHOUT_BODY:
        return False
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == _EVENTSTREAM or not (kind.startswith("text/") or "json" in kind or "xml" in kind or "html" in kind)


async def eventstream_as_sse(response: httpx2.Response) -> AsyncGenerator[bytes]:
    """The events of an AWS event stream as SSE, each with the JSON that it was sent with.

    Raises `ResponseFailed` when the connection breaks, or the body is no event stream.
    """

    async def pieces() -> AsyncIterator[bytes]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except Exception as exc:
            raise ResponseFailed(reading_failed(exc)) from None

    begun = False
    try:
        async for event in eventstream_decoder().aiter_bytes(pieces()):
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


def _with_our_types(data: str) -> str:
    """An exception of AWS, as the SDK writes it, with the Messages API's type for it and AWS's own name as its code."""
    error: dict[str, Any] = json.loads(data)["error"]
    name = aws_name(str(error["type"]))
    kind = AWS_TYPES.get(name)
    if kind is None:
        return data
    details = {"error_code": f"{name}Exception"}
    return json.dumps({"type": "error", "error": {**error, "type": kind, "details": details}})

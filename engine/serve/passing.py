"""Passes requests on that are not for a message: as they are, and their answers as they come, in pieces.

They cost nothing that the engine counts: models, files, token counts, batches. Nothing is tried again.
"""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2

from ..api.failures import sending_failed
from ..gateway import error_answer
from ..gateway.foreign import RawHeaders, passed_on
from ..gateway.transit import Send
from .asked import Asked
from .connection import Connection

__all__ = ["pass_on", "redirected"]

_CONNECT = 10.0  # seconds
_TIMEOUTS: dict[str, Any] = {"connect": _CONNECT, "read": None, "write": None, "pool": None}


async def pass_on(asked: Asked, connection: Connection, send: Send, url: httpx2.URL, headers: RawHeaders) -> None:
    """Sends a request with these headers to `url`, and answers the connection. Cancelled, it leaves nothing open."""
    try:
        await _pass_on(asked, connection, send, url, headers)
    except anyio.get_cancelled_exc_class():
        connection.abort_answer(asked)
        raise


async def _pass_on(asked: Asked, connection: Connection, send: Send, url: httpx2.URL, headers: RawHeaders) -> None:
    try:
        response = await send(_request(asked, connection, url, headers))
    except Exception as exc:
        info = sending_failed(exc, _CONNECT)
        status = 504 if info.deadline is not None else 502
        await _refuse(connection, status, info.message)
        return
    try:
        if 300 <= response.status_code < 400 and response.status_code != 304:
            await _refuse(connection, 502, redirected(response.headers.get("location")))
            return
        length = response.headers.get("content-length")
        kept = passed_on(response.headers.raw)
        connection.reply.head(response.status_code, kept, int(length) if length and length.isdecimal() else None)
        async for piece in response.aiter_raw():
            connection.reply.piece(piece)
            if not await connection.wait_until_writable():
                return
    except Exception:  # the upstream's, of any class
        connection.abort_answer(asked)  # which says that the answer is not whole
        return
    finally:
        await response.aclose()
    connection.reply.piece(b"", b"")
    connection.finish()


def redirected(location: str | None) -> str:
    """What is said of an answer that leads elsewhere: with the caller's key it is not followed, nor handed on."""
    where = "" if location is None else f" to {location[:200]}"
    return f"the API redirects{where}; the gateway does not follow: set its --base-url"


async def _refuse(connection: Connection, status: int, message: str) -> None:
    if await connection.wait_until_writable():
        connection.answer(error_answer(status, "api_error" if status == 502 else "timeout_error", message))


def _request(asked: Asked, connection: Connection, url: httpx2.URL, headers: RawHeaders) -> httpx2.Request:
    sent = list(passed_on(headers))
    content: Any = asked.take()
    if not asked.whole:
        content = _body(asked, connection, content)
        length = asked.one(b"content-length")
        sent += [] if length is None else [(b"content-length", length)]
    accepts = [header for header in headers if header[0].lower() == b"accept-encoding"]
    return httpx2.Request(
        asked.method,
        url,
        headers=[*sent, *(accepts or [(b"accept-encoding", b"identity")])],
        content=content or None,
        extensions={"timeout": _TIMEOUTS},
    )


async def _body(asked: Asked, connection: Connection, data: bytes) -> AsyncIterator[bytes]:
    """The body as it comes."""
    while True:
        if data:
            yield data
        connection.resume_reading()
        if asked.whole and not asked.chunks:
            return
        await connection.body_came.wait()
        connection.body_came.clear()
        data = asked.take()

"""Short replies as ASGI sends them: no content, JSON, and errors that say what to do."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import attrs

from .tab import Send

__all__ = [
    "BUSY",
    "ELSEWHERE",
    "FOREIGN_PAGE",
    "GOING",
    "NOTHING",
    "NO_CONTENT",
    "STORE_AWAY",
    "UNREADABLE",
    "Reply",
    "error_reply",
    "json_reply",
    "send_head",
]

_NEVER_STORED = (b"cache-control", b"no-store")


@attrs.frozen
class Reply:
    """A whole response."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send) -> None:
        """Sends it, unless the client has left."""
        headers = [_NEVER_STORED, *self.headers]
        if self.status != 204:
            headers.append((b"content-length", str(len(self.body)).encode()))
        await _send_whole(send, self.status, headers, self.body)


async def send_head(send: Send, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """What HEAD is answered where GET is answered with a stream."""
    await _send_whole(send, 200, list(headers), b"")


async def _send_whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    with suppress(OSError):  # so some servers tell that the client has left
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def json_reply(status: int, value: Mapping[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    """A reply of one JSON object."""
    return Reply(status, json.dumps(value).encode(), ((b"content-type", b"application/json"), *headers))


def error_reply(status: int, kind: str, message: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Reply:
    """A reply that says what is wrong."""
    return json_reply(status, {"error": {"type": kind, "message": message}}, headers)


NO_CONTENT = Reply(204)
NOTHING = error_reply(404, "not_found", "no such stream")
ELSEWHERE = error_reply(
    409, "stream_elsewhere", "this stream belongs to another process of the service, and they share no store"
)
UNREADABLE = error_reply(
    409, "stream_unreadable", "another version of the service wrote this stream, and this process can't read it"
)
FOREIGN_PAGE = error_reply(403, "foreign_origin", "the request comes from a page of another origin")
GOING = error_reply(503, "going_away", "this process is about to stop: ask again", ((b"retry-after", b"1"),))
BUSY = error_reply(503, "busy", "too many streams wait already: ask again", ((b"retry-after", b"5"),))
STORE_AWAY = error_reply(
    503, "store_unreachable", "the store of this service can't be reached: ask again", ((b"retry-after", b"2"),)
)

"""A reply on its way to a client, in HTTP/1.1: its head, its pieces, its end."""

import asyncio
from http import HTTPStatus

from ..gateway import Answer
from ..gateway.foreign import RawHeaders
from .asked import Asked

__all__ = ["CONTINUE", "PROCESSING", "Reply"]

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus} | {529: b"Overloaded"}
_FRAMING = frozenset([b"connection", b"content-length", b"transfer-encoding", b"keep-alive"])
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Reply:
    """The reply to `asked`, written to a transport. `keep_alive` says whether another may follow on the connection."""

    def __init__(self, asked: Asked, transport: asyncio.WriteTransport, *, keep_alive: bool) -> None:
        self._write = transport.write
        self._bodyless = asked.method == "HEAD"
        self._chunked = False
        self._modern = asked.version == "1.1"
        self.keep_alive = keep_alive
        self.begun = False
        """Whether its head was sent."""

    def interim(self, head: bytes) -> None:
        """Sends the head of an interim answer, before the real one; not to a client of HTTP/1.0, which has none."""
        if self._modern and not self.begun:
            self._write(head)

    def whole(self, answer: Answer) -> None:
        """Sends a whole answer."""
        head = self._head(answer.status, answer.headers, len(answer.body))
        self._write(head if self._bodyless else head + answer.body)

    def head(self, status: int, headers: RawHeaders, length: int | None = None) -> None:
        """Sends the head of an answer whose body follows in pieces, of `length` bytes if that is known."""
        self._write(self._head(status, headers, length))

    def stream(self, headers: RawHeaders, data: bytes, last: bytes | None = None) -> None:
        """Sends the head of a stream together with what there is of it; and its end, as `piece` does."""
        head = self._head(200, headers, None)
        self._write(head + self._part(data, last))

    def piece(self, data: bytes, last: bytes | None = None) -> None:
        """Sends a piece of the body. With a `last` one, which may be empty, the body ends."""
        if part := self._part(data, last):
            self._write(part)

    def _part(self, data: bytes, last: bytes | None) -> bytes:
        if self._bodyless:
            return b""
        part = self._framed(data) if data else b""
        if last is not None:
            part += self._framed(last) if last else b""
            part += b"0\r\n\r\n" if self._chunked else b""
        return part

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _head(self, status: int, headers: RawHeaders, length: int | None) -> bytes:
        self.begun = True
        lines = [b"HTTP/1.1 %d %b" % (status, _PHRASES.get(status, b"Status"))]
        lines += [b"%b: %b" % header for header in headers if header[0].lower() not in _FRAMING]
        if status not in (204, 304):
            if length is not None:
                lines.append(b"content-length: %d" % length)
            elif self._modern:
                self._chunked = True
                lines.append(b"transfer-encoding: chunked")
            else:
                self.keep_alive = False  # the connection's end is the body's
        if not self.keep_alive:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        return b"\r\n".join(lines)

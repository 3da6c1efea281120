"""A request as it is sent: where to, its head, and its body or the pieces that it is made of."""

import re
from collections.abc import AsyncIterable
from copy import copy
from typing import TYPE_CHECKING, Self

import httpx2

from .destination import Destination, proxy_headers
from .http1.protocol import BodyFraming, request_head

if TYPE_CHECKING:
    from .http2.fields import Fields

__all__ = ["OutgoingRequest"]

_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
_LENGTH = re.compile(rb"(?<=\r\n)content-length: [0-9]+\r\n", re.IGNORECASE)


class OutgoingRequest:
    """A request as it will be sent, through `proxy` if there is one.

    Raises `httpx2.UnsupportedProtocol` or `httpx2.LocalProtocolError` for a request that can't be sent.
    """

    def __init__(self, request: httpx2.Request, proxy: httpx2.Proxy | None) -> None:
        url, extensions = request.url, request.extensions
        if url.scheme not in ("http", "https") or not url.host:
            raise httpx2.UnsupportedProtocol(f"a URL begins with http:// or https:// and a host, not {url.scheme}:")
        secure = url.scheme == "https"
        headers: list[tuple[bytes, bytes]] = request.headers.raw
        target: bytes = extensions.get("target", url.raw_path)
        self.method = request.method
        self.timeouts: dict[str, float | None] = extensions.get("timeout", {})
        port = (443 if secure else 80) if url.port is None else url.port
        if not 0 < port < 65536:
            raise httpx2.UnsupportedProtocol(f"a port is a number from 1 to 65535, not {port}")
        self.destination = Destination(secure, url.raw_host.decode("ascii"), port, extensions.get("sni_hostname"))
        self.key: Destination | None = self.destination
        """What a connection must lead to; None for one to a proxy that forwards plain HTTP to any server."""
        if proxy is not None and not secure:
            self.key = None
            if target.startswith(b"/"):
                target = b"%b://%b%b" % (url.raw_scheme, url.netloc, target)
            own = {name.lower() for name, _ in headers}
            headers = [*headers, *(header for header in proxy_headers(proxy) if header[0].lower() not in own)]
        connection: str = request.headers.get("connection", "")
        self.keeps_alive = "close" not in (option.strip() for option in connection.lower().split(","))
        self.target = target
        self.headers = headers
        """As they are sent, in their order."""
        self.head = request_head(self.method.encode(), target, headers)
        self.framing = BodyFraming(headers)
        self.pieces: AsyncIterable[bytes] | None = None
        """The body, if it is made while it is sent; `body` is empty then."""
        self.content = b""
        """The body as it is, without HTTP/1.1's framing."""
        self._fields: Fields = []
        self._length_apart = False
        try:
            self.content = request.content
            self.body = self.framing.frame(self.content) + self.framing.end()
        except httpx2.RequestNotRead:
            assert isinstance(request.stream, httpx2.AsyncByteStream)
            self.pieces = request.stream
            self.body = b""
        self.repeatable = self.pieces is None and self.method in _IDEMPOTENT

    def without_body(self) -> Self | None:
        """The same request without its body, for `with_body`; None when it has no `Content-Length`."""
        head, lengths = _LENGTH.subn(b"", self.head)
        if self.pieces is not None or lengths != 1:
            return None
        other = copy(self)
        other.head, other.content, other.body = head[:-2], b"", b""
        other.headers = [header for header in self.headers if header[0].lower() != b"content-length"]
        other._fields, other._length_apart = [], True
        return other

    def with_body(self, body: bytes) -> Self:
        """A request made by `without_body`, with this body."""
        other = copy(self)
        other.head = b"%bContent-Length: %d\r\n\r\n" % (self.head, len(body))
        other.content = other.body = body
        return other

    def checked(self, piece: bytes) -> bytes:
        """A piece of the body without HTTP/1.1's framing. Raises `httpx2.LocalProtocolError` when the body gets longer
        than was announced."""
        return piece if self.framing.chunked else self.framing.frame(piece)

    def check_end(self) -> None:
        """Raises `httpx2.LocalProtocolError` when the body was shorter than was announced."""
        if not self.framing.chunked:
            self.framing.end()

    def fields(self) -> "Fields":
        """The head as HTTP/2 has it. Requests that differ in their bodies alone make it once."""
        from .http2.fields import length_field, request_fields  # few use HTTP/2

        if not self._fields:
            scheme = b"https" if self.destination.secure else b"http"
            self._fields += request_fields(self.method, scheme, self.target, self.headers)
        return [*self._fields, length_field(b"%d" % len(self.content))] if self._length_apart else self._fields

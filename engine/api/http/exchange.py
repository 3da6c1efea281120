"""An exchange: one request and its response, on a connection that is theirs until the response's end."""

import re
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from copy import copy
from typing import Any, Protocol, Self

import httpx2
from anyio.lowlevel import checkpoint

from ....actors.response import Sink
from .body import SiftedBody, sift
from .connect import Destination, proxy_headers
from .connection import Connection, aborted
from .http1.protocol import BodyFraming, RawHeaders, ResponseReader, request_head

__all__ = ["Exchange", "OutgoingRequest"]

_IDEMPOTENT = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}
_LENGTH = re.compile(rb"(?<=\r\n)content-length: [0-9]+\r\n", re.IGNORECASE)
_JOINED = 65536  # a body up to this size goes out in one piece with its head


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
        self._head = request_head(self.method.encode(), target, headers)
        self._framing = BodyFraming(headers)
        self._stream: AsyncIterable[bytes] | None = None
        try:
            self._body = self._framing.frame(request.content) + self._framing.end()
        except httpx2.RequestNotRead:
            assert isinstance(request.stream, httpx2.AsyncByteStream)
            self._stream = request.stream
            self._body = b""
        self.repeatable = self._stream is None and self.method in _IDEMPOTENT

    def without_body(self) -> Self | None:
        """The same request without its body, for `with_body`; None when it has no `Content-Length`."""
        head, lengths = _LENGTH.subn(b"", self._head)
        if self._stream is not None or lengths != 1:
            return None
        other = copy(self)
        other._head, other._body = head[:-2], b""
        other.headers = [header for header in self.headers if header[0].lower() != b"content-length"]
        return other

    def with_body(self, body: bytes) -> Self:
        """A request made by `without_body`, with this body."""
        other = copy(self)
        other._head = b"%bContent-Length: %d\r\n\r\n" % (self._head, len(body))
        other._body = body
        return other

    async def send(self, connection: Connection) -> bool:
        """Sends it. Returns False when the response has begun before all was sent."""
        seconds = self.timeouts.get("write")
        if self._stream is None:
            if len(self._body) <= _JOINED:
                return await connection.send(self._head + self._body, seconds)
            return await connection.send(self._head, seconds) and await connection.send(self._body, seconds)
        if not await connection.send(self._head, seconds):
            return False
        pieces = aiter(self._stream)
        try:
            async for piece in pieces:
                if not await connection.send(self._framing.frame(piece), seconds):
                    return False
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        return await connection.send(self._framing.end(), seconds)


class Released(Protocol):
    """Takes back the connection of an exchange that is over; `reusable` says whether it can be used again."""

    def __call__(self, exchange: "Exchange", connection: Connection, /, *, reusable: bool) -> None: ...


class Exchange(httpx2.AsyncByteStream):
    """Sends a request, then reads its response. `release` is called once, at the end, with the connection."""

    def __init__(self, request: OutgoingRequest, connection: Connection, release: Released) -> None:
        self.request = request
        self.reader = ResponseReader(request.method)
        self._connection: Connection | None = connection
        self._release = release
        self._sifted: SiftedBody | None = None

    async def open(self) -> None:
        """Sends the request and waits for the response's head. When that fails, or is cancelled, it is over."""
        connection, reader = self._connection, self.reader
        assert connection is not None
        connection.begin(reader, self.request.timeouts.get("read"))
        try:
            whole = await self.request.send(connection)
            await connection.read_head()
            self._sifted = sift(reader)
        except BaseException:
            self.abort()
            raise
        if not whole or not self.request.keeps_alive:
            reader.reusable = False

    def response(self) -> httpx2.Response:
        """The response as httpx2's class, once its head has come. Its extension `exchange` is this exchange."""
        reader = self.reader
        extensions: dict[str, Any] = {
            "http_version": b"HTTP/" + reader.version,
            "reason_phrase": reader.reason,
            "exchange": self,
        }
        headers = reader.headers
        if self._sifted is not None and reader.header(b"content-encoding"):
            # The body is given inflated.
            headers = [pair for pair in headers if pair[0].lower() not in (b"content-encoding", b"content-length")]
        return httpx2.Response(reader.status, headers=headers, stream=self, extensions=extensions)

    @property
    def status(self) -> int:
        """The response's status, once it is open."""
        return self.reader.status

    @property
    def headers(self) -> RawHeaders:
        """The response's headers, as they came."""
        return self.reader.headers

    async def pump(self, sink: Sink) -> bool:
        """Gives every piece of the body to `sink` as it comes. Returns True at the body's end; or, once `sink` has
        returned False, False unless the body has ended with that piece.

        Until it is pumped on, what comes waits in the socket, but for one read of 64 KiB. On asyncio no task is woken
        for a piece: `sink` is called in the event loop's callback, without the task's context variables.

        Raises httpx2's exceptions, and what `sink` raises: then the connection has been dropped. Cancelled, it can be
        called again.
        """
        if self._connection is None:
            if self.reader.complete or (self._sifted is not None and self._sifted.over):
                return True
            raise aborted()
        try:
            if self._sifted is not None:
                return await self._pump_sifted(self._sifted, sink, self._connection)
            ended = await self._connection.pump(sink)
        except Exception:
            self.abort()
            raise
        if ended:
            self._finish()
        return ended

    async def _pump_sifted(self, body: SiftedBody, sink: Sink, connection: Connection) -> bool:
        body.sink, body.refused = sink, False
        try:
            while not body.over:
                if body.pending:
                    body.step()
                elif await connection.pump(body.take) and not body.pending and not body.over:
                    body.finish()
                    self._finish()
                    return True
                if body.refused:
                    return False
                if body.pending:
                    await checkpoint()  # a body may take many steps: other tasks get their turn
        finally:
            body.sink = None
        self.abort()
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        taken: list[bytes] = []

        def take(piece: bytes) -> bool:
            taken.append(piece)
            return False

        ended = False
        while not ended:
            ended = await self.pump(take)
            if taken:
                yield taken.pop()

    async def aclose(self) -> None:
        """Gives the connection back if all of the body has come, and aborts it otherwise. It doesn't wait."""
        if self.reader.complete:
            self._finish()
        else:
            self.abort()

    def abort(self) -> None:
        """Drops the connection at once, unless it was given back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self.reader.close()
            self._release(self, connection, reusable=False)

    def _finish(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.end()
            self._release(self, connection, reusable=self.reader.reusable)

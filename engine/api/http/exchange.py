"""An exchange: one request and its response, on a connection, or a share of one, that is theirs until the response's
end."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

import httpx2
from anyio.lowlevel import checkpoint

from ....actors.response import Sink
from .body import SiftedBody, sift
from .connection import Connection, aborted
from .http1.protocol import RawHeaders
from .outgoing import OutgoingRequest

__all__ = ["Exchange"]


class Released(Protocol):
    """Takes back the connection of an exchange that is over; `reusable` says whether it can be used again."""

    def __call__(self, exchange: "Exchange", connection: Connection, /, *, reusable: bool) -> None: ...


class Exchange(httpx2.AsyncByteStream):
    """Sends a request, then reads its response. `release` is called once, at the end, with the connection."""

    def __init__(self, request: OutgoingRequest, connection: Connection, release: Released) -> None:
        self.request = request
        self.reader = connection.begin(request)
        self._connection: Connection | None = connection
        self._release = release
        self._sifted: SiftedBody | None = None

    async def open(self) -> None:
        """Sends the request and waits for the response's head. When that fails, or is cancelled, it is over."""
        connection, reader = self._connection, self.reader
        assert connection is not None
        try:
            whole = await connection.send_request(self.request)
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

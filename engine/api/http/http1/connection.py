"""A connection over which HTTP/1.1 is spoken: one request at a time, and its response. An event loop's end completes it
by what moves the bytes."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from typing import Protocol

from .....actors.response import Sink
from .protocol import BodyFraming, ResponseReader

__all__ = ["Http1Connection"]

_JOINED = 65536  # a body up to this size goes out in one piece with its head


class _Request(Protocol):
    """What is sent: the body is `body`, or what `pieces` gives."""

    @property
    def method(self) -> str: ...
    @property
    def head(self) -> bytes: ...
    @property
    def body(self) -> bytes: ...
    @property
    def pieces(self) -> AsyncIterable[bytes] | None: ...
    @property
    def framing(self) -> BodyFraming: ...
    @property
    def timeouts(self) -> Mapping[str, float | None]: ...


class Http1Connection(ABC):
    """A connection to a server or to a proxy.

    The methods that wait raise `httpx2.TransportError` when the connection fails, and it is aborted then. When they are
    cancelled, the caller has to abort it.
    """

    def begin(self, request: _Request) -> ResponseReader:
        """Makes the reader to which all goes that is received from now on."""
        reader = ResponseReader(request.method)
        self.receive_into(reader, request.timeouts.get("read"))
        return reader

    async def send_request(self, request: _Request) -> bool:
        """Sends the request, or returns False when the response has begun before all was sent."""
        seconds = request.timeouts.get("write")
        if request.pieces is None:
            if len(request.body) <= _JOINED:
                return await self.send(request.head + request.body, seconds)
            return await self.send(request.head, seconds) and await self.send(request.body, seconds)
        if not await self.send(request.head, seconds):
            return False
        pieces = aiter(request.pieces)
        try:
            async for piece in pieces:
                if not await self.send(request.framing.frame(piece), seconds):
                    return False
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        return await self.send(request.framing.end(), seconds)

    @abstractmethod
    def receive_into(self, reader: ResponseReader, read_seconds: float | None) -> None:
        """Gives what is received from now on to `reader`. A wait for bytes may take `read_seconds` (None: for ever)."""

    @abstractmethod
    async def send(self, data: bytes, seconds: float | None) -> bool:
        """Sends a part of the request, or returns False when the response has begun before all was sent."""

    @abstractmethod
    async def read_head(self) -> None:
        """Waits for the response's head."""

    @abstractmethod
    async def pump(self, sink: Sink) -> bool:
        """Gives the body to `sink` until its end, and returns True; or until the sink wants no more, and returns False
        unless that was the end."""

    @abstractmethod
    def end(self) -> None:
        """Makes the connection idle, once the response is complete."""

    @abstractmethod
    def is_open(self) -> bool:
        """Whether an idle connection can still be used: it is not closed, and has nothing to read."""

    @abstractmethod
    def abort(self) -> None:
        """Drops the connection at once, whatever it is doing. A second call does nothing."""

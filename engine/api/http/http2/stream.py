"""One request's share of an HTTP/2 connection: what an exchange sees in place of a connection of its own."""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import nullcontext
from typing import Protocol

import anyio
import httpx2
from anyio.lowlevel import checkpoint

from .....actors.response import Sink
from .fields import Fields
from .incoming import Failure, Incoming
from .session import Session

__all__ = ["Http2Stream", "Unprocessed", "error_of"]

_PIECE_OF_TURNS = 1 << 18  # after so many bytes of an upload other tasks get their turn


class Unprocessed(httpx2.RemoteProtocolError):
    """The server has not looked at the request: it may be sent again, whatever its method. `reason` is as in
    `Failure`."""

    def __init__(self, words: str, reason: str) -> None:
        super().__init__(words)
        self.reason = reason


def error_of(failure: Failure) -> httpx2.TransportError:
    """The exception that tells of a failure: a new one each time, since its traceback refers to whoever raises it."""
    match failure.reason:
        case "protocol":
            return httpx2.RemoteProtocolError(failure.words)
        case "broken":
            return httpx2.ReadError(failure.words)
        case reason:
            return Unprocessed(failure.words, reason)


class Request(Protocol):
    """What is sent: the body is `content`, or what `pieces` gives."""

    @property
    def method(self) -> str: ...
    @property
    def content(self) -> bytes: ...
    @property
    def pieces(self) -> AsyncIterable[bytes] | None: ...
    @property
    def timeouts(self) -> Mapping[str, float | None]: ...

    def fields(self) -> Fields: ...

    def checked(self, piece: bytes) -> bytes:
        """A piece of the body; raises when the body gets longer than was announced."""
        ...

    def check_end(self) -> None:
        """Raises when the body was shorter than was announced."""
        ...


class Link(Protocol):
    """The connection, as a stream of it sees it."""

    session: Session
    to_send: set["Http2Stream"]
    """The streams that wait for room to send."""

    @property
    def blocked(self) -> bool: ...

    def open(self, stream: "Http2Stream", fields: Fields, *, end: bool) -> None:
        """Opens the stream. Raises `Unprocessed` when the connection takes no more."""
        ...

    def leave(self, stream: "Http2Stream") -> None:
        """Ends the stream from our side."""
        ...

    def flush_soon(self) -> None: ...

    def flush_body(self, count: int) -> None:
        """Sends soon, or now when much has gathered: whoever sends a body learns in time that the wire is blocked."""
        ...


class Http2Stream(Incoming):
    """A `Connection` for one exchange. It is its own reader, and frees itself: no cycle is left at its end."""

    __slots__ = ("_event", "_link", "_raised", "_read_seconds", "_refused", "_sink", "on_used")

    def __init__(self, link: Link, method: str, *, on_used: bool) -> None:
        super().__init__(method)
        self.on_used = on_used
        """Whether the connection had other streams before."""
        self._link = link
        self._read_seconds: float | None = None
        self._sink: Sink | None = None
        self._refused = False
        self._raised: BaseException | None = None
        self._event: anyio.Event | None = None

    def begin(self, request: Request) -> Incoming:
        """Makes ready for the request, and returns what will read its response."""
        self._read_seconds = request.timeouts.get("read")
        return self

    async def send_request(self, request: Request) -> bool:
        """Sends the request, or returns False when the response has begun before all was sent. Raises `Unprocessed`
        when the server has not looked at it, and other exceptions of httpx2."""
        seconds = request.timeouts.get("write")
        if request.pieces is None:
            body = request.content
            self._link.open(self, request.fields(), end=not body)
            return not body or await self._send(body, seconds, end=True)
        self._link.open(self, request.fields(), end=False)
        pieces = aiter(request.pieces)
        try:
            async for piece in pieces:
                if piece and not await self._send(request.checked(piece), seconds, end=False):
                    return False
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        request.check_end()
        return await self._send(b"", seconds, end=True)

    async def _send(self, data: bytes, seconds: float | None, *, end: bool) -> bool:
        link, session = self._link, self._link.session
        view, sent = memoryview(data), 0
        while True:
            if self.has_head:
                return False
            self._check()
            room = session.room(self)
            if view and (room <= 0 or link.blocked):
                link.to_send.add(self)
                try:
                    await self._wait(seconds, httpx2.WriteTimeout("the server did not take the request in time"))
                finally:
                    link.to_send.discard(self)
                continue
            piece, view = view[:room], view[room:]
            session.send(self, bytes(piece), end=end and not view)
            link.flush_body(len(piece))
            if not view:
                return True
            sent += len(piece)
            if sent >= _PIECE_OF_TURNS:
                sent = 0
                await checkpoint()

    async def read_head(self) -> None:
        """Waits for the response's head."""
        while not self.has_head:
            self._check()
            await self._wait_to_read()

    async def pump(self, sink: Sink) -> bool:
        """Gives the body to `sink` until its end, and returns True; or until the sink wants no more, and returns False
        unless that was the end."""
        while True:
            if self.pieces:
                try:
                    wants_more = sink(self.take())
                finally:
                    self._credit()
                if not wants_more:
                    return self.complete
            if self.complete:
                return True
            self._check()
            if self._sink is not None:
                raise RuntimeError("another task is reading this response")
            self._sink = sink
            try:
                await self._wait_to_read()
            finally:
                self._sink = None
                refused, self._refused = self._refused, False
            if refused:
                return self.complete and not self.pieces

    def end(self) -> None:
        """Is told that the response is complete."""
        self._link.leave(self)

    def abort(self) -> None:
        """Drops the request at once, whatever it is doing: the server is told in one frame, and the connection goes on.
        A second call does nothing."""
        if self.failure is None and not self.complete:
            self.failure = Failure("broken", "the connection was aborted")
        self.pieces.clear()
        self._link.leave(self)
        self.wake()

    # -- for the connection

    def advance(self) -> None:
        """Is told that something happened: gives what has come to the sink, and wakes the task if it has to know."""
        sink = self._sink
        if self.pieces and sink is not None:
            try:
                wants_more = sink(self.take())
            except BaseException as exc:
                self._raised = exc
                self.abort()
                return
            self._credit()
            if not wants_more:
                self._sink = None
                self._refused = True
                self.wake()
        if sink is None or self.complete or self.failure is not None:
            self.wake()

    def wake(self) -> None:
        if self._event is not None:
            self._event.set()

    # -- waiting, in the one task that uses the stream

    def _credit(self) -> None:
        if self._link.session.credit(self):
            self._link.flush_soon()

    def _check(self) -> None:
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        if self.failure is not None:
            raise error_of(self.failure)

    async def _wait_to_read(self) -> None:
        await self._wait(self._read_seconds, httpx2.ReadTimeout("the server sent nothing in time"))

    async def _wait(self, seconds: float | None, late: httpx2.TransportError) -> None:
        """Waits until something has happened; the caller checks what."""
        if self._event is not None:
            raise RuntimeError("another task is reading this response")
        self._event = event = anyio.Event()
        try:
            with nullcontext() if seconds is None else anyio.move_on_after(seconds):
                await event.wait()
        finally:
            self._event = None
        if not event.is_set():
            self.abort()
            raise late

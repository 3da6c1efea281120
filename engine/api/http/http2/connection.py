"""An HTTP/2 connection on an event loop: between the session, which knows the frames, and the wire, which moves the
bytes, and the streams that wait for both."""

from collections.abc import Callable

import anyio

from .fields import Fields
from .incoming import Failure, Incoming
from .session import Session
from .stream import Http2Stream, Unprocessed, error_of
from .wire import Wire

__all__ = ["Http2Connection"]

_MUCH = 65536  # bytes of bodies that are sent at once
_MOST_UNREAD = 1 << 20  # bytes that wait for a server that asks, and does not read the answers


class Http2Connection:
    """A connection to a server. Without a stream it is dropped after `expiry` seconds; `over` is called once, when it
    is. What is received goes to the sinks of the streams from the event loop itself."""

    def __init__(self, wire: Wire, expiry: float, over: Callable[["Http2Connection"], None]) -> None:
        self.session = Session(wire.clock())
        self.to_send: set[Http2Stream] = set()
        self._used = False
        self._wire = wire
        self._expiry = expiry
        self._over: Callable[[Http2Connection], None] | None = over
        self._flushing = False
        self._gathered = 0
        self._changed = anyio.Event()
        self.flush()
        wire.attach(self)

    # -- what may be opened

    @property
    def has_room(self) -> bool:
        return self.session.has_room

    @property
    def load(self) -> int:
        """How many streams are open."""
        return len(self.session.streams)

    @property
    def limit(self) -> int:
        """How many streams may be open at once."""
        return self.session.limit

    @property
    def going_away(self) -> bool:
        """Whether it gets no new streams, and ends with those it has."""
        return self.session.going_away

    @property
    def broke_http2(self) -> bool:
        return self.session.protocol_broken

    @property
    def wants_http1(self) -> bool:
        return self.session.wants_http1

    @property
    def answered(self) -> bool:
        return self.session.answered

    async def wait_for_room(self) -> None:
        """Waits until a stream may be opened. Raises `httpx2.TransportError` when none ever will be."""
        session = self.session
        while not session.has_room:
            if session.failure is not None:
                raise error_of(session.failure)
            if session.going_away:
                raise Unprocessed("the server took no request", "http1" if session.wants_http1 else "unprocessed")
            await self._changed.wait()
            self._changed = anyio.Event()

    def new_stream(self, method: str) -> Http2Stream:
        """A stream for a request; it counts once its head is sent."""
        return Http2Stream(self, method, on_used=self._used)

    # -- for its streams

    @property
    def blocked(self) -> bool:
        return self._wire.blocked

    def open(self, stream: Http2Stream, fields: Fields, *, end: bool) -> None:
        """Opens a stream. Raises `Unprocessed` when that can't be, for the connection has changed meanwhile."""
        if not self.session.has_room:
            raise Unprocessed("the connection took no more requests", "unprocessed")
        self._used = True
        self.session.open(stream, fields, end=end)
        self.flush_soon()

    def leave(self, stream: Incoming) -> None:
        """Ends a stream from our side."""
        self.session.leave(stream, self._wire.clock())
        self.flush_soon()
        self._settle()

    def flush_soon(self) -> None:
        """Sends what there is to send, once: after the tasks that are ready have added theirs."""
        if not self._flushing:
            self._flushing = True
            self._wire.soon(self.flush)

    def flush_body(self, count: int) -> None:
        """Sends soon, or now when much has gathered: whoever sends a body learns in time that the wire is blocked."""
        self._gathered += count
        if self._gathered >= _MUCH:
            self.flush()
        else:
            self.flush_soon()

    def flush(self) -> None:
        """Sends what there is to send."""
        self._flushing = False
        self._gathered = 0
        if data := self.session.data_to_send():
            self._wire.write(data)
            if self._wire.buffered > _MOST_UNREAD:
                self._end(Failure("protocol", "the server broke HTTP/2: it asks, and does not read what is answered"))

    # -- what the wire tells

    def received(self, data: bytes) -> None:
        session = self.session
        for stream in session.receive(data, self._wire.clock()):
            _advance(stream)
        if session.unblocked:
            session.unblocked = False
            self._unblock()
        self.flush()
        self._settle()

    def ended(self) -> None:
        for stream in self.session.receive_eof(self._wire.clock()):
            _advance(stream)
        self._settle()

    def lost(self, exc: Exception) -> None:
        self._end(Failure("broken", f"the connection broke: {exc}" if str(exc) else "the connection broke"))

    def writable(self) -> None:
        self._unblock()

    def tick(self) -> float | None:
        seconds = self.session.tick(self._wire.clock(), self._expiry)
        if seconds is None:
            self._end(Failure("broken", "the server is dead: it did not answer a ping"))
            return None
        self.flush()
        return seconds

    def abort(self) -> None:
        """Drops the connection at once, and with it its streams."""
        self._end(Failure("broken", "the connection was aborted"))

    # -- what comes of it

    def _end(self, failure: Failure) -> None:
        for stream in self.session.end(failure, self._wire.clock()):
            _advance(stream)
        self._settle()

    def _settle(self) -> None:
        """Looks whether the connection is over, or has no more use."""
        session = self.session
        self._changed.set()
        if session.failure is None and session.going_away and not session.streams:
            session.end(Failure("unprocessed", "the connection takes no more requests"), self._wire.clock())
        if session.failure is not None and self._over is not None:
            over, self._over = self._over, None
            self._wire.abort()
            over(self)

    def _unblock(self) -> None:
        for stream in list(self.to_send):
            stream.wake()


def _advance(stream: Incoming) -> None:
    assert isinstance(stream, Http2Stream)
    stream.advance()

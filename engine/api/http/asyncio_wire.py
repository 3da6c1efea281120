"""The wire of an HTTP/2 connection on asyncio, uvloop included: it takes a transport over once TLS is established."""

import asyncio
import contextvars
import ssl
from collections.abc import Callable
from functools import partial

from .http2.wire import WireUser
from .tls import TlsLayer

__all__ = ["AsyncioWire"]


class AsyncioWire(asyncio.BufferedProtocol):
    """A `Wire` on asyncio. It reads into `buffer`, which all connections of an event loop may share."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport | None, tls: TlsLayer, buffer: memoryview
    ) -> None:
        self._loop = loop
        self._transport = transport  # None when the connection broke already
        self._tls = tls
        self._buffer = buffer
        self._user: WireUser | None = None
        self._alarm: asyncio.TimerHandle | None = None
        # What is called later knows nothing of the task for whose request the connection was made.
        self._context = contextvars.Context()
        self.blocked = False

    @property
    def buffered(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def attach(self, user: WireUser) -> None:
        self._user = user
        if self._transport is not None:
            self._transport.set_protocol(self)
        self._receive(b"")
        if self._transport is None:
            self._end()
        else:
            self._tick()

    def write(self, data: bytes) -> None:
        if self._transport is None:
            return
        try:
            self._transport.write(self._tls.encrypt(data))
        except ssl.SSLError as exc:
            self.soon(partial(self.connection_lost, exc))

    def soon(self, call: Callable[[], None]) -> None:
        self._loop.call_soon(call, context=self._context)

    def clock(self) -> float:
        return self._loop.time()

    def abort(self) -> None:
        transport, self._transport = self._transport, None
        self._user = None
        if self._alarm is not None:
            self._alarm.cancel()
        if transport is not None:
            transport.abort()

    # -- what the event loop calls

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(self._buffer[:nbytes])

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._end()
        elif self._user is not None:
            self._user.lost(exc)

    def pause_writing(self) -> None:
        self.blocked = True

    def resume_writing(self) -> None:
        self.blocked = False
        if self._user is not None:
            self._user.writable()

    # -- what comes of it

    def _receive(self, data: memoryview | bytes) -> None:
        user = self._user
        if user is None:
            return
        try:
            plain = self._tls.decrypt(data)
        except ssl.SSLError as exc:
            user.lost(exc)
            return
        if plain:
            user.received(plain)
        if self._tls.ended:
            self._end()

    def _end(self) -> None:
        if self._user is not None:
            self._user.ended()

    def _tick(self) -> None:
        if self._user is not None and (seconds := self._user.tick()) is not None:
            self._alarm = self._loop.call_later(seconds, self._tick, context=self._context)

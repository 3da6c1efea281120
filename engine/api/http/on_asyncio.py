"""Connections on asyncio, uvloop included. What is received goes to the sink in the event loop's callback, without
waking a task."""

import asyncio
import ssl
from contextlib import nullcontext
from typing import cast

import anyio
import httpx2

from ....actors.response import Sink
from .asyncio_wire import AsyncioWire
from .connection import SocketConnection, aborted, closed, is_readable, read_error
from .dial import dial
from .http1.protocol import ResponseReader
from .tls import TlsLayer

__all__ = ["AsyncioConnection", "open_connection"]

_PIECE = 65536  # how much of a request is written at a time


async def open_connection(host: str, port: int, buffer: memoryview) -> "AsyncioConnection":
    """Connects to a server; `buffer` is for `AsyncioConnection`. Raises `OSError`. Cancelled, it leaves nothing
    open."""
    loop = asyncio.get_running_loop()
    sock = await dial(loop, host, port)
    try:
        _, connection = await loop.create_connection(lambda: AsyncioConnection(loop, buffer), sock=sock)
    except BaseException:
        sock.close()
        raise
    return connection


class AsyncioConnection(SocketConnection, asyncio.BufferedProtocol):
    """A connection on asyncio. It reads into `buffer`, which all connections of an event loop may share: what was
    read is copied out of it in the same step."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: memoryview) -> None:
        self._loop = loop
        self._buffer = buffer
        self._transport: asyncio.Transport | None = None
        self._fd = -1
        self._tls: TlsLayer | None = None
        self._handshake: TlsLayer | None = None
        self._reader: ResponseReader | None = None
        self._sink: Sink | None = None
        self._refused = False
        self._read_seconds: float | None = None
        self._last_read = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._failed = False
        self._error: BaseException | None = None
        self._reading_paused = False
        self._writing_paused = False

    # -- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not of this class
        self._fd = transport.get_extra_info("socket").fileno()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        reader, tls = self._reader, self._tls
        if reader is None:
            self._receive_unasked(self._buffer[:nbytes])
            return
        had_head = reader.has_head
        try:
            if tls is None:
                reader.receive(self._buffer[:nbytes])
            elif data := tls.decrypt(self._buffer[:nbytes]):
                reader.receive(data)
        except (httpx2.RemoteProtocolError, ssl.SSLError) as exc:
            self._fail(read_error(exc))
            return
        if self._read_seconds is not None:
            self._last_read = self._loop.time()
        if reader.pieces:
            if self._sink is not None:
                # The hot path ends here: nothing is woken while the sink wants more.
                try:
                    wants_more = self._sink(reader.take())
                except BaseException as exc:
                    self._fail(exc)
                    return
                if not wants_more:
                    self._sink = None
                    self._refused = True
                    self._wake()
            elif had_head and not reader.complete:
                self._pause_reading()
        if reader.complete or reader.has_head is not had_head:
            self._wake()
        if tls is not None and tls.ended:
            self._receive_eof()

    def eof_received(self) -> None:
        self._receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._receive_eof()
        else:
            self._fail(read_error(exc))

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._wake()

    # -- what comes of it

    def _receive_unasked(self, data: memoryview) -> None:
        try:
            if self._handshake is not None:
                self._write(self._handshake.handshake(data))
                self._wake()
            elif self._tls is None or self._tls.decrypt(data) or self._tls.ended:
                self.abort()  # records of TLS itself, such as session tickets, are let pass
        except ssl.SSLError as exc:
            self._fail(read_error(exc) if self._handshake is None else exc)

    def _receive_eof(self) -> None:
        if self._failed:
            return
        if self._reader is not None:
            try:
                self._reader.receive_eof()
            except httpx2.RemoteProtocolError as exc:
                self._fail(exc.with_traceback(None))
                return
        self._fail(closed())

    def _fail(self, exc: BaseException) -> None:
        """Ends the connection. Only the first failure is kept."""
        if self._failed:
            return
        self._failed = True
        self._error = exc
        if self._reader is not None:
            self._reader.close()
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _failure(self) -> BaseException:
        """The failure, to be raised. It is not kept: its traceback will refer to this connection, a reference cycle."""
        exc, self._error = self._error, None
        return aborted() if exc is None else exc

    def _write(self, data: bytes | memoryview) -> None:
        if data and self._transport is not None and not self._failed:
            self._transport.write(data)

    def _pause_reading(self) -> None:
        if self._transport is not None and not self._reading_paused and not self._failed:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._transport is not None and self._reading_paused and not self._failed:
            self._reading_paused = False
            self._transport.resume_reading()

    # -- waiting, in the one task that uses the connection

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        """Waits until something has happened; the caller checks what."""
        if self._waiter is not None:
            raise RuntimeError("another task is reading this response")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _wait_to_read(self) -> None:
        if self._read_seconds is None:
            await self._wait()
            return
        self._last_read = self._loop.time()
        self._alarm = self._loop.call_later(self._read_seconds, self._check_time, self._read_seconds)
        try:
            await self._wait()
        finally:
            self._alarm.cancel()

    def _check_time(self, seconds: float) -> None:
        # One timer that is renewed when something came meanwhile costs less than a timer for each read.
        left = self._last_read + seconds - self._loop.time()
        if left > 0:
            self._alarm = self._loop.call_later(left, self._check_time, seconds)
        else:
            self._fail(httpx2.ReadTimeout("the server sent nothing in time"))

    async def start_tls(self, layer: TlsLayer) -> None:
        self._handshake = layer
        self._write(layer.handshake())
        while not layer.established:
            if self._failed:
                raise self._failure()
            await self._wait()
        self._handshake, self._tls = None, layer

    @property
    def chose_http2(self) -> bool:
        return self._tls is not None and self._tls.chose_http2

    def into_wire(self) -> AsyncioWire:
        transport, self._transport = self._transport, None
        lost, self._failed = self._failed, True
        assert self._tls is not None
        return AsyncioWire(self._loop, None if lost else transport, self._tls, self._buffer)

    def receive_into(self, reader: ResponseReader, read_seconds: float | None) -> None:
        self._reader, self._read_seconds = reader, read_seconds

    async def send(self, data: bytes, seconds: float | None) -> bool:
        reader = self._reader
        assert reader is not None
        view = memoryview(data)
        while view:
            with anyio.move_on_after(seconds) if self._writing_paused else nullcontext():
                while self._writing_paused and not reader.has_head and not self._failed:
                    await self._wait()
            if reader.has_head:
                return False
            if self._failed:
                raise self._failure()
            if self._writing_paused:
                self.abort()
                raise httpx2.WriteTimeout("the server did not take the request in time")
            piece, view = view[:_PIECE], view[_PIECE:]
            try:
                self._write(piece if self._tls is None else self._tls.encrypt(piece))
            except ssl.SSLError as exc:
                raise httpx2.WriteError(f"the connection broke: {exc}") from exc
        return True

    async def read_head(self) -> None:
        reader = self._reader
        assert reader is not None
        while not reader.has_head:
            if self._failed:
                raise self._failure()
            await self._wait_to_read()

    async def pump(self, sink: Sink) -> bool:
        reader = self._reader
        assert reader is not None
        while True:
            if reader.pieces:
                try:
                    wants_more = sink(reader.take())
                except BaseException:
                    self.abort()
                    raise
                if not wants_more:
                    return reader.complete
            if reader.complete:
                return True
            if self._failed:
                raise self._failure()
            self._sink = sink
            self._resume_reading()
            try:
                await self._wait_to_read()
            finally:
                self._sink = None
                refused, self._refused = self._refused, False
            if refused:
                return reader.complete and not reader.pieces

    def end(self) -> None:
        self._reader = self._read_seconds = None
        self._resume_reading()
        if self._transport is not None and self._transport.get_write_buffer_size():
            self.abort()  # the response came before all of the request was sent

    def is_open(self) -> bool:
        return not self._failed and not is_readable(self._fd)

    def abort(self) -> None:
        self._fail(aborted())

"""Connections on trio. What is received goes to the sink in the task that pumps.

They are bare sockets, watched through `trio.lowlevel`: a read through trio's own streams costs twice as much.
"""

import math
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx2
import trio

from ....actors.response import Sink
from .connection import SocketConnection, aborted, closed, is_readable, prepare_socket, read_error
from .http1.protocol import ResponseReader
from .tls import TlsLayer
from .trio_wire import TrioWire
from .ungrouped import ungrouped

__all__ = ["TrioConnection", "open_connection"]

_PIECE = 65536  # how much of a request is encrypted at a time


async def open_connection(host: str, port: int, buffer: memoryview) -> "TrioConnection":
    """Connects to a server; `buffer` is for `TrioConnection`. Raises `OSError`. Cancelled, it leaves nothing open."""
    stream = await ungrouped(trio.open_tcp_stream, host, port)
    sock = socket.socket(stream.socket.family, stream.socket.type, fileno=stream.socket.detach())
    try:
        sock.setblocking(False)
        prepare_socket(sock)
    except OSError:
        sock.close()
        raise
    return TrioConnection(sock, buffer)


class TrioConnection(SocketConnection):
    """A connection on trio. It reads into `buffer`, which all connections of an event loop may share: what was read
    is copied out of it in the same step."""

    def __init__(self, sock: socket.socket, buffer: memoryview) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._buffer = buffer
        self._tls: TlsLayer | None = None
        self._reader: ResponseReader | None = None
        self._read_seconds: float | None = None
        self._failed = False
        self._error: Exception | None = None

    async def start_tls(self, layer: TlsLayer) -> None:
        await self._send(layer.handshake(), None)
        while not layer.established:
            if self._failed:
                raise self._failure()
            with suppress(trio.ClosedResourceError):
                await trio.lowlevel.wait_readable(self._fd)
            if self._failed:
                continue
            try:
                count = self._sock.recv_into(self._buffer)
            except BlockingIOError:
                continue
            if not count:
                raise closed()
            await self._send(layer.handshake(self._buffer[:count]), None)
        self._tls = layer

    @property
    def chose_http2(self) -> bool:
        return self._tls is not None and self._tls.chose_http2

    def into_wire(self) -> TrioWire:
        self._failed = True
        assert self._tls is not None
        return TrioWire(self._sock, self._tls, self._buffer)

    def receive_into(self, reader: ResponseReader, read_seconds: float | None) -> None:
        self._reader, self._read_seconds = reader, read_seconds

    async def send(self, data: bytes, seconds: float | None) -> bool:
        if self._tls is None:
            return await self._send(data, seconds)
        view = memoryview(data)
        while view:
            piece, view = view[:_PIECE], view[_PIECE:]
            try:
                encrypted = self._tls.encrypt(piece)
            except ssl.SSLError as exc:
                raise httpx2.WriteError(f"the connection broke: {exc}") from exc
            if not await self._send(encrypted, seconds):
                return False
        return True

    async def read_head(self) -> None:
        reader = self._reader
        assert reader is not None
        while not reader.has_head:
            if self._failed:
                raise self._failure()
            await self._wait_to_read()
            self._receive()

    async def pump(self, sink: Sink) -> bool:
        reader = self._reader
        assert reader is not None
        while True:
            if reader.pieces and not sink(reader.take()):
                return reader.complete
            if reader.complete:
                return True
            if self._failed:
                raise self._failure()
            await self._wait_to_read()
            self._receive()

    def end(self) -> None:
        self._reader = None

    def is_open(self) -> bool:
        return not self._failed and not is_readable(self._fd)

    def abort(self) -> None:
        self._fail(aborted())

    def _fail(self, exc: Exception) -> None:
        """Ends the connection. Only the first failure is kept."""
        if self._failed:
            return
        self._failed = True
        self._error = exc
        if self._reader is not None:
            self._reader.close()
        trio.lowlevel.notify_closing(self._fd)
        self._sock.close()

    def _failure(self) -> Exception:
        """The failure, to be raised. It is not kept: its traceback will refer to this connection, a reference cycle."""
        exc, self._error = self._error, None
        return aborted() if exc is None else exc

    def _receive(self) -> None:
        """Reads what has come, and gives it to the reader."""
        reader, tls = self._reader, self._tls
        assert reader is not None
        if self._failed:
            return
        try:
            count = self._sock.recv_into(self._buffer)
            if count and tls is None:
                reader.receive(self._buffer[:count])
                return
            if count and tls is not None:
                if data := tls.decrypt(self._buffer[:count]):
                    reader.receive(data)
                if not tls.ended:
                    return
            reader.receive_eof()
        except BlockingIOError:
            return
        except (OSError, httpx2.RemoteProtocolError) as exc:
            self._fail(read_error(exc))
        else:
            self._fail(closed())

    async def _wait_to_read(self) -> None:
        try:
            if self._read_seconds is None:
                await trio.lowlevel.wait_readable(self._fd)
                return
            with trio.move_on_after(self._read_seconds) as scope:
                await trio.lowlevel.wait_readable(self._fd)
            if scope.cancelled_caught:
                self._fail(httpx2.ReadTimeout("the server sent nothing in time"))
        except trio.ClosedResourceError:
            pass  # aborted

    async def _send(self, data: bytes, seconds: float | None) -> bool:
        """Sends `data` as it is. Returns False when the response has begun, or when the connection broke: a response
        may have come before that."""
        view = memoryview(data)
        while view:
            if self._failed:
                raise self._failure()
            try:
                view = view[self._sock.send(view) :]
            except BlockingIOError:
                await self._wait_to_write(seconds)
            except OSError:
                return False
            if self._reader is not None and self._reader.has_head:
                return False
        return True

    async def _wait_to_write(self, seconds: float | None) -> None:
        """Waits until there is room, or something was received: a server may answer before it has read all."""
        with trio.move_on_after(math.inf if seconds is None else seconds) as scope:
            await ungrouped(self._wait_for_either)
        if scope.cancelled_caught:
            self._fail(httpx2.WriteTimeout("the server did not take the request in time"))
        elif self._reader is not None:
            self._receive()

    async def _wait_for_either(self) -> None:
        """Waits until the socket can be written or read. Cancelled, it raises a group."""

        async def wait(what: Callable[[int], Awaitable[None]]) -> None:
            with suppress(trio.ClosedResourceError):
                await what(self._fd)
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, trio.lowlevel.wait_writable)
            nursery.start_soon(wait, trio.lowlevel.wait_readable)

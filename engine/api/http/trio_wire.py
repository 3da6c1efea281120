"""The wire of an HTTP/2 connection on trio: it takes a socket over once TLS is established.

Two system tasks serve it, since the connection outlives the task for whose request it was made: one reads, and calls
the sinks of the streams; one looks at the clock. What is written goes to the socket at once, and a third task writes
only what the socket does not take.
"""

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import trio

from .http2.wire import WireUser
from .tls import TlsLayer

__all__ = ["TrioWire"]

_BLOCKED = 65536  # bytes that wait: from so many on nobody should add to them who need not


class TrioWire:
    """A `Wire` on trio. It reads into `buffer`, which all connections of an event loop may share."""

    def __init__(self, sock: socket.socket, tls: TlsLayer, buffer: memoryview) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._tls = tls
        self._buffer = buffer
        self._token = trio.lowlevel.current_trio_token()
        self._out = bytearray()
        self._writing = False
        self._user: WireUser | None = None
        self._open = True
        self._watch_scope = trio.CancelScope()

    @property
    def blocked(self) -> bool:
        return len(self._out) >= _BLOCKED

    @property
    def buffered(self) -> int:
        return len(self._out)

    def attach(self, user: WireUser) -> None:
        self._user = user
        self._take(b"")
        if self._open:
            trio.lowlevel.spawn_system_task(self._read)
            trio.lowlevel.spawn_system_task(self._watch)

    def write(self, data: bytes) -> None:
        if not self._open:
            return
        with suppress(ssl.SSLError):  # whoever reads finds out
            self._out += self._tls.encrypt(data)
        if not self._writing:
            self._send()
            if self._out and self._open:
                self._writing = True
                trio.lowlevel.spawn_system_task(self._write)

    def soon(self, call: Callable[[], None]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._guarded, call)

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as exc:  # out of here it would crash trio
            self._lose(exc)

    def _lose(self, exc: Exception) -> None:
        if self._user is not None:
            self._user.lost(exc)

    def clock(self) -> float:
        return trio.current_time()

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._user = None
            self._out.clear()
            self._watch_scope.cancel()
            trio.lowlevel.notify_closing(self._fd)
            self._sock.close()

    # -- the tasks. Nothing leaves them: that would crash trio.

    async def _read(self) -> None:
        try:
            while self._open:
                await trio.lowlevel.wait_readable(self._fd)
                if not self._open:
                    return
                try:
                    count = self._sock.recv_into(self._buffer)
                except BlockingIOError:
                    continue
                if count:
                    self._take(self._buffer[:count])
                elif self._user is not None:
                    self._user.ended()
        except trio.ClosedResourceError:
            pass  # aborted
        except Exception as exc:
            self._lose(exc)
        finally:
            # At the end of trio's run the task is cancelled. Who still waits is told.
            self._lose(trio.ClosedResourceError("the event loop ended"))

    async def _watch(self) -> None:
        with self._watch_scope:
            seconds: float | None = 0.0
            while seconds is not None:
                await trio.sleep(seconds)
                try:
                    seconds = None if self._user is None else self._user.tick()
                except Exception as exc:
                    self._lose(exc)
                    return

    async def _write(self) -> None:
        with suppress(trio.ClosedResourceError, OSError):
            while self._out and self._open:
                await trio.lowlevel.wait_writable(self._fd)
                was_blocked = self.blocked
                self._send()
                if was_blocked and not self.blocked and self._user is not None:
                    self._user.writable()
        self._writing = False

    # -- what they do

    def _take(self, data: memoryview | bytes) -> None:
        user = self._user
        if user is None:
            return
        plain = self._tls.decrypt(data)
        if plain:
            user.received(plain)
        if self._tls.ended:
            user.ended()

    def _send(self) -> None:
        if not self._open:
            return
        try:
            sent = self._sock.send(self._out)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._out)  # whoever reads finds out: an answer may have come before that
        del self._out[:sent]

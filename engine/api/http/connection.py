"""The interface of connections, which is the same on every event loop, and what their implementations share."""

import select
import socket
import sys
from typing import Protocol

import httpx2

from ....actors.response import Sink
from .http1.protocol import ResponseReader
from .tls import TlsLayer

__all__ = ["READ_SIZE", "Connection", "aborted", "closed", "is_readable", "prepare_socket", "read_error"]

READ_SIZE = 65536
"""How many bytes are read at a time, at most."""


class Connection(Protocol):
    """A connection to a server or to a proxy. It serves one response at a time.

    The methods that wait raise `httpx2.TransportError` when the connection fails, and it is aborted then. When they are
    cancelled, the caller has to abort it.
    """

    async def start_tls(self, layer: TlsLayer) -> None:
        """Makes TLS's handshake, and speaks TLS from then on. Raises `ssl.SSLError` or `OSError`."""
        ...

    def begin(self, reader: ResponseReader, read_seconds: float | None) -> None:
        """Gives what is received from now on to `reader`. A wait for bytes may take `read_seconds` (None: for ever)."""
        ...

    async def send(self, data: bytes, seconds: float | None) -> bool:
        """Sends a part of the request, or returns False when the response has begun before all was sent."""
        ...

    async def read_head(self) -> None:
        """Waits for the response's head."""
        ...

    async def pump(self, sink: Sink) -> bool:
        """Gives the body to `sink` until its end, and returns True; or until the sink wants no more, and returns False
        unless that was the end."""
        ...

    def end(self) -> None:
        """Makes the connection idle, once the response is complete."""
        ...

    def is_open(self) -> bool:
        """Whether an idle connection can still be used: it is not closed, and has nothing to read."""
        ...

    def abort(self) -> None:
        """Drops the connection at once, whatever it is doing. A second call does nothing."""
        ...


def is_readable(fd: int) -> bool:
    """Whether a file descriptor has something to read, which may be the end."""
    if sys.platform == "win32":
        return bool(select.select([fd], [], [], 0)[0])
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def prepare_socket(sock: socket.socket) -> None:
    """Sets the options of all our sockets: no delay, and a probe each minute that finds dead connections."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5), ("TCP_KEEPALIVE", 60)):
        # Each system has some of them. TCP_KEEPALIVE is macOS's name for TCP_KEEPIDLE.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def aborted() -> httpx2.ReadError:
    """The error for tasks that wait when the connection is dropped from our side."""
    return httpx2.ReadError("the connection was aborted")


def closed() -> httpx2.ReadError:
    """The error for tasks that wait when the other side closes the connection before the response's end."""
    return httpx2.ReadError("the other side closed the connection")


def read_error(exc: Exception) -> httpx2.TransportError:
    """The error for tasks that read when `exc` was raised below."""
    if isinstance(exc, httpx2.TransportError):
        return exc.with_traceback(None)
    return httpx2.ReadError(f"the connection broke: {exc}" if str(exc) else "the connection broke")

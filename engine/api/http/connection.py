"""What a connection can do, whichever event loop it lives in, and what it shares with the others of its kind."""

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
    """A connection to a server or to a proxy. At any time it serves one response at most.

    All that wait raise `httpx2.TransportError` when the connection fails, and abort it then. Cancelled, they leave it
    to the caller, who aborts it.
    """

    async def start_tls(self, layer: TlsLayer) -> None:
        """Makes TLS's handshake, and speaks TLS from then on. Raises `ssl.SSLError` or `OSError`."""
        ...

    def begin(self, reader: ResponseReader, read_seconds: float | None) -> None:
        """What is received from now on is the reader's. Each wait for it may take `read_seconds`."""
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
        """The response is complete: the connection is idle."""
        ...

    def is_open(self) -> bool:
        """Whether an idle connection can still be used: it was not closed, and nothing came that nobody asked for."""
        ...

    def abort(self) -> None:
        """Drops the connection at once, whatever it is doing. Once more does nothing."""
        ...


def is_readable(fd: int) -> bool:
    """Whether there is something to read, which may be the end."""
    if sys.platform == "win32":
        return bool(select.select([fd], [], [], 0)[0])
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def prepare_socket(sock: socket.socket) -> None:
    """Sets the options that all our sockets have: no delay, and a probe each minute that ends what died unseen."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5), ("TCP_KEEPALIVE", 60)):
        # Each system has some of them: TCP_KEEPALIVE is how macOS calls TCP_KEEPIDLE.
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def aborted() -> httpx2.ReadError:
    """What those who wait are told when the connection was dropped from our side."""
    return httpx2.ReadError("the connection was aborted")


def closed() -> httpx2.ReadError:
    """What those who wait are told when the other side closed the connection, and not at a response's end."""
    return httpx2.ReadError("the other side closed the connection")


def read_error(exc: Exception) -> httpx2.TransportError:
    """What a failure below is to those who read."""
    if isinstance(exc, httpx2.TransportError):
        return exc.with_traceback(None)
    return httpx2.ReadError(f"the connection broke: {exc}" if str(exc) else "the connection broke")

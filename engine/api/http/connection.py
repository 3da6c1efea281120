"""The interface of connections, which is the same on every event loop and for every version of HTTP, and what their
implementations share."""

import select
import socket
import sys
from abc import abstractmethod
from typing import Protocol

import httpx2

from ....actors.response import Sink
from .http1.connection import Http1Connection
from .http1.protocol import RawHeaders
from .http2.wire import Wire
from .outgoing import OutgoingRequest
from .tls import TlsLayer

__all__ = [
    "READ_SIZE",
    "Connection",
    "Reader",
    "SocketConnection",
    "aborted",
    "closed",
    "is_readable",
    "prepare_socket",
    "read_error",
]

READ_SIZE = 65536
"""How many bytes are read at a time, at most."""


class Reader(Protocol):
    """What has come of a response."""

    @property
    def version(self) -> bytes: ...
    @property
    def status(self) -> int: ...
    @property
    def reason(self) -> bytes: ...
    @property
    def headers(self) -> RawHeaders: ...
    @property
    def pieces(self) -> list[bytes]:
        """What has come of the body and was not taken yet."""
        ...

    @property
    def started(self) -> bool:
        """Whether any byte of the response has come."""
        ...

    @property
    def complete(self) -> bool: ...

    reusable: bool
    """Whether the connection can be used again, once the response is complete."""

    def header(self, name: bytes) -> list[bytes]:
        """The values of the header `name`, which is in lower case."""
        ...

    def close(self) -> None:
        """Frees what reads, once nothing more will be received."""
        ...


class Connection(Protocol):
    """One request's connection, whatever version of HTTP it speaks: its own for a while, or one stream of it.

    The methods that wait raise `httpx2.TransportError` when the connection fails, and it is aborted then. When they are
    cancelled, the caller has to abort it.
    """

    def begin(self, request: OutgoingRequest) -> Reader:
        """Makes ready for the request, and returns what will read its response."""
        ...

    async def send_request(self, request: OutgoingRequest) -> bool:
        """Sends the request, or returns False when the response has begun before all was sent."""
        ...

    async def read_head(self) -> None:
        """Waits for the response's head."""
        ...

    async def pump(self, sink: Sink) -> bool:
        """Gives the body to `sink` until its end, and returns True; or until the sink wants no more, and returns False
        unless that was the end."""
        ...

    def end(self) -> None:
        """Is told that the response is complete."""
        ...

    def abort(self) -> None:
        """Drops the request at once, whatever it is doing. A second call does nothing."""
        ...


class SocketConnection(Http1Connection):
    """A connection as an event loop's end makes it."""

    @abstractmethod
    async def start_tls(self, layer: TlsLayer) -> None:
        """Makes TLS's handshake, and speaks TLS from then on. Raises `ssl.SSLError` or `OSError`."""

    @property
    @abstractmethod
    def chose_http2(self) -> bool:
        """Whether the server chose HTTP/2 in the last handshake. Then nothing but `into_wire` and `abort` is of use."""

    @abstractmethod
    def into_wire(self) -> Wire:
        """Hands the socket on, for HTTP/2, in the step in which the last handshake ended."""


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

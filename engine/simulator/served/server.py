"""The server: listens on TCP, with TLS or without, and gives every connection a task, on asyncio and trio alike."""

from __future__ import annotations

import errno
import ssl
from types import TracebackType

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup
from anyio.streams.tls import TLSStream

from .connection import ServedConnection
from .ledger import Ledger
from .responder import Responder

__all__ = ["ListenError", "Server"]

_BACKLOG = 2_048  # thousands of streams may want to start in the same moment
_HANDSHAKE = 30.0  # seconds a client has for the TLS handshake
_REASONS = {
    errno.EADDRINUSE: "the port is in use",
    errno.EACCES: "not permitted",
    errno.EADDRNOTAVAIL: "not an address of this machine",
}


class ListenError(OSError):
    """The server cannot listen at the address it was given; the message says why in one line."""


class Server:
    """An async context manager that serves while it is open, then aborts the connections that are left.

    The body runs beside the server, not under it: its exceptions come out as they are, never in a group. Enter and
    leave it in the same task. `tls` is what to encrypt with; None serves in the clear.
    """

    def __init__(
        self, responder: Responder, ledger: Ledger, host: str, port: int, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._responder = responder
        self._ledger = ledger
        self._host = host
        self._port = port
        self._tls = tls
        self._tasks: TaskGroup

    async def __aenter__(self) -> str:
        """Starts to listen and returns the URL to reach it by; raises ListenError."""
        try:
            self._listener = await anyio.create_tcp_listener(
                local_host=self._host, local_port=self._port, backlog=_BACKLOG
            )
        except OSError as error:
            reason = _REASONS.get(error.errno or 0) or error.strerror or str(error)
            raise ListenError(f"cannot listen on {_authority(self._host, self._port)}: {reason}") from error
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._listener.serve, self._accepted, self._tasks)
        port: int = self._listener.extra(SocketAttribute.local_port)
        return f"{'https' if self._tls else 'http'}://{_authority(self._host, port)}"

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            # Only a cancellation is the task group's business. Any other exception would come out of it in a group.
            if isinstance(exc, anyio.get_cancelled_exc_class()):
                await self._tasks.__aexit__(exc_type, exc, traceback)
            else:
                await self._tasks.__aexit__(None, None, None)
        finally:
            with anyio.CancelScope(shield=True):
                await self._listener.aclose()

    async def _accepted(self, stream: SocketStream) -> None:
        secured: SocketStream | TLSStream | None = stream
        if self._tls is not None:
            secured = await _handshake(stream, self._tls)
        if secured is not None:
            await ServedConnection(secured, self._responder, self._ledger).serve()


async def _handshake(stream: SocketStream, context: ssl.SSLContext) -> TLSStream | None:
    """Returns the encrypted stream; None, the connection being closed, when the client doesn't come to terms."""
    secured: TLSStream | None = None
    try:
        with anyio.move_on_after(_HANDSHAKE):
            # Not every client takes leave by the book (`standard_compatible`), and then has gone all the same.
            secured = await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)
    except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
        pass
    finally:
        if secured is None:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(stream)
    return secured


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

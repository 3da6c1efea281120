"""The server: listens on TCP and gives every connection a task, on asyncio and trio alike."""

from __future__ import annotations

import errno
from types import TracebackType

import anyio
from anyio.abc import SocketAttribute, SocketStream, TaskGroup

from .connection import Connection
from .ledger import Ledger
from .responder import Responder

__all__ = ["ListenError", "Server"]

_BACKLOG = 2_048  # thousands of streams may want to start in the same moment
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
    leave it in the same task.
    """

    def __init__(self, responder: Responder, ledger: Ledger, host: str, port: int) -> None:
        self._responder = responder
        self._ledger = ledger
        self._host = host
        self._port = port
        self._tasks: TaskGroup

    async def __aenter__(self) -> str:
        """Start to listen and return the URL to reach it by; raises ListenError."""
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
        return f"http://{_authority(self._host, port)}"

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
        await Connection(stream, self._responder, self._ledger).serve()


def _authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

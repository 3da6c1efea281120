"""Where an actor's bytes come from: an open response, and how opening or reading one fails."""

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import Protocol
from weakref import WeakMethod

from .stream import ErrorInfo, StreamRequest

__all__ = ["Open", "Response", "ResponseFailed", "Sink", "told_of_dialling"]

told_of_dialling: ContextVar["WeakMethod[Callable[[bool], None]]"] = ContextVar("told_of_dialling")
"""In a stream's task: what is told True when a connection is begun to be made for its request, and False when it is
made. Nothing of the request has been sent meanwhile. A transport that does not tell may have sent it. It is a weak
reference, since the connection keeps the context in which it was made."""


class ResponseFailed(Exception):
    """The response could not be opened, or broke while it was read. `info` says how."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


Sink = Callable[[bytes], bool]
"""Takes bytes; returns whether it wants more. It may be called from the event loop itself, in nobody's task."""


class Response(Protocol):
    """An open response: its head has come, its body is yet to be read."""

    @property
    def request_id(self) -> str | None: ...

    @property
    def rate_limits(self) -> Mapping[str, str]:
        """The rate-limit headers, by their lower-case names."""
        ...

    async def pump(self, sink: Sink) -> bool:
        """Gives the body's bytes to `sink` as they come. Returns True at the body's end, and False when `sink` wants no
        more for now before that: then nothing is read until it is pumped on. Raises `ResponseFailed` when the
        connection breaks."""
        ...

    async def aclose(self) -> None:
        """Gives the connection back when the body was read to its end, and aborts it otherwise. It doesn't fail, takes
        a bounded time, and leaves nothing open when it is cancelled."""
        ...


Open = Callable[[StreamRequest], Awaitable[Response]]
"""Sends a request and returns the response once its head has come. Raises `ResponseFailed`."""

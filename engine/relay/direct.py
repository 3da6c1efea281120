"""One handle to one browser, for those who need no hub."""

from collections.abc import Awaitable, Callable
from typing import Any

from ...actors.handle import StreamHandle
from .encoders import PROTOCOLS
from .encoders import Protocol as RelayProtocol
from .response import HandleResponse, as_response

__all__ = ["relay_response"]


def relay_response(
    handle: StreamHandle, *, protocol: RelayProtocol = "native", keepalive: float = 15.0, **encoding: Any
) -> Callable[..., Awaitable[None]]:
    """The response that tells one stream to a browser: an ASGI callable, and a Starlette `Response` where Starlette is
    in use. It begins with what there is by then. The stream runs on when the browser leaves; a browser that comes back
    needs a `StreamHub`.

    `protocol` and `encoding` are as in `StreamHub.response`; `keepalive` is in seconds. Raises `ValueError` for an
    unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    return as_response(HandleResponse(handle, protocol, keepalive, encoding))

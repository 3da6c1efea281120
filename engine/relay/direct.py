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
    in use. It begins with what there is by then. The stream runs on when the browser leaves.

    For a browser that comes back, find the handle again (`engine.get`, with `keep_ended` after the end too), or use a
    `StreamHub`, which does this and more. In the native protocol it goes on where it was cut; where that is no longer
    kept, or the handle is another stream's, it begins with `reset`, and 204 tells it that it has all. The others have
    no event ids: whoever asks again is told all again.

    `protocol` and `encoding` are as in `StreamHub.response`; `keepalive` is in seconds. Raises `ValueError` for an
    unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is one of {', '.join(PROTOCOLS)}, not {protocol!r}")
    return as_response(HandleResponse(handle, protocol, keepalive, encoding))

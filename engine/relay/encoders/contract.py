"""What an encoder is: one connection's translation of part events into bytes, without I/O."""

from typing import Protocol

from ....actors import PartEvent

__all__ = ["EVENT_STREAM", "KEEPALIVE", "OPENING", "Encoder", "Headers"]

Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, and values, as ASGI has them."""

# No `connection: keep-alive`: HTTP/2 forbids it. `no-transform` and `x-accel-buffering` keep proxies from compressing
# the stream or holding it back.
EVENT_STREAM: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
OPENING = b": stream-open\n\n"
KEEPALIVE = b": keep-alive\n\n"


class Encoder(Protocol):
    """Part events to bytes for one connection. It remembers what its protocol must, such as which parts are open."""

    @property
    def headers(self) -> Headers:
        """The response's headers."""
        ...

    @property
    def opening(self) -> bytes:
        """What goes out at once, before any event: some proxies and clients wait for a first byte."""
        ...

    @property
    def keepalive(self) -> bytes:
        """What goes out when nothing else did for a while. Readers skip it."""
        ...

    def feed(self, event: PartEvent, /) -> bytes:
        """The bytes of the frames that tell `event`; none when it is not to be told. Never raises for what a stream can
        publish, whatever the model or the API sent."""
        ...

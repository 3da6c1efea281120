"""What an HTTP/2 connection needs of an event loop: bytes out, a clock, and a turn soon. Each loop's end is one."""

from collections.abc import Callable
from typing import Protocol

__all__ = ["Wire", "WireUser"]


class WireUser(Protocol):
    """What a wire tells. None of it raises or waits."""

    def received(self, data: bytes) -> None:
        """Takes in what came."""
        ...

    def ended(self) -> None:
        """Takes in that the other side sends no more."""
        ...

    def lost(self, exc: Exception) -> None:
        """Takes in that the connection broke."""
        ...

    def writable(self) -> None:
        """Takes in that the wire is no longer blocked."""
        ...

    def tick(self) -> float | None:
        """Looks at the clock; returns in how many seconds it has to be called again, or None for never."""
        ...


class Wire(Protocol):
    """A connection's bytes on an event loop."""

    @property
    def blocked(self) -> bool:
        """Whether so much waits to be sent that nobody should add to it who need not."""
        ...

    @property
    def buffered(self) -> int:
        """How many bytes wait to be sent."""
        ...

    def attach(self, user: WireUser) -> None:
        """Tells `user` from now on. What came with the end of TLS's handshake is told within the call."""
        ...

    def write(self, data: bytes) -> None:
        """Sends bytes, now or when there is room. It doesn't raise."""
        ...

    def soon(self, call: Callable[[], None]) -> None:
        """Calls `call` once the tasks that are ready have had their turn."""
        ...

    def clock(self) -> float:
        """The loop's time, in seconds."""
        ...

    def abort(self) -> None:
        """Drops the connection at once, and tells nothing more. A second call does nothing."""
        ...

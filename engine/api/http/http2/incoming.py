"""What has come of one response, and where its stream stands. Plain data: the session writes it."""

from typing import Literal

import attrs

__all__ = ["WINDOW", "Failure", "Incoming"]

WINDOW = 65535
"""How many bytes of a body the server may send before the sink has taken any (RFC 9113, 6.9.2: what a stream begins
with). It is the bound of what waits for a stream that is not read."""


@attrs.frozen
class Failure:
    """Why a stream or a connection ended before its time.

    The server has not looked at the request if the reason is `unprocessed` (it went away), `refused` (this one stream)
    or `http1` (it wants HTTP/1.1): it may be sent again, whatever its method. `protocol` is a server that broke HTTP/2
    or reset the stream, and `broken` a connection that was lost.
    """

    reason: Literal["unprocessed", "refused", "http1", "protocol", "broken"]
    words: str


class Incoming:
    """A response that is being received. The body's bytes gather in `pieces`, until they are taken."""

    __slots__ = (
        "__weakref__",
        "bodiless",
        "complete",
        "expected",
        "failure",
        "has_head",
        "headers",
        "id",
        "pieces",
        "reusable",
        "sent_all",
        "started",
        "status",
        "uncredited",
        "window",
    )

    version = b"2"
    reason = b""

    def __init__(self, method: str) -> None:
        self.bodiless = method == "HEAD"
        self.id = 0
        """The stream's number; 0 before it is opened."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.started = self.has_head = self.complete = False
        self.reusable = False
        self.failure: Failure | None = None
        self.expected: int | None = None
        """How many bytes of the body its `Content-Length` still announces; None when it has none."""
        self.window = WINDOW
        """How many bytes the server may still send."""
        self.uncredited = 0
        """How many bytes came that nobody has taken yet."""
        self.sent_all = False
        """Whether all of the request was sent."""

    def header(self, name: bytes) -> list[bytes]:
        """The values of the header `name`, which is in lower case."""
        return [value for key, value in self.headers if key == name]

    def take(self) -> bytes:
        """The bytes of the body that have come since the last call."""
        pieces = self.pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        return piece

    def close(self) -> None:
        """Is told that nothing more will be read: there is nothing to free."""

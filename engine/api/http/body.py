"""A body that does not go to its sink as it comes: one that is compressed, or an error's, of which 1 MiB is enough.

No I/O. All other bodies know nothing of this.
"""

import httpx2

from ....actors.response import Sink
from .http1.protocol import ResponseReader
from .inflate import Inflater, inflater_for

__all__ = ["MAX_ERROR_BODY", "SiftedBody", "sift"]

MAX_ERROR_BODY = 1 << 20
"""How many bytes of an error's body are read: what has come by then is the body."""


class SiftedBody:
    """What a body goes through on its way to `sink`, of which at most `room` bytes are wanted."""

    def __init__(self, inflater: Inflater | None, room: int | None) -> None:
        self.sink: Sink | None = None
        self.refused = False
        """Whether the sink wants no more now."""
        self.over = False
        """Whether no more of the body is wanted at all, though it has not come to its end."""
        self._inflater = inflater
        self._room = room

    @property
    def pending(self) -> bool:
        """Whether a further step may give something."""
        return self._inflater is not None and self._inflater.pending

    def take(self, piece: bytes) -> bool:
        """A sink itself: takes a piece as it came, and wants another once there is no step left to take."""
        if self._inflater is None:
            return self._give(piece)
        self._inflater.feed(piece)
        return self.step()

    def step(self) -> bool:
        """Takes one step on; returns whether another piece is wanted. Raises `httpx2.DecodingError`, but not for an
        error's body: the status tells more than that it can't be read."""
        assert self._inflater is not None
        try:
            piece = self._inflater.step()
        except httpx2.DecodingError:
            if self._room is None:
                raise
            self.over = True
            return False
        return self._give(piece) and not self._inflater.pending

    def finish(self) -> None:
        """All has come. Raises `httpx2.RemoteProtocolError` when that can't be all."""
        if self._inflater is not None:
            self._inflater.finish()

    def _give(self, piece: bytes) -> bool:
        if self._room is not None:
            piece = piece[: self._room]
            self._room -= len(piece)
            self.over = not self._room
        if piece:
            assert self.sink is not None
            self.refused = not self.sink(piece)
        return not self.refused and not self.over


def sift(reader: ResponseReader) -> SiftedBody | None:
    """What the body of the response that begins here has to go through; None when it goes to its sink as it comes.

    Raises `httpx2.DecodingError` when it has an encoding that can't be read. Of an error it is only left out.
    """
    room = MAX_ERROR_BODY if reader.status >= 300 else None
    encodings = reader.header(b"content-encoding")
    if not encodings and room is None:
        return None
    if reader.complete and not reader.pieces:
        return None  # there is none
    try:
        inflater = inflater_for(encodings)
    except httpx2.DecodingError:
        if room is None:
            raise
        unread = SiftedBody(None, room)
        unread.over = True
        return unread
    return None if inflater is None and room is None else SiftedBody(inflater, room)

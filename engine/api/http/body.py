"""Bodies that do not go to their sink as they come: compressed ones are inflated, and errors are cut after 1 MiB.

No I/O.
"""

import httpx2

from ....actors.response import Sink
from .connection import Reader
from .inflate import Inflater, inflater_for

__all__ = ["MAX_ERROR_BODY", "SiftedBody", "sift"]

MAX_ERROR_BODY = 1 << 20
"""How many bytes of an error's body are read; the rest is dropped."""


class SiftedBody:
    """Inflates a body on its way to `sink`, if there is an `inflater`, and gives it at most `room` bytes."""

    def __init__(self, inflater: Inflater | None, room: int | None) -> None:
        self.sink: Sink | None = None
        self.refused = False
        """Whether the sink wants no more for now."""
        self.over = False
        """Whether no more of the body is wanted, though its end has not come."""
        self._inflater = inflater
        self._room = room

    @property
    def pending(self) -> bool:
        """Whether `step` may give more, without another piece."""
        return self._inflater is not None and self._inflater.pending

    def take(self, piece: bytes) -> bool:
        """Takes in a piece of the body and takes one step. It is a sink: returns whether it wants another piece now."""
        if self._inflater is None:
            return self._give(piece)
        self._inflater.feed(piece)
        return self.step()

    def step(self) -> bool:
        """Inflates up to 64 KiB; returns whether another piece is wanted. Raises `httpx2.DecodingError` for a body that
        can't be inflated; but an error's body ends there, since its status says more."""
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
        """Is told that all has come. Raises `httpx2.RemoteProtocolError` when the compressed data has no end."""
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


def sift(reader: Reader) -> SiftedBody | None:
    """The way to the sink for the body of a response whose head has come; None when it goes there as it comes.

    Raises `httpx2.DecodingError` for an encoding that can't be read; but an error's body is then left out.
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

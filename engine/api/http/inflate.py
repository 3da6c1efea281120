"""Compressed bodies as plain bytes: gzip and deflate inflated in steps, each of which makes at most 64 KiB. No I/O.

A few kilobytes can inflate to gigabytes. So the caller takes one step at a time, and lets other tasks run between two.
"""

import zlib
from collections.abc import Iterable

import httpx2

from ....actors.wire import plain_text

__all__ = ["STEP", "Inflater", "inflater_for"]

STEP = 65536
"""How many bytes a step makes, at most."""

_GZIP, _ZLIB, _BARE = 31, 15, -15  # zlib's names for its formats
_CODINGS = {b"gzip": True, b"x-gzip": True, b"deflate": False}


def inflater_for(content_encodings: Iterable[bytes]) -> "Inflater | None":
    """An inflater for a body with these `Content-Encoding` headers; None when it is not encoded.

    Raises `httpx2.DecodingError` for an encoding other than gzip and deflate, or for several.
    """
    values = [coding.strip().lower() for header in content_encodings for coding in header.split(b",")]
    codings = [coding for coding in values if coding not in (b"", b"identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _CODINGS:
        named = plain_text(b", ".join(codings).decode("latin-1"), 50)
        raise httpx2.DecodingError(f"the response is encoded as '{named}', which was not asked for")
    return Inflater(gzip=_CODINGS[codings[0]])


class Inflater:
    """Inflates one body: `feed` takes in a piece, and `step` gives what comes of it, as long as it is `pending`.

    gzip may come in several members, one after the other; other bytes after them are ignored. deflate is zlib's format
    by the standard, but some servers send it bare: both are read.
    """

    def __init__(self, *, gzip: bool) -> None:
        self.pending = False
        """Whether the next `step` may give something."""
        self._gzip = gzip
        self._zlib = zlib.decompressobj(_GZIP) if gzip else None
        self._input = b""
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Takes in a piece of the body."""
        self._input += data
        self._begun = self.pending = True

    def step(self) -> bytes:
        """The next bytes of the inflated body, at most 64 KiB. Raises `httpx2.DecodingError` for a corrupt body."""
        data, self._input = self._input, b""
        self.pending = False
        if self._zlib is None:
            if len(data) < 2:
                self._input = data
                return b""
            self._zlib = zlib.decompressobj(_ZLIB if _is_zlib(data) else _BARE)
        elif self._ended:
            if not self._gzip or not data.startswith(b"\x1f"):
                return b""
            self._zlib, self._ended = zlib.decompressobj(_GZIP), False
        try:
            piece = self._zlib.decompress(data, STEP)
        except zlib.error:
            raise httpx2.DecodingError(
                f"the response can't be read: it is said to be {'gzip' if self._gzip else 'deflate'}, but is not"
            ) from None
        self._ended = self._zlib.eof
        self._input = self._zlib.unused_data if self._ended else self._zlib.unconsumed_tail
        # After a full step zlib may hold more output.
        self.pending = bool(self._input) or (len(piece) == STEP and not self._ended)
        return piece

    def finish(self) -> None:
        """Is told that there is no more. Raises `httpx2.RemoteProtocolError` when the data is cut off."""
        if self._begun and not self._ended:
            raise httpx2.RemoteProtocolError("the response's body is cut off: its compressed data has no end")


def _is_zlib(data: bytes) -> bool:
    """Whether `data` begins with a header of zlib's format (RFC 1950, 2.2)."""
    return data[0] & 0x0F == 8 and (data[0] * 256 + data[1]) % 31 == 0

"""HTTP/2's frames: their kinds and flags, and how one is written (RFC 9113, 4 and 6)."""

import struct

from h2.errors import ErrorCodes

__all__ = [
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "LARGEST_FRAME",
    "PADDED",
    "PUSH_PROMISE",
    "RST_STREAM",
    "frame",
    "frame_head",
    "name_of",
    "number",
    "window_update",
]

DATA, HEADERS, RST_STREAM, PUSH_PROMISE, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 5, 7, 8, 9
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
LARGEST_FRAME = 16384

frame_head = struct.Struct(">HBBBI").unpack_from
"""Reads a frame's head: its length in two parts, its kind, its flags and its stream."""

number = struct.Struct(">I")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame's bytes."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def window_update(stream: int, more: int) -> bytes:
    """The frame that lets the other side send `more` bytes: of a stream's body, or with 0 of all bodies."""
    return frame(WINDOW_UPDATE, 0, stream, number.pack(more))


def name_of(code: int) -> str:
    """An error's name, for people."""
    try:
        return ErrorCodes(code).name
    except ValueError:
        return f"error {code}"

"""Recorded event streams: a folder of them to answer with, and one of them as the events it is made of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from .wire import Event

__all__ = ["read_recordings", "recorded_events"]

_EVENT_END = re.compile(rb"(?<=\n\n)|(?<=\r\n\r\n)|(?<=\r\r)")
_KIND = re.compile(rb"(?:^|[\r\n])event: ?([^\r\n]*)")
_DATA = re.compile(rb"(?:^|[\r\n])data:")


def read_recordings(folder: str | PathLike[str]) -> tuple[bytes, ...]:
    """Returns the bodies in the folder's `.sse` files, by their names.

    Raises ValueError, in one line, when there is no such folder, no such file in it, or one that can't be read or
    holds no event.
    """
    path = Path(folder)
    if not path.is_dir():
        raise ValueError(f"recordings: there is no folder {path}")
    files = sorted(path.glob("*.sse"))
    if not files:
        raise ValueError(f"recordings: there is no .sse file in {path}")
    bodies: list[bytes] = []
    for file in files:
        try:
            body = file.read_bytes()
        except OSError as error:
            raise ValueError(f"recordings: {file} cannot be read: {error.strerror or error}") from None
        if not _DATA.search(body):
            raise ValueError(f"recordings: {file} holds no event")
        bodies.append(body)
    return tuple(bodies)


def recorded_events(body: bytes) -> Iterator[Event]:
    """Yields the events of a recorded stream, together its very bytes; each delta of content counts for one token."""
    for data in _EVENT_END.split(body):
        if data:
            named = _KIND.search(data)
            kind = "" if named is None else named[1].decode("latin-1")
            yield Event(kind, data, int(kind == "content_block_delta"))

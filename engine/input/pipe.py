"""The requests of a pipe: read once, checked as they come, and run before the next one is there."""

import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import anyio
from anyio import to_thread

from ...actors.stream import StreamRequest
from .entries import ByLine, reader_by_line, whole_entries
from .entry import Entry, place
from .formats import HEAD_BYTES, Form, InputError, Unpacking, check_head, form_of, is_undecided, unpacking_of
from .invalid import Invalid
from .numbered import Numbered
from .reading import Reading
from .remarks import Remarks

__all__ = ["RequestPipe"]

_READ_BYTES = 65536


class RequestPipe(AsyncIterator[Numbered]):
    """Requests that come one after another, with their places, and are checked as they come. It is iterated once.

    Iterating raises `InputError` for the first invalid request, unless invalid ones are skipped.
    """

    path = None
    model_name = None

    def __init__(
        self,
        name: str,
        descriptor: int,
        reading: Reading,
        *,
        skip_invalid: bool,
    ) -> None:
        self.name = name
        self.invalid = Invalid()
        """What was skipped."""
        self._remarks = Remarks()
        self._descriptor = descriptor
        self._reading = reading
        self._skip_invalid = skip_invalid
        self.check: Callable[[str, StreamRequest], None] | None = None
        """What else is checked: called with each request and its place, it may raise `InputError`."""
        self._form: Form | None = None
        self._unpacking: Unpacking | None = None
        self._reader: ByLine | None = None
        self._entries: Iterator[Entry] | None = None  # of what is read as a whole
        self._ready: deque[Numbered] = deque()
        self._data = b""
        self._lines: deque[bytes] = deque()  # whole ones, with their ends
        self._ended = False
        self._any = False

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The parameters that were given for all requests."""
        return self._reading.parameters

    @property
    def replaced(self) -> Mapping[str, int]:
        """In how many requests so far another value stood in place of a parameter that was given for all."""
        return self._remarks.replaced

    @property
    def remarks(self) -> tuple[str, ...]:
        """What looks like a slip so far, a line each for people: columns that are not sent and may be meant to."""
        return tuple(self._remarks.told)

    def where(self, number: int) -> str:
        """The place of a request as errors name it."""
        return place(self.name, self._reading.number(number), self._form or "lines")

    async def __anext__(self) -> Numbered:
        while not self._ready:
            entry = await self._next()
            if entry is None:
                if not self._any and not self.invalid.count:
                    raise InputError(f"{self.name}: it contains no requests")
                raise StopAsyncIteration
            try:
                requests = self._reading.checked(entry, self._remarks)
                if self.check is not None:
                    self.check(entry.where, requests[0].request)
            except InputError as exc:
                if not self._skip_invalid:
                    raise
                self.invalid.add(exc)
                continue
            self._any = True
            self._ready.extend(requests)
        return self._ready.popleft()

    async def _next(self) -> Entry | None:
        if self._form is None:
            self._form = await self._begin()
            self._reader = reader_by_line(self.name, self._form, self._data[:HEAD_BYTES])
            if self._reader is None:
                parts = [self._data]  # joined once, since each addition would copy all that is there
                while not self._ended:
                    self._data = b""
                    await self._read_more()
                    parts.append(self._data)
                self._data = b""
                self._entries = whole_entries(self.name, self._form, b"".join(parts))
        if self._reader is None:
            assert self._entries is not None
            return next(self._entries, None)
        while (line := await self._next_line()) is not None:
            if (entry := self._reader.feed(line)) is not None:
                return entry
        return self._reader.end()

    async def _next_line(self) -> bytes | None:
        while not self._lines:
            *lines, rest = self._data.split(b"\n")
            self._lines.extend(line + b"\n" for line in lines)
            if self._ended and rest:
                self._lines.append(rest)
                rest = b""
            self._data = rest
            if not self._lines:
                if self._ended:
                    return None
                await self._read_more()
        return self._lines.popleft()

    async def _begin(self) -> Form:
        """Reads until it is known what comes."""
        while not self._ended and len(self._data) < 4:
            await self._read_more()
        self._unpacking = unpacking_of(self.name, self._data)
        if self._unpacking is not None:
            packed, self._data = self._data, b""
            self._add(packed)
        while not self._ended and is_undecided(self._data):
            await self._read_more()
        check_head(self.name, self._data[:HEAD_BYTES])
        return form_of(self.name, self._data[:HEAD_BYTES])

    async def _read_more(self) -> None:
        try:
            if sys.platform == "win32":
                data = await to_thread.run_sync(os.read, self._descriptor, _READ_BYTES, abandon_on_cancel=True)
            else:
                with suppress(PermissionError):  # a device that is always ready can't be waited for
                    await anyio.wait_readable(self._descriptor)
                data = os.read(self._descriptor, _READ_BYTES)
        except OSError as exc:
            raise InputError(f"{self.name}: {(exc.strerror or str(exc)).lower()}") from exc
        self._add(data)

    def _add(self, data: bytes) -> None:
        """Takes what was read; nothing at the end."""
        self._ended = not data
        if self._unpacking is None:
            self._data += data
            return
        try:
            if data:
                self._data += self._unpacking.feed(data)
            else:
                self._unpacking.end()
        except EOFError:
            raise InputError(f"{self.name}: its compressed data is damaged or cut off") from None

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._descriptor < 0

    def close(self) -> None:
        """Closes the pipe. It may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

"""The requests of a pipe: read once, checked as they come, and run before the next one is there."""

import os
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import anyio
from anyio import to_thread

from ...actors.message import EMPTY
from ...actors.stream import StreamRequest
from .checks import check_params, request_of
from .entries import Entry, document_entries, line_entry, place
from .formats import HEAD_BYTES, Form, InputError, Unpacking, check_head, form_of, is_undecided, unpacking_of
from .invalid import Invalid

__all__ = ["RequestPipe"]

_READ_BYTES = 65536


class RequestPipe(AsyncIterator[tuple[int, StreamRequest]]):
    """Requests that come one after another, with their places, and are checked as they come. It is iterated once.

    Iterating raises `InputError` for the first invalid request, unless invalid ones are skipped.
    """

    path = None
    model_name = None

    def __init__(
        self,
        name: str,
        descriptor: int,
        *,
        needs_model: bool,
        skip_invalid: bool,
        parameters: Mapping[str, Any] = EMPTY,
    ) -> None:
        self.name = name
        self.invalid = Invalid()
        """What was skipped."""
        self.replaced = Counter[str]()
        """In how many requests so far another value stood in place of a parameter that was given for all."""
        self._descriptor = descriptor
        self._needs_model = needs_model
        self._skip_invalid = skip_invalid
        self.parameters = parameters
        """The parameters that were given for all requests."""
        self.check: Callable[[str, StreamRequest], None] | None = None
        """What else is checked: called with each request and its place, it may raise `InputError`."""
        self._form: Form | None = None
        self._unpacking: Unpacking | None = None
        self._entries: Iterator[Entry] | None = None  # of a document
        self._data = b""
        self._lines: deque[bytes] = deque()  # whole ones, without their ends
        self._number = 0
        self._ended = False
        self._any = False

    def where(self, number: int) -> str:
        """A place as errors name it."""
        return place(self.name, number, self._form or "lines")

    async def __anext__(self) -> tuple[int, StreamRequest]:
        while True:
            entry = await self._next()
            if entry is None:
                if not self._any and not self.invalid.count:
                    raise InputError(f"{self.name}: it contains no requests")
                raise StopAsyncIteration
            try:
                request = request_of(entry, self.parameters, self.replaced)
                check_params(entry, request, needs_model=self._needs_model)
                if self.check is not None:
                    self.check(self.where(entry.number), request)
            except InputError as exc:
                if not self._skip_invalid:
                    raise
                self.invalid.add(exc)
                continue
            self._any = True
            return entry.number, request

    async def _next(self) -> Entry | None:
        if self._form is None:
            self._form = await self._begin()
            if self._form != "lines":
                while not self._ended:
                    await self._read_more()
                self._entries = document_entries(self.name, self._form, self._data)
        if self._entries is not None:
            return next(self._entries, None)
        while (line := await self._next_line()) is not None:
            self._number += 1
            if line.strip():
                return line_entry(self.name, self._number, line)
        return None

    async def _next_line(self) -> bytes | None:
        while not self._lines:
            *lines, rest = self._data.split(b"\n")
            if self._ended and rest:
                lines, rest = [*lines, rest], b""
            self._lines.extend(lines)
            self._data = rest
            if not lines:
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
        return form_of(self._data[:HEAD_BYTES])

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

    def close(self) -> None:
        """Closes the pipe."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

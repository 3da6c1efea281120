"""Server-sent events from bytes: cuts a byte stream into frames, with no I/O and no JSON.

The rules are those of the WHATWG HTML standard, section 9.2.6 ("Interpreting an event stream"), as far as the Messages
API needs them: lines end in `\\n`, `\\r` or `\\r\\n`; a blank line ends an event; `event:` names it, several `data:`
lines are joined by a line feed; comments, `id:` and `retry:` are passed over; an event without data is dropped; a byte
order mark at the very start is skipped.

Two strategies share one state. As long as no carriage return has been seen (the API never sends one), a whole event is
found by one search for two line feeds. The first carriage return moves the rest of the stream to a line-by-line
reading that knows all three line ends. Either way each byte is looked at a bounded number of times.
"""

import re

import msgspec

__all__ = ["DEFAULT_MAX_EVENT_SIZE", "Frame", "FramingError", "SSEFramer"]

DEFAULT_MAX_EVENT_SIZE = 64 * 1024 * 1024
"""Bytes that one event may take before the stream is failed."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\n|\r")


class FramingError(ValueError):
    """The bytes are not a stream of events that we are willing to hold. `offset` is the event's first byte."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event as it was framed: nothing in it has been decoded."""

    event: bytes
    """The value of the `event:` field; empty when there was none."""
    data: bytes
    """The `data:` lines, joined by line feeds; never empty."""
    offset: int
    """Where the event begins in the stream, in bytes."""


class SSEFramer:
    """Bytes in, frames out. Any chunking of the same bytes gives the same frames.

    `feed` returns the events that the chunk completed; `close` says that the bytes ended cleanly and returns the last
    event if only its blank line was missing. When an event outgrows `max_event_size`, the events before it are still
    returned and `failure` is set; the framer is then of no further use.
    """

    __slots__ = ("_data", "_event", "_line_at", "_lines", "_max", "_offset", "_pieces", "_size", "_start", "failure")

    def __init__(self, *, max_event_size: int = DEFAULT_MAX_EVENT_SIZE) -> None:
        self.failure: FramingError | None = None
        self._max = max_event_size
        self._offset = 0  # where the unfinished event begins
        # The unfinished event, while no carriage return has been seen: pieces whose concatenation it is.
        self._pieces: list[bytes] = []
        self._size = 0  # of the unfinished event, as far as it has been read
        self._start = True  # a byte order mark may still come
        # Line-by-line reading: the unfinished line, and what the lines before it said.
        self._lines: bytearray | None = None
        self._line_at = 0  # where to go on looking for the end of the unfinished line
        self._event = b""
        self._data: list[bytes] = []

    @property
    def offset(self) -> int:
        """Where the unfinished event begins, or the next one will: what lies before it has been framed."""
        return self._offset

    def feed(self, chunk: bytes) -> list[Frame]:
        """The events that `chunk` completes, in order."""
        if self._start:
            chunk = self._skip_bom(chunk)
        if not chunk:
            return []
        if self._lines is None:
            if b"\r" not in chunk:
                return self._feed_blocks(chunk)
            self._lines = bytearray().join(self._pieces)
            self._pieces.clear()
            self._size = 0
        return self._feed_lines(self._lines, chunk)

    def close(self) -> list[Frame]:
        """The bytes ended cleanly: a last event that lacks only its blank line still counts."""
        if self._lines is None:
            frame = _parse_block(b"".join(self._pieces), self._offset)
            self._pieces.clear()
            return [frame] if frame else []
        self._field(bytes(self._lines).removesuffix(b"\r"))
        self._lines.clear()
        return [Frame(self._event, data, self._offset)] if (data := b"\n".join(self._data)) else []

    def _skip_bom(self, chunk: bytes) -> bytes:
        """The stream's first bytes without a byte order mark; nothing while it isn't known whether there is one."""
        chunk = b"".join((*self._pieces, chunk))
        self._pieces.clear()
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._pieces.append(chunk)
            return b""
        self._start = False
        if not chunk.startswith(_BOM):
            return chunk
        self._offset = len(_BOM)
        return chunk[len(_BOM) :]

    # -- while no carriage return has been seen: whole events at a time

    def _feed_blocks(self, chunk: bytes) -> list[Frame]:
        frames: list[Frame] = []
        if self._pieces:
            # The two line feeds may lie on both sides of the cut.
            if self._pieces[-1][-1] == 10 and chunk[0] == 10:
                end, rest = 0, 1
            else:
                end = chunk.find(b"\n\n")
                rest = end + 2
            if end < 0:
                self._hold(chunk)
                return frames
            self._pieces.append(chunk[:end])
            block, size = b"".join(self._pieces), self._size + rest
            self._pieces.clear()
            self._size = 0
            chunk = chunk[rest:]
            if not self._take_block(block, size, frames):
                return frames
        end = chunk.rfind(b"\n\n") + 2
        if self._take_plain(chunk[:end], frames):
            tail = chunk[end:]
        else:
            *blocks, tail = chunk.split(b"\n\n")
            for block in blocks:
                if block[:1] == b"\n":
                    block = self._skip_blank_lines(block)
                if not self._take_block(block, len(block) + 2, frames):
                    return frames
        if tail:
            self._hold(tail)
        return frames

    def _take_plain(self, chunk: bytes, frames: list[Frame]) -> bool:
        """Whole events as the API sends them, to the letter: two lines each. Returns False, having done nothing, when
        the chunk is something else."""
        if chunk[:7] != b"event: " or len(chunk) > self._max:
            return False
        blocks = chunk[7:-2].split(b"\n\nevent: ")
        if chunk.count(b"\n") != 3 * len(blocks):
            return False
        offset = self._offset
        found: list[Frame] = []
        for block in blocks:
            event, _, data = block.partition(b"\ndata: ")
            if not data:
                return False
            found.append(Frame(event, data, offset))
            offset += len(block) + 9
        self._offset = offset
        frames += found
        return True

    def _take_block(self, block: bytes, size: int, frames: list[Frame]) -> bool:
        """An event's lines, `size` bytes with its end. Returns False when that is too many."""
        if size > self._max:
            self._fail()
            return False
        if frame := _parse_block(block, self._offset):
            frames.append(frame)
        self._offset += size
        return True

    def _hold(self, piece: bytes) -> None:
        if not self._pieces and piece[0] == 10 and not (piece := self._skip_blank_lines(piece)):
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._max:
            self._fail()

    def _skip_blank_lines(self, block: bytes) -> bytes:
        """Blank lines before an event belong to no event."""
        event = block.lstrip(b"\n")
        self._offset += len(block) - len(event)
        return event

    # -- once a carriage return has been seen: line by line

    def _feed_lines(self, buffer: bytearray, chunk: bytes) -> list[Frame]:
        frames: list[Frame] = []
        buffer += chunk
        begin = 0
        while (line_end := self._find_line_end(buffer, begin)) is not None:
            end, rest = line_end
            line = bytes(buffer[begin:end])
            self._size += rest - begin
            begin = rest
            self._line_at = 0
            if self._size > self._max:
                self._fail()
                return frames
            if line:
                self._field(line)
                continue
            if data := b"\n".join(self._data):
                frames.append(Frame(self._event, data, self._offset))
            self._offset += self._size
            self._size = 0
            self._event = b""
            self._data = []
        del buffer[:begin]
        if self._size + len(buffer) > self._max:
            self._fail()
        return frames

    def _find_line_end(self, buffer: bytearray, begin: int) -> tuple[int, int] | None:
        """Where the line that begins at `begin` ends, and where the next one begins; None if its end isn't here yet."""
        found = _LINE_END.search(buffer, begin + self._line_at)
        if found is None:
            self._line_at = len(buffer) - begin
            return None
        end, rest = found.span()
        if rest == len(buffer) and buffer[end] == 13 and rest - end == 1:
            # Its line feed may be in the next chunk.
            self._line_at = end - begin
            return None
        return end, rest

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"event":
            self._event = value

    def _fail(self) -> None:
        self.failure = FramingError(
            f"the event at byte {self._offset} is larger than {self._max} bytes, the limit for one event", self._offset
        )


def _parse_block(block: bytes, offset: int) -> Frame | None:
    """The event in a block of lines that end in line feeds alone, or None if it holds no data."""
    event = b""
    values: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            values.append(value)
        elif name == b"event":
            event = value
    data = b"\n".join(values)
    return Frame(event, data, offset) if data else None

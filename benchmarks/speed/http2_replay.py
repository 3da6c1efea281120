"""The replay server's side of HTTP/2: as much of it as a client needs that asks for answers and takes them.

Heads are read by `hpack`, which keeps a connection's table; the one head that is sent needs no table.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import hpack

__all__ = ["Http2Replay"]

_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _WINDOW = 0, 1, 3, 4, 6, 8
_PREFACE = 24  # bytes
_MOST_STREAMS = 128
_frame_head = struct.Struct(">HBBBI").unpack_from
_number = struct.Struct(">I")
_HEAD = bytes((0x88,)) + b"".join(
    b"\x00%c%b%c%b" % (len(name), name, len(value), value)
    for name, value in ((b"content-type", b"text/event-stream; charset=utf-8"), (b"request-id", b"req_replayed"))
)


class _Answer(Protocol):
    def begin(self) -> None: ...
    def resume(self) -> None: ...
    def leave(self) -> None: ...


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class _Stream:
    """One request, and the way of its answer."""

    def __init__(self, connection: "Http2Replay", number: int, path: str) -> None:
        self.path = path
        self.body = b""
        self.answer: _Answer | None = None
        self.window = 65535
        self._waiting: deque[bytes] = deque()
        self._connection = connection
        self._number = number

    @property
    def paused(self) -> bool:
        return bool(self._waiting) or self._connection.paused

    def write(self, events: Sequence[bytes], *, begins: bool = False, ends: bool = False) -> None:
        """Sends what the window allows, and the rest when it allows more."""
        if begins:
            self._connection.write(_frame(_HEADERS, 4, self._number, _HEAD))
        for place, event in enumerate(events):
            self._waiting.append(_frame(_DATA, int(ends and place == len(events) - 1), self._number, event))
        self.send()

    def send(self) -> None:
        while self._waiting and len(self._waiting[0]) - 9 <= self.window:
            frame = self._waiting.popleft()
            self.window -= len(frame) - 9
            self._connection.write(frame)


class Http2Replay(asyncio.Protocol):
    """One connection. `answer_for(stream, path, body)` makes what answers a request. The connection's own window is
    wider than all that is sent before the client widens it."""

    def __init__(self, transport: asyncio.Transport, answer_for: Callable[[_Stream, str, bytes], _Answer]) -> None:
        self.paused = False
        self._transport = transport
        self._answer_for = answer_for
        self._streams: dict[int, _Stream] = {}
        self._decoder = hpack.Decoder()
        self._received = bytearray()
        self._greeted = False
        self._out: list[bytes] = []
        self._loop = asyncio.get_running_loop()
        self.write(_frame(_SETTINGS, 0, 0, struct.pack(">HI", 3, _MOST_STREAMS)))

    def write(self, data: bytes) -> None:
        """Sends what there is at the end of the loop's turn, in one piece."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        self._transport.write(b"".join(self._out))
        self._out.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        for stream in self._streams.values():
            if stream.answer is not None:
                stream.answer.leave()
        self._streams.clear()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        for stream in list(self._streams.values()):
            if stream.answer is not None:
                stream.answer.resume()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if not self._greeted:
            if len(received) < _PREFACE:
                return
            del received[:_PREFACE]
            self._greeted = True
        at = 0
        while len(received) - at >= 9:
            high, low, kind, flags, number = _frame_head(received, at)
            end = at + 9 + (high << 8 | low)
            if end > len(received):
                break
            self._take(kind, flags, number, bytes(received[at + 9 : end]))
            at = end
        del received[:at]

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if kind == _HEADERS:
            fields = dict(cast("list[tuple[str, str]]", self._decoder.decode(payload)))
            self._streams[number] = _Stream(self, number, fields[":path"])
        elif kind == _DATA and stream is not None:
            stream.body += payload
            if flags & 1:
                stream.answer = self._answer_for(stream, stream.path, stream.body)
                stream.answer.begin()
        elif kind == _RESET and stream is not None:
            del self._streams[number]
            if stream.answer is not None:
                stream.answer.leave()
        elif kind == _WINDOW and stream is not None:
            stream.window += _number.unpack(payload)[0]
            stream.send()
            if stream.answer is not None:
                stream.answer.resume()
        elif kind in (_SETTINGS, _PING) and not flags & 1:
            self.write(_frame(kind, 1, 0, payload if kind == _PING else b""))

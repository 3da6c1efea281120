"""The replay server: prepared answers of the Messages API, sent with as little work as Python allows.

`POST /p<milliseconds>/v1/messages` is answered with `max_tokens` text deltas, that many milliseconds apart. A pace of 0
sends as fast as the client reads. A paced delta's text is the monotonic clock in nanoseconds and a space, so that a
client on the same machine can tell how late it is. An answer of one delta is sent at once, whatever the pace.

Run as `python -m benchmarks.speed.server [CORE]`; it prints one line of JSON about where it listens, and ends with its
standard input.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol, cast

from .machine import allow_many_files, pin

__all__ = ["WIRE_EVENTS_BESIDE_DELTAS"]

WIRE_EVENTS_BESIDE_DELTAS = 6
"""Events of an answer that are not text deltas."""
_DELTAS_A_WRITE = 4
_TICKS_A_SECOND = 1000

_HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"transfer-encoding: chunked\r\nrequest-id: req_replayed\r\n\r\n"
)
_REQUEST = re.compile(rb"POST /p(\d+)/v1/messages[ ?]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_DELTAS = re.compile(rb'"max_tokens": *(\d+)')
_USAGE = {"input_tokens": 25, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 1}
_WORDS = ("One ", "reads ", "how ", "the answer ", "comes in ", "piece by piece, ", "a word ", "or two ", "at a time. ")


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields}, separators=(',', ':'))}\n\n".encode()


def _delta(text: str) -> bytes:
    return _event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


_OPENING = (
    _event(
        "message_start",
        message={
            "id": "msg_01Replayed",
            "type": "message",
            "role": "assistant",
            "content": [],
            "model": "claude-opus-5-5",
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _USAGE,
        },
    ),
    _event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    _event("ping"),
)


@cache
def _closing(deltas: int) -> tuple[bytes, ...]:
    return (
        _event("content_block_stop", index=0),
        _event(
            "message_delta",
            delta={"stop_reason": "end_turn", "stop_sequence": None},
            usage={**_USAGE, "output_tokens": deltas},
        ),
        _event("message_stop"),
    )


@cache
def _burst(deltas: int) -> tuple[tuple[bytes, ...], ...]:
    """The deltas of a whole answer, as many together as are written together."""
    events = [_delta(_WORDS[number % len(_WORDS)]) for number in range(deltas)]
    return tuple(tuple(events[start : start + _DELTAS_A_WRITE]) for start in range(0, deltas, _DELTAS_A_WRITE))


def _chunk(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


def _stamped() -> bytes:
    return _delta(f"{time.monotonic_ns()} ")


class _Wheel:
    """Sends the deltas of all answers of one pace. Each has its place among the wheel's ticks, so that there is no
    timer and no task for a stream."""

    def __init__(self, milliseconds: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: list[set[_Answer]] = [set() for _ in range(milliseconds)]
        self._tick = round(self._loop.time() * _TICKS_A_SECOND)
        self._joined = 0
        self._turn()

    def join(self, answer: "_Answer") -> set["_Answer"]:
        # Neighbours join one after the other: a large step spreads them over the ticks.
        self._joined += 1
        slot = self._slots[self._joined * 7919 % len(self._slots)]
        slot.add(answer)
        return slot

    def _turn(self) -> None:
        now = round(self._loop.time() * _TICKS_A_SECOND)
        while self._tick <= now:
            for answer in tuple(self._slots[self._tick % len(self._slots)]):
                answer.send_stamped()
            self._tick += 1
        self._loop.call_at(self._tick / _TICKS_A_SECOND, self._turn)


class _Way(Protocol):
    """How the events of an answer go out."""

    @property
    def paused(self) -> bool: ...

    def write(self, events: tuple[bytes, ...], *, begins: bool = False, ends: bool = False) -> None: ...


class _Answer:
    """One answer, at its pace."""

    def __init__(self, way: _Way, wheels: dict[int, _Wheel], pace: int, body: bytes) -> None:
        deltas = _DELTAS.search(body)
        self._way = way
        self._wheels = wheels
        self._pace = pace
        self._deltas = self._left = int(deltas[1]) if deltas else 1
        self._slot: set[_Answer] | None = None
        self._pieces: Iterator[tuple[bytes, ...]] | None = None

    def begin(self) -> None:
        if self._deltas == 1:
            self._way.write((*_OPENING, _stamped(), *_closing(1)), begins=True, ends=True)
        elif self._pace == 0:
            self._way.write(_OPENING, begins=True)
            self._pieces = iter(_burst(self._deltas))
            self.send_more()
        else:
            self._left -= 1
            self._way.write((*_OPENING, _stamped()), begins=True)
            wheel = self._wheels.get(self._pace)
            if wheel is None:
                wheel = self._wheels[self._pace] = _Wheel(self._pace)
            self._slot = wheel.join(self)

    def resume(self) -> None:
        if self._pieces is not None:
            asyncio.get_running_loop().call_soon(self.send_more)

    def send_more(self) -> None:
        if self._pieces is None or self._way.paused:
            return
        piece = next(self._pieces, None)
        if piece is None:
            self._pieces = None
            self._way.write(_closing(self._deltas), ends=True)
            return
        self._way.write(piece)
        asyncio.get_running_loop().call_soon(self.send_more)

    def send_stamped(self) -> None:
        """The next delta of a paced answer, and its end when it is the last."""
        self._way.write((_stamped(),))
        self._left -= 1
        if not self._left:
            self._way.write(_closing(self._deltas), ends=True)
            self.leave()

    def leave(self) -> None:
        self._pieces = None
        if self._slot is not None:
            self._slot.discard(self)
            self._slot = None


class _Replay(asyncio.Protocol):
    """One connection: over HTTP/1.1, unless TLS's handshake chose HTTP/2."""

    def __init__(self, wheels: dict[int, _Wheel]) -> None:
        self._wheels = wheels
        self._buffer = b""
        self.paused = False
        self._answer: _Answer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by inheritance
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() == "h2":
            from .http2_replay import Http2Replay

            self._transport.set_protocol(Http2Replay(self._transport, self._answer_for))

    def _answer_for(self, way: _Way, path: str, body: bytes) -> _Answer:
        return _Answer(way, self._wheels, int(path.split("/")[1][1:]), body)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            self._answer.leave()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self._answer is not None:
            self._answer.resume()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        request, length = _REQUEST.match(head), _LENGTH.search(head)
        if not separator:
            return
        if request is None or length is None:
            self._transport.abort()
            return
        if len(body) < int(length[1]):
            return
        self._buffer = b""  # no client sends its next request before the answer to this one
        self._answer = _Answer(self, self._wheels, int(request[1]), body)
        self._answer.begin()

    def write(self, events: tuple[bytes, ...], *, begins: bool = False, ends: bool = False) -> None:
        body = _chunk(events[0]) if len(events) == 1 else b"".join(map(_chunk, events))
        self._transport.write(b"%b%b%b" % (_HEAD if begins else b"", body, b"0\r\n\r\n" if ends else b""))


def _say(place: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(place) + "\n")
    sys.stdout.flush()


async def _serve() -> None:
    try:
        from manystream.engine.simulator.served.tls import Certificate

        certificate = Certificate("localhost")
    except ImportError:
        certificate = None
    loop = asyncio.get_running_loop()
    wheels: dict[int, _Wheel] = {}

    def replay() -> _Replay:
        return _Replay(wheels)

    async def listen(**tls: Any) -> int:
        server = await loop.create_server(replay, "127.0.0.1", 0, backlog=4096, **tls)
        return server.sockets[0].getsockname()[1]

    place = {"port": await listen()}
    if certificate is None:
        _say(place)
        await loop.run_in_executor(None, sys.stdin.read)
        return
    certificate.context.set_alpn_protocols(["h2", "http/1.1"])
    with certificate:
        tls_port = await listen(ssl=certificate.context)
        _say({**place, "tls_port": tls_port, "authority": str(certificate.authority)})
        await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serves until the standard input ends."""
    allow_many_files()
    pin(int(sys.argv[1]) if len(sys.argv) > 1 else None)
    try:
        from uvloop import run
    except ImportError:
        run = asyncio.run
    run(_serve())


if __name__ == "__main__":
    main()

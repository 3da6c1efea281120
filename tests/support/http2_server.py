"""A server that speaks HTTP/2 frame by frame, as a test's script tells it to, over real sockets in the test's own event
loop; and the frames themselves."""

import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import attrs
import hpack
import trustme
from tests.support.wire_server import Peer, WireServer, certified, serving

__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "GOAWAY",
    "HEADERS",
    "MAX_STREAMS",
    "PING",
    "PUSH_PROMISE",
    "RST_STREAM",
    "SETTINGS",
    "WINDOW_UPDATE",
    "Frame",
    "Http2Peer",
    "frame",
    "goaway",
    "offering",
    "reset",
    "serving_http2",
    "settings",
    "window",
]

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
MAX_STREAMS = 3  # the setting
_GONE = (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def settings(**values: int) -> bytes:
    """A SETTINGS frame, with settings by their number: `settings(_3=100)`."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", int(name[1:]), value) for name, value in values.items()))


def reset(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last: int, code: int = 0, said: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + said)


def window(stream: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", more))


@attrs.frozen
class Frame:
    """A frame that was received."""

    kind: int
    flags: int
    stream: int
    payload: bytes


class Http2Peer:
    """The server's side of one connection. `number` counts the server's connections, from 1."""

    def __init__(self, peer: Peer, number: int) -> None:
        self.peer = peer
        self.number = number
        self.frames: list[Frame] = []
        """What came, in its order."""
        self.encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._received = b""
        self._sending = anyio.Lock()

    async def start(self, **values: int) -> None:
        """Sends the settings and takes in the preface."""
        await self.send(settings(**values))
        while len(self._received) < len(_PREFACE):
            self._received += await self.peer.stream.receive()
        assert self._received.startswith(_PREFACE)
        self._received = self._received[len(_PREFACE) :]

    async def send(self, *frames: bytes) -> None:
        async with self._sending:
            await self.peer.stream.send(b"".join(frames))

    async def next(self) -> Frame:
        while len(self._received) < 9 or len(self._received) < 9 + int.from_bytes(self._received[:3], "big"):
            self._received += await self.peer.stream.receive()
        length = int.from_bytes(self._received[:3], "big")
        head, payload = self._received[:9], self._received[9 : 9 + length]
        self._received = self._received[9 + length :]
        found = Frame(head[3], head[4], int.from_bytes(head[5:9], "big"), payload)
        if found.kind == SETTINGS and not found.flags & ACK:
            await self.send(frame(SETTINGS, ACK, 0))
        self.frames.append(found)
        return found

    async def until(self, kind: int) -> Frame:
        """The next frame of a kind."""
        while (found := await self.next()).kind != kind:
            pass
        return found

    async def request(self) -> tuple[int, dict[bytes, bytes]]:
        """The next request's stream and its head; its body is not awaited."""
        found = await self.until(HEADERS)
        head = {bytes(name): bytes(value) for name, value in self._decoder.decode(found.payload, raw=True)}
        return found.stream, head

    def head(self, stream: int, *fields: tuple[str, str], status: str = "200", flags: int = END_HEADERS) -> bytes:
        return frame(HEADERS, flags, stream, self.encoder.encode([(":status", status), *fields]))

    async def answer(self, stream: int, body: bytes = b"ok", status: str = "200") -> None:
        """A whole response."""
        await self.send(self.head(stream, status=status), frame(DATA, END_STREAM, stream, body))

    async def listen(self) -> None:
        """Reads on, until the client leaves."""
        while True:
            await self.next()

    def count(self, kind: int) -> int:
        return sum(found.kind == kind for found in self.frames)


Script = Callable[[Http2Peer], Awaitable[object]]


def offering(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    """A server's context for 127.0.0.1 that chooses the first of these protocols that the client offers."""
    context = certified(authority, "127.0.0.1", "localhost")
    context.set_alpn_protocols(list(protocols))
    return context


class Http2Server:
    """What the test sees of the server."""

    def __init__(self, below: WireServer) -> None:
        self.below = below
        self.peers: list[Http2Peer] = []

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.below.port}/v1/messages"

    @property
    def connections(self) -> int:
        return self.below.connections

    def count(self, kind: int) -> int:
        return sum(peer.count(kind) for peer in self.peers)


@asynccontextmanager
async def serving_http2(
    authority: trustme.CA, script: Script, *, greet: bool = True, then_listen: bool = True, allowed: int | None = None
) -> AsyncGenerator[Http2Server]:
    """Runs `script` on each connection, after the settings were sent if it is to `greet`; then reads on. So many
    streams are `allowed` at once on a connection."""

    async def connected(peer: Peer) -> None:
        http2 = Http2Peer(peer, len(server.peers) + 1)
        server.peers.append(http2)
        try:
            if greet:
                await http2.start(**({} if allowed is None else {f"_{MAX_STREAMS}": allowed}))
            await script(http2)
            if then_listen:
                await http2.listen()
        except BaseExceptionGroup as group:  # of a script that has tasks
            if group.split(_GONE)[1] is not None:
                raise
            raise anyio.EndOfStream from None
        await peer.close()

    below: AbstractAsyncContextManager[WireServer] = serving(
        b"", tls=offering(authority, "h2", "http/1.1"), connected=connected
    )
    async with below as wire:
        server = Http2Server(wire)
        yield server

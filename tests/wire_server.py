"""A server that sends exactly the bytes it is told to, over real sockets, in the test's own event loop."""

import select
import socket
import ssl
import struct
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

__all__ = ["Answer", "Collector", "Peer", "WireServer", "crowded_port", "head", "secure", "serving"]


def head(*headers: str, status: str = "200 OK") -> bytes:
    """A response's head."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


class Peer:
    """The server's side of one connection."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.number = 0
        """Which of the server's requests is being answered, from 1."""
        self.requested = b""
        """The request that is being answered."""
        self._received = b""

    async def receive_head(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            self._received += await self.stream.receive()
        start, _, self._received = self._received.partition(b"\r\n\r\n")
        return start

    async def receive_request(self) -> bytes:
        """Head and body of the next request."""
        start = await self.receive_head()
        lines = start.lower().split(b"\r\n")
        if b"transfer-encoding: chunked" in lines:
            while not self._received.endswith(b"0\r\n\r\n"):
                self._received += await self.stream.receive()
            length = len(self._received)
        else:
            length = sum(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            while len(self._received) < length:
                self._received += await self.stream.receive()
        body, self._received = self._received[:length], self._received[length:]
        return start + b"\r\n\r\n" + body

    async def send(self, *pieces: bytes) -> None:
        """Sends each piece by itself."""
        for piece in pieces:
            await self.stream.send(piece)
            await anyio.wait_all_tasks_blocked()

    async def close(self) -> None:
        await self.stream.aclose()

    async def reset(self) -> None:
        """Ends the connection with a reset instead of an end."""
        raw = self.stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await anyio.aclose_forcefully(self.stream)


class Collector(list[bytes]):
    """A sink that takes all there is."""

    def __call__(self, piece: bytes) -> bool:
        self.append(piece)
        return True


Answer = Callable[[Peer], Awaitable[object]]


class WireServer:
    """Calls `answer` for each request that was received, or `connected` for each connection, if that is given."""

    def __init__(self, answer: Answer | bytes, connected: Answer | None) -> None:
        self.answer = answer
        self.connected = connected
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.lost = anyio.Event()
        """Set when a client has left."""

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        peer = Peer(stream)
        try:
            if self.connected is not None:
                await self.connected(peer)
            while True:
                self.requests.append(await peer.receive_request())
                peer.number, peer.requested = len(self.requests), self.requests[-1]
                if isinstance(self.answer, bytes):
                    await stream.send(self.answer)
                else:
                    await self.answer(peer)
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError):
            self.lost.set()
        finally:
            await anyio.aclose_forcefully(stream)


async def secure(stream: ByteStream, context: ssl.SSLContext) -> ByteStream | None:
    """The server's side of TLS; None, and the connection closed, when the client won't."""
    try:
        return await TLSStream.wrap(stream, ssl_context=context, server_side=True, standard_compatible=False)
    except BaseException as exc:
        await anyio.aclose_forcefully(stream)
        if isinstance(exc, anyio.BrokenResourceError | anyio.EndOfStream | ssl.SSLError):
            return None
        raise


@contextmanager
def crowded_port() -> Iterator[int]:
    """A port to which connecting takes for ever: nobody accepts, and the queue is full."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        connected = True
        while connected:
            client = sockets.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            poll = select.poll()
            poll.register(client, select.POLLOUT)
            connected = bool(poll.poll(50))
        yield listener.getsockname()[1]


@asynccontextmanager
async def serving(
    answer: Answer | bytes,
    *,
    tls: ssl.SSLContext | None = None,
    connected: Answer | None = None,
    host: str = "127.0.0.1",
    receive_buffer: int | None = None,
) -> AsyncGenerator[WireServer]:
    server = WireServer(answer, connected)

    async def serve(stream: ByteStream) -> None:
        if tls is not None:
            secured = await secure(stream, tls)
            if secured is None:
                server.lost.set()
                return
            stream = secured
        await server.serve(stream)

    async with await anyio.create_tcp_listener(local_host=host) as listener, anyio.create_task_group() as tasks:
        server.port = listener.extra(SocketAttribute.local_port)
        if receive_buffer is not None:
            raw = listener.extra(SocketAttribute.raw_socket)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        tasks.start_soon(listener.serve, serve)
        try:
            yield server
        finally:
            tasks.cancel_scope.cancel()

"""A server that sends exactly the bytes it is told to, over real sockets, in the test's own event loop."""

import fcntl
import select
import socket
import ssl
import struct
import termios
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

import anyio
import anyio.lowlevel
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSStream

__all__ = [
    "Answer",
    "Collector",
    "DeafServer",
    "Peer",
    "WireServer",
    "certified",
    "crowded_port",
    "head",
    "secure",
    "serving",
]


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
            for _ in range(10):  # on asyncio the next line takes 0.1 s if it finds anybody about to run
                await anyio.lowlevel.checkpoint()
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


def certified(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """A server's context with a certificate for these names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    return context


async def secure(stream: ByteStream, context: ssl.SSLContext) -> ByteStream | None:
    """The server's side of TLS; None, and the connection closed, when the client won't."""
    try:
        return await TLSStream.wrap(stream, ssl_context=context, server_side=True, standard_compatible=False)
    except BaseException as exc:
        await anyio.aclose_forcefully(stream)
        if isinstance(exc, anyio.BrokenResourceError | anyio.EndOfStream | ssl.SSLError):
            return None
        raise


class DeafServer:
    """Takes connections, makes the handshake over TLS, and reads nothing until it is closed: it has threads of its own,
    since the event loops' servers read ahead."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        self._peers: list[socket.socket] = []
        self._over = threading.Event()
        self.received: list[int] = []
        """What was sent on each connection, as far as it was let: known once the server is closed."""
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def wait_until_full(self) -> None:
        """Blocks until somebody has been writing, and can write no more."""
        for _ in range(500):
            before = [waiting(peer) for peer in self._peers]
            time.sleep(0.02)
            if any(before) and before == [waiting(peer) for peer in self._peers]:
                return
        raise TimeoutError

    def close(self) -> None:
        """Reads all that was sent by those that are gone."""
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(peer,), daemon=True))
                self._threads[-1].start()

    def _serve(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            if self._tls is not None:
                peer = self._tls.wrap_socket(peer, server_side=True)
            with peer:
                self._peers.append(peer)
                self._over.wait()
                peer.settimeout(5)
                count = 0
                with suppress(OSError):
                    while data := peer.recv(65536):
                        count += len(data)
                self.received.append(count)


def waiting(peer: socket.socket) -> int:
    """How many bytes came that nobody has read."""
    with suppress(OSError):
        return struct.unpack("i", fcntl.ioctl(peer, termios.FIONREAD, b"\0" * 4))[0]
    return 0


@contextmanager
def crowded_port() -> Generator[int]:
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
        tasks.start_soon(listener.serve, serve)
        try:
            yield server
        finally:
            tasks.cancel_scope.cancel()

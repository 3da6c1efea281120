"""The HTTP transport when it is cancelled: wherever it is, the connection is gone at once, and nothing is left."""

import asyncio
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
import trustme
from tests.support.wire_server import Collector, Peer, WireServer, certified, head, serving

from manystream.engine.api.http import HttpTransport

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]

OK = head("content-length: 2") + b"ok"


@pytest.fixture(scope="module")
def contexts(authority: trustme.CA, trusting: ssl.SSLContext) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A client's context and a server's."""
    return trusting, certified(authority, "127.0.0.1")


@pytest.fixture(autouse=True)
async def nothing_is_left(anyio_backend: Any) -> AsyncIterator[None]:
    before = len(anyio.get_running_tasks())
    yield
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert len(anyio.get_running_tasks()) == before
    gc.collect()
    await anyio.lowlevel.checkpoint()


# -- where it may be


async def wait_for_the_end(peer: Peer) -> None:
    while True:
        await peer.stream.receive()


async def read_nothing(peer: Peer) -> None:
    await peer.receive_head()
    await anyio.sleep(0.2)
    await wait_for_the_end(peer)


async def begin(peer: Peer) -> None:
    await peer.send(head("transfer-encoding: chunked") + b"1\r\nx\r\n")
    await wait_for_the_end(peer)


async def post(client: httpx2.AsyncClient, url: str) -> None:
    await client.post(url, content=b"x")


async def upload(client: httpx2.AsyncClient, url: str) -> None:
    await client.post(url, content=b"x" * 30_000_000)


async def upload_pieces(client: httpx2.AsyncClient, url: str) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 30_000_000
        await anyio.sleep(60)

    await client.post(url, content=pieces())


async def pump(client: httpx2.AsyncClient, url: str) -> None:
    async with client.stream("POST", url) as response:
        await response.extensions["exchange"].pump(Collector())


# Each with what the server does, whether that is to the connection or to the request, and what the client does.
Stage = tuple[str, Callable[[Peer], Awaitable[None]], Callable[[httpx2.AsyncClient, str], Awaitable[None]]]
STAGES: dict[str, Stage] = {
    "the handshake": ("handshake", wait_for_the_end, post),
    "sending": ("connected", read_nothing, upload),
    "sending pieces": ("connected", read_nothing, upload_pieces),
    "waiting for the head": ("answer", wait_for_the_end, post),
    "reading": ("answer", begin, post),
    "pumping": ("answer", begin, pump),
}
on_asyncio = pytest.mark.parametrize(
    "anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)
stages = pytest.mark.parametrize("stage", STAGES.values(), ids=list(STAGES))
securely = pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])


class Asked:
    """A server and a client that will stay where the stage has them."""

    def __init__(self, stage: Stage, secure: bool, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
        where, act, self._ask = stage
        connected = act if where in ("connected", "handshake") else None
        scheme = "https" if secure or where == "handshake" else "http"
        tls = contexts[1] if secure and where != "handshake" else None
        self.serving = serving(act if where == "answer" else OK, connected=connected, tls=tls)
        self.client = httpx2.AsyncClient(transport=HttpTransport(ssl_context=contexts[0]), timeout=None)
        self._scheme = scheme
        self._again = where != "handshake"

    def url(self, server: WireServer) -> str:
        return f"{self._scheme}://127.0.0.1:{server.port}/"

    async def ask(self, server: WireServer) -> None:
        await self._ask(self.client, self.url(server))

    async def check(self, server: WireServer) -> None:
        """The server sees the connection go; another request is served."""
        with anyio.fail_after(3):
            await server.lost.wait()
            server.connected, server.answer = None, OK
            if self._again:
                assert (await self.client.get(self.url(server))).content == b"ok"
                assert server.connections == 2


@stages
@securely
@pytest.mark.parametrize("soon", [0, 1, 3, None])
async def test_by_a_scope(
    stage: Stage, secure: bool, soon: int | None, contexts: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    asked = Asked(stage, secure, contexts)
    async with asked.client, asked.serving as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked.ask, server)
            if soon is None:
                await anyio.wait_all_tasks_blocked()
                await anyio.sleep(0.01)
            else:
                for _ in range(soon):
                    await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        if soon is None:
            await asked.check(server)


@stages
@securely
@pytest.mark.parametrize("times", [1, 2])
@on_asyncio
async def test_natively(
    stage: Stage,
    secure: bool,
    times: int,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
    anyio_backend: Any,
) -> None:
    asked = Asked(stage, secure, contexts)
    async with asked.client, asked.serving as server:
        task = asyncio.create_task(asked.ask(server))
        await anyio.wait_all_tasks_blocked()
        await anyio.sleep(0.01)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await asked.check(server)


async def test_a_pump_that_was_cancelled_can_be_closed_or_gone_on_with(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(head("transfer-encoding: chunked") + b"1\r\na\r\n")
        await cancelled.wait()
        await peer.send(b"1\r\nb\r\n", b"0\r\n\r\n")

    cancelled = anyio.Event()
    pieces = Collector()
    transport = HttpTransport(ssl_context=contexts[0])
    async with httpx2.AsyncClient(transport=transport) as client, serving(answer) as server:
        async with client.stream("POST", f"http://127.0.0.1:{server.port}/") as response:
            with anyio.move_on_after(0.05):
                await response.extensions["exchange"].pump(pieces)
            assert pieces == [b"a"]
            cancelled.set()
            assert await response.extensions["exchange"].pump(pieces)
        assert b"".join(pieces) == b"ab"
        await client.post(f"http://127.0.0.1:{server.port}/")
        assert server.connections == 1


async def test_many_that_are_cancelled_at_any_time(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def answer(peer: Peer) -> None:
        for piece in (head("transfer-encoding: chunked"), *[b"1\r\nx\r\n"] * 5, b"0\r\n\r\n"):
            await peer.stream.send(piece)
            await anyio.lowlevel.checkpoint()

    async def ask(number: int) -> None:
        with anyio.move_on_after(number * 0.0004):
            await pump(client, f"http://127.0.0.1:{server.port}/")
            done.append(number)

    done: list[int] = []
    transport = HttpTransport(ssl_context=contexts[0])
    async with httpx2.AsyncClient(transport=transport) as client, serving(answer) as server:
        async with anyio.create_task_group() as tasks:
            for number in range(80):
                tasks.start_soon(ask, number)
        # Whatever was given back is whole.
        for _ in range(100):
            pieces = Collector()
            async with client.stream("POST", f"http://127.0.0.1:{server.port}/") as response:
                assert await response.extensions["exchange"].pump(pieces)
            assert b"".join(pieces) == b"xxxxx"
        assert not transport._busy  # pyright: ignore[reportPrivateUsage]
    assert len(done) < 80


async def test_a_response_is_freed_at_its_end(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    import weakref

    from manystream.engine.api.http.exchange import Exchange

    async def answer(peer: Peer) -> None:
        await peer.send(head("transfer-encoding: chunked") + b"1\r\nx\r\n")
        if peer.number == 2:
            await peer.reset()
        await peer.send(b"0\r\n\r\n" if peer.number == 1 else b"what")

    known: list[weakref.ref[Any]] = []
    transport = HttpTransport(ssl_context=contexts[0])
    gc.disable()
    try:
        async with serving(answer) as server:
            for _ in range(3):
                response = await transport.handle_async_request(
                    httpx2.Request("GET", f"http://127.0.0.1:{server.port}/")
                )
                exchange = response.stream
                assert isinstance(exchange, Exchange)
                known += [weakref.ref(exchange), weakref.ref(exchange.reader)]
                try:
                    await response.extensions["exchange"].pump(Collector())
                except httpx2.TransportError as exc:
                    exc.__traceback__ = None
                await exchange.aclose()
                del response, exchange
            await transport.aclose()
        assert [reference() for reference in known] == [None] * 6
    finally:
        gc.enable()

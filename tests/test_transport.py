"""The transport on aiohttp: TLS, encodings, connections that are used again, aborted, or break."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trustme

from manystream import AnthropicModel, Deadlines, Engine, StreamResult
from manystream.engine.aiohttp_transport import AiohttpTransport
from manystream.engine.clients import acquire_shared_client

from .engines import AT_ONCE
from .reference.streams import STREAMS

pytestmark = pytest.mark.anyio

BODY = STREAMS["text"].body
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[bool]]


@pytest.fixture
def anyio_backend() -> str:
    """aiohttp runs on asyncio alone."""
    return "asyncio"


class Server:
    """Answers the n-th request as it is told to; `answer` returns whether the connection stays."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.connections = 0
        self.requests = 0
        self.lost = asyncio.Event()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                self.requests += 1
                if not await self.answer(self.requests, writer):
                    break
        except (asyncio.IncompleteReadError, OSError):
            self.lost.set()
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    server = Server(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.url = f"http{'s' if tls else ''}://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()


async def ask(server: Server, **arguments: Any) -> StreamResult:
    model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=server.url)
    async with Engine(model, retry=AT_ONCE, **arguments) as engine:
        return await engine.submit("Hi").wait()


def response(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def whole(number: int, writer: asyncio.StreamWriter) -> bool:
    writer.write(response(BODY))
    return True


async def test_the_environments_certificates_are_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    ca = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with serving(whole, context) as server:
        result = await ask(server)
        assert result.error is not None
        assert result.error.type == "connection_error"
        assert "certificate" in result.error.message.lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await ask(server)).state == "complete"


async def test_encoded_bodies_are_decoded() -> None:
    async def zipped(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(response(gzip.compress(BODY), "content-encoding: gzip"))
        return True

    async def broken(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(response(b"this is not gzip", "content-encoding: gzip"))
        return True

    async with serving(zipped) as server:
        assert (await ask(server)).text
    async with serving(broken) as server:
        result = await ask(server)
        assert (result.state, len(result.attempts)) == ("truncated", 4)


async def test_connections_are_used_again() -> None:
    async with serving(whole) as server:
        model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=server.url)
        async with Engine(model, max_concurrency=3) as engine:
            assert {result.state for result in await engine.gather(["x"] * 30)} == {"complete"}
        assert (server.requests, server.connections) == (30, 3)


async def test_the_server_may_close_an_idle_connection() -> None:
    async def and_close(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(response(BODY))
        return False  # without having said so

    async with serving(and_close) as server:
        model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=server.url)
        async with Engine(model, max_concurrency=1, retry=AT_ONCE) as engine:
            results = await engine.gather(["x"] * 10)
        assert {result.state for result in results} == {"complete"}
        assert server.connections == server.requests == 10


@pytest.mark.parametrize(
    "bytes_",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\ncontent-le", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n: x\r\n\r\n"],
    ids=["nothing", "half a status", "half a header", "no HTTP", "a bad header"],
)
async def test_half_a_head_is_a_failed_connection(bytes_: bytes) -> None:
    async def half(number: int, writer: asyncio.StreamWriter) -> bool:
        if number == 2:
            return await whole(number, writer)
        writer.write(bytes_)
        return False

    async with serving(half) as server:
        result = await ask(server)
    assert result.state == "complete"
    assert result.attempts[0].error is not None
    assert result.attempts[0].error.type == "connection_error"


async def test_half_a_body_is_truncated() -> None:
    async def half(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(response(BODY)[:-200])
        return False

    async with serving(half) as server:
        result = await ask(server)
    assert result.state == "truncated"
    assert result.text
    assert len(result.attempts) == 1


async def test_an_abort_drops_the_connection_at_once() -> None:
    async def begin(number: int, writer: asyncio.StreamWriter) -> bool:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        return True

    async with serving(begin) as server:
        transport = AiohttpTransport(ssl_context=ssl.create_default_context())
        async with httpx2.AsyncClient(transport=transport) as client:
            async with client.stream("POST", server.url, content=b"x") as opened:
                chunks = opened.aiter_raw()
                assert await anext(chunks) == b"abc"
                opened.extensions["abort"]()
                await asyncio.wait_for(server.lost.wait(), 1)
                with pytest.raises(httpx2.TransportError):
                    await anext(chunks)
            opened.extensions["abort"]()  # once more does nothing


async def test_a_connection_that_is_not_made_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.sleep(60)

    lease = acquire_shared_client()
    monkeypatch.setattr("aiohttp.TCPConnector._create_connection", never)
    for connect in (httpx2.Timeout(None, connect=0.02),):
        with pytest.raises(httpx2.ConnectTimeout):
            await lease.client.get("http://127.0.0.1:1", timeout=connect)
    await lease.aclose()
    async with serving(whole) as server:
        result = await ask(server, deadlines=Deadlines(connect=0.02))
    assert result.error is not None
    assert result.error.deadline == "connect"
    assert len(result.attempts) == 4


async def test_a_url_that_is_none() -> None:
    async with httpx2.AsyncClient(transport=AiohttpTransport(ssl_context=ssl.create_default_context())) as client:
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://127.0.0.1:1/")


async def test_bodies_of_any_kind_are_sent() -> None:
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await reader.readuntil(b"\r\n\r\n"))
        received.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(response(b""))
        writer.close()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b"two"

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with httpx2.AsyncClient(transport=AiohttpTransport(ssl_context=ssl.create_default_context())) as client:
        assert (await client.post(url, content=pieces())).status_code == 200
    listener.close()
    assert received[0].lower().count(b"transfer-encoding") == 1
    assert b"one " in received[1]

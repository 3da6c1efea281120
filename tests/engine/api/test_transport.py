"""The engine over the shared client's own transport: TLS, encodings, connections that are used again, or break."""

import asyncio
import gzip
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from tests.support.engines import AT_ONCE
from tests.support.reference.streams import STREAMS

from manystream import AnthropicModel, Deadlines, Engine, StreamResult

pytestmark = pytest.mark.anyio

BODY = STREAMS["text"].body
Answer = Callable[[int, asyncio.StreamWriter], Awaitable[bool]]


@pytest.fixture
def anyio_backend() -> str:
    """The scripted server is asyncio's; the transport itself has tests of its own, on all backends."""
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
        assert result.error is not None
        # The same at the same place twice: it is no accident.
        assert (result.state, result.error.type, len(result.attempts)) == ("failed", "protocol_error", 2)


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


async def test_a_connection_that_is_not_made_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=url)
    async with Engine(model, deadlines=Deadlines(connect=0.02), retry=AT_ONCE) as engine:
        result = await engine.submit("Hi").wait()
    listener.close()
    assert result.error is not None
    assert result.error.deadline == "connect"
    assert len(result.attempts) == 4

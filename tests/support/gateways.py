"""A gateway that listens, over an upstream in memory; and clients that say exactly what they are told to."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
from anyio.abc import SocketStream
from tests.support.upstream import Upstream, asking, engine_over

from manystream import Engine
from manystream.engine.serve import Rules, Server

__all__ = ["Answered", "Gate", "Talk", "gate", "message_request", "request_of", "talk", "until"]


@attrs.frozen
class Gate:
    """A gateway that listens."""

    engine: Engine
    server: Server
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def gate(
    upstream: Upstream,
    rules: Rules | None = None,
    *,
    held: Any = None,
    spend_cap: float | None = None,
    most_connections: int = 1000,
    **options: Any,
) -> AsyncGenerator[Gate]:
    """A gateway over `upstream`, on a free port."""
    async with engine_over(upstream, grace=0, **options) as engine:
        server = Server(engine, rules or Rules(), held=held, spend_cap=spend_cap, most_connections=most_connections)
        async with server.listening("127.0.0.1", 0) as addresses:
            yield Gate(engine, server, addresses[0][1])


@attrs.frozen
class Answered:
    """An answer, as it stood on the wire."""

    status: int
    headers: dict[str, str]
    body: bytes
    interim: tuple[int, ...] = ()
    """The statuses that came before it."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Talk:
    """A connection to a gateway."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._left = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def more(self) -> bytes:
        """What comes next; nothing at the end."""
        if self._left:
            data, self._left = self._left, b""
            return data
        try:
            return await self.stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return b""

    async def until(self, mark: bytes) -> bytes:
        """All up to a mark, which is left out."""
        data = b""
        while mark not in data:
            more = await self.more()
            assert more, f"the connection ended behind {data!r}"
            data += more
        before, _, self._left = data.partition(mark)
        return before

    async def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = await self.more()
            assert more, f"the connection ended behind {data!r}"
            data += more
        self._left = data[count:]
        return data[:count]

    async def rest(self) -> bytes:
        """All until the connection ends."""
        data = b""
        while more := await self.more():
            data += more
        return data

    async def answer(self, *, head_only: bool = False) -> Answered:
        """The next whole answer."""
        interim: list[int] = []
        while True:
            first, *lines = (await self.until(b"\r\n\r\n")).split(b"\r\n")
            status = int(first.split()[1])
            if status >= 200:
                break
            interim.append(status)
        pairs = [line.partition(b": ") for line in lines]
        headers = {name.decode().lower(): value.decode() for name, _, value in pairs}
        assert len(headers) == len(lines), "a header came twice"
        if head_only or status in (204, 304):
            body = b""
        elif "content-length" in headers:
            body = await self.exactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                assert await self.exactly(2) == b"\r\n"
            assert await self.exactly(2) == b"\r\n"
        else:
            body = await self.rest()
        return Answered(status, headers, body, tuple(interim))


@asynccontextmanager
async def talk(gate: Gate) -> AsyncGenerator[Talk]:
    """A connection."""
    async with await anyio.connect_tcp("127.0.0.1", gate.port) as stream:
        yield Talk(stream)


def request_of(method: str, target: str, *headers: str, body: bytes = b"", host: str = "localhost") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def message_request(*headers: str, **params: Any) -> bytes:
    """A request for a message."""
    return request_of("POST", "/v1/messages", "x-api-key: key-1", *headers, body=json.dumps(asking(**params)).encode())


async def until(met: Callable[[], bool]) -> None:
    """Waits until it is met, for which other tasks and sockets need a while."""
    with anyio.fail_after(20):
        while not met():  # noqa: ASYNC110 - nothing tells when
            await anyio.sleep(0.001)

"""The HTTP transport over real sockets: what servers may do, and what becomes of the connection."""

import asyncio
import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import anthropic
import anyio
import anyio.to_thread
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from tests.support.wire_server import Collector, Peer, WireServer, head, serving

from manystream.engine.api.http import HttpTransport, dial
from manystream.engine.api.http.exchange import Exchange
from manystream.engine.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]

OK = head("content-length: 2") + b"ok"


on_asyncio = pytest.mark.parametrize(
    "anyio_backend", ["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)


@pytest.fixture(scope="module")
def context() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
async def transport(context: ssl.SSLContext, anyio_backend: Any) -> AsyncIterator[HttpTransport]:
    async with HttpTransport(ssl_context=context) as transport:
        yield transport
    gc.collect()


@pytest.fixture
async def client(transport: HttpTransport) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(transport=transport, timeout=5) as client:
        yield client


def url_of(server: WireServer) -> str:
    return f"http://127.0.0.1:{server.port}/v1/messages?a=b"


async def pumped(response: httpx2.Response) -> bytes:
    pieces = Collector()
    assert await response.extensions["exchange"].pump(pieces)
    return b"".join(pieces)


# -- what httpx2's own transport would have made of it

CHUNKED = head("Transfer-Encoding: chunked", "Content-Type: text/event-stream")
RESPONSES = {
    "fixed": OK,
    "chunked": CHUNKED + b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nTrailer: x\r\n\r\n",
    "until close": head("X-A: 1", "x-a: 2") + b"to the end",
    "informational": head(status="103 Early Hints") + OK,
    "no content": head(status="204 No Content"),
    "an error": head("content-length: 4", "Set-Cookie: a=1", "set-cookie: b=2", status="529 Overloaded") + b"busy",
    "no reason": b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
    "empty headers": head("X-Empty:", "X-Spaces:   a  ", "content-length: 0"),
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nold",
    "Latin-1": head("content-length: 0").replace(b"content-length", b"X-Name: \xe4\r\ncontent-length"),
    "encoded": head("content-encoding: identity", "content-length: 2") + b"ok",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "half a body": head("content-length: 9") + b"half",
    "half a chunk": CHUNKED + b"9\r\nhalf",
    "no last chunk": CHUNKED + b"4\r\nhalf\r\n",
    "rubbish": b"SSH-2.0-OpenSSH_9.9\r\n",
    "a rubbish chunk": CHUNKED + b"what\r\n",
}


@pytest.mark.parametrize("name", RESPONSES)
async def test_it_is_as_with_httpx2s_own(client: httpx2.AsyncClient, name: str) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(RESPONSES[name])
        await peer.close()

    async def ask(client: httpx2.AsyncClient) -> object:
        try:
            response = await client.post(url_of(server), json={"a": "b"})
        except httpx2.HTTPError as exc:
            return type(exc)
        return (response.status_code, response.headers.raw, response.content, response.extensions["reason_phrase"])

    async with serving(answer) as server, httpx2.AsyncClient(timeout=5) as other:
        assert await ask(client) == await ask(other)
        ours, theirs = server.requests
        assert ours == theirs


@pytest.mark.parametrize("name", RESPONSES)
async def test_a_pump_brings_what_an_iteration_does(client: httpx2.AsyncClient, name: str) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(*(RESPONSES[name][i : i + 7] for i in range(0, len(RESPONSES[name]), 7)))
        await peer.close()

    async def ask(*, pump: bool) -> tuple[bytes, str]:
        body = b""
        async with serving(answer) as server:
            try:
                async with client.stream("POST", url_of(server)) as response:
                    if pump:
                        body = await pumped(response)
                    else:
                        async for piece in response.aiter_raw():
                            body += piece
            except httpx2.RemoteProtocolError as exc:
                return body, str(exc)
            return body, ""

    brought, iterated = await ask(pump=True), await ask(pump=False)
    assert brought[1] == iterated[1]
    if not iterated[1]:
        assert brought[0] == iterated[0]


async def test_the_sdk_works_over_it(context: ssl.SSLContext, anyio_backend: Any) -> None:
    with Simulator().in_thread() as simulator:
        simulator.script(["one two three", "one two three", 529])
        async with (
            httpx2.AsyncClient(transport=HttpTransport(ssl_context=context)) as client,
            anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url, http_client=client, max_retries=0) as sdk,
        ):
            arguments: Any = {
                "model": "claude-opus-5-5",
                "max_tokens": 99,
                "messages": [{"role": "user", "content": "Hi"}],
            }
            async with sdk.messages.stream(**arguments) as stream:
                assert await stream.get_final_text() == "one two three"
            messages: Any = sdk.messages
            message = await messages.create(**arguments)
            assert message.content[0].text == "one two three"
            with pytest.raises(anthropic.APIStatusError) as caught:
                await sdk.messages.create(**arguments)
            assert caught.value.status_code == 529
        assert simulator.total_connections == 1


# -- connections that are used again


async def test_connections_are_used_again(client: httpx2.AsyncClient) -> None:
    async with serving(OK) as server:
        for _ in range(5):
            assert (await client.post(url_of(server), content=b"x")).content == b"ok"
        async with client.stream("GET", url_of(server)) as response:
            assert await pumped(response) == b"ok"
        async with client.stream("GET", url_of(server)):
            pass  # all of the body has come with the head
        await client.get(url_of(server))
        assert (server.connections, len(server.requests)) == (1, 8)


@pytest.mark.parametrize(
    ("answer", "headers"),
    [
        (head("content-length: 2", "connection: close") + b"ok", {}),
        (OK, {"connection": "close"}),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", {}),
        (OK + b"more", {}),
        (OK + OK, {}),
    ],
)
async def test_connections_that_are_not(client: httpx2.AsyncClient, answer: bytes, headers: dict[str, str]) -> None:
    async with serving(answer) as server:
        for _ in range(3):
            assert (await client.get(url_of(server), headers=headers)).content == b"ok"
        assert server.connections == 3


async def test_a_body_that_is_left_costs_the_connection(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(head("content-length: 2") + b"o")
        if peer.number > 1:
            await peer.send(b"k")

    async with serving(answer) as server:
        async with client.stream("GET", url_of(server)):
            pass
        with anyio.fail_after(2):
            await server.lost.wait()
        assert (await client.get(url_of(server))).content == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("way", ["close", "reset", "speak"])
async def test_a_server_may_be_done_with_an_idle_connection(client: httpx2.AsyncClient, way: str) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(OK)
        await asked.wait()
        if way == "speak":
            await peer.send(head("connection: close", "content-length: 0", status="408 Request Timeout"))
        else:
            await getattr(peer, way)()
        done.set()

    asked, done = anyio.Event(), anyio.Event()
    async with serving(answer) as server:
        await client.post(url_of(server))
        asked.set()
        await done.wait()
        # At once, with no time for an event loop to see it: a POST could not be sent twice.
        assert (await client.post(url_of(server))).content == b"ok"
        assert server.connections == len(server.requests) == 2


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_connection_that_breaks_when_it_is_used_again(client: httpx2.AsyncClient, way: str) -> None:
    async def answer(peer: Peer) -> None:
        if peer.number in again:
            await getattr(peer, way)()
        else:
            await peer.send(OK)

    again = {2}
    async with serving(answer) as server:
        await client.get(url_of(server))
        # What is safe to repeat is repeated,
        assert (await client.get(url_of(server))).content == b"ok"
        assert server.connections == 2
        # what may cost something is not,
        again = {4}
        with pytest.raises(httpx2.TransportError):
            await client.post(url_of(server))
        assert len(server.requests) == 4
        # and a connection that is new has no excuse.
        again = {5}
        with pytest.raises(httpx2.TransportError):
            await client.get(url_of(server))
        assert len(server.requests) == 5


async def test_a_response_that_has_begun_is_not_asked_for_again(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        if peer.number == 2:
            await peer.send(b"HTTP/1.1 2")
            await peer.close()
        else:
            await peer.send(OK)

    async with serving(answer) as server:
        await client.get(url_of(server))
        with pytest.raises(httpx2.RemoteProtocolError, match="within its response's head"):
            await client.get(url_of(server))
        assert len(server.requests) == 2


async def test_idle_connections_grow_old(context: ssl.SSLContext, anyio_backend: Any) -> None:
    transport = HttpTransport(ssl_context=context, keepalive_expiry=0.01)
    async with httpx2.AsyncClient(transport=transport) as client, serving(OK) as server:
        await client.get(url_of(server))
        await anyio.sleep(0.02)
        await client.get(url_of(server))
        assert server.connections == 2


async def test_each_origin_has_its_own(client: httpx2.AsyncClient) -> None:
    async with serving(OK) as one, serving(OK) as other:
        for _ in range(3):
            await client.get(url_of(one))
            await client.get(url_of(other))
        assert one.connections == other.connections == 1


async def test_many_at_once(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        for piece in (CHUNKED, b"2\r\nok\r\n", b"0\r\n\r\n"):
            await peer.stream.send(piece)

    async def ask() -> None:
        for _ in range(3):
            assert (await client.post(url_of(server), content=b"x" * 100)).content == b"ok"

    async with serving(answer) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(ask)
        assert len(server.requests) == 150
        assert server.connections <= 50


# -- requests


async def test_bodies_of_any_kind_are_sent(client: httpx2.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"one "
        yield b""
        yield b"two"

    async with serving(OK) as server:
        await client.post(url_of(server), content=pieces())
        await client.post(url_of(server), content=pieces(), headers={"content-length": "7"})
        await client.post(url_of(server), content=b"x" * 3_000_000)
        await client.request("OPTIONS", url_of(server), extensions={"target": b"*"})
        chunked, fixed, large, options = server.requests
        assert chunked.endswith(b"\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n")
        assert fixed.endswith(b"\r\n\r\none two")
        assert large.endswith(b"\r\n\r\n" + b"x" * 3_000_000)
        assert options.startswith(b"OPTIONS * HTTP/1.1\r\n")
        assert server.connections == 1


async def test_a_request_that_cannot_be_sent(client: httpx2.AsyncClient) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"one"
        raise KeyError("mine")

    async with serving(OK) as server:
        with pytest.raises(httpx2.LocalProtocolError):
            await client.get(url_of(server), headers={"X-A": "b\r\nEvil: yes"})
        with pytest.raises(httpx2.UnsupportedProtocol):
            await client.get("ftp://127.0.0.1/")
        assert server.connections == 0
        with pytest.raises(KeyError, match="mine"):
            await client.post(url_of(server), content=failing())
        with pytest.raises(httpx2.LocalProtocolError, match="shorter"):
            await client.post(url_of(server), content=failing_not(), headers={"content-length": "7"})
        assert not server.requests


async def failing_not() -> AsyncIterator[bytes]:
    yield b"one"


async def test_nobody_listens(client: httpx2.AsyncClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    with pytest.raises(httpx2.ConnectError):
        await client.get("http://does-not-exist.invalid/")
    with pytest.raises(httpx2.ConnectError):
        await client.get(f"http://{'x' * 70}.invalid/")


async def test_a_name_with_several_addresses(client: httpx2.AsyncClient) -> None:
    # localhost is ::1 too, where nobody listens.
    async with serving(OK) as server:
        assert (await client.get(f"http://localhost:{server.port}/")).content == b"ok"


@on_asyncio  # trio has a race of its own
async def test_an_address_that_leads_nowhere(client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: Any) -> Any:
        return [(socket.AF_INET, ("127.0.0.1", port)) for port in ports]

    async def connect(loop: Any, address: Any) -> socket.socket:
        if address[1][1] == 1:
            await anyio.sleep(60)
        return await real_connect(loop, address)

    real_connect: Any = dial._connect  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(dial, "_resolve", resolve)
    monkeypatch.setattr(dial, "_connect", connect)
    monkeypatch.setattr(dial, "_STAGGER_SECONDS", 0.01)
    async with serving(OK) as server:
        for found in ([1, 1, server.port], [server.port, 1], [2, server.port]):
            ports = found
            with anyio.fail_after(2):
                answer = await client.get("http://api.invalid/", headers={"connection": "close"})
            assert answer.content == b"ok"
        ports = [2, 3]
        with pytest.raises(httpx2.ConnectError, match=r"^api\.invalid:80: connection refused$"):
            await client.get("http://api.invalid/")
        ports = [1, 1]
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get("http://api.invalid/", timeout=httpx2.Timeout(5, connect=0.05))


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="there is no IPv6")
async def test_ipv6(client: httpx2.AsyncClient) -> None:
    async with serving(OK, host="::1") as server:
        assert (await client.get(f"http://[::1]:{server.port}/")).content == b"ok"
        assert b"\r\nHost: [::1]:" in server.requests[0]


@pytest.mark.parametrize("ending", ["close", "reset", "keep"])
async def test_an_answer_that_comes_before_the_request_was_sent(client: httpx2.AsyncClient, ending: str) -> None:
    async def early(peer: Peer) -> None:
        await peer.receive_head()
        await peer.send(head("content-length: 9", status="413 Too Large") + b"too large")
        if ending != "keep":
            await getattr(peer, ending)()
        else:
            await anyio.sleep(60)

    async with serving(OK, connected=early) as server:
        response = await client.post(url_of(server), content=b"x" * 30_000_000)
        assert (response.status_code, response.content) == (413, b"too large")
        server.connected = None
        assert (await client.get(url_of(server))).content == b"ok"
        assert server.connections == 2


async def test_an_answer_to_a_request_that_is_stuck(client: httpx2.AsyncClient) -> None:
    def answer_once() -> None:
        with listener.accept()[0] as peer:
            before, waiting = -1, 0
            while waiting != before:  # until there is no room for more
                time.sleep(0.05)
                before, waiting = waiting, len(peer.recv(1_000_000, socket.MSG_PEEK))
            peer.sendall(head("content-length: 9", status="413 Too Large") + b"too large")
            over.wait(5)

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, answer_once)
            with anyio.fail_after(3):
                response = await client.post(url, content=b"x" * 30_000_000)
            over.set()
            assert (response.status_code, response.content) == (413, b"too large")


async def test_a_body_that_is_never_whole_may_be_answered(client: httpx2.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    async def early(peer: Peer) -> None:
        await peer.receive_head()
        await peer.send(head("content-length: 9", status="413 Too Large") + b"too large")
        await anyio.sleep(60)

    async with serving(OK, connected=early) as server:
        with anyio.fail_after(5):
            assert (await client.post(url_of(server), content=endless())).status_code == 413


# -- bodies


async def test_a_server_that_resets(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        if peer.number == 2:
            await peer.send(head("content-length: 9") + b"half")
            await read.wait()
        await peer.reset()

    read = anyio.Event()
    async with serving(answer) as server:
        with pytest.raises(httpx2.ReadError):
            await client.get(url_of(server))
        async with client.stream("GET", url_of(server)) as response:
            chunks = response.aiter_raw()
            assert await anext(chunks) == b"half"
            read.set()
            with pytest.raises(httpx2.ReadError):
                await anext(chunks)


async def test_a_sink_may_pause(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n1\r\nc\r\n", b"1\r\nd\r\n", b"0\r\n\r\n")

    def one(piece: bytes) -> bool:
        pieces.append(piece)
        return False

    pieces: list[bytes] = []
    async with serving(answer) as server:
        async with client.stream("POST", url_of(server)) as response:
            pump = response.extensions["exchange"].pump
            while not await pump(one):
                for _ in range(3):
                    await anyio.wait_all_tasks_blocked()
            assert await pump(one)
        assert b"".join(pieces) == b"abcd"
        assert len(pieces) >= 2
        await client.get(url_of(server))
        assert server.connections == 1


async def test_a_pause_holds_the_server_up(client: httpx2.AsyncClient) -> None:
    total = 64_000_000

    async def answer(peer: Peer) -> None:
        nonlocal sent
        await peer.stream.send(head(f"content-length: {total}"))
        for _ in range(total // 64_000):
            await peer.stream.send(b"x" * 64_000)
            sent += 64_000

    def one(piece: bytes) -> bool:
        received.append(len(piece))
        return False

    sent, received = 0, list[int]()
    async with serving(answer) as server:
        async with client.stream("POST", url_of(server)) as response:
            pump = response.extensions["exchange"].pump
            while len(received) < 3:
                await pump(one)
            before = -1
            while before != sent:
                before = sent
                for _ in range(5):
                    await anyio.sleep(0.002)
                    await anyio.wait_all_tasks_blocked()
            assert sent < total / 2
            exchange: Any = response.stream
            while not isinstance(exchange, Exchange):
                exchange = exchange._stream
            assert sum(map(len, exchange.reader.pieces)) <= 2 * 65536
            assert max(received) <= 2 * 65536
            while not await pump(one):
                pass
        assert sum(received) == total


@on_asyncio
async def test_no_task_is_woken_on_asyncio(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(CHUNKED, *[b"1\r\nx\r\n"] * 9, b"0\r\n\r\n")

    def sink(piece: bytes) -> bool:
        tasks.append(asyncio.current_task())
        return True

    tasks: list[Any] = []
    async with serving(answer) as server, client.stream("POST", url_of(server)) as response:
        assert await response.extensions["exchange"].pump(sink)
    assert len(tasks) >= 8
    assert not any(tasks[1:])


@pytest.mark.parametrize("when", ["with the head", "later"])
async def test_a_sink_that_raises(client: httpx2.AsyncClient, when: str) -> None:
    async def answer(peer: Peer) -> None:
        if when == "with the head":
            await peer.send(CHUNKED + b"1\r\nx\r\n")
        else:
            await peer.send(CHUNKED, b"1\r\nx\r\n")
        await anyio.sleep(60)

    def sink(piece: bytes) -> bool:
        raise KeyError("mine")

    async with serving(answer) as server:
        async with client.stream("POST", url_of(server)) as response:
            with pytest.raises(KeyError, match="mine"):
                await response.extensions["exchange"].pump(sink)
            with pytest.raises(httpx2.ReadError):
                await response.extensions["exchange"].pump(sink)
        server.answer = OK
        assert (await client.get(url_of(server))).content == b"ok"


@pytest.mark.parametrize("by", ["iteration", "pump"])
async def test_an_abort_drops_the_connection_at_once(client: httpx2.AsyncClient, by: str) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(CHUNKED + b"3\r\nabc\r\n")

    async def consume() -> None:
        with pytest.raises(httpx2.ReadError, match="aborted"):
            if by == "pump":
                await pumped(response)
            else:
                async for _ in response.aiter_raw():
                    pass
        over.set()

    over = anyio.Event()
    async with serving(answer) as server:
        async with client.stream("POST", url_of(server), content=b"x") as response, anyio.create_task_group() as tasks:
            tasks.start_soon(consume)
            await anyio.wait_all_tasks_blocked()
            response.extensions["exchange"].abort()
            with anyio.fail_after(2):
                await over.wait()
                await server.lost.wait()
        response.extensions["exchange"].abort()
        server.answer = OK
        assert (await client.get(url_of(server))).content == b"ok"
        # The connection is another's by now: it is not dropped.
        response.extensions["exchange"].abort()
        assert (await client.get(url_of(server))).content == b"ok"
        assert server.connections == 2


# -- time


async def silent(peer: Peer) -> None:
    while True:
        await peer.stream.receive()


@pytest.mark.parametrize("where", ["head", "pump", "iteration"])
async def test_a_server_that_is_silent_for_too_long(client: httpx2.AsyncClient, where: str) -> None:
    async def answer(peer: Peer) -> None:
        if where != "head":
            await peer.send(CHUNKED + b"1\r\na\r\n")
        if peer.number == 1:
            await silent(peer)

    async with serving(answer) as server:
        with pytest.raises(httpx2.ReadTimeout):
            async with client.stream("POST", url_of(server), timeout=httpx2.Timeout(5, read=0.02)) as response:
                if where == "pump":
                    await pumped(response)
                else:
                    await response.aread()
        with anyio.fail_after(2):
            await server.lost.wait()


async def test_each_read_has_its_own_time(client: httpx2.AsyncClient) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(CHUNKED)
        for _ in range(8):
            await anyio.sleep(0.05)
            await peer.send(b"1\r\na\r\n")
        await peer.send(b"0\r\n\r\n")

    timeout = httpx2.Timeout(5, read=0.25)
    async with serving(answer) as server, client.stream("POST", url_of(server), timeout=timeout) as response:
        assert await pumped(response) == b"a" * 8


async def test_a_server_that_does_not_take_the_request(client: httpx2.AsyncClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(httpx2.WriteTimeout):
        await client.post(
            f"http://127.0.0.1:{deaf.getsockname()[1]}/",
            content=b"x" * 30_000_000,
            timeout=httpx2.Timeout(5, write=0.02),
        )


# -- where it belongs


@pytest.mark.parametrize("first", ["asyncio", "trio"])
@pytest.mark.parametrize("second", ["asyncio", "trio"])
def test_it_belongs_to_one_event_loop(context: ssl.SSLContext, first: str, second: str) -> None:
    transport = HttpTransport(ssl_context=context)

    async def ask() -> None:
        with pytest.raises(httpx2.ConnectError):
            await transport.handle_async_request(httpx2.Request("GET", "http://127.0.0.1:1/"))

    async def ask_elsewhere() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await transport.handle_async_request(httpx2.Request("GET", "http://127.0.0.1:1/"))

    anyio.run(ask, backend=first)
    anyio.run(ask_elsewhere, backend=second)


async def test_it_belongs_to_one_process(client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(OK) as server:
        await client.get(url_of(server))
        with monkeypatch.context() as patch:
            patch.setattr("manystream.engine.event_loop.os", SimpleNamespace(getpid=lambda: -1))
            with pytest.raises(RuntimeError, match="after the fork"):
                await client.get(url_of(server))


async def test_closing_it_drops_all_connections(context: ssl.SSLContext, anyio_backend: Any) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(OK if peer.number > 1 else CHUNKED)

    transport = HttpTransport(ssl_context=context)
    async with serving(answer) as server:
        busy = await transport.handle_async_request(httpx2.Request("GET", url_of(server)))
        idle = await transport.handle_async_request(httpx2.Request("GET", url_of(server)))
        await idle.aread()
        await transport.aclose()
        with anyio.fail_after(2):
            await server.lost.wait()
        with pytest.raises(httpx2.ReadError):
            await busy.extensions["exchange"].pump(Collector())
        with pytest.raises(RuntimeError, match="closed"):
            await transport.handle_async_request(httpx2.Request("GET", url_of(server)))
        await transport.aclose()
        await checkpoint()


def test_other_proxies_are_not_for_it(context: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match="socks5"):
        HttpTransport(ssl_context=context, proxy=httpx2.Proxy("socks5://127.0.0.1:1"))

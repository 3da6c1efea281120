"""The HTTP transport over TLS, and through proxies: whom it trusts, and who sees what."""

import gc
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import anthropic
import anyio
import httpx2
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute, TLSStream
from tests.support.wire_server import Collector, Peer, WireServer, certified, head, secure, serving

from manystream.engine.api.http import HttpTransport
from manystream.engine.simulator import Simulator

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]

OK = head("content-length: 2") + b"ok"


@asynccontextmanager
async def client_with(context: ssl.SSLContext, **arguments: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    transport = HttpTransport(ssl_context=context, **arguments)
    async with httpx2.AsyncClient(transport=transport, timeout=5) as client:
        yield client
    gc.collect()


@pytest.fixture
async def client(trusting: ssl.SSLContext, anyio_backend: Any) -> AsyncIterator[httpx2.AsyncClient]:
    async with client_with(trusting) as client:
        yield client


def url_of(server: WireServer, host: str = "127.0.0.1") -> str:
    return f"https://{host}:{server.port}/"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_body_over_tls(client: httpx2.AsyncClient, authority: trustme.CA, version: ssl.TLSVersion) -> None:
    body = bytes(range(256)) * 4000

    async def answer(peer: Peer) -> None:
        if peer.number % 2:
            await peer.stream.send(head(f"content-length: {len(body)}") + body)
        else:
            await peer.send(head("transfer-encoding: chunked"), b"2\r\nok\r\n", b"0\r\n\r\n")

    context = certified(authority, "127.0.0.1")
    context.maximum_version = version
    async with serving(answer, tls=context) as server:
        pieces = Collector()
        assert (await client.post(url_of(server), content=body)).content == body
        async with client.stream("POST", url_of(server)) as response:
            assert await response.extensions["exchange"].pump(pieces)
        assert b"".join(pieces) == b"ok"
        assert server.requests[0].endswith(body)
        for _ in range(4):
            await client.get(url_of(server))
        assert server.connections == 1


@pytest.mark.parametrize("names", [["other.example"], ["127.0.0.2"]])
async def test_the_wrong_name(client: httpx2.AsyncClient, authority: trustme.CA, names: list[str]) -> None:
    async with serving(OK, tls=certified(authority, *names)) as server:
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate verify failed"):
            await client.get(url_of(server))
        assert not server.requests


async def test_an_authority_that_nobody_knows(client: httpx2.AsyncClient) -> None:
    async with serving(OK, tls=certified(trustme.CA(), "127.0.0.1")) as server:
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate verify failed"):
            await client.get(url_of(server))


async def test_the_server_is_told_the_name_and_the_protocol(client: httpx2.AsyncClient, authority: trustme.CA) -> None:
    named: list[str | None] = []

    async def answer(peer: Peer) -> None:
        assert peer.stream.extra(TLSAttribute.alpn_protocol) == "http/1.1"
        await peer.send(OK)

    def name(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        named.append(name)

    context = certified(authority, "localhost", "api.example", "127.0.0.1")
    context.sni_callback = name  # pyright: ignore[reportAttributeAccessIssue]
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(answer, tls=context) as server:
        await client.get(url_of(server, "localhost"))
        await client.get(url_of(server), extensions={"sni_hostname": "api.example"})
        await client.get(url_of(server))
        assert named == ["localhost", "api.example", None]  # an address is no name


@pytest.mark.parametrize("say", [b"", b"SSH-2.0-OpenSSH\r\n"])
async def test_a_server_that_does_not_speak_tls(client: httpx2.AsyncClient, say: bytes) -> None:
    async def connected(peer: Peer) -> None:
        await peer.stream.send(say)
        await peer.close()

    async with serving(OK, connected=connected) as server:
        with pytest.raises(httpx2.ConnectError):
            await client.get(url_of(server))


async def test_a_server_that_is_silent_at_the_handshake(client: httpx2.AsyncClient) -> None:
    async def connected(peer: Peer) -> None:
        while True:
            await peer.stream.receive()

    async with serving(OK, connected=connected) as server:
        with pytest.raises(httpx2.ConnectTimeout):
            await client.get(url_of(server), timeout=httpx2.Timeout(5, connect=0.05))
        with anyio.fail_after(2):
            await server.lost.wait()


@pytest.mark.parametrize("polite", [True, False])
async def test_the_end_of_tls_is_an_end(client: httpx2.AsyncClient, authority: trustme.CA, polite: bool) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send((head() if peer.number == 1 else head("content-length: 9")) + b"half")
        if polite:
            assert isinstance(peer.stream, TLSStream)
            await peer.stream.unwrap()
        await peer.close()

    async with serving(answer, tls=certified(authority, "127.0.0.1")) as server:
        assert (await client.get(url_of(server))).content == b"half"
        with pytest.raises(httpx2.RemoteProtocolError, match="cut off"):
            await client.get(url_of(server))


async def test_an_idle_connection_that_is_closed_politely(client: httpx2.AsyncClient, authority: trustme.CA) -> None:
    async def answer(peer: Peer) -> None:
        await peer.stream.send(OK)
        assert isinstance(peer.stream, TLSStream)
        raw: ByteStream = peer.stream.transport_stream  # pyright: ignore[reportAssignmentType]
        with anyio.move_on_after(0.01):
            await peer.stream.unwrap()  # waits for the client's part, which never comes
        if peer.number == 1:
            await asked.wait()
        await raw.aclose()

    asked = anyio.Event()
    async with serving(answer, tls=certified(authority, "127.0.0.1")) as server:
        await client.post(url_of(server))
        await anyio.sleep(0.02)
        await client.post(url_of(server))
        asked.set()
        assert server.connections == 2


async def test_garbage_within_tls(client: httpx2.AsyncClient, authority: trustme.CA) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(head("content-length: 9") + b"half")
        assert isinstance(peer.stream, TLSStream)
        await peer.stream.transport_stream.send(b"garbage, and more of it")  # pyright: ignore[reportUnknownMemberType]
        await anyio.sleep(60)

    async with serving(answer, tls=certified(authority, "127.0.0.1")) as server:
        with pytest.raises(httpx2.ReadError):
            await client.get(url_of(server))


async def test_leaving_a_body_does_not_wait_for_the_server(client: httpx2.AsyncClient, authority: trustme.CA) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(head("transfer-encoding: chunked") + b"1\r\nx\r\n")
        # The server reads no more, and never says that it ends.
        await left.wait()

    left = anyio.Event()
    async with serving(answer, tls=certified(authority, "127.0.0.1")) as server:
        with anyio.fail_after(1):
            async with client.stream("GET", url_of(server)) as response, aclosing(response.aiter_raw()) as chunks:
                assert await anext(chunks) == b"x"
        left.set()
        with anyio.fail_after(1):
            await server.lost.wait()


async def test_the_sdk_over_tls(anyio_backend: Any) -> None:
    with Simulator().in_thread(tls=True) as simulator:
        simulator.script(["one two three"])
        async with (
            client_with(simulator.ssl_context()) as client,
            anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url, http_client=client, max_retries=0) as sdk,
            sdk.messages.stream(
                model="claude-opus-5-5", max_tokens=99, messages=[{"role": "user", "content": "Hi"}]
            ) as stream,
        ):
            assert await stream.get_final_text() == "one two three"


# -- proxies


class Proxy:
    """A proxy that opens tunnels, and answers all else itself."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []
        self.refuse = b""
        self.port = 0
        self.connections = 0

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        peer = Peer(stream)
        async with stream:
            try:
                while True:
                    self.heads.append(await peer.receive_head())
                    if self.refuse:
                        await stream.send(self.refuse)
                        return
                    if self.heads[-1].startswith(b"CONNECT"):
                        await self.tunnel(stream, self.heads[-1])
                        return
                    await stream.send(OK)
            except (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError):
                pass

    async def tunnel(self, stream: ByteStream, start: bytes) -> None:
        _, target, _ = start.split(b"\r\n")[0].split(b" ")
        async with await anyio.connect_tcp("127.0.0.1", int(target.rpartition(b":")[2])) as server:
            await stream.send(b"HTTP/1.1 200 Connection Established\r\n\r\n")

            async def carry(source: ByteStream, sink: ByteStream) -> None:
                try:
                    async for data in source:
                        await sink.send(data)
                except (anyio.BrokenResourceError, ssl.SSLError):
                    pass
                tasks.cancel_scope.cancel()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(carry, stream, server)
                tasks.start_soon(carry, server, stream)


@asynccontextmanager
async def proxying(tls: ssl.SSLContext | None = None) -> AsyncGenerator[Proxy]:
    proxy = Proxy()

    async def serve(stream: ByteStream) -> None:
        secured = stream if tls is None else await secure(stream, tls)
        if secured is not None:
            await proxy.serve(secured)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        proxy.port = listener.extra(SocketAttribute.local_port)
        tasks.start_soon(listener.serve, serve)
        yield proxy
        tasks.cancel_scope.cancel()


secured = pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])


@secured
async def test_a_plain_request_goes_to_the_proxy(
    trusting: ssl.SSLContext, authority: trustme.CA, secure: bool, anyio_backend: Any
) -> None:
    async with proxying(certified(authority, "127.0.0.1") if secure else None) as proxy:
        way = httpx2.Proxy(
            f"http{'s' * secure}://user:pass%20word@127.0.0.1:{proxy.port}", headers={"X-Way": "this", "Accept": "no"}
        )
        async with client_with(trusting, proxy=way) as client:
            for url in ("http://api.invalid/v1?a=b", "http://other.invalid:81/"):
                assert (await client.get(url)).content == b"ok"
    first, second = proxy.heads
    assert first.startswith(b"GET http://api.invalid/v1?a=b HTTP/1.1\r\nHost: api.invalid\r\n")
    assert second.startswith(b"GET http://other.invalid:81/ HTTP/1.1\r\nHost: other.invalid:81\r\n")
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwYXNzIHdvcmQ=" in first
    assert b"\r\nX-Way: this" in first
    assert first.count(b"ccept: ") == 1  # the request's own goes before the proxy's
    assert proxy.connections == 1


@secured
async def test_a_secure_request_goes_through_a_tunnel(
    trusting: ssl.SSLContext, authority: trustme.CA, secure: bool, anyio_backend: Any
) -> None:
    async with (
        proxying(certified(authority, "127.0.0.1") if secure else None) as proxy,
        serving(OK, tls=certified(authority, "localhost")) as server,
    ):
        way = httpx2.Proxy(f"http{'s' * secure}://user:pass@127.0.0.1:{proxy.port}", headers={"X-Way": "this"})
        async with client_with(trusting, proxy=way) as client:
            for size in (10, 1_000_000, 10):
                answer = await client.post(url_of(server, "localhost"), content=b"x" * size)
                assert answer.content == b"ok"
        assert (server.connections, len(server.requests), proxy.connections) == (1, 3, 1)
    (start,) = proxy.heads
    assert start.startswith(f"CONNECT localhost:{server.port} HTTP/1.1\r\nHost: localhost:{server.port}\r\n".encode())
    assert b"\r\nProxy-Authorization: Basic dXNlcjpwYXNz" in start
    assert b"\r\nX-Way: this" in start
    assert b"user" not in server.requests[0].lower().replace(b"user-agent", b"")
    assert b"x-way" not in server.requests[0].lower()


async def test_the_server_behind_a_proxy_is_verified(
    trusting: ssl.SSLContext, authority: trustme.CA, anyio_backend: Any
) -> None:
    async with (
        proxying() as proxy,
        serving(OK, tls=certified(authority, "other.example")) as server,
        client_with(trusting, proxy=httpx2.Proxy(f"http://127.0.0.1:{proxy.port}")) as client,
    ):
        with pytest.raises(httpx2.ConnectError, match=r"(?i)certificate verify failed"):
            await client.get(url_of(server, "localhost"))


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (head(status="407 Proxy Authentication Required"), "407 Proxy Authentication Required"),
        (b"HTTP/1.1 502 \r\n\r\n", "answered 502$"),
        (b"what?\r\n", "not valid HTTP"),
        (b"HTTP", "closed the connection"),
    ],
)
async def test_a_proxy_that_refuses(trusting: ssl.SSLContext, refusal: bytes, said: str, anyio_backend: Any) -> None:
    async with proxying() as proxy:
        proxy.refuse = refusal
        async with client_with(trusting, proxy=httpx2.Proxy(f"http://127.0.0.1:{proxy.port}")) as client:
            with pytest.raises(httpx2.ProxyError, match=said):
                await client.get("https://api.invalid/")


async def test_a_proxy_that_is_silent(trusting: ssl.SSLContext, anyio_backend: Any) -> None:
    async def connected(peer: Peer) -> None:
        while True:
            await peer.stream.receive()

    async with serving(OK, connected=connected) as server:
        way = httpx2.Proxy(f"http://127.0.0.1:{server.port}")
        async with client_with(trusting, proxy=way) as client:
            with pytest.raises(httpx2.ConnectTimeout):
                await client.get("https://api.invalid/", timeout=httpx2.Timeout(5, connect=0.05))


async def test_an_address_is_written_in_brackets(trusting: ssl.SSLContext, anyio_backend: Any) -> None:
    async with proxying() as proxy:
        proxy.refuse = head(status="403 Forbidden")
        async with client_with(trusting, proxy=httpx2.Proxy(f"http://127.0.0.1:{proxy.port}")) as client:
            with pytest.raises(httpx2.ProxyError):
                await client.get("https://[::1]:8443/")
    assert proxy.heads[0].startswith(b"CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n")

"""Whatever goes wrong below the HTTP transport leaves it as one of httpx2's exceptions, with its cause."""

import errno
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
import trio
import trustme
from anyio.lowlevel import checkpoint
from tests.support.engines import AT_ONCE
from tests.support.wire_server import Collector, Peer, head, serving

from manystream import AnthropicModel, Engine
from manystream.engine.api.http import HttpTransport, dial, on_asyncio, tls

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]

OK = head("content-length: 2") + b"ok"


@pytest.fixture
async def transport(anyio_backend: Any) -> AsyncIterator[HttpTransport]:
    async with HttpTransport(ssl_context=ssl.create_default_context()) as transport:
        yield transport


def asking(url: str, method: str = "GET", **extensions: Any) -> httpx2.Request:
    return httpx2.Request(method, url, extensions={"timeout": {"connect": 3}, **extensions})


def causes(exc: BaseException) -> list[BaseException]:
    found = [exc]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http://.x/",
        "https://.x/",
        "http://a..b/",
        "https://x%00y/",
        "http://ex_ample.invalid/",
        f"https://{'x' * 70}.invalid/",
        f"http://{'.'.join(['x' * 60] * 6)}/",
        "http://[fe80::1%25none]/",
        "ftp://127.0.0.1/",
    ],
)
async def test_a_place_that_is_none(transport: HttpTransport, url: str) -> None:
    with pytest.raises(httpx2.TransportError):
        await transport.handle_async_request(asking(url))


async def test_a_method_that_is_none(transport: HttpTransport) -> None:
    with pytest.raises(httpx2.LocalProtocolError):
        await transport.handle_async_request(asking("http://127.0.0.1:1/", "G\u00c9T"))


@pytest.mark.parametrize("name", ["", ".x", "\u00e9" * 80, "x" * 80, "a..b"])
async def test_a_name_that_no_certificate_can_have(transport: HttpTransport, name: str) -> None:
    async with serving(OK, connected=silent) as server:
        url = f"https://127.0.0.1:{server.port}/"
        with pytest.raises((httpx2.ConnectError, httpx2.ConnectTimeout)):
            await transport.handle_async_request(asking(url, timeout={"connect": 0.1}, sni_hostname=name))


async def silent(peer: Peer) -> None:
    while True:
        await peer.stream.receive()


BELOW = [
    OSError(errno.ENETUNREACH, "no way"),
    ConnectionResetError(),
    TimeoutError(),
    socket.gaierror(socket.EAI_NONAME, "no such name"),
    ssl.SSLError(1, "not TLS"),
    ssl.SSLCertVerificationError(1, "not trusted"),
    UnicodeError("no name"),
    ValueError("no name"),
    OverflowError("no port"),
    RuntimeError("cannot schedule new futures after shutdown"),
]
below = pytest.mark.parametrize("failure", BELOW, ids=lambda failure: type(failure).__name__)


@below
async def test_what_fails_while_it_connects(
    transport: HttpTransport, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise failure

    for place, name in ((on_asyncio, "dial"), (trio, "open_tcp_stream")):
        monkeypatch.setattr(place, name, fail)
    with pytest.raises(httpx2.ConnectError) as caught:
        await transport.handle_async_request(asking("http://127.0.0.1:1/"))
    assert caught.value.__cause__ is failure
    assert str(caught.value)
    failure.__traceback__ = None


@below
@pytest.mark.parametrize("grouped", [1, 2])
async def test_what_fails_in_a_nursery(
    transport: HttpTransport, failure: Exception, grouped: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> Any:
        raise BaseExceptionGroup("as nurseries do", [failure] * grouped)

    async def resolve(*_: Any) -> Any:
        return [(socket.AF_INET, ("127.0.0.1", 1))] * 2

    monkeypatch.setattr(dial, "_resolve", resolve)
    monkeypatch.setattr(dial, "_race", fail)
    monkeypatch.setattr(trio, "open_tcp_stream", fail)
    with pytest.raises(httpx2.ConnectError) as caught:
        await transport.handle_async_request(asking("http://127.0.0.1:1/"))
    assert not isinstance(caught.value.__cause__, BaseExceptionGroup)
    failure.__traceback__ = None


@pytest.mark.parametrize("failure", [ssl.SSLError(1, "bad"), ssl.SSLEOFError(8, "eof"), ssl.SSLZeroReturnError(6, "0")])
@pytest.mark.parametrize("where", ["handshake", "encrypt", "decrypt"])
async def test_what_fails_in_tls(
    anyio_backend: Any, failure: Exception, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)  # pyright: ignore[reportUnknownMemberType]
    authority.issue_cert("127.0.0.1").configure_cert(theirs)  # pyright: ignore[reportUnknownMemberType]

    def fail(*_: Any) -> bytes:
        raise failure

    monkeypatch.setattr(tls.TlsLayer, where, fail)
    async with HttpTransport(ssl_context=ours) as transport, serving(OK, tls=theirs) as server:
        with pytest.raises(httpx2.TransportError) as caught:
            await transport.handle_async_request(asking(f"https://127.0.0.1:{server.port}/"))
        if where == "handshake":
            assert isinstance(caught.value, httpx2.ConnectError)
            assert failure in causes(caught.value)
    failure.__traceback__ = None


@pytest.mark.parametrize("way", ["close", "reset", "speak"])
@pytest.mark.parametrize("when", ["at once", "after the client's hello"])
async def test_a_server_that_leaves_the_handshake(transport: HttpTransport, way: str, when: str) -> None:
    async def leave(peer: Peer) -> None:
        if when != "at once":
            await peer.stream.receive()
        if way == "speak":
            await peer.stream.send(b"\x15\x03\x01\x00\x02\x02\x28")  # TLS's alert: handshake failure
            await peer.close()
        else:
            await getattr(peer, way)()

    async with serving(OK, connected=leave) as server:
        with pytest.raises(httpx2.ConnectError):
            await transport.handle_async_request(asking(f"https://127.0.0.1:{server.port}/"))


@pytest.mark.parametrize("names", [["127.0.0.1"], ["other.example"]])
async def test_a_certificate_that_does_not_verify_is_known_by_its_cause(
    names: list[str], anyio_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*names).configure_cert(theirs)  # pyright: ignore[reportUnknownMemberType]
    async with serving(OK, tls=theirs) as server:
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=f"https://127.0.0.1:{server.port}")
        async with Engine(model, retry=AT_ONCE) as engine:
            result = await engine.submit("Hi").wait()
    assert result.error is not None
    assert result.error.cause is not None
    assert any(isinstance(exc, ssl.SSLCertVerificationError) for exc in causes(result.error.cause))


async def test_a_connection_that_is_aborted_wherever_it_waits(transport: HttpTransport) -> None:
    """As by closing the transport: each that waits is told, and by no exception of an event loop's own."""

    async def answer(peer: Peer) -> None:
        if b"/head" not in peer.requested:
            await peer.send(head("content-length: 9") + b"half")
        await silent(peer)

    raised: list[BaseException] = []

    async def ask(path: str) -> None:
        try:
            response = await transport.handle_async_request(asking(f"http://127.0.0.1:{server.port}{path}"))
            await response.extensions["exchange"].pump(Collector())
        except httpx2.TransportError as exc:
            raised.append(exc)

    async with serving(answer) as server, anyio.create_task_group() as tasks:
        for path in ("/head", "/body"):
            tasks.start_soon(ask, path)
        with anyio.fail_after(5):
            while len(server.requests) < 2:
                await checkpoint()
        for _ in range(10):
            await anyio.wait_all_tasks_blocked()
        await transport.aclose()
    assert len(raised) == 2

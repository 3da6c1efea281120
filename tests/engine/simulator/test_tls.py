"""The simulator over TLS: trusted by those who are told to, and breaking connections as it does in the clear."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import anthropic
import anyio
import httpx2
import pytest
from anthropic.types import Message
from anyio.streams.tls import TLSStream
from tests.support.sockets import happens, http_request, read_all, read_until

from manystream.engine.simulator import Bytes, Cut, Simulator, Stall

ASK: dict[str, Any] = {"model": "claude-x", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
BROKEN = (anyio.EndOfStream, anyio.BrokenResourceError, ssl.SSLError)


@pytest.fixture
async def simulator(anyio_backend: str) -> AsyncIterator[Simulator]:
    async with Simulator().serve(tls=True) as simulator:
        yield simulator


async def connect(simulator: Simulator) -> TLSStream:
    port = int(simulator.url.rpartition(":")[2])
    return await anyio.connect_tcp("127.0.0.1", port, ssl_context=simulator.ssl_context())


@asynccontextmanager
async def connected(simulator: Simulator) -> AsyncGenerator[TLSStream]:
    stream = await connect(simulator)
    try:
        yield stream
    finally:
        await anyio.aclose_forcefully(stream)


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_official_client_trusts_it_when_told_to(simulator: Simulator, host: str) -> None:
    assert simulator.url.startswith("https://127.0.0.1:")
    url = simulator.url.replace("127.0.0.1", host)
    http_client = httpx2.AsyncClient(verify=simulator.ssl_context())
    async with anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0, http_client=http_client) as client:
        for _ in range(3):
            async with client.messages.stream(**ASK) as stream:
                assert await stream.get_final_text()
    assert simulator.total_connections == 1
    assert {request.outcome for request in simulator.requests} == {"complete"}


@pytest.mark.anyio
async def test_others_do_not_and_leave_it_unharmed(simulator: Simulator) -> None:
    async with anthropic.AsyncAnthropic(api_key="k", base_url=simulator.url, max_retries=0) as client:
        with pytest.raises(anthropic.APIConnectionError):
            await client.messages.create(**ASK)
    async with await anyio.connect_tcp("127.0.0.1", int(simulator.url.rpartition(":")[2])) as plain:
        await plain.send(http_request())  # in the clear
        with pytest.raises(BROKEN):
            while True:
                await plain.receive()
    assert simulator.total_connections == simulator.open_connections == 0
    async with connected(simulator) as stream:
        await stream.send(http_request())
        assert b"200" in await read_until(stream, b"}")


@pytest.mark.anyio
async def test_connections_break_as_they_do_in_the_clear(simulator: Simulator) -> None:
    simulator.script([Cut(Bytes(500), "reset"), Cut(Bytes(500), "close"), Cut(1, "end"), Cut(1, "bad-chunk")])
    async with connected(simulator) as stream:
        await stream.send(http_request(stream=True))
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await read_all(stream)
        assert "reset" in repr(caught.value.__cause__)
    async with connected(simulator) as stream:
        await stream.send(http_request(stream=True))
        assert b"message_start" in await read_all(stream)  # with a close_notify
    async with connected(simulator) as stream:
        await stream.send(http_request(stream=True))
        assert b"message_stop" not in await read_until(stream, b"0\r\n\r\n")
    async with connected(simulator) as stream:
        await stream.send(http_request(stream=True))
        assert (await read_all(stream)).endswith(b"no chunk\r\n")
    assert [request.outcome for request in simulator.requests] == ["cut", "cut", "complete", "cut"]


@pytest.mark.anyio
async def test_a_client_that_takes_leave_by_the_book_is_answered(simulator: Simulator) -> None:
    stream = await connect(simulator)
    await stream.send(http_request())
    await read_until(stream, b"}")
    with anyio.fail_after(5):
        await stream.aclose()  # waits for the server's close_notify
    await happens(simulator, lambda s: s.open_connections == 0)


@pytest.mark.anyio
@pytest.mark.parametrize("forcefully", [True, False])
async def test_a_client_that_goes_is_noticed(simulator: Simulator, forcefully: bool) -> None:
    simulator.script([Stall(after=2)])
    stream = await connect(simulator)
    await stream.send(http_request(stream=True))
    await stream.receive()
    await happens(simulator, lambda s: len(s.requests) == 1 and s.open_connections == 1)
    with suppress(ssl.SSLError):  # there may be more to read
        await (anyio.aclose_forcefully(stream) if forcefully else stream.aclose())
    await happens(simulator, lambda s: s.requests[0].outcome == "disconnected" and s.open_connections == 0)


@pytest.mark.anyio
async def test_stopping_ends_what_is_running() -> None:
    simulator = Simulator()
    simulator.script([Stall(after=1)])
    async with simulator.serve(tls=True):
        stream = await connect(simulator)
        await stream.send(http_request(stream=True))
        await stream.receive()
    assert simulator.requests[0].outcome == "stopped"
    with pytest.raises(BROKEN):
        await read_all(stream)
        await stream.send(b"more")
    await anyio.aclose_forcefully(stream)


def test_in_a_thread_with_the_environment_as_the_way_to_trust_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator().in_thread(tls=True) as simulator:
        monkeypatch.setenv("SSL_CERT_FILE", str(simulator.certificate))
        with anthropic.Anthropic(api_key="k", base_url=simulator.url, max_retries=0) as client:
            assert cast(Message, client.messages.create(**ASK)).content
        file = simulator.certificate
        assert file.read_bytes().startswith(b"-----BEGIN CERTIFICATE-----")
    assert not file.parent.exists()
    with pytest.raises(RuntimeError, match="not being served with TLS"):
        _ = simulator.certificate


def test_in_the_clear_there_is_no_certificate() -> None:
    with Simulator().in_thread() as simulator, pytest.raises(RuntimeError, match="not being served with TLS"):
        simulator.ssl_context()


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['trustme'] = None\n"
        "from manystream.engine.simulator import Simulator\n"
        "with Simulator().in_thread(): pass\n"
        "Simulator().in_thread(tls=True)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert run.stderr.endswith("ImportError: TLS needs the package trustme: install manystream[tls]\n")

"""Bodies that do not go to their sink as they come: compressed ones, and those of errors; whatever the server sends, it
costs little memory, and others get their turn."""

import gzip
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx2
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st
from tests.support.wire_server import Collector, Peer, WireServer, head, serving

from manystream.engine.api.http import HttpTransport
from manystream.engine.api.http.body import MAX_ERROR_BODY
from manystream.engine.api.http.inflate import STEP, Inflater, inflater_for

pytestmark = pytest.mark.filterwarnings("error")

EVENTS = b'event: ping\ndata: {"type": "ping"}\n\n' * 50


def bare_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "by its old name": ("X-GZip", gzip.compress),
    "beside nothing": ("identity, gzip", gzip.compress),
    "in two members": ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
    "with something behind it": ("gzip", lambda data: gzip.compress(data) + b"\0" * 100),
    "deflate": ("deflate", zlib.compress),
    "bare deflate": ("deflate", bare_deflate),
}
codings = pytest.mark.parametrize(("coding", "compress"), CODINGS.values(), ids=list(CODINGS))


# -- without a connection


def inflated(inflater: Inflater, pieces: list[bytes]) -> bytes:
    out = b""
    for piece in pieces:
        inflater.feed(piece)
        while inflater.pending:
            step = inflater.step()
            assert len(step) <= STEP
            out += step
    inflater.finish()
    return out


@given(st.sampled_from(list(CODINGS.values())), st.binary(max_size=400), st.integers(1, 300), st.integers(1, 300))
def test_however_it_is_cut(kind: tuple[str, Callable[[bytes], bytes]], data: bytes, repeated: int, size: int) -> None:
    body = kind[1](data * repeated)
    inflater = inflater_for([kind[0].encode()])
    assert inflater is not None
    assert inflated(inflater, [body[i : i + size] for i in range(0, len(body), size)]) == data * repeated


@codings
def test_a_compressed_body_that_is_cut_off(coding: str, compress: Callable[[bytes], bytes]) -> None:
    body = compress(EVENTS).rstrip(b"\0") if coding == "gzip" else compress(EVENTS)
    whole = {len(gzip.compress(EVENTS[:100]))}  # a member's end is an end
    for end in range(1, len(body) - 4):
        inflater = inflater_for([coding.encode()])
        assert inflater is not None
        if end not in whole:
            with pytest.raises(httpx2.RemoteProtocolError, match="cut off"):
                inflated(inflater, [body[:end]])


@given(st.booleans(), st.binary(max_size=100), st.integers(1, 20))
def test_whatever_comes_is_a_body_or_an_error(is_gzip: bool, data: bytes, size: int) -> None:
    for body in (data, gzip.compress(b"x" * 100) + data, zlib.compress(b"x" * 100)[:-3] + data):
        with suppress(httpx2.DecodingError, httpx2.RemoteProtocolError):
            inflated(Inflater(gzip=is_gzip), [body[i : i + size] for i in range(0, len(body), size)])


def test_a_step_is_small_whatever_it_is_fed() -> None:
    inflater = Inflater(gzip=True)
    inflater.feed(gzip.compress(b"\0" * 20_000_000))
    total = 0
    while inflater.pending:
        begun = time.perf_counter()
        step = inflater.step()
        assert time.perf_counter() - begun < 0.1
        assert len(step) <= STEP
        total += len(step)
    assert total == 20_000_000


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, gzip", "gzip, br", "x", "\x1b[31mred", "a" * 999])
def test_an_encoding_that_is_refused(coding: str) -> None:
    with pytest.raises(
        httpx2.DecodingError, match=r"the response is encoded as '.*', which was not asked for"
    ) as caught:
        inflater_for([coding.encode()])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


def test_a_body_that_is_not_encoded() -> None:
    for headers in ([], [b"identity"], [b""], [b"Identity", b" identity ,"]):
        assert inflater_for(headers) is None


# -- over a connection


@pytest.fixture
async def client(anyio_backend: Any) -> AsyncIterator[httpx2.AsyncClient]:
    transport = HttpTransport(ssl_context=ssl.create_default_context())
    async with httpx2.AsyncClient(transport=transport, timeout=5) as client:
        yield client


def url_of(server: WireServer) -> str:
    return f"http://127.0.0.1:{server.port}/"


def answer_of(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    return head(f"content-length: {len(body)}", *headers, status=status) + body


@codings
@pytest.mark.anyio
async def test_a_compressed_body(client: httpx2.AsyncClient, coding: str, compress: Callable[[bytes], bytes]) -> None:
    body = compress(EVENTS)

    async def answer(peer: Peer) -> None:
        if peer.number == 1:
            await peer.send(answer_of(body, f"Content-Encoding: {coding}", "X-A: b"))
        else:
            await peer.send(head(f"content-encoding: {coding}", "transfer-encoding: chunked"))
            for i in range(0, len(body), 7):
                await peer.send(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]))
            await peer.send(b"0\r\n\r\n")

    async with serving(answer) as server:
        response = await client.get(url_of(server))
        assert response.content == EVENTS
        assert response.headers.raw == [(b"X-A", b"b")]
        pieces = Collector()
        async with client.stream("GET", url_of(server)) as response:
            assert await response.extensions["exchange"].pump(pieces)
        assert b"".join(pieces) == EVENTS
        async with client.stream("GET", url_of(server)) as response:
            assert b"".join([piece async for piece in response.aiter_raw()]) == EVENTS
        assert server.connections == 1


@pytest.mark.anyio
async def test_events_come_as_they_are_sent(client: httpx2.AsyncClient) -> None:
    compressor = zlib.compressobj(wbits=31)

    async def answer(peer: Peer) -> None:
        await peer.send(head("content-encoding: gzip"))
        for number in range(5):
            await peer.send(compressor.compress(b"event %d" % number) + compressor.flush(zlib.Z_SYNC_FLUSH))
            with anyio.fail_after(2):
                while len(pieces) == number:
                    await checkpoint()
        await peer.send(compressor.flush())
        await peer.close()

    pieces = Collector()
    async with serving(answer) as server, client.stream("GET", url_of(server)) as response:
        assert await response.extensions["exchange"].pump(pieces)
    assert pieces == [b"event %d" % number for number in range(5)]


@pytest.mark.anyio
async def test_a_bomb_leaves_others_their_turn(client: httpx2.AsyncClient) -> None:
    size = 60_000_000
    sizes: list[int] = []

    def sink(piece: bytes) -> bool:
        sizes.append(len(piece))
        turns.append(0)
        return True

    async def count() -> None:
        while True:
            turns[-1] += 1
            await checkpoint()

    turns = [0]
    async with (
        serving(answer_of(gzip.compress(b"\0" * size), "content-encoding: gzip")) as server,
        client.stream("GET", url_of(server)) as response,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(count)
        assert await response.extensions["exchange"].pump(sink)
        tasks.cancel_scope.cancel()
    assert sum(sizes) == size
    assert max(sizes) <= STEP
    # On asyncio the first step of what was received is taken in the loop's callback; on trio turns are shuffled.
    assert sum(turns) > len(sizes) * 0.8
    assert sum(turn > 0 for turn in turns) > len(sizes) * 0.5


@pytest.mark.anyio
async def test_a_sink_may_pause_within_a_compressed_body(client: httpx2.AsyncClient) -> None:
    size = 3_000_000

    def one(piece: bytes) -> bool:
        pieces.append(piece)
        return False

    pieces: list[bytes] = []
    async with serving(answer_of(gzip.compress(b"\0" * size), "content-encoding: gzip")) as server:
        async with client.stream("GET", url_of(server)) as response:
            calls = 1
            while not await response.extensions["exchange"].pump(one):
                assert len(pieces) == calls
                calls += 1
            assert await response.extensions["exchange"].pump(one)
        assert sum(map(len, pieces)) == size
        await client.get(url_of(server))
        assert server.connections == 1


@pytest.mark.anyio
async def test_a_pump_of_a_compressed_body_that_is_cancelled_goes_on(client: httpx2.AsyncClient) -> None:
    size = 30_000_000
    pieces: list[int] = []

    def take(piece: bytes) -> bool:
        pieces.append(len(piece))
        if len(pieces) == 3:
            scope.cancel()
        return True

    async with serving(answer_of(gzip.compress(b"\0" * size), "content-encoding: gzip")) as server:
        async with client.stream("GET", url_of(server)) as response:
            with anyio.CancelScope() as scope:
                await response.extensions["exchange"].pump(take)
            assert scope.cancelled_caught
            assert len(pieces) < 10
            assert await response.extensions["exchange"].pump(take)
        assert sum(pieces) == size


BROKEN: dict[str, tuple[bytes, type[Exception], str]] = {
    "corrupt": (answer_of(b"no gzip at all", "content-encoding: gzip"), httpx2.DecodingError, "gzip, but is not"),
    "corrupt later": (
        answer_of(gzip.compress(EVENTS)[:-8] + b"\xff" * 8, "content-encoding: gzip"),
        httpx2.DecodingError,
        "gzip, but is not",
    ),
    "cut": (
        answer_of(gzip.compress(EVENTS)[:40], "content-encoding: gzip"),
        httpx2.RemoteProtocolError,
        "cut off: its compressed data",
    ),
    "cut by the connection": (
        answer_of(gzip.compress(EVENTS), "content-encoding: gzip")[:-20],
        httpx2.RemoteProtocolError,
        "cut off",
    ),
    "of another kind": (answer_of(b"x", "content-encoding: br"), httpx2.DecodingError, "'br', which was not asked for"),
}


@pytest.mark.parametrize(("answer", "kind", "words"), BROKEN.values(), ids=list(BROKEN))
@pytest.mark.anyio
async def test_a_compressed_body_that_is_broken(
    client: httpx2.AsyncClient, answer: bytes, kind: type[Exception], words: str
) -> None:
    async def send(peer: Peer) -> None:
        await peer.stream.send(answer)
        await peer.close()

    async with serving(send) as server:
        with pytest.raises(kind, match=words):
            await client.get(url_of(server))
        with pytest.raises(kind, match=words):
            async with client.stream("GET", url_of(server)) as response:
                await response.extensions["exchange"].pump(Collector())
        server.answer = answer_of(b"ok")
        assert (await client.get(url_of(server))).content == b"ok"


@pytest.mark.anyio
async def test_an_encoding_of_nothing(client: httpx2.AsyncClient) -> None:
    for coding in ("gzip", "br"):
        answer = head(f"content-encoding: {coding}", status="204 No Content")
        async with serving(answer) as server:
            assert (await client.get(url_of(server))).content == b""
        async with serving(answer_of(b"", f"content-encoding: {coding}")) as server:
            assert (await client.get(url_of(server))).content == b""
            response = await client.head(url_of(server))
            assert response.headers["content-encoding"] == coding


# -- errors


@pytest.mark.parametrize("status", ["302 Found", "403 Forbidden", "529 Overloaded"])
@pytest.mark.parametrize("coding", ["", "gzip"])
@pytest.mark.anyio
async def test_of_an_error_only_so_much_is_read(client: httpx2.AsyncClient, status: str, coding: str) -> None:
    async def endless(peer: Peer) -> None:
        compressor = zlib.compressobj(wbits=31) if coding else None
        await peer.stream.send(head("content-encoding: gzip" if coding else "x: y", status=status))
        while True:
            data = b"x" * 100_000
            await peer.stream.send(compressor.compress(data) + compressor.flush(2) if compressor else data)

    async with serving(endless) as server:
        response = await client.get(url_of(server))
        assert f"{response.status_code} {response.reason_phrase}" == status
        assert response.content == b"x" * MAX_ERROR_BODY
        with anyio.fail_after(2):
            await server.lost.wait()
        pieces = Collector()
        async with client.stream("GET", url_of(server)) as response:
            assert await response.extensions["exchange"].pump(pieces)
            assert await response.extensions["exchange"].pump(pieces)
        assert sum(map(len, pieces)) == MAX_ERROR_BODY


@pytest.mark.anyio
async def test_an_error_costs_no_connection(client: httpx2.AsyncClient) -> None:
    async with serving(answer_of(b"busy" * 1000, status="529 Overloaded")) as server:
        for _ in range(3):
            assert (await client.get(url_of(server))).content == b"busy" * 1000
        assert server.connections == 1


@pytest.mark.anyio
async def test_the_status_of_an_error_whose_body_cannot_be_decoded(client: httpx2.AsyncClient) -> None:
    for body, coding, read in (
        (b"x", "br", b""),
        (b"no gzip", "gzip", b""),
        (gzip.compress(b"x" * 100) + b"\x1fjunk", "gzip", b"x" * 100),
    ):
        async with serving(answer_of(body, f"content-encoding: {coding}", status="529 Overloaded")) as server:
            response = await client.get(url_of(server))
            assert (response.status_code, response.content) == (529, read)
            assert "content-encoding" not in response.headers

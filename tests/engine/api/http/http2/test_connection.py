"""HTTP/2 over real TLS sockets, on each event loop, with a server that is told what to send frame by frame."""

import gc
import math
import ssl
import struct
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
import trustme
from tests.support.http2_server import (
    DATA,
    END_STREAM,
    HEADERS,
    MAX_STREAMS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Http2Peer,
    frame,
    goaway,
    offering,
    reset,
    serving_http2,
    settings,
    window,
)
from tests.support.wire_server import Collector, Peer, head, serving

from manystream.engine.api.http import HttpTransport
from manystream.engine.api.http.exchange import Exchange
from manystream.engine.api.http.http2 import pulse, session

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]


@pytest.fixture
async def transport(trusting: ssl.SSLContext, anyio_backend: Any) -> AsyncIterator[HttpTransport]:
    before = len(anyio.get_running_tasks())
    transport = HttpTransport(ssl_context=trusting, http2=True)
    yield transport
    await transport.aclose()
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert len(anyio.get_running_tasks()) == before
    gc.collect()
    await anyio.lowlevel.checkpoint()


async def ask(
    transport: HttpTransport, url: str, body: Any = b"{}", *, method: str = "POST", **timeouts: Any
) -> Exchange:
    request = httpx2.Request(method, url, content=body, headers={"x-api-key": "k"})
    request.extensions["timeout"] = {"connect": 10, **timeouts}
    response = await transport.handle_async_request(request)
    assert isinstance(response.stream, Exchange)
    return response.stream


async def read(exchange: Exchange) -> bytes:
    pieces = Collector()
    assert await exchange.pump(pieces)
    return b"".join(pieces)


async def talk(transport: HttpTransport, url: str, body: Any = b"{}", **timeouts: Any) -> bytes:
    return await read(await ask(transport, url, body, **timeouts))


async def answering(peer: Http2Peer) -> None:
    while True:
        stream, _ = await peer.request()
        await peer.answer(stream)


async def until(true: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not true():  # noqa: ASYNC110
            await anyio.sleep(0.005)


# -- asking and answering


async def test_requests_share_a_connection(transport: HttpTransport, authority: trustme.CA) -> None:
    heads: list[dict[bytes, bytes]] = []

    async def script(peer: Http2Peer) -> None:
        while True:
            stream, asked = await peer.request()
            heads.append(asked)
            body = b""
            while True:
                found = await peer.until(DATA)
                body += found.payload
                if found.flags & END_STREAM:
                    break
            await peer.send(peer.head(stream, ("request-id", "r")), frame(DATA, END_STREAM, stream, body))

    async with serving_http2(authority, script) as server:
        client = httpx2.AsyncClient(transport=transport, timeout=5)
        response = await client.post(server.url, content=b"hello", headers={"X-Api-Key": "k"})
        assert (response.status_code, response.http_version, response.content) == (200, "HTTP/2", b"hello")
        assert response.headers["request-id"] == "r"
        again = response.extensions["again"]
        for number in range(3):
            assert await read(await again(b"%d" % number)) == b"%d" % number
        assert server.connections == 1
        assert heads[0][b"content-length"] == b"5"
        assert [asked.pop(b"content-length") for asked in heads[1:]] == [b"1", b"1", b"1"]
        heads[0].pop(b"content-length")
        assert heads[0] == heads[1] == heads[3]
        assert heads[0][b":authority"] == server.url.split("/")[2].encode()
        assert b"host" not in heads[0]


async def test_a_body_made_in_pieces(transport: HttpTransport, authority: trustme.CA) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 10
            await anyio.lowlevel.checkpoint()

    async def script(peer: Http2Peer) -> None:
        stream, asked = await peer.request()
        assert b"transfer-encoding" not in asked
        body = b""
        while not (found := await peer.until(DATA)).flags & END_STREAM:
            body += found.payload
        await peer.answer(stream, body)

    async with serving_http2(authority, script) as server:
        assert await talk(transport, server.url, pieces()) == b"x" * 30


@pytest.mark.parametrize("allowed", [100, 7, 1])
async def test_no_more_connections_than_the_streams_need(
    transport: HttpTransport, authority: trustme.CA, allowed: int
) -> None:
    count = 205 if allowed == 100 else 20
    waiting: list[tuple[Http2Peer, int]] = []

    async def script(peer: Http2Peer) -> None:
        await peer.start(**{f"_{MAX_STREAMS}": allowed})
        while True:
            stream, _ = await peer.request()
            waiting.append((peer, stream))

    async with serving_http2(authority, script, greet=False) as server, anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(talk, transport, server.url)
        await until(lambda: len(waiting) == count)
        assert server.connections == math.ceil(count / allowed)
        assert max(c.streams for c in transport.connections()) <= allowed
        for peer, stream in waiting:
            await peer.answer(stream)


async def test_a_connection_without_room_yet_is_waited_for(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        await peer.start(_3=0)
        await anyio.sleep(0.05)
        await peer.send(settings(_3=5))
        await answering(peer)

    async with serving_http2(authority, script, greet=False) as server, anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(talk, transport, server.url)
        await until(lambda: server.count(HEADERS) == 5)
        assert server.connections == 1


async def test_the_least_loaded_connection_gets_the_next_stream(
    transport: HttpTransport, authority: trustme.CA
) -> None:
    async def script(peer: Http2Peer) -> None:
        await peer.start(_3=4)
        while True:
            stream, _ = await peer.request()
            await peer.send(peer.head(stream))

    async with serving_http2(authority, script, greet=False) as server:
        exchanges = [await ask(transport, server.url) for _ in range(8)]
        for exchange in exchanges[:3]:
            exchange.abort()
        exchanges += [await ask(transport, server.url) for _ in range(3)]
        assert server.connections == 2
        assert sorted((c.protocol, c.streams, c.limit) for c in transport.connections()) == [("HTTP/2", 4, 4)] * 2


# -- what a server may do to one request, or to all


async def test_a_refused_stream_is_opened_again_once(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.send(reset(stream, 7))
        await answering(peer)

    async with serving_http2(authority, script) as server:
        assert await talk(transport, server.url) == b"ok"
        assert (server.connections, server.count(HEADERS)) == (1, 2)


async def test_a_stream_that_is_always_refused(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        while True:
            stream, _ = await peer.request()
            await peer.send(reset(stream, 7))

    async with serving_http2(authority, script) as server:
        with pytest.raises(httpx2.RemoteProtocolError, match="refused the stream"):
            await ask(transport, server.url)
        assert server.count(HEADERS) == 2


async def test_a_request_above_the_last_stream_goes_elsewhere(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        if peer.number > 1:
            await answering(peer)
        first, _ = await peer.request()
        await peer.send(peer.head(first), frame(DATA, 0, first, b"be"))
        await peer.request()
        await peer.send(goaway(first))
        await moved.wait()
        await peer.send(frame(DATA, END_STREAM, first, b"gin"))

    moved = anyio.Event()
    async with serving_http2(authority, script) as server:
        old = await ask(transport, server.url)
        assert await talk(transport, server.url) == b"ok"
        assert [(c.streams, c.going_away) for c in transport.connections()] == [(1, True), (0, False)]
        moved.set()
        assert await read(old) == b"begin"
        assert server.connections == 2
        await until(lambda: [c.going_away for c in transport.connections()] == [False])


async def test_a_server_that_always_goes_away(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        await peer.request()
        await peer.send(goaway(0, 0, b"not me"))

    async with serving_http2(authority, script) as server:
        with pytest.raises(httpx2.RemoteProtocolError, match=r"took no more requests: .* 'not me'"):
            await ask(transport, server.url)
        assert server.connections == 4


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_what_may_have_been_done_is_not_sent_again_unless_that_is_harmless(
    transport: HttpTransport, authority: trustme.CA, method: str
) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.answer(stream)
        if peer.number == 1:
            await peer.request()
            await peer.peer.reset()

    async with serving_http2(authority, script) as server:
        assert await talk(transport, server.url, method=method) == b"ok"
        if method == "GET":
            assert await talk(transport, server.url, method=method) == b"ok"
        else:
            with pytest.raises(httpx2.TransportError):
                await talk(transport, server.url)
        assert server.connections == (2 if method == "GET" else 1)


Say = Callable[[Http2Peer, int], bytes]
MISBEHAVIOURS: dict[str, tuple[Say, str]] = {
    "reset": (lambda peer, s: reset(s, 2), "INTERNAL_ERROR"),
    "reset in the body": (lambda peer, s: peer.head(s) + reset(s, 8), "CANCEL"),
    "bad compression": (lambda peer, s: frame(HEADERS, 4, s, b"\xff" * 6), "broke HTTP/2"),
    "oversized frame": (lambda peer, s: peer.head(s) + frame(DATA, 0, s, b"x" * 20000), "20000 bytes"),
    "window overrun": (lambda peer, s: peer.head(s) + frame(DATA, 0, s, b"x" * 16384) * 5, "more than was allowed"),
    "settings flood": (lambda peer, s: settings(_3=100) * 5000, "flood|does not read"),
    "ping flood": (lambda peer, s: frame(PING, 0, 0, b"12345678") * 5000, "flood|does not read"),
    "continuation flood": (lambda peer, s: frame(HEADERS, 0, s, b"\x88") + frame(9, 0, s, b"\0\1a\1b") * 5000, "broke"),
    "goaway and end": (lambda peer, s: goaway(s, 11, b"too_many"), "ENHANCE_YOUR_CALM"),
    "text": (lambda peer, s: b"HTTP/1.1 400 Bad Request\r\n\r\n", "broke HTTP/2"),
    "nothing": (lambda peer, s: b"", "closed the connection"),
    "half a frame": (lambda peer, s: frame(DATA, 0, s, b"x" * 100)[:50], "closed the connection"),
}


@pytest.mark.parametrize("name", MISBEHAVIOURS)
async def test_a_misbehaving_server_is_a_named_error_at_once(
    transport: HttpTransport, authority: trustme.CA, name: str
) -> None:
    say, words = MISBEHAVIOURS[name]

    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.send(say(peer, stream))

    async with serving_http2(authority, script, then_listen=False) as server:
        begun = time.perf_counter()
        with pytest.raises(httpx2.TransportError, match=words) as caught:
            exchange = await ask(transport, server.url)
            await anyio.sleep(0.05)  # what is not taken is not credited
            await exchange.pump(Collector())
        assert str(caught.value) != "k"
        assert time.perf_counter() - begun < 5
        assert server.connections == 1


@pytest.mark.slow
async def test_a_server_that_asks_and_does_not_read(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.send(peer.head(stream))
        while True:  # each asks for an answer, and is no flood: a body goes on
            await peer.send(frame(PING, 0, 0, b"12345678") * 900 + frame(DATA, 0, stream, b"x"))

    async with serving_http2(authority, script) as server:
        with pytest.raises(httpx2.TransportError, match=r"does not read|more than was allowed"):
            await read(await ask(transport, server.url))


async def test_a_lost_connection_ends_its_streams_and_the_next_ones_share_another(
    transport: HttpTransport, authority: trustme.CA
) -> None:
    ends: list[str] = []

    async def script(peer: Http2Peer) -> None:
        if peer.number > 1:
            await answering(peer)
        for _ in range(50):
            stream, _ = await peer.request()
            await peer.send(peer.head(stream), frame(DATA, 0, stream, b"x"))
        await peer.peer.reset()

    async def one() -> None:
        try:
            await talk(transport, server.url)
        except httpx2.ReadError as exc:
            ends.append(str(exc))

    async with serving_http2(authority, script) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(one)
        assert len(ends) == 50
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(one)
        assert (len(ends), server.connections) == (50, 2)


# -- HTTP/1.1 instead


@pytest.mark.parametrize("chosen", ["http/1.1", None])
async def test_a_server_that_does_not_choose_http2(
    transport: HttpTransport, authority: trustme.CA, trusting: ssl.SSLContext, chosen: str | None
) -> None:
    async def answer(peer: Peer) -> None:
        await peer.send(head("content-length: 2") + b"ok")

    async with serving(answer, tls=offering(authority, *([] if chosen is None else [chosen]))) as server:
        url = f"https://127.0.0.1:{server.port}/"
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(talk, transport, url)
        assert server.connections <= 5
        before = server.connections
        for _ in range(3):
            response = await httpx2.AsyncClient(transport=transport).post(url, content=b"x")
            assert response.http_version == "HTTP/1.1"
        assert server.connections == before
        assert {c.protocol for c in transport.connections()} == {"HTTP/1.1"}


@pytest.mark.parametrize("how", ["reset", "goaway", "broken"])
async def test_a_server_that_wants_http1_after_all_gets_it(
    transport: HttpTransport, authority: trustme.CA, how: str
) -> None:
    protocols: list[str | None] = []

    async def connected(peer: Peer) -> None:
        from anyio.streams.tls import TLSAttribute

        protocols.append(peer.stream.extra(TLSAttribute.alpn_protocol))
        if protocols[-1] == "h2":
            http2 = Http2Peer(peer, len(protocols))
            if how == "broken":
                await http2.send(b"\0" * 100)
                return
            await http2.start()
            stream, _ = await http2.request()
            await http2.send(reset(stream, 13) if how == "reset" else goaway(0, 13))
            await http2.listen()

    ok = head("content-length: 2") + b"ok"
    async with serving(ok, tls=offering(authority, "h2", "http/1.1"), connected=connected) as server:
        url = f"https://127.0.0.1:{server.port}/"
        for _ in range(2 if how == "broken" else 0):
            with pytest.raises(httpx2.ConnectError, match="broke HTTP/2"):
                await talk(transport, url)
        for _ in range(2):
            assert await talk(transport, url) == b"ok"
        assert protocols == ["h2"] * (3 if how == "broken" else 1) + ["http/1.1"]


async def test_plain_http_is_http1(transport: HttpTransport) -> None:
    async with serving(head("content-length: 2") + b"ok") as server:
        assert await talk(transport, f"http://127.0.0.1:{server.port}/") == b"ok"


async def test_a_tunnel_through_a_proxy(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    targets: list[bytes] = []

    async def connected(peer: Peer) -> None:
        request = await peer.receive_head()
        targets.append(request.split(b" ")[1])
        await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with (
            await anyio.connect_tcp("127.0.0.1", server.below.port) as beyond,
            anyio.create_task_group() as tasks,
        ):

            async def copy(one: Any, other: Any) -> None:
                async for piece in one:
                    await other.send(piece)
                tasks.cancel_scope.cancel()

            tasks.start_soon(copy, beyond, peer.stream)
            await copy(peer.stream, beyond)

    async with serving_http2(authority, answering) as server, serving(b"", connected=connected) as proxy:
        transport = HttpTransport(
            ssl_context=trusting, http2=True, proxy=httpx2.Proxy(f"http://127.0.0.1:{proxy.port}")
        )
        for _ in range(3):
            assert await talk(transport, server.url) == b"ok"
        assert targets == [server.url.split("/")[2].encode()]
        assert [c.protocol for c in transport.connections()] == ["HTTP/2"]
        await transport.aclose()


# -- connecting


async def test_a_silent_server_is_a_connect_timeout(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        await anyio.sleep_forever()

    async def one() -> None:
        with pytest.raises(httpx2.ConnectTimeout):
            await ask(transport, server.url, connect=0.2)
        failed.append(1)

    failed: list[int] = []
    async with serving_http2(authority, script, greet=False) as server:
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(one)
        assert len(failed) == 10
        assert server.connections <= 2


async def test_nobody_listens(transport: HttpTransport, authority: trustme.CA) -> None:
    async with serving_http2(authority, answering) as server:
        url = server.url
    failures: list[str] = []

    async def one() -> None:
        try:
            await ask(transport, url)
        except httpx2.ConnectError as exc:
            failures.append(str(exc))

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(one)
    assert len(failures) == 10
    assert all("connection refused" in failure for failure in failures)


async def test_a_bad_certificate_is_the_cause_for_all_who_waited(
    transport: HttpTransport, authority: trustme.CA
) -> None:
    causes: list[BaseException | None] = []

    async def one() -> None:
        try:
            await ask(transport, server.url.replace("127.0.0.1", "127.0.0.2"))
        except httpx2.ConnectError as exc:
            causes.append(exc.__cause__)

    async with serving_http2(authority, answering) as server:
        server_url = server.url
        assert server_url
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
    assert len(causes) == 3


async def test_the_one_who_dials_is_cancelled_and_the_others_get_a_connection(
    transport: HttpTransport, authority: trustme.CA
) -> None:
    done: list[bytes] = []
    open_now = anyio.Event()

    async def script(peer: Http2Peer) -> None:
        if peer.number == 1:
            await open_now.wait()
        await peer.start()
        await answering(peer)

    async def one() -> None:
        done.append(await talk(transport, server.url))

    async with serving_http2(authority, script, greet=False) as server:
        async with anyio.create_task_group() as tasks:
            first = anyio.CancelScope()

            async def leader() -> None:
                with first:
                    await talk(transport, server.url)

            tasks.start_soon(leader)
            await until(lambda: server.connections == 1)
            for _ in range(5):
                tasks.start_soon(one)
            await anyio.wait_all_tasks_blocked()
            first.cancel()
            open_now.set()
        assert done == [b"ok"] * 5
        assert server.connections == 2


# -- cancelling


async def hold(peer: Http2Peer) -> None:
    """Answers the first request of a connection bit by bit; of the others, those with a body of one byte get a head."""

    async def tick(stream: int) -> None:
        await peer.send(peer.head(stream))
        while True:
            await peer.send(frame(DATA, 0, stream, b"tick"))
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        first, _ = await peer.request()
        tasks.start_soon(tick, first)
        while True:
            stream, asked = await peer.request()
            if asked.get(b"content-length") == b"1":
                await peer.send(peer.head(stream), frame(DATA, 0, stream, b"x"))


Stage = Callable[[HttpTransport, str], Coroutine[Any, Any, None]]


async def awaiting_the_head(transport: HttpTransport, url: str) -> None:
    await ask(transport, url, b"{}")


async def in_mid_body(transport: HttpTransport, url: str) -> None:
    exchange = await ask(transport, url, b"1")
    try:
        await read(exchange)
    finally:
        exchange.abort()


async def uploading(transport: HttpTransport, url: str) -> None:
    await ask(transport, url, b"x" * 1_000_000)


@pytest.mark.parametrize("stage", [awaiting_the_head, in_mid_body, uploading])
async def test_a_cancel_is_one_reset_and_the_siblings_go_on(
    transport: HttpTransport, authority: trustme.CA, stage: Stage
) -> None:
    async with serving_http2(authority, hold) as server:
        sibling = await ask(transport, server.url)
        ticks = Collector()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sibling.pump, ticks)
            async with anyio.create_task_group() as cancelled:
                for _ in range(20):
                    cancelled.start_soon(stage, transport, server.url)
                await until(lambda: server.count(HEADERS) == 21)
                cancelled.cancel_scope.cancel()
            await until(lambda: server.count(RST_STREAM) == 20)
            before = len(ticks)
            await until(lambda: len(ticks) > before + 3)
            assert server.connections == 1
            assert [c.streams for c in transport.connections()] == [1]
            tasks.cancel_scope.cancel()
        assert server.count(RST_STREAM) == 20
        sibling.abort()


async def test_hundreds_of_cancels_lose_no_sibling(
    transport: HttpTransport, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_RESETS_PER_SECOND", 0.0)  # however long it takes here
    async with serving_http2(authority, hold) as server:
        sibling = await ask(transport, server.url)
        ticks = Collector()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(sibling.pump, ticks)
            for _ in range(10):
                exchanges = [await ask(transport, server.url, b"1") for _ in range(50)]
                for exchange in exchanges:
                    exchange.abort()
            before = len(ticks)
            await until(lambda: len(ticks) > before + 3)
            tasks.cancel_scope.cancel()
        assert 4 <= server.connections <= 6
        sibling.abort()


# -- reading slowly, sending much


async def test_a_stalled_stream_holds_65535_bytes_and_its_neighbour_goes_on(
    transport: HttpTransport, authority: trustme.CA
) -> None:
    sent: dict[int, int] = {}

    async def script(peer: Http2Peer) -> None:
        windows: dict[int, int] = {}

        async def pour(stream: int) -> None:
            while True:
                size = min(windows[stream], 8000)
                if size <= 0:
                    await anyio.sleep(0.005)
                    continue
                windows[stream] -= size
                sent[stream] = sent.get(stream, 0) + size
                await peer.send(frame(DATA, 0, stream, b"x" * size))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as tasks:
            while True:
                found = await peer.next()
                if found.kind == HEADERS:
                    windows[found.stream] = 65535
                    await peer.send(peer.head(found.stream))
                    tasks.start_soon(pour, found.stream)
                elif found.kind == WINDOW_UPDATE and found.stream:
                    windows[found.stream] += struct.unpack(">I", found.payload)[0]

    async with serving_http2(authority, script) as server:
        stalled, flowing = await ask(transport, server.url), await ask(transport, server.url)
        taken = Collector()
        assert not await stalled.pump(lambda piece: bool(taken.append(piece)))
        first = len(b"".join(taken))
        much = 0

        def take(piece: bytes) -> bool:
            nonlocal much
            much += len(piece)
            return much < 1_000_000

        assert not await flowing.pump(take)
        assert sent[1] <= first + 65535
        assert sum(map(len, stalled.reader.pieces)) <= 65535
        much = 0
        assert not await stalled.pump(take)
        stalled.abort()
        flowing.abort()


async def test_a_long_body_goes_as_fast_as_the_windows_allow(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        count = 0
        while True:
            found = await peer.until(DATA)
            count += len(found.payload)
            if found.flags & END_STREAM:
                break
            await peer.send(window(0, len(found.payload)), window(stream, len(found.payload)))
        await peer.answer(stream, b"%d" % count)

    async with serving_http2(authority, script) as server:
        assert await talk(transport, server.url, b"x" * 3_000_000) == b"3000000"


async def test_many_long_bodies_at_once_wait_for_the_wire(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        await peer.start(_4=1 << 24, _5=(1 << 24) - 1)
        await peer.send(window(0, 1 << 30))
        await anyio.sleep(0.1)
        streams: list[int] = []
        while len(streams) < 20:
            found = await peer.next()
            if found.kind == DATA and found.flags & END_STREAM:
                streams.append(found.stream)
                await peer.answer(found.stream)

    async with serving_http2(authority, script, greet=False) as server, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(talk, transport, server.url, b"x" * 500_000)


async def test_an_early_answer_ends_a_long_body(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        for code in (0, None):
            stream, _ = await peer.request()
            await peer.answer(stream, b"too big", "413")
            if code is not None:
                await peer.send(reset(stream, code))
        await answering(peer)

    async with serving_http2(authority, script) as server:
        for _ in range(2):
            exchange = await ask(transport, server.url, b"x" * 30_000_000)
            assert (exchange.status, await read(exchange)) == (413, b"too big")
        assert await talk(transport, server.url) == b"ok"
        assert server.connections == 1
        assert server.count(DATA) < 50


async def test_what_a_sink_raises_ends_its_stream_alone(transport: HttpTransport, authority: trustme.CA) -> None:
    async with serving_http2(authority, hold) as server:
        sibling = await ask(transport, server.url)

        def fail(piece: bytes) -> bool:
            raise LookupError("mine")

        exchange = await ask(transport, server.url, b"1")
        with pytest.raises(LookupError, match="mine"):
            await exchange.pump(fail)
        ticking = await ask(transport, server.url, b"1")
        assert not await ticking.pump(lambda piece: False)
        assert not await sibling.pump(lambda piece: False)
        await until(lambda: server.count(RST_STREAM) == 1)
        assert server.connections == 1
        for one in (sibling, ticking):
            one.abort()


async def test_read_and_write_timeouts(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        await peer.listen()

    async with serving_http2(authority, script) as server:
        with pytest.raises(httpx2.ReadTimeout):
            await ask(transport, server.url, read=0.05)
        with pytest.raises(httpx2.WriteTimeout):
            await ask(transport, server.url, b"x" * 1_000_000, write=0.05)
        await until(lambda: server.count(RST_STREAM) == 2)
        assert server.connections == 1


# -- life and death


async def test_a_dead_server_is_found_by_a_ping(
    transport: HttpTransport, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PING_SECONDS", 0.1)
    monkeypatch.setattr(pulse, "DEAD_SECONDS", 0.1)
    monkeypatch.setattr("manystream.engine.api.http.http2.session.DEAD_SECONDS", 0.1)

    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.send(peer.head(stream), frame(DATA, 0, stream, b"x"))
        await peer.until(PING)
        await anyio.sleep_forever()

    async with serving_http2(authority, script) as server:
        exchange = await ask(transport, server.url)
        with pytest.raises(httpx2.ReadError, match="did not answer a ping"):
            await read(exchange)


async def test_an_idle_connection_is_closed(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    transport = HttpTransport(ssl_context=trusting, http2=True, keepalive_expiry=0.05)
    async with serving_http2(authority, answering) as server:
        for number in range(2):
            assert await talk(transport, server.url) == b"ok"
            await until(lambda: not transport.connections())
            assert server.connections == number + 1
    await transport.aclose()


async def test_a_closed_transport_ends_what_runs(transport: HttpTransport, authority: trustme.CA) -> None:
    async with serving_http2(authority, hold) as server:
        exchange = await ask(transport, server.url)
        async with anyio.create_task_group() as tasks:

            async def reading() -> None:
                with pytest.raises(httpx2.ReadError, match="aborted"):
                    await read(exchange)

            tasks.start_soon(reading)
            await anyio.wait_all_tasks_blocked()
            await transport.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await ask(transport, server.url)
        await until(server.below.lost.is_set)


async def test_a_response_is_freed_at_its_end(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.answer(stream)
        stream, _ = await peer.request()
        await peer.send(peer.head(stream), reset(stream, 2))
        stream, _ = await peer.request()
        await peer.send(peer.head(stream))
        stream, _ = await peer.request()
        await peer.send(peer.head(stream))
        await peer.peer.reset()

    known: list[weakref.ref[Any]] = []
    async with serving_http2(authority, script) as server:
        gc.disable()
        try:
            for number in range(4):
                exchange = await ask(transport, server.url)
                known += [weakref.ref(exchange), weakref.ref(exchange.reader)]
                if number == 2:
                    exchange.abort()
                else:
                    try:
                        await exchange.pump(Collector())
                    except httpx2.TransportError as exc:
                        exc.__traceback__ = None
                await exchange.aclose()
                del exchange
            await until(lambda: not transport.connections())
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            assert [reference() for reference in known] == [None] * 8
        finally:
            gc.enable()


async def test_settings_with_the_handshake_s_last_flight(transport: HttpTransport, authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        # Over TLS 1.3 the server may send before it has heard of the handshake's end: here all in one piece.
        await peer.send(settings(_3=3) + frame(SETTINGS, 1, 0) + frame(PING, 0, 0, b"12345678"))
        await peer.start()
        await answering(peer)

    async with serving_http2(authority, script, greet=False) as server:
        assert await talk(transport, server.url) == b"ok"

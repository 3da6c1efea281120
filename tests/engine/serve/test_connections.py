"""Connections: one request after the other, whoever sends them and however; none hurts another."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, suppress

import anyio
import pytest
from tests.support.gateways import gate, message_request, request_of, talk, until
from tests.support.reference.streams import STREAMS
from tests.support.upstream import Upstream, asking, json_reply, stream_reply

from manystream.engine.serve.connection import Connection

pytestmark = pytest.mark.anyio

TEXT = STREAMS["text"].body
HEALTH = request_of("GET", "/health")
SILENT = stream_reply(b"", ending="stall")


async def test_requests_that_are_sent_at_once_are_answered_in_their_order() -> None:
    async with (
        gate(Upstream(stream_reply(TEXT), json_reply(200, b'{"input_tokens":7}'))) as gateway,
        talk(gateway) as talking,
    ):
        count = request_of("POST", "/v1/messages/count_tokens", body=b"{}")
        await talking.send(HEALTH + message_request(stream=True) + count + HEALTH * 300)
        assert (await talking.answer()).json == {"status": "ready"}
        assert (await talking.answer()).body == TEXT
        assert (await talking.answer()).json == {"input_tokens": 7}
        for _ in range(300):
            assert (await talking.answer()).status == 200


async def test_bytes_that_come_one_by_one() -> None:
    async with gate(Upstream(stream_reply(TEXT))) as gateway, talk(gateway) as talking:
        for byte in message_request(stream=True) + HEALTH:
            await talking.send(bytes([byte]))
        assert (await talking.answer()).body == TEXT
        assert (await talking.answer()).status == 200


async def test_a_body_in_chunks_that_waits_until_it_is_welcome() -> None:
    upstream = Upstream(stream_reply(TEXT))
    body = json.dumps(asking()).encode()
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", "/v1/messages", "Transfer-Encoding: chunked", "Expect: 100-continue"))
        assert await talking.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        for piece in (body[:20], body[20:]):
            await talking.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        await talking.send(b"0\r\n\r\n")
        assert (await talking.answer()).json["type"] == "message"
    assert json.loads(upstream.requests[0].content) == {**asking(), "stream": True}


async def test_who_asks_for_another_protocol_gets_this_one() -> None:
    upgrade = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
    async with gate(Upstream(stream_reply(TEXT))) as gateway, talk(gateway) as talking:
        await talking.send(message_request(*upgrade, stream=True))
        assert (await talking.answer()).body == TEXT
        await talking.send(request_of("GET", "/health", *upgrade))
        assert (await talking.answer()).status == 200
        await talking.send(HEALTH)
        assert (await talking.answer()).status == 200


@pytest.mark.parametrize(
    ("data", "status"), [(b"hello\r\n\r\n", 400), (b"GET / HTTP/1.1\r\nx: " + b"y" * 600_000, 431)]
)
async def test_what_is_no_request(data: bytes, status: int) -> None:
    async with gate(Upstream(stream_reply(TEXT))) as gateway:
        async with talk(gateway) as talking:
            await talking.send(data)
            answer = await talking.answer()
            assert (answer.status, answer.headers["connection"]) == (status, "close")
            assert await talking.rest() == b""
        async with talk(gateway) as talking:  # behind one that is answered
            await talking.send(message_request(stream=True) + data)
            assert (await talking.answer()).body == TEXT
            assert await talking.rest() == b""


async def test_a_refusal_can_be_read_by_who_still_sends() -> None:
    async with gate(Upstream(stream_reply(TEXT))) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", "/v1/messages", "Origin: http://evil", "Content-Length: 50000000"))
        answer = await talking.answer()
        assert (answer.status, answer.headers["connection"]) == (403, "close")
        for _ in range(20):
            await talking.send(b"x" * 100_000)
        (connection,) = gateway.server._connections  # pyright: ignore[reportPrivateUsage]
        connection.sweep(anyio.current_time() + 3)
        await until(lambda: not gateway.server._connections)  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize(("method", "path"), [(b"GET", b"/v1/models/"), (b"POST", b"/v1/messages/")])
async def test_a_path_that_makes_no_url(method: bytes, path: bytes) -> None:
    target = path.ljust(65_530, b"a") if method == b"GET" else path.ljust(65_517, b"a") + b"/v1/messages"
    upstream = Upstream(json_reply(200, b"{}"))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(b"%b %b HTTP/1.0\r\n\r\n" % (method, target))
        answer = await talking.answer()
        assert answer.status == 400
        assert "makes no URL" in answer.json["error"]["message"]
        assert not gateway.server.running
    assert not upstream.requests


async def test_who_asks_nothing_makes_room_for_others(caplog: pytest.LogCaptureFixture) -> None:
    async with gate(Upstream(SILENT), most_connections=2) as gateway, AsyncExitStack() as open_:
        first, second = [await open_.enter_async_context(talk(gateway)) for _ in range(2)]
        await until(lambda: len(gateway.server._connections) == 2)  # pyright: ignore[reportPrivateUsage]
        now = anyio.current_time()
        await until(lambda: anyio.current_time() > now)  # uvloop's clock has milliseconds
        await second.send(HEALTH)
        assert (await second.answer()).status == 200
        third = await open_.enter_async_context(talk(gateway))
        assert await first.rest() == b""
        for talking in (second, third):
            await talking.send(message_request(stream=True))
        await until(lambda: gateway.server.running == 2)
        for _ in range(2):
            refused = await open_.enter_async_context(talk(gateway))
            answer = await refused.answer()
            assert (answer.status, answer.headers["connection"]) == (529, "close")
        assert gateway.server.running == 2
    assert caplog.text.count("2 clients are connected and at work") == 1


async def test_a_body_that_is_too_long() -> None:
    upstream = Upstream(stream_reply(TEXT))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", "/v1/messages", f"Content-Length: {2**40}"))
        piece = b"x" * 2**20

        async def send() -> None:
            for _ in range(65):
                await talking.send(piece)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            answer = await talking.answer()
            assert (answer.status, answer.json["error"]["type"]) == (413, "request_too_large")
            tasks.cancel_scope.cancel()
    assert not upstream.requests


async def test_connections_from_which_nothing_comes() -> None:
    async with gate(Upstream(SILENT)) as gateway:
        server = gateway.server

        async def one(data: bytes) -> Connection:
            before = set(server._connections)  # pyright: ignore[reportPrivateUsage]
            talking = await held.enter_async_context(talk(gateway))
            await talking.send(data)
            await until(lambda: len(server._connections) > len(before))  # pyright: ignore[reportPrivateUsage]
            (connection,) = server._connections - before  # pyright: ignore[reportPrivateUsage]
            return connection

        def alive(connection: Connection, seconds: float) -> bool:
            connection.sweep(anyio.current_time() + seconds)
            transport = connection._transport  # pyright: ignore[reportPrivateUsage]
            return transport is not None and not transport.is_closing()

        async with AsyncExitStack() as held:
            idle = await one(b"")
            half = await one(b"GET /hea")
            body = await one(request_of("POST", "/v1/messages", "Content-Length: 10") + b"{")
            running = await one(message_request())
            await until(lambda: gateway.engine.stats().running == 1)
            await until(lambda: half.busy and body.busy)
            assert [alive(each, 59) for each in (idle, half, body, running)] == [True] * 4
            assert [alive(each, 61) for each in (idle, half, body, running)] == [True, False, False, True]
            assert [alive(each, 299) for each in (idle, running)] == [True, True]
            assert [alive(each, 10_000) for each in (idle, running)] == [False, True]


async def test_signs_for_a_client_that_waits_for_a_head() -> None:
    node = ("x-stainless-runtime: node",)
    async with gate(Upstream(SILENT)) as gateway:
        for headers, version, expected in (
            (node, b"HTTP/1.1", 5),
            (("user-agent: undici",), b"HTTP/1.1", 5),
            (node, b"HTTP/1.0", 0),
            (("user-agent: Python-urllib/3.11",), b"HTTP/1.1", 0),
        ):
            async with talk(gateway) as talking:
                await talking.send(message_request(*headers, stream=True).replace(b"HTTP/1.1", version))
                await until(lambda: gateway.engine.stats().running == 1)
                (connection,) = gateway.server._connections  # pyright: ignore[reportPrivateUsage]
                now = anyio.current_time()
                for seconds in (14, 15.1, 16, 45.2, 105.3, 165.4, 225.5):  # behind 15, 30, 60, 60, 60 seconds
                    connection.sweep(now + seconds)
                gateway.server.drop(connection._transit)  # pyright: ignore[reportPrivateUsage, reportArgumentType]
                answer = await talking.answer()
                assert (answer.status, answer.interim) == (503, (102,) * expected)
            await until(lambda: not gateway.server._connections)  # pyright: ignore[reportPrivateUsage]


async def test_hundreds_at_once() -> None:
    upstream = Upstream(*[stream_reply(TEXT, size=20)] * 300)
    answers: list[bytes] = []
    async with gate(upstream, max_concurrency=50) as gateway:

        async def one() -> None:
            async with talk(gateway) as talking:
                await talking.send(message_request(stream=True))
                answers.append((await talking.answer()).body)

        async with anyio.create_task_group() as tasks:
            for _ in range(300):
                tasks.start_soon(one)
        assert answers == [TEXT] * 300
        assert gateway.server.tally.endings == {"complete": 300}
        await until(lambda: not gateway.server._connections)  # pyright: ignore[reportPrivateUsage]


async def test_large_events_for_a_slow_reader() -> None:
    delta = TEXT[TEXT.index(b"event: content_block_delta") : TEXT.index(b"event: content_block_stop")]
    large = delta.replace(b"Hello", b"x" * 1_500_000, 1)
    assert large != delta
    body = TEXT.replace(delta, large * 6)
    upstream = Upstream(stream_reply(body, size=100_000))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(message_request(stream=True))
        await until(lambda: upstream.open == 1 and gateway.server.running == 1)
        before = -1
        while upstream.read != before:
            before = upstream.read
            await anyio.sleep(0.2)
        with anyio.fail_after(30):
            answer = await talking.answer()
        assert answer.body == body
        assert gateway.server.tally.endings == {"complete": 1}


async def test_answers_that_nobody_reads_are_not_made() -> None:
    many = request_of("GET", "/") * 1_500
    async with gate(Upstream(SILENT)) as gateway, talk(gateway) as talking:
        with anyio.move_on_after(1), suppress(anyio.BrokenResourceError):
            for _ in range(100):
                await talking.send(many)
        for connection in gateway.server._connections:  # pyright: ignore[reportPrivateUsage]
            transport = connection._transport  # pyright: ignore[reportPrivateUsage]
            assert transport is None or transport.get_write_buffer_size() < 200_000


async def test_who_sends_far_ahead_is_still_noticed_when_gone() -> None:
    upstream = Upstream(SILENT)
    async with gate(upstream) as gateway:
        async with talk(gateway) as talking:
            await talking.send(message_request())
            await until(lambda: upstream.open == 1)
            with anyio.move_on_after(1), suppress(anyio.BrokenResourceError):
                for _ in range(30):
                    await talking.send(request_of("GET", "/v1/models") * 2_000)
        await until(lambda: upstream.open == 0)
        assert gateway.engine.stats().running == 0


@pytest.mark.parametrize("target", ["/v1/messages", "/v1/messages/count_tokens", "/stats"])
async def test_a_body_that_turns_out_to_be_none(target: str) -> None:
    async with gate(Upstream(SILENT)) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", target, "Transfer-Encoding: chunked") + b"2\r\n{}\r\nzz\r\n")
        answer = await talking.answer()
        assert answer.status == (405 if target == "/stats" else 400)
        assert await talking.rest() == b""


async def test_a_client_that_reads_nothing_is_left() -> None:
    delta = TEXT[TEXT.index(b"event: content_block_delta") : TEXT.index(b"event: content_block_stop")]
    body = TEXT.replace(delta, delta * (8_000_000 // len(delta)))
    upstream = Upstream(stream_reply(body, size=60_000))
    async with gate(upstream) as gateway, talk(gateway) as talking:
        await talking.send(message_request(stream=True))
        await until(lambda: gateway.server.tally.messages == 1)
        await anyio.sleep(0.5)
        (connection,) = gateway.server._connections  # pyright: ignore[reportPrivateUsage]
        now = anyio.current_time()
        connection.sweep(now)
        connection.sweep(now + 299)
        assert gateway.engine.stats().running == 1
        connection.sweep(now + 301)
        await until(lambda: gateway.engine.stats().running == 0)
        assert len(await talking.rest()) < len(body)


async def test_a_request_that_would_take_too_long_to_read() -> None:
    body = b'{"model":"claude-opus-5-5","max_tokens":5,"messages":[' + b"[]," * 1_000_001 + b"[]]}"
    async with gate(Upstream(SILENT)) as gateway, talk(gateway) as talking:
        await talking.send(request_of("POST", "/v1/messages", body=body))
        answer = await talking.answer()
        assert answer.status == 400
        assert "more than 1,000,000 lists and objects" in answer.json["error"]["message"]

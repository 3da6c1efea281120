"""The simulator's server on real sockets: keep-alive, clients that go or misbehave, starting and stopping."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx2
import pytest
from tests.support.sockets import connect, happens, http_request, read_all, read_until

from manystream.engine.simulator import Cut, ListenError, Simulator, Stall

pytestmark = pytest.mark.anyio


@pytest.fixture
async def simulator(anyio_backend: str) -> AsyncIterator[Simulator]:
    async with Simulator().serve() as simulator:
        yield simulator


async def test_a_stream_is_chunked_an_event_a_chunk(simulator: Simulator) -> None:
    simulator.script(["one two three"])
    async with await connect(simulator) as stream:
        await stream.send(http_request(stream=True))
        head, _, body = (await read_until(stream, b"0\r\n\r\n")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding: chunked" in head.lower()
    while not body.startswith(b"0\r\n"):
        size, _, body = body.partition(b"\r\n")
        chunk, body = body[: int(size, 16)], body[int(size, 16) + 2 :]
        assert chunk.startswith(b"event: ")
        assert chunk.count(b"\n\n") == 1


async def test_one_connection_serves_many_requests_pipelined_ones_too(simulator: Simulator) -> None:
    simulator.script(["first", "second", "third"])
    async with await connect(simulator) as stream:
        await stream.send(http_request())
        assert b"first" in await read_until(stream, b"}")
        await stream.send(http_request() + http_request())
        received = await read_until(stream, b"}")
        while received.count(b"HTTP/1.1 200") < 2 or not received.endswith(b"}"):
            received += await read_until(stream, b"}")
    assert received.index(b"second") < received.index(b"third")
    assert simulator.total_connections == 1


async def test_a_request_may_come_byte_by_byte(simulator: Simulator) -> None:
    async with await connect(simulator) as stream:
        for byte in http_request():
            await stream.send(bytes([byte]))
        assert b"200" in await read_until(stream, b"}")


@pytest.mark.parametrize("close", ["connection: close\r\n", ""])
async def test_a_connection_that_should_not_stay_is_closed(simulator: Simulator, close: str) -> None:
    head = "POST /v1/messages HTTP/1.1" if close else "POST /v1/messages HTTP/1.0"
    async with await connect(simulator) as stream:
        await stream.send(http_request(headers=close, head=head, stream=True))
        assert b"message_stop" in await read_all(stream)
    assert simulator.requests[0].outcome == "complete"


async def test_the_client_is_told_to_go_on(simulator: Simulator) -> None:
    head, _, body = http_request(headers="expect: 100-continue\r\n").partition(b"\r\n\r\n")
    async with await connect(simulator) as stream:
        await stream.send(head + b"\r\n\r\n")
        assert await read_until(stream, b"\r\n\r\n") == b"HTTP/1.1 100 \r\n\r\n"
        await stream.send(body)
        assert b"HTTP/1.1 200" in await read_until(stream, b"}")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\n\r\n", 400),  # no host
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 100_000, 431),
        (http_request(b"{}", head="GET /nowhere HTTP/1.1", headers="connection: close\r\n"), 404),
        (http_request(b"\xff\xfe", headers="connection: close\r\n"), 400),
    ],
    ids=["nonsense", "tls", "no-host", "length", "coding", "oversized", "path", "body"],
)
async def test_a_bad_request_gets_an_error_and_the_end(simulator: Simulator, sent: bytes, status: int) -> None:
    async with await connect(simulator) as stream:
        await stream.send(sent)
        head, _, body = (await read_all(stream)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(body)["type"] == "error"
    async with await connect(simulator) as stream:  # and the server is none the worse for it
        await stream.send(http_request())
        assert b"200" in await read_until(stream, b"}")


async def test_a_body_without_end_is_too_large(simulator: Simulator) -> None:
    async with await connect(simulator) as stream, anyio.create_task_group() as tasks:

        async def pour() -> None:
            while True:
                await stream.send(b" " * 1_000_000)

        await stream.send(http_request(b"").replace(b"content-length: 0", b"content-length: 99999999999"))
        tasks.start_soon(pour)
        assert (await read_until(stream, b"}")).startswith(b"HTTP/1.1 413")
        tasks.cancel_scope.cancel()


# Clients that go


@pytest.mark.parametrize(
    "step",
    [Stall(after="nothing"), Stall(after="head"), Stall(after=2), Stall(after=2, pings=0.001), "word " * 1_000_000],
    ids=["nothing", "head", "deltas", "pings", "streaming"],
)
async def test_a_client_that_goes_is_noticed(simulator: Simulator, step: Any) -> None:
    simulator.script([step])
    stream = await connect(simulator)
    await stream.send(http_request(stream=True))
    if step != Stall(after="nothing"):
        await stream.receive()
    await happens(simulator, lambda s: len(s.requests) == 1)
    assert simulator.requests[0].outcome == "running"
    assert simulator.open_connections == 1
    await stream.aclose()
    await happens(simulator, lambda s: s.requests[0].outcome == "disconnected")
    assert simulator.open_connections == 0


async def test_a_client_that_does_not_read_holds_up_its_own_stream_alone(simulator: Simulator) -> None:
    simulator.script(["word " * 1_000_000])
    async with await connect(simulator) as lazy, await connect(simulator) as other:
        await lazy.send(http_request(stream=True))
        await happens(simulator, lambda s: len(s.requests) == 1 and s.requests[0].bytes_sent > 0)
        await other.send(http_request(stream=True))
        await read_until(other, b"0\r\n\r\n")
        lazy_one, other_one = simulator.requests
        assert (lazy_one.outcome, other_one.outcome) == ("running", "complete")
        assert lazy_one.bytes_sent < 50_000_000


async def test_a_client_that_goes_in_mid_request_leaves_no_trace(simulator: Simulator) -> None:
    async with await connect(simulator) as stream:
        await stream.send(http_request()[:-5])
    async with await connect(simulator):
        pass
    await happens(simulator, lambda s: s.total_connections == 2 and s.open_connections == 0)
    assert simulator.requests == []


async def test_a_reset_is_a_reset_and_a_close_is_none(simulator: Simulator) -> None:
    simulator.script([Cut(after=1, how="reset"), Cut(after=1, how="close"), Cut(after=1, how="end")])
    async with await connect(simulator) as stream:
        await stream.send(http_request(stream=True))
        with pytest.raises(anyio.BrokenResourceError):
            await read_all(stream)
    async with await connect(simulator) as stream:
        await stream.send(http_request(stream=True))
        assert (await read_all(stream)).count(b"event: content_block_delta") == 1
    async with await connect(simulator) as stream:
        await stream.send(http_request(stream=True))
        assert b"message_stop" not in await read_until(stream, b"0\r\n\r\n")
    assert [request.outcome for request in simulator.requests] == ["cut", "cut", "complete"]


# The record


async def test_the_record_tells_what_was_asked(simulator: Simulator) -> None:
    async with await connect(simulator) as stream:
        await stream.send(
            http_request(headers="X-Custom: 1\r\nx-custom: 2\r\n", head="POST /v1/messages?beta=true HTTP/1.1")
        )
        received = await read_until(stream, b"}")
        await stream.send(http_request(b"?"))
        await read_until(stream, b"}")
    good, bad = simulator.requests
    assert (good.method, good.target, good.path) == ("POST", "/v1/messages?beta=true", "/v1/messages")
    assert good.headers["x-custom"] == "1, 2"
    assert good.json["messages"] == [{"role": "user", "content": "hi"}]
    assert (good.status, good.outcome, good.connection) == (200, "complete", 1)
    assert good.bytes_sent == len(received.partition(b"\r\n\r\n")[2])
    assert (bad.json, bad.status) == (None, 400)
    assert "hi" not in repr(good)


async def test_waiting_where_it_would_block_the_server_is_refused(simulator: Simulator) -> None:
    with pytest.raises(RuntimeError, match="would block"):
        simulator.wait_until(lambda s: True)
    with pytest.raises(TimeoutError):
        await anyio.to_thread.run_sync(partial(simulator.wait_until, lambda s: False, timeout=0.01))


# Starting and stopping


async def test_a_port_in_use_is_said_in_one_line(simulator: Simulator) -> None:
    port = int(simulator.url.rpartition(":")[2])
    other = Simulator()
    with pytest.raises(ListenError, match=rf"^cannot listen on 127.0.0.1:{port}: the port is in use$"):
        async with other.serve(port=port):
            pass
    async with other.serve():  # that attempt left nothing behind
        pass


async def test_it_is_served_once_at_a_time(simulator: Simulator) -> None:
    with pytest.raises(RuntimeError, match="being served already"):
        async with simulator.serve():
            pass
    assert simulator.url


async def test_it_can_be_served_again_and_remembers() -> None:
    simulator = Simulator()
    for expected in (1, 2):
        async with simulator.serve(), await connect(simulator) as stream:
            await stream.send(http_request())
            await read_until(stream, b"}")
        assert len(simulator.requests) == expected
        with pytest.raises(RuntimeError, match="not being served"):
            _ = simulator.url


async def test_stopping_ends_what_is_running() -> None:
    simulator = Simulator()
    simulator.script([Stall(after=1)])
    async with simulator.serve():
        stream = await connect(simulator)
        await stream.send(http_request(stream=True))
        await stream.receive()
    assert simulator.requests[0].outcome == "stopped"
    assert simulator.open_connections == 0
    async with stream:
        assert b"message_stop" not in await read_all(stream)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
async def test_an_exception_in_the_body_comes_out_as_it_is(error: type[BaseException]) -> None:
    with pytest.raises(error) as caught:
        async with Simulator().serve():
            raise error
    assert type(caught.value) is error


async def test_a_cancelled_body_is_cancelled_and_nothing_else() -> None:
    simulator = Simulator()
    with anyio.move_on_after(0.01) as scope:
        async with simulator.serve(), await connect(simulator):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    await anyio.lowlevel.checkpoint()  # no cancellation is left over
    with pytest.raises(RuntimeError):
        _ = simulator.url


async def test_a_cancellation_within_the_body_stays_there(simulator: Simulator) -> None:
    async with Simulator().serve() as other:
        with anyio.move_on_after(0) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught
        async with await connect(other) as stream:
            await stream.send(http_request())
            await read_until(stream, b"}")


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_native_timeout_around_it_is_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), Simulator().serve():
            await asyncio.sleep(60)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


def test_ipv6_has_its_brackets() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with Simulator().in_thread("::1") as simulator:
        assert simulator.url.startswith("http://[::1]:")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_fault_of_its_own_fails_one_request(caplog: pytest.LogCaptureFixture, stream: bool) -> None:
    """A schema that nothing can be made for: the server goes on."""
    schema = {"type": "object", "properties": {"a": {"type": "array", "minItems": "x"}}, "required": ["a"]}
    odd = {"name": "odd", "input_schema": schema}
    choice = {"type": "tool", "name": "odd"}
    body = {
        "model": "claude-opus-4-6",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "hi"}],
        "stream": stream,
    }
    with Simulator().in_thread() as simulator:

        def ask(**more: Any) -> tuple[int, str]:
            headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
            answer = httpx2.post(f"{simulator.url}/v1/messages", json=body | more, headers=headers)
            return answer.status_code, answer.text

        status, text = await anyio.to_thread.run_sync(partial(ask, tools=[odd], tool_choice=choice))
        assert status in (400, 500)
        assert "error" in text
        assert (await anyio.to_thread.run_sync(ask))[0] == 200
    if status == 500:
        assert "the simulator could not answer" in caplog.text

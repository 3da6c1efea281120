"""The engine over HTTP/2: streams that share connections, and what it tells of them."""

import json
import os
import ssl
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trustme
from tests.support.http2_server import DATA, END_STREAM, HEADERS, RST_STREAM, Http2Peer, frame, reset, serving_http2
from tests.support.loops import BACKENDS, RUNS

from manystream import AnthropicModel, Deadlines, Engine, RetryPolicy, StreamError, StreamRequest

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]


@pytest.fixture(params=BACKENDS.values(), ids=list(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(autouse=True)
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    monkeypatch.setattr("manystream.engine.api.shared_client._ssl_context", lambda: context)


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


START = sse(
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude-opus-5-5",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
)
WORD = sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}})
END = sse(
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    },
    {"type": "message_stop"},
)


def model(url: str) -> AnthropicModel:
    return AnthropicModel("claude-opus-5-5", api_key="k", base_url=url.removesuffix("/v1/messages"), http2=True)


async def answer(peer: Http2Peer) -> None:
    async with anyio.create_task_group() as tasks:

        async def one(stream: int) -> None:
            await peer.send(peer.head(stream, ("content-type", "text/event-stream"), ("request-id", "req_1")))
            await peer.send(frame(DATA, 0, stream, START))
            for _ in range(5):
                await peer.send(frame(DATA, 0, stream, WORD))
                await anyio.lowlevel.checkpoint()
            await peer.send(frame(DATA, END_STREAM, stream, END))

        while True:
            stream, _ = await peer.request()
            tasks.start_soon(one, stream)


async def test_many_streams_share_a_connection(authority: trustme.CA) -> None:
    async with serving_http2(authority, answer) as server, Engine(model(server.url), max_concurrency=40) as engine:
        results = await engine.gather(f"number {number}" for number in range(80))
        assert {result.state for result in results} == {"complete"}
        assert {result.text for result in results} == {"word " * 5}
        assert {result.request_id for result in results} == {"req_1"}
        assert server.connections == 1
        (connection,) = engine.stats().connections
        assert (connection.protocol, connection.streams, connection.limit) == ("HTTP/2", 0, 100)
        assert connection.origin == server.url.removesuffix("/v1/messages")
        assert not connection.going_away


async def test_a_cancelled_stream_costs_its_neighbours_nothing(authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        streams = [(await peer.request())[0] for _ in range(3)]
        for stream in streams:
            await peer.send(peer.head(stream, ("content-type", "text/event-stream")), frame(DATA, 0, stream, START))
        await peer.until(RST_STREAM)
        for stream in streams:
            await peer.send(frame(DATA, END_STREAM, stream, WORD + END))

    async with serving_http2(authority, script) as server, Engine(model(server.url)) as engine:
        handles = [engine.submit(f"number {number}") for number in range(3)]
        for handle in handles:
            async with handle.subscribe() as channel:
                await channel.receive()
        assert [c.streams for c in engine.stats().connections] == [3]
        handles[1].cancel()
        results = [await handle.wait() for handle in handles]
        assert [result.state for result in results] == ["complete", "cancelled", "complete"]
        assert (server.connections, server.count(RST_STREAM)) == (1, 1)


async def test_what_the_server_has_not_looked_at_is_no_second_attempt(authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.send(reset(stream, 7))
        await answer(peer)

    async with serving_http2(authority, script) as server, Engine(model(server.url)) as engine:
        async with engine.stream("hi") as stream:
            assert "".join([text async for text in stream.text_stream]) == "word " * 5
        assert len(stream.result.attempts) == 1
        assert server.count(HEADERS) == 2


@pytest.mark.parametrize("anyio_backend", ["asyncio"])  # it runs loops of its own
async def test_each_loop_has_connections_of_its_own(authority: trustme.CA, anyio_backend: str) -> None:
    async with serving_http2(authority, answer) as server:
        shared = model(server.url)

        async def main() -> None:
            async with Engine(shared) as engine:
                assert {result.state for result in await engine.gather(["a", "b", "c"])} == {"complete"}

        for run in RUNS * 2:
            await anyio.to_thread.run_sync(run, main)
        assert server.connections == len(RUNS) * 2


def fork(act: Callable[[], None]) -> int:
    """Forks. The child calls `act` in a thread, in which no event loop runs, and ends with 0 if all went well. Returns
    the child's number."""
    pid = os.fork()
    if pid == 0:  # pragma: no cover
        code = 2
        try:
            ThreadPoolExecutor().submit(act).result(20)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
async def test_a_forked_process_has_connections_of_its_own(authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        stream, _ = await peer.request()
        await peer.send(peer.head(stream, ("content-type", "text/event-stream")), frame(DATA, 0, stream, START))
        if peer.number == 1:
            await child_is_over.wait()
        await peer.send(frame(DATA, END_STREAM, stream, WORD + END))
        await answer(peer)

    def in_the_child() -> None:
        async def main() -> None:
            with pytest.raises(RuntimeError, match="parent process"):
                engine.submit("hi")
            async with Engine(shared) as own:
                assert own.stats().connections == ()
                assert (await own.submit("hi").wait()).text == "word "

        for run in RUNS:
            run(main)

    child_is_over = anyio.Event()
    async with serving_http2(authority, script) as server:
        shared = model(server.url)
        async with Engine(shared) as engine:
            handle = engine.submit("hi")
            async with handle.subscribe() as channel:
                await channel.receive()
            pid = fork(in_the_child)
            _, status = await anyio.to_thread.run_sync(os.waitpid, pid, 0)
            assert os.waitstatus_to_exitcode(status) == 0
            child_is_over.set()
            assert (await handle.wait()).text == "word "
            assert (await engine.submit("again").wait()).state == "complete"
            assert server.connections == 1 + len(RUNS)
            assert server.peers[0].count(HEADERS) == 2
            assert server.peers[0].count(RST_STREAM) == 0


async def test_a_connection_that_breaks_is_the_truth_of_each_stream(authority: trustme.CA) -> None:
    async def script(peer: Http2Peer) -> None:
        streams = [(await peer.request())[0] for _ in range(10)]
        for stream in streams:
            await peer.send(
                peer.head(stream, ("content-type", "text/event-stream")), frame(DATA, 0, stream, START + WORD)
            )
        await anyio.sleep(0.05)
        await peer.peer.reset()

    async with serving_http2(authority, script) as server, Engine(model(server.url)) as engine:
        results = await engine.gather([StreamRequest(f"number {number}") for number in range(10)])
        assert {result.state for result in results} == {"truncated"}
        assert {result.text for result in results} == {"word "}
        with pytest.raises(StreamError, match="connection"):
            results[0].raise_for_state()
        assert server.connections == 1


# -- what a lost connection costs

SOON = RetryPolicy(base_delay=0.001, max_delay=0.001)
PATIENT = Deadlines(connect=None, silence=None)  # however slow the machine is


def numbered(count: int) -> list[StreamRequest]:
    """Requests that the server can tell apart."""
    return [StreamRequest(f"number {number}", extra_headers={"x-number": f"{number}"}) for number in range(count)]


async def begin(peer: Http2Peer) -> tuple[int, bytes]:
    """Takes the next request on, and begins to answer it. Returns its stream and the rest of the answer."""
    stream, asked = await peer.request()
    word = {"type": "text_delta", "text": asked[b"x-number"].decode()}
    await peer.send(peer.head(stream, ("content-type", "text/event-stream")), frame(DATA, 0, stream, START))
    return stream, sse({"type": "content_block_delta", "index": 0, "delta": word}) + END


@pytest.mark.parametrize("recovery", ["fail", "restart"])
@pytest.mark.parametrize(("count", "allowed"), [(40, 10), pytest.param(400, 100, marks=pytest.mark.slow)])
async def test_a_lost_connection_costs_its_own_streams_one_attempt_and_the_others_nothing(
    authority: trustme.CA, count: int, allowed: int, recovery: Any
) -> None:
    full, again = anyio.Event(), anyio.Event()

    async def script(peer: Http2Peer) -> None:
        begun = [await begin(peer) for _ in range(allowed)]
        if peer.number == 5:
            again.set()
        elif sum(other.count(HEADERS) for other in server.peers) == count:
            full.set()
        await full.wait()
        if peer.number == 2:
            if recovery == "restart":  # there was content
                await peer.send(*(frame(DATA, 0, stream, rest[: -len(END)]) for stream, rest in begun))
            await peer.peer.reset()
            return
        await again.wait()
        await peer.send(*(frame(DATA, END_STREAM, stream, rest) for stream, rest in begun))

    async with serving_http2(authority, script, allowed=allowed) as server:
        how: Any = {"retry": SOON, "recovery": recovery, "deadlines": PATIENT}
        async with Engine(model(server.url), max_concurrency=count, **how) as engine:
            results = await engine.gather(numbered(count))
        assert [result.text for result in results] == [f"{number}" for number in range(count)]
        assert {result.state for result in results} == {"complete"}
        tried = sorted(len(result.attempts) for result in results)
        assert tried == [1] * (count - allowed) + [2] * allowed
        assert (server.connections, server.count(HEADERS)) == (5, count + allowed)


@pytest.mark.parametrize("count", [30, pytest.param(100, marks=pytest.mark.slow)])
async def test_when_all_are_lost_at_once_half_go_ahead_and_the_rest_wait_for_the_retry_budget(
    authority: trustme.CA, count: int
) -> None:
    def waiting() -> int:
        return sum(wait.reason == "retry_budget" for wait in engine.stats().waits)

    going_on = anyio.Event()

    async def script(peer: Http2Peer) -> None:
        if peer.number == 1:
            for _ in range(count):
                await begin(peer)
            await peer.peer.reset()
            return
        await going_on.wait()
        while True:
            stream, rest = await begin(peer)
            await peer.send(frame(DATA, END_STREAM, stream, rest))

    async with serving_http2(authority, script) as server:
        async with Engine(model(server.url), max_concurrency=count, retry=SOON, deadlines=PATIENT) as engine:
            handles = [engine.submit(request) for request in numbered(count)]
            with anyio.fail_after(60):
                while waiting() < count // 2 - 3:  # noqa: ASYNC110  # a second gives one back
                    await anyio.sleep(0.005)
            going_on.set()
            results = [await handle.wait() for handle in handles]
        assert [result.text for result in results] == [f"{number}" for number in range(count)]
        assert {len(result.attempts) for result in results} == {2}
        assert (server.connections, server.count(HEADERS)) == (2, 2 * count)

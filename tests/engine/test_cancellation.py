"""Cancellation: whoever asks, and wherever the stream is, it stops at once, tells so once, and leaves nothing behind.

What is cancelled stalls at the simulator, which tells when it has seen the connection go.
"""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Literal

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx2
import pytest
import trustme
from tests.support.engines import AT_ONCE, assert_one_ending, engine_for, happens, outcomes, stream_ids
from tests.support.peer import FullPort, Peer, unread

from manystream import (
    AnthropicModel,
    Engine,
    Lossless,
    RetryPolicy,
    State,
    StreamCancelled,
    StreamHandle,
    StreamRequest,
    StreamResult,
)
from manystream.actors import PartEvent
from manystream.engine.simulator import Cut, Fail, ScriptStep, Simulator, Stall

pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("error")]

SLOW = RetryPolicy(base_delay=60.0, max_delay=60.0)
BACKENDS = {"asyncio": "asyncio", "trio": "trio", "uvloop": ("asyncio", {"use_uvloop": True})}


@pytest.fixture(params=BACKENDS.values(), ids=list(BACKENDS))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Cancellation is tried on uvloop too."""
    return request.param


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture(autouse=True, scope="module")
def little_to_collect() -> Iterator[None]:
    """What was there before these tests is not looked at by each collection: that would take most of their time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def nothing_is_left(anyio_backend: Any) -> AsyncIterator[None]:
    """No task is left behind, and nothing that complains when it is collected."""
    before = len(anyio.get_running_tasks())
    yield
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert len(anyio.get_running_tasks()) == before
    gc.collect()
    await anyio.lowlevel.checkpoint()


@pytest.fixture
async def engine(simulator: Simulator, nothing_is_left: None) -> AsyncIterator[Engine]:
    async with engine_for(simulator) as engine:
        yield engine


# -- from every state

# Connecting has three: the connection is being made, the request is being sent, the answer is waited for.
Stage = State | Literal["dialling", "sending"]

# What brings a stream to its state: the script's step.
STATES: dict[State, ScriptStep] = {
    State.CONNECTING: Stall("nothing"),
    State.STREAMING: Stall(2, text="one two three four"),
    State.BACKOFF: Fail(500, headers={"retry-after": "50"}),
}
STAGES: list[Stage] = [State.QUEUED, "dialling", "sending", *STATES]
state = pytest.mark.parametrize("state", STAGES)


@pytest.fixture(scope="module")
def full() -> Iterator[FullPort]:
    with FullPort() as full:
        yield full


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    with Peer() as peer:
        yield peer


class Asked:
    """A stream that was brought to a state, in an engine with one slot."""

    def __init__(self, engine: Engine, simulator: Simulator, full: FullPort, peer: Peer) -> None:
        self.engine = engine
        self.simulator = simulator
        self.first: StreamHandle | None = None
        self.request = StreamRequest("Hi", group="tenant")
        self._full = full
        self._peer = peer

    async def prepare(self, state: Stage) -> None:
        """What must be so before the stream is asked for."""
        if state == "dialling":
            model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=self._full.url)
            self.request = StreamRequest("Hi", group="tenant", model=model)
        elif state == "sending":
            self._peer.tell(unread)
            model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=self._peer.url)
            self.request = StreamRequest("Hi" * 1_000_000, group="tenant", model=model)
        elif state is State.QUEUED:
            self.simulator.script([Stall("nothing")])
            self.first = self.engine.submit("first")
            await happens(self.simulator, lambda simulator: len(simulator.requests) == 1)
        else:
            self.simulator.script([STATES[state]])

    async def reached(self, handle: StreamHandle, state: Stage) -> None:
        """Waits until the stream is there."""
        if not isinstance(state, State):
            while handle.state is not State.CONNECTING:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()  # where it is, it stays
            return
        if state is not State.QUEUED:
            await happens(self.simulator, lambda simulator: len(simulator.requests) == 1)
        while handle.state is not state or (state is State.STREAMING and handle.last_content_at is None):
            await anyio.lowlevel.checkpoint()

    async def check(self, result: StreamResult, state: Stage, by: str, reason: str | None) -> None:
        """The stream ended as it should have, the server has seen it, and the engine goes on."""
        assert (result.state, result.cancelled_by, result.cancel_reason) == ("cancelled", by, reason)
        met = [attempt.error is not None for attempt in result.attempts]
        if state is not State.QUEUED:
            assert met == [state is State.BACKOFF]
        else:
            # A scope around the engine strikes one stream after the other: a slot may come free meanwhile.
            assert met in ([], [False]) if by == "engine" else met == []
        assert not result.usage_is_final
        assert result.error is None
        with pytest.raises(StreamCancelled):
            result.raise_for_state()
        if state is State.STREAMING:
            (part,) = result.parts
            assert not part.complete
            assert result.text
            assert "one two three four".startswith(result.text)
            assert result.usage.input_tokens > 0
        else:
            assert result.parts == ()
        if state in (State.CONNECTING, State.STREAMING):
            await happens(self.simulator, lambda simulator: outcomes(simulator) == ["disconnected"], timeout=1)
        if state == "sending":
            self._peer.let_go()
            assert await anyio.to_thread.run_sync(self._peer.wait_until_idle, 1) == 0
        if self.first is not None:
            self.first.cancel()
            await self.first.wait()

    async def check_that_it_goes_on(self) -> None:
        self.simulator.script(["fine"])
        assert (await self.engine.submit("again").wait()).text == "fine"
        assert (self.engine.stats().running, self.engine.stats().waiting) == (0, 0)


@pytest.fixture
async def asked(simulator: Simulator, full: FullPort, peer: Peer, nothing_is_left: None) -> AsyncIterator[Asked]:
    async with engine_for(simulator, max_concurrency=1, retry=SLOW, grace=0) as engine:
        yield Asked(engine, simulator, full, peer)


@state
async def test_by_the_handle(asked: Asked, state: Stage) -> None:
    await asked.prepare(state)
    handle = asked.engine.submit(asked.request)
    events: list[PartEvent] = []

    async def watch() -> None:
        async with handle.subscribe(Lossless()) as mailbox:
            async for event in mailbox:
                events.append(event)  # noqa: PERF401

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await asked.reached(handle, state)
        handle.cancel("enough")
        handle.cancel("twice")
        await handle.wait()
    result = handle.result
    assert assert_one_ending(events).result is result
    handle.cancel("too late")
    await asked.check(result, state, "handle", "enough")
    await asked.check_that_it_goes_on()


@state
async def test_by_the_handle_from_another_thread(asked: Asked, state: Stage) -> None:
    await asked.prepare(state)
    handle = asked.engine.submit(asked.request)
    await asked.reached(handle, state)
    await anyio.to_thread.run_sync(handle.cancel, "from afar")
    await asked.check(await handle.wait(), state, "handle", "from afar")
    await asked.check_that_it_goes_on()


@state
async def test_by_the_group(asked: Asked, state: Stage) -> None:
    await asked.prepare(state)
    handle = asked.engine.submit(asked.request)
    await asked.reached(handle, state)
    asked.engine.cancel_group("another")
    asked.engine.cancel_group("tenant", reason="left us")
    await asked.check(await handle.wait(), state, "group", "left us")
    await asked.check_that_it_goes_on()


@state
async def test_by_leaving(asked: Asked, state: Stage) -> None:
    await asked.prepare(state)
    async with asked.engine.stream(asked.request) as stream:
        await asked.reached(stream, state)
    await asked.check(stream.result, state, "consumer", "its last consumer left")
    await asked.check_that_it_goes_on()


async def test_by_breaking_out_of_the_loop(asked: Asked) -> None:
    await asked.prepare(State.STREAMING)
    async with asked.engine.stream(asked.request) as stream:
        async for _ in stream.text_stream:
            break
    await asked.check(stream.result, State.STREAMING, "consumer", "its last consumer left")
    await asked.check_that_it_goes_on()


@state
async def test_by_the_consumers_own_scope(asked: Asked, state: Stage) -> None:
    await asked.prepare(state)
    stream = None
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:

            async def cancel_when_there() -> None:
                while stream is None:
                    await anyio.lowlevel.checkpoint()
                await asked.reached(stream, state)
                scope.cancel()

            tasks.start_soon(cancel_when_there)
            async with asked.engine.stream(asked.request) as stream:
                async for _ in stream:
                    pass
    assert scope.cancelled_caught
    assert stream is not None
    await asked.check(stream.result, state, "consumer", "its last consumer left")
    await asked.check_that_it_goes_on()


async def test_by_a_timeout(asked: Asked) -> None:
    await asked.prepare(State.STREAMING)
    stream = None
    with anyio.move_on_after(60) as scope:
        async with asked.engine.stream(asked.request) as stream:
            async for _ in stream.text_stream:
                scope.deadline = anyio.current_time() + 0.01
    assert scope.cancelled_caught
    assert stream is not None
    await asked.check(stream.result, State.STREAMING, "consumer", "its last consumer left")


@state
@pytest.mark.parametrize("way", ["gather", "merge", "pipe"])
async def test_by_cancelling_a_combinator(asked: Asked, state: Stage, way: str) -> None:
    await asked.prepare(state)
    send, receive = anyio.create_memory_object_stream[PartEvent](100)

    async def merge() -> None:
        async with asked.engine.merge([asked.request]) as channel:
            async for _ in channel:
                pass

    ways: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "gather": lambda: asked.engine.gather([asked.request]),
        "merge": merge,
        "pipe": lambda: asked.engine.pipe(asked.request, send),
    }
    reason = {"gather": "gather was left", "merge": "the block was left", "pipe": "pipe was left"}[way]
    known = set(stream_ids(asked.engine))
    found: list[StreamHandle] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ways[way])
        while not (new := set(stream_ids(asked.engine)) - known):
            await anyio.lowlevel.checkpoint()
        if handle := asked.engine.get(new.pop()):
            found.append(handle)
            await asked.reached(handle, state)
        tasks.cancel_scope.cancel()
    send.close()
    receive.close()
    await asked.check(found[0].result, state, "consumer", reason)
    await asked.check_that_it_goes_on()


@state
async def test_by_the_engines_end(simulator: Simulator, full: FullPort, peer: Peer, state: Stage) -> None:
    async with engine_for(simulator, max_concurrency=1, retry=SLOW, grace=0.05) as engine:
        asked = Asked(engine, simulator, full, peer)
        await asked.prepare(state)
        handle = engine.submit(asked.request)
        await asked.reached(handle, state)
    await asked.check(handle.result, state, "engine", "the engine shut down")
    await happens(simulator, lambda simulator: simulator.open_connections == 0, timeout=1)


@state
async def test_by_an_error_in_the_engines_block(simulator: Simulator, full: FullPort, peer: Peer, state: Stage) -> None:
    handle = None
    engine = engine_for(simulator, max_concurrency=1, retry=SLOW)
    asked = Asked(engine, simulator, full, peer)
    with pytest.raises(LookupError):
        async with engine:
            await asked.prepare(state)
            handle = engine.submit(asked.request)
            await asked.reached(handle, state)
            raise LookupError
    assert handle is not None
    await asked.check(handle.result, state, "engine", "the engine shut down")


@state
async def test_by_a_scope_around_the_engine(simulator: Simulator, full: FullPort, peer: Peer, state: Stage) -> None:
    handle = asked = None
    with anyio.CancelScope() as scope:
        async with engine_for(simulator, max_concurrency=1, retry=SLOW) as engine:
            asked = Asked(engine, simulator, full, peer)
            await asked.prepare(state)
            handle = engine.submit(asked.request)
            await asked.reached(handle, state)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert handle is not None
    assert asked is not None
    await asked.check(handle.result, state, "engine", "the engine shut down")
    await happens(simulator, lambda simulator: "running" not in outcomes(simulator), timeout=1)


async def test_while_the_engine_waits_for_what_runs(simulator: Simulator) -> None:
    handle = None
    simulator.script([Stall(1, text="a b")])
    with anyio.CancelScope() as scope:
        async with engine_for(simulator) as engine:
            handle = engine.submit("Hi")
            await happens(simulator, lambda simulator: len(simulator.requests) == 1)
            scope.deadline = anyio.current_time() + 0.05
    assert scope.cancelled_caught
    assert handle is not None
    assert handle.result.cancelled_by == "engine"
    await happens(simulator, lambda simulator: outcomes(simulator) == ["disconnected"], timeout=1)


async def test_before_it_has_taken_a_step(engine: Engine, simulator: Simulator) -> None:
    handle = engine.submit("Hi")
    handle.cancel("never mind")
    result = await handle.wait()
    assert (result.state, result.cancel_reason) == ("cancelled", "never mind")
    async with engine.stream("Hi") as stream:
        pass
    assert stream.result.state == "cancelled"


async def test_waiting_can_be_cancelled_without_harm(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(1, text="a b")])
    handle = engine.submit("Hi")
    with anyio.move_on_after(0.02) as scope:
        await handle.wait()
    assert scope.cancelled_caught
    assert handle.state in (State.CONNECTING, State.STREAMING)
    handle.cancel()
    await handle.wait()


async def test_of_many_at_once(engine: Engine, simulator: Simulator) -> None:
    steps: list[ScriptStep] = [Stall("nothing"), Stall("head"), Stall(1, text="a b"), Stall(1, pings=0.01, text="a b")]
    simulator.script(steps * 10)
    handles = [engine.submit(f"{number}") for number in range(40)]
    await happens(simulator, lambda simulator: len(simulator.requests) == 40)
    for handle in handles:
        handle.cancel()
    results = [await handle.wait() for handle in handles]
    assert {result.state for result in results} == {"cancelled"}
    await happens(simulator, lambda simulator: outcomes(simulator) == ["disconnected"] * 40, timeout=1)
    await happens(simulator, lambda simulator: simulator.open_connections == 0, timeout=1)


# -- connections


async def test_cancelled_streams_leak_no_connections(simulator: Simulator) -> None:
    async with engine_for(simulator, max_concurrency=4) as engine:
        for _ in range(3):
            simulator.script(["short"] * 12)
            assert {result.state for result in await engine.gather(["x"] * 12)} == {"complete"}
        assert simulator.total_connections == 4
        simulator.script([Stall(1, text="a b")] * 4)
        before = len(simulator.requests)
        handles = [engine.submit("x") for _ in range(4)]
        await happens(simulator, lambda simulator: len(simulator.requests) == before + 4)
        for handle in handles:
            handle.cancel()
        for handle in handles:
            await handle.wait()
        await happens(simulator, lambda simulator: simulator.open_connections == 0, timeout=1)
        simulator.script(["short"] * 12)
        assert {result.state for result in await engine.gather(["x"] * 12)} == {"complete"}
        assert simulator.total_connections == 8


async def test_what_ends_badly_leaks_no_connections(simulator: Simulator) -> None:
    steps: list[ScriptStep] = [
        400,
        Cut(1, "garbage", text="a b"),
        Cut(1, Fail(529), text="a b"),
        Cut(1, "end", text="a b"),
        Cut(1, "close", text="a b"),
        Cut(1, "reset", text="a b"),
    ]
    simulator.script(steps * 4)
    async with engine_for(simulator, max_concurrency=3) as engine:
        results = await engine.gather(["x"] * 24)
        assert {result.state for result in results} == {"failed", "truncated"}
        await happens(simulator, lambda simulator: simulator.open_connections <= 3, timeout=1)
    await happens(simulator, lambda simulator: simulator.open_connections == 0, timeout=1)


class SilentPeer:
    """A TLS server that begins an answer, or doesn't even, and never takes leave. It notes when its client has gone."""

    def __init__(self, answer: bytes) -> None:
        self.ca = trustme.CA()
        self._answer = answer
        self.asked = threading.Event()
        self.gone = threading.Event()

    def __enter__(self) -> "SilentPeer":
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert("127.0.0.1").configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
        plain, _ = self._socket.accept()
        with plain:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context.wrap_bio(incoming, outgoing, server_side=True)

            def pump(step: Callable[[], Any]) -> Any:
                while True:
                    try:
                        done = step()
                        plain.sendall(outgoing.read())
                        return done
                    except ssl.SSLWantReadError:
                        plain.sendall(outgoing.read())
                        incoming.write(plain.recv(65536))

            pump(tls.do_handshake)
            received = b""
            while b"\r\n\r\n" not in received:
                received += pump(lambda: tls.read(65536))
            pump(lambda: tls.write(self._answer) if self._answer else 0)
            self.asked.set()
            # From now on it only looks whether the connection still stands: close_notify gets no answer.
            with contextlib.suppress(OSError):
                while plain.recv(65536):
                    pass
            self.gone.set()


BEGUN = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("answer", [b"", BEGUN], ids=["before the head", "after the head"])
async def test_a_silent_tls_peer_is_not_waited_for(
    answer: bytes, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    with SilentPeer(answer) as peer:
        peer.ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=peer.url)
        async with Engine(model, retry=AT_ONCE) as engine:
            handle = engine.submit("Hi")
            await anyio.to_thread.run_sync(peer.asked.wait, 5)
            began = anyio.current_time()
            handle.cancel()
            assert (await handle.wait()).state == "cancelled"
            assert await anyio.to_thread.run_sync(peer.gone.wait, 2)
        assert anyio.current_time() - began < 2


# -- asyncio's own cancellation


class TestNative:
    """`Task.cancel()`, once and twice in a row: what must be finished is, and `asyncio.timeout` still works."""

    @pytest.fixture(params=["asyncio", ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    @pytest.mark.parametrize("times", [1, 2, 3])
    @pytest.mark.parametrize("way", ["stream", "gather", "merge", "pipe"])
    async def test_it_is_finished_and_raised(self, engine: Engine, simulator: Simulator, way: str, times: int) -> None:
        number = 1 if way in ("stream", "pipe") else 3
        simulator.script([Stall(2, text="a b c d")] * number)
        send, receive = anyio.create_memory_object_stream[PartEvent](1000)

        async def stream() -> None:
            async with engine.stream("x") as stream:
                async for _ in stream:
                    pass

        async def merge() -> None:
            async with engine.merge(["x"] * 3) as channel:
                async for _ in channel:
                    pass

        ways: dict[str, Callable[[], Any]] = {
            "stream": stream,
            "gather": lambda: engine.gather(["x"] * 3),
            "merge": merge,
            "pipe": lambda: engine.pipe("x", send),
        }
        task = asyncio.create_task(ways[way]())
        await happens(simulator, lambda simulator: len(simulator.requests) == number)
        held = [handle for key in stream_ids(engine) if (handle := engine.get(key))]
        while not all(handle.last_content_at for handle in held):
            await anyio.lowlevel.checkpoint()
        for _ in range(times):
            task.cancel("stop")
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        # When the task is over, nothing of the stream runs any more.
        assert [handle.result.state for handle in held] == ["cancelled"] * number
        assert engine.stats().running == 0
        await happens(simulator, lambda simulator: outcomes(simulator) == ["disconnected"] * number, timeout=1)
        send.close()
        receive.close()
        assert [handle.result.cancelled_by for handle in held] == ["consumer"] * number
        simulator.script(["fine"])
        assert (await engine.submit("x").wait()).text == "fine"

    async def test_asyncios_timeout(self, engine: Engine, simulator: Simulator) -> None:
        simulator.script([Stall(2, text="a b c d")])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05), engine.stream("x") as stream:
                async for _ in stream:
                    pass
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    @pytest.mark.parametrize("times", [1, 2])
    async def test_of_the_task_that_holds_the_engine(self, simulator: Simulator, times: int) -> None:
        simulator.script([Stall(1, text="a b"), Stall("nothing")])
        held: list[StreamHandle] = []

        async def run() -> None:
            async with engine_for(simulator) as engine:
                held.extend([engine.submit("x"), engine.submit("y")])
                await asyncio.sleep(60)

        task = asyncio.create_task(run())
        await happens(simulator, lambda simulator: len(simulator.requests) == 2)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [handle.result.state for handle in held] == ["cancelled"] * 2
        await happens(simulator, lambda simulator: outcomes(simulator) == ["disconnected"] * 2, timeout=1)

    @pytest.mark.parametrize("times", [1, 2])
    async def test_of_an_engine_that_waits_for_what_runs(self, simulator: Simulator, times: int) -> None:
        simulator.script([Stall(1, text="a b"), Stall("nothing")])
        held: list[StreamHandle] = []

        async def run() -> None:
            async with engine_for(simulator) as engine:
                held.extend([engine.submit("x"), engine.submit("y")])

        task = asyncio.create_task(run())
        await happens(simulator, lambda simulator: len(simulator.requests) == 2)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [handle.result.state for handle in held] == ["cancelled"] * 2
        await happens(simulator, lambda simulator: outcomes(simulator) == ["disconnected"] * 2, timeout=1)


# -- with a client of the caller's own


async def test_with_an_httpx2_client(simulator: Simulator) -> None:
    simulator.script([Stall(1, text="a b"), "fine"])
    async with httpx2.AsyncClient(verify=False) as http_client:
        model = AnthropicModel("claude-opus-5-5", api_key="key", base_url=simulator.url, http_client=http_client)
        async with Engine(model, retry=AT_ONCE) as engine:
            async with engine.stream(StreamRequest("x")) as stream:
                async for _ in stream.text_stream:
                    break
            await happens(simulator, lambda simulator: outcomes(simulator) == ["disconnected"], timeout=1)
            assert (await engine.submit("x").wait()).text == "fine"

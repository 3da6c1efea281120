"""Host apps: the engine inside apps written for asyncio, for trio, in several threads, and for the web."""

import asyncio
import runpy
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
import trio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from tests.support.engines import engine_for, happens, model_for, outcomes
from tests.support.loops import ASYNCIO_RUNS, RUNS, Main, run_trio

from manystream import AnthropicModel, Engine, Stream, StreamCancelled, StreamEndEvent, StreamResult, decode_event
from manystream.engine.simulator import ScriptStep, Simulator, Stall

RELAY = Path(__file__).parents[2] / "examples" / "relay.py"

STALL = Stall(1, text="one two three")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


on_asyncio = pytest.mark.parametrize("run", ASYNCIO_RUNS)
everywhere = pytest.mark.parametrize("run", RUNS)


async def read(engine: Engine, streams: list[Stream], begun: Callable[[], None] = lambda: None) -> str:
    """Reads a stream to its end, and says when its first text has come."""
    pieces: list[str] = []
    async with engine.stream("Hi") as stream:
        streams.append(stream)
        async for text in stream.text_stream:
            pieces.append(text)
            begun()
    return "".join(pieces)


def assert_left(stream: Stream) -> None:
    """The stream was stopped by its reader's going, and kept what had come."""
    assert (stream.result.state, stream.result.cancelled_by) == ("cancelled", "consumer")
    assert stream.result.text


async def assert_goes_on(engine: Engine, simulator: Simulator) -> None:
    """The engine is none the worse: what was left is gone, and the next stream is answered."""
    assert engine.stats().running == 0
    await happens(simulator, lambda simulator: "running" not in outcomes(simulator))
    simulator.script(["fine"])
    result = await engine.submit("Hi").wait()
    assert (result.state, result.text) == ("complete", "fine")


# -- asyncio, natively


@on_asyncio
@pytest.mark.parametrize("inside", [False, True], ids=["around the stream", "inside its block"])
def test_asyncio_timeout(simulator: Simulator, run: Callable[[Main], None], inside: bool) -> None:
    async def main() -> None:
        simulator.script([STALL])
        now = asyncio.get_running_loop().time
        async with engine_for(simulator) as engine:
            context = engine.stream("Hi")
            stream: Stream | None = None
            with pytest.raises(TimeoutError):
                if inside:
                    async with context as stream, asyncio.timeout(30) as timeout:
                        async for _ in stream.text_stream:
                            timeout.reschedule(now())
                else:
                    async with asyncio.timeout(30) as timeout, context as stream:
                        async for _ in stream.text_stream:
                            timeout.reschedule(now())
            assert stream is not None
            assert_left(stream)
            task = asyncio.current_task()
            assert task is not None
            assert task.cancelling() == 0
            await assert_goes_on(engine, simulator)

    run(main)


@on_asyncio
def test_asyncio_wait_for(simulator: Simulator, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        simulator.script([STALL])
        async with engine_for(simulator) as engine:
            begun = asyncio.Event()
            reading = asyncio.create_task(read(engine, streams, begun.set))
            await begun.wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reading, 0.01)
            assert_left(streams[0])
            # To lose patience with a wait is not to stop the stream.
            simulator.script([STALL])
            handle = engine.submit("Hi")
            await happens(simulator, lambda simulator: len(simulator.requests) == 2)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(handle.wait(), 0.01)
            assert engine.get(handle.id) is not None
            handle.cancel()
            assert (await asyncio.wait_for(handle.wait(), 5)).cancelled_by == "handle"
            await assert_goes_on(engine, simulator)

    run(main)


@on_asyncio
def test_an_asyncio_task_group_that_fails(simulator: Simulator, run: Callable[[Main], None]) -> None:
    async def fail(begun: asyncio.Semaphore) -> None:
        for _ in range(3):
            await begun.acquire()
        raise KeyError("mine")

    async def main() -> None:
        streams: list[Stream] = []
        simulator.script([STALL] * 3)
        begun = asyncio.Semaphore(0)
        async with engine_for(simulator) as engine:
            with pytest.raises(ExceptionGroup) as raised:
                async with asyncio.TaskGroup() as group:
                    for _ in range(3):
                        group.create_task(read(engine, streams, begun.release))
                    group.create_task(fail(begun))
            assert [type(error) for error in raised.value.exceptions] == [KeyError]
            assert len(streams) == 3
            for stream in streams:
                assert_left(stream)
            await assert_goes_on(engine, simulator)

    run(main)


@on_asyncio
def test_asyncio_gather_with_one_cancelled(simulator: Simulator, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        begun = asyncio.Event()
        async with engine_for(simulator) as engine:
            simulator.script([STALL])
            task = asyncio.create_task(read(engine, streams, begun.set))
            await begun.wait()
            simulator.script(["two", "two"])
            others = [asyncio.create_task(read(engine, streams)) for _ in range(2)]
            gathered = asyncio.gather(task, *others, return_exceptions=True)
            task.cancel()
            cancelled, *texts = await gathered
            assert isinstance(cancelled, asyncio.CancelledError)
            assert texts == ["two", "two"]
            assert_left(streams[0])
            await assert_goes_on(engine, simulator)

    run(main)


@on_asyncio
def test_asyncio_gather_that_is_cancelled(simulator: Simulator, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        begun = asyncio.Semaphore(0)
        simulator.script([STALL] * 3)
        async with engine_for(simulator) as engine:
            tasks = [asyncio.create_task(read(engine, streams, begun.release)) for _ in range(3)]
            gathered = asyncio.gather(*tasks)
            for _ in tasks:
                await begun.acquire()
            gathered.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gathered
            await asyncio.wait(tasks)
            assert len(streams) == 3
            for stream in streams:
                assert_left(stream)
            await assert_goes_on(engine, simulator)

    run(main)


# -- trio, natively


@pytest.mark.parametrize("inside", [False, True], ids=["around the stream", "inside its block"])
def test_trio_move_on_after(simulator: Simulator, inside: bool) -> None:
    async def main() -> None:
        simulator.script([STALL])
        async with engine_for(simulator) as engine:
            if inside:
                async with engine.stream("Hi") as stream:
                    with trio.move_on_after(30) as scope:
                        async for _ in stream.text_stream:
                            scope.deadline = trio.current_time()
            else:
                with trio.move_on_after(30) as scope:
                    async with engine.stream("Hi") as stream:
                        async for _ in stream.text_stream:
                            scope.deadline = trio.current_time()
            assert scope.cancelled_caught
            assert_left(stream)  # pyright: ignore[reportPossiblyUnboundVariable]
            await assert_goes_on(engine, simulator)

    trio.run(main)


def test_trio_fail_after(simulator: Simulator) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        simulator.script([STALL])
        async with engine_for(simulator) as engine:
            with pytest.raises(trio.TooSlowError), trio.fail_after(30) as scope:

                def now() -> None:
                    scope.deadline = trio.current_time()

                await read(engine, streams, now)
            assert_left(streams[0])
            await assert_goes_on(engine, simulator)

    trio.run(main)


def test_a_trio_nursery_that_fails(simulator: Simulator) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        begun = trio.Semaphore(0)
        simulator.script([STALL] * 3)
        async with engine_for(simulator) as engine:
            with pytest.raises(ExceptionGroup) as raised:
                async with trio.open_nursery() as nursery:
                    for _ in range(3):
                        nursery.start_soon(read, engine, streams, begun.release)
                    for _ in range(3):
                        await begun.acquire()
                    raise KeyError("mine")
            assert [type(error) for error in raised.value.exceptions] == [KeyError]
            assert len(streams) == 3
            for stream in streams:
                assert_left(stream)
            await assert_goes_on(engine, simulator)

    trio.run(main)


def test_a_trio_nursery_that_is_cancelled_around_the_engine(simulator: Simulator) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        simulator.script([STALL])
        async with trio.open_nursery() as nursery:

            async def serve() -> None:
                async with engine_for(simulator) as engine:
                    await read(engine, streams, nursery.cancel_scope.cancel)

            nursery.start_soon(serve)
        # The reader and the engine are cancelled in the same moment; trio decides who is the first to say so.
        result = streams[0].result
        assert (result.state, result.cancelled_by in ("consumer", "engine")) == ("cancelled", True)
        assert result.text
        await happens(simulator, lambda simulator: simulator.open_connections == 0)

    trio.run(main)


# -- several engines, several loops


@everywhere
def test_an_engine_that_crashes_leaves_the_other_its_client(simulator: Simulator, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        streams: list[Stream] = []
        async with engine_for(simulator) as engine:
            simulator.script(["fine", STALL])
            await engine.submit("Hi").wait()
            with pytest.raises(KeyError):
                async with engine_for(simulator) as other, other.stream("Hi") as stream:
                    streams.append(stream)
                    async for _ in stream.text_stream:
                        raise KeyError("mine")
            assert_left(streams[0])
            await assert_goes_on(engine, simulator)

    run(main)


@pytest.mark.parametrize("lent", [False, True], ids=["a model each", "one model"])
def test_four_threads_at_once(simulator: Simulator, lent: bool) -> None:
    shared = model_for(simulator)
    results: list[StreamResult] = []
    failures: list[BaseException] = []
    ready = threading.Barrier(4, timeout=20)

    async def main() -> None:
        async with Engine(shared if lent else model_for(simulator), max_concurrency=5) as engine:
            await anyio.to_thread.run_sync(ready.wait)
            results.extend(await engine.gather(f"Say {number}." for number in range(9)))
            async with engine.stream("Hi") as stream:
                async for _ in stream:
                    pass
            results.append(stream.result)

    def work(run: Callable[[Main], None]) -> None:
        try:
            run(main)
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [
        threading.Thread(target=work, args=(run,)) for run in (ASYNCIO_RUNS[0], run_trio, ASYNCIO_RUNS[-1], run_trio)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert [result.state for result in results] == ["complete"] * 40
    assert len({result.stream_id for result in results}) == 40
    # The same question has the same answer, whichever loop asked.
    assert len({result.text for result in results}) == 10


def test_one_model_in_one_run_after_another(simulator: Simulator) -> None:
    model = model_for(simulator)
    states: list[str] = []

    async def main() -> None:
        async with Engine(model) as engine:
            states.extend(result.state for result in await engine.gather(["one", "two"]))

    for run in (*RUNS, *RUNS):
        run(main)
        simulator.wait_until(lambda simulator: simulator.open_connections == 0)
    assert set(states) == {"complete"}
    assert len(states) == 2 * len(RUNS) * 2


# -- entered in one task, left in another


@everywhere
@pytest.mark.parametrize("whole", [False, True], ids=["left early", "read whole"])
def test_a_stream_changes_hands(simulator: Simulator, run: Callable[[Main], None], whole: bool) -> None:
    """As a web framework does it: the block opens in one task, which is then gone, and closes in another."""

    async def main() -> None:
        simulator.script(["one two" if whole else STALL])
        taken: list[Stream] = []
        async with engine_for(simulator) as engine:
            context = engine.stream("Hi")

            async def enter() -> None:
                taken.append(await context.__aenter__())
                scope.cancel()  # what became of the task that opened it is no matter
                await anyio.sleep_forever()

            async def go_on() -> None:
                async for _ in taken[0].text_stream:
                    if not whole:
                        break

            async def leave() -> None:
                await context.__aexit__(None, None, None)

            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(enter)
            for step in (go_on, leave):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(step)
            if whole:
                assert taken[0].result.state == "complete"
            else:
                assert_left(taken[0])
            await assert_goes_on(engine, simulator)

    run(main)


@everywhere
def test_an_async_generator_is_closed_in_another_task(simulator: Simulator, run: Callable[[Main], None]) -> None:
    async def texts(engine: Engine, streams: list[Stream]) -> AsyncGenerator[str]:
        async with engine.stream("Hi") as stream:
            streams.append(stream)
            async for text in stream.text_stream:
                yield text

    async def main() -> None:
        simulator.script([STALL])
        streams: list[Stream] = []
        async with engine_for(simulator) as engine:
            generator = texts(engine, streams)

            async def first() -> None:
                assert await anext(generator)

            for step in (first, generator.aclose):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(step)
            assert_left(streams[0])
            await assert_goes_on(engine, simulator)

    run(main)


# -- the web


class Browser:
    """One request to an app, as an ASGI server makes it. The client may go at any time, which the app is told by
    `http.disconnect` and, if the server speaks version 2.4 of the protocol, by an `OSError` when it sends."""

    def __init__(self, app: Starlette, state: Any, version: str) -> None:
        self.app = app
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": version},
            "http_version": "1.1",
            "method": "GET",
            "path": "/answer",
            "query_string": b"prompt=Hi",
            "headers": [],
            "state": state,
        }
        self.body = b""
        self.asked = False
        self.gone = anyio.Event()

    async def get(self, until: Callable[[bytes], bool], *, stuck: bool = False) -> None:
        """Makes the request. The client goes when `until` is true of what has come; `stuck` if a write then hangs."""

        async def receive() -> Any:
            if not self.asked:
                self.asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await anyio.lowlevel.checkpoint()
            if self.gone.is_set():
                if self.scope["asgi"]["spec_version"] >= "2.4":
                    raise OSError("the client has gone")
                return
            self.body += message.get("body", b"")
            if until(self.body):
                self.gone.set()
                if stuck:
                    await anyio.sleep_forever()

        await cast("Callable[..., Awaitable[None]]", self.app)(self.scope, receive, send)


def events_of(body: bytes) -> list[Any]:
    return [decode_event(line.removeprefix(b"data: ")) for line in body.splitlines() if line.startswith(b"data: ")]


def relay(model: AnthropicModel) -> Starlette:
    """The app of examples/relay.py."""
    app: Starlette = runpy.run_path(str(RELAY))["make_app"](model)
    return app


ENDLESS = "on and on " * 20_000


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("version", "step", "stuck"),
    [
        pytest.param("2.3", STALL, False, id="while it waits for the model"),
        pytest.param("2.3", ENDLESS, False, id="while events come"),
        pytest.param("2.3", ENDLESS, True, id="while it writes"),
        pytest.param("2.4", ENDLESS, False, id="told by an error"),
    ],
)
async def test_the_relay_stops_when_its_client_goes(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], version: str, step: ScriptStep, stuck: bool
) -> None:
    simulator.script([step])
    app = relay(model_for(simulator))
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        with anyio.fail_after(20):
            await Browser(app, state, version).get(lambda body: b"event: part_delta" in body, stuck=stuck)
        assert "Hi cancelled by consumer" in capsys.readouterr().out
        await assert_goes_on(state["engine"], simulator)


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["2.3", "2.4"])
async def test_the_relay_tells_all(simulator: Simulator, capsys: pytest.CaptureFixture[str], version: str) -> None:
    simulator.script(["one two three", 400])
    app = relay(model_for(simulator))
    async with app.router.lifespan_context(app) as state:
        for ending in ("complete", "failed"):
            browser = Browser(app, state, version)
            await browser.get(lambda _: False)
            *_, end = events_of(browser.body)
            assert isinstance(end, StreamEndEvent)
            assert end.result.state == ending
            assert f"Hi {ending}" in capsys.readouterr().out


@pytest.mark.anyio
@pytest.mark.parametrize("version", ["2.3", "2.4"])
async def test_a_block_in_the_body_generator_of_a_response(simulator: Simulator, version: str) -> None:
    """The plain way: Starlette iterates it in a task of its own, and cancels that or drops the generator."""
    streams: list[Stream] = []
    bodies: list[AsyncGenerator[str]] = []
    simulator.script([STALL if version == "2.3" else ENDLESS])
    async with engine_for(simulator) as engine:

        async def texts() -> AsyncGenerator[str]:
            async with engine.stream("Hi") as stream:
                streams.append(stream)
                async for text in stream.text_stream:
                    yield text

        async def answer(request: Request) -> StreamingResponse:
            bodies.append(texts())
            return StreamingResponse(cast("AsyncIterator[str]", bodies[0]))

        app = Starlette(routes=[Route("/answer", answer)])
        browser = Browser(app, {}, version)
        with anyio.fail_after(20):
            if version == "2.3":
                await browser.get(bool)
            else:
                with pytest.raises(ClientDisconnect):
                    await browser.get(bool)
                await bodies[0].aclose()  # which the app would leave to the garbage collector
        assert_left(streams[0])
        with pytest.raises(StreamCancelled):
            streams[0].result.raise_for_state()
        await assert_goes_on(engine, simulator)

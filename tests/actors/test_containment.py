"""Nobody's trouble becomes another's: whatever is raised on a stream's way ends that stream alone; a fault of what all
share ends the engine, and says so; and the caller's own cancellation comes before what it does to the streams."""

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import anyio
import anyio.lowlevel
import attrs
import httpx2
import pytest
from tests.support.engines import AT_ONCE
from tests.support.reference.streams import END, begin, last, start, stop, text_delta
from tests.support.served import TWICE

from manystream import AnthropicModel, Engine, StreamHandle, StreamRequest, StreamResult
from manystream.actors.assembler import Assembler
from manystream.engine.supervisor import EngineFault

pytestmark = pytest.mark.anyio

ANSWER = start() + begin(0, "text", text="") + text_delta(0, "whole") + stop(0) + last() + END
HALF = len(ANSWER) // 2

RAISED: list[Callable[[], Exception]] = [
    OSError,
    lambda: ConnectionResetError(104, "reset by peer"),
    TimeoutError,
    asyncio.TimeoutError,
    lambda: ssl.SSLError(1, "bad record mac"),
    anyio.ClosedResourceError,
    anyio.BrokenResourceError,
    anyio.EndOfStream,
    anyio.IncompleteRead,
    EOFError,
    lambda: zlib.error("incorrect header check"),
    lambda: httpx2.ReadError("broken"),
    lambda: httpx2.DecodingError("not gzip"),
    lambda: ValueError("a checksum does not match"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    lambda: KeyError("a name"),
    AttributeError,
    AssertionError,
    RecursionError,
    MemoryError,
    ZeroDivisionError,
    NotImplementedError,
    lambda: ExceptionGroup("some", [OSError(), ValueError()]),
]


@attrs.frozen
class Trouble:
    """What is raised in the middle of the request named `bad`, and where."""

    make: Callable[[], Exception]
    where: Literal["open", "read", "close"]


class Troubled(httpx2.AsyncBaseTransport):
    """Answers all requests well but the one named `bad`."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self.sent: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        bad = b'"bad"' in await request.aread()
        self.sent.append("bad" if bad else "good")
        if bad and self.trouble.where == "open":
            raise self.trouble.make()
        stream = _Body(self.trouble if bad else None)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, trouble: Trouble | None) -> None:
        self.trouble = trouble

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield ANSWER[:HALF]
        await anyio.lowlevel.checkpoint()
        if self.trouble is not None and self.trouble.where == "read":
            raise self.trouble.make()
        yield ANSWER[HALF:]

    async def aclose(self) -> None:
        if self.trouble is not None and self.trouble.where == "close":
            raise self.trouble.make()


def named(name: str) -> StreamRequest:
    return StreamRequest(name, custom_id=name)


async def ended(transport: Troubled) -> StreamResult:
    """How the bad request ended, among good ones that nothing happened to, before and after it."""
    model = AnthropicModel("claude-opus-5-5", api_key="k", http_client=httpx2.AsyncClient(transport=transport))
    async with Engine(model, retry=TWICE, max_concurrency=4) as engine:
        *good, bad = await engine.gather([*(named(f"good {number}") for number in range(5)), named("bad")])
        good.append(await engine.submit(named("later")).wait())
        assert [(result.state, result.text) for result in good] == [("complete", "whole")] * 6
        stats = engine.stats()
        assert (stats.running, stats.waiting) == (0, 0)
    return bad


@pytest.mark.parametrize("where", ["open", "read"])
@pytest.mark.parametrize("make", RAISED, ids=lambda make: type(make()).__name__)
async def test_what_is_raised_on_a_streams_way_ends_that_stream_alone(
    make: Callable[[], Exception], where: Literal["open", "read"]
) -> None:
    result = await ended(Troubled(Trouble(make, where)))
    assert result.state in ("failed", "truncated")
    assert result.error is not None
    assert result.error.type in ("connection_error", "truncated", "protocol_error", "request_error", "internal_error")
    found: BaseException | None = result.error.cause
    while found is not None and not isinstance(found, type(make())):
        found = found.__cause__ or found.__context__
    assert found is not None, "the cause is kept"
    assert found.__traceback__ is None, "and holds no frames"


@pytest.mark.parametrize("make", RAISED, ids=lambda make: type(make()).__name__)
async def test_an_answer_that_was_whole_stays_so_whatever_its_connection_raises(make: Callable[[], Exception]) -> None:
    result = await ended(Troubled(Trouble(make, "close")))
    assert (result.state, result.text, len(result.attempts)) == ("complete", "whole", 1)


@pytest.mark.parametrize("method", ["feed", "message", "close", "parts"])
async def test_a_bug_in_putting_an_answer_together_costs_that_answer(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    works: Any = getattr(Assembler, method)
    broken: list[Assembler] = []

    def fails(self: Assembler, *arguments: Any) -> Any:
        # The first answer that comes so far, and none after it.
        if not broken and self.started:
            broken.append(self)
        if self in broken:
            raise LookupError("a bug")
        return works(self, *arguments)

    monkeypatch.setattr(Assembler, method, fails)
    transport = Troubled(Trouble(OSError, "close"))
    model = AnthropicModel("claude-opus-5-5", api_key="k", http_client=httpx2.AsyncClient(transport=transport))
    async with Engine(model, retry=AT_ONCE, max_concurrency=1) as engine:
        first, *others = await engine.gather([named(f"good {number}") for number in range(3)])
        assert engine.stats().running == 0
    assert (first.state, first.error and first.error.type) == ("failed", "internal_error")
    assert first.error is not None
    assert first.error.message == "LookupError: a bug"
    assert len(first.attempts) == 1
    assert [(result.state, result.text) for result in others] == [("complete", "whole")] * 2


async def test_a_fault_of_what_all_share_ends_the_engine_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise LookupError("a count is lost")

    transport = Troubled(Trouble(OSError, "close"))
    model = AnthropicModel("claude-opus-5-5", api_key="k", http_client=httpx2.AsyncClient(transport=transport))
    handles: list[StreamHandle] = []
    with pytest.raises(BaseExceptionGroup) as caught:
        async with Engine(model, retry=AT_ONCE) as engine:
            monkeypatch.setattr(engine._admission, "accepted", fails)  # pyright: ignore[reportPrivateUsage]
            handles.append(engine.submit("Hi"))
            await anyio.sleep_forever()
    fault = caught.value.subgroup(EngineFault)
    assert fault is not None
    assert "the engine's own state is at fault: LookupError: a count is lost" in str(fault.exceptions[0])
    (error,) = [handle.result.error for handle in handles]
    assert error is not None
    assert error.type == "engine_error"


class Slow(httpx2.AsyncByteStream):
    """Half an answer, and then nothing."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield ANSWER[:HALF]
        await anyio.sleep_forever()


LOOPS: list[tuple[str, dict[str, Any]]] = [("asyncio", {}), ("asyncio", {"use_uvloop": True}), ("trio", {})]


@pytest.mark.parametrize("anyio_backend", LOOPS, ids=["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("way", ["stream", "text", "race", "hedge"])
async def test_the_callers_own_cancellation_comes_first(way: str, anyio_backend: object) -> None:
    async def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow())

    client = httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
    model = AnthropicModel("claude-opus-5-5", api_key="k", http_client=client)
    for steps in range(60):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks, Engine(model) as engine:
                tasks.start_soon(_cancel_after, scope, steps)
                match way:
                    case "race":
                        opened: Any = engine.race(["a", "b"])
                    case "hedge":
                        opened = engine.hedge("a", after=0.001)
                    case _:
                        opened = engine.stream("a")
                async with opened as stream:
                    async for _ in stream.text_stream if way == "text" else stream:
                        pass
        assert scope.cancelled_caught


async def _cancel_after(scope: anyio.CancelScope, steps: int) -> None:
    for _ in range(steps):
        await anyio.lowlevel.checkpoint()
    scope.cancel()

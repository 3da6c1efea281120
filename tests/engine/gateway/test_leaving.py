"""Callers that go: whatever they leave, at whatever moment, the slot and the connection are free; and those that stay
behind hold the stream back, not the memory."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import anyio
import pytest
from tests.support.reference.streams import STREAMS
from tests.support.upstream import ASK, Reply, Upstream, engine_over, events_in, refusal, stream_reply

from manystream import Engine, RetryPolicy, StreamResult

pytestmark = pytest.mark.anyio

TEXT = STREAMS["text"].body
BEGUN = b"".join(events_in(TEXT)[:2])
SHOWN = b"".join(events_in(TEXT)[:4])
SLOWLY = RetryPolicy(base_delay=1000, max_delay=1000)


async def until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(5):
        while not condition():
            await anyio.lowlevel.checkpoint()


async def assert_free(engine: Engine, upstream: Upstream) -> None:
    """Nothing runs, waits or is open any more, at once."""
    with anyio.fail_after(0.5):
        while engine.stats().running or engine.stats().waiting or engine.stats().backoff or upstream.open:
            await anyio.lowlevel.checkpoint()


STALLED = stream_reply(BEGUN, ending="stall")
HEADLESS = Reply(200, {}, (), "headless")
STAGES: dict[str, tuple[Reply, RetryPolicy, Callable[[Engine, Upstream], bool]]] = {
    "in backoff": (refusal(529, "overloaded_error"), SLOWLY, lambda engine, _: engine.stats().backoff == 1),
    "before the head": (HEADLESS, SLOWLY, lambda _, upstream: len(upstream.requests) == 1),
    "before content": (STALLED, SLOWLY, lambda _, upstream: upstream.read > 0),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_request_that_is_cancelled(stage: str, stream: bool) -> None:
    reply, retry, reached = STAGES[stage]
    ended: list[StreamResult] = []
    upstream = Upstream(reply)
    async with engine_over(upstream, retry=retry) as engine:
        client: Any = engine.anthropic_client(on_end=ended.append)
        async with anyio.create_task_group() as tg:
            tg.start_soon(lambda: client.messages.create(**ASK, stream=stream))
            await until(lambda: reached(engine, upstream))
            tg.cancel_scope.cancel()
        assert (engine.stats().running, engine.stats().backoff, upstream.open) == (0, 0, 0)
    assert [(result.state, result.cancelled_by) for result in ended] == [("cancelled", "consumer")]


async def test_a_request_that_is_cancelled_in_the_queue() -> None:
    upstream = Upstream(STALLED)
    async with engine_over(upstream, max_concurrency=1, grace=0.0) as engine, anyio.create_task_group() as tg:
        client: Any = engine.anthropic_client()
        tg.start_soon(lambda: client.messages.create(**ASK))
        await until(lambda: upstream.read > 0)
        async with anyio.create_task_group() as inner:
            inner.start_soon(lambda: client.messages.create(**ASK))
            await until(lambda: engine.stats().waiting == 1)
            inner.cancel_scope.cancel()
        assert engine.stats().waiting == 0
        tg.cancel_scope.cancel()
    assert len(upstream.requests) == 1


async def leave_by_break(client: anthropic.AsyncAnthropic) -> None:
    async with await client.messages.create(**ASK, stream=True) as stream:
        async for _ in stream:
            break


async def leave_the_helper(client: anthropic.AsyncAnthropic) -> None:
    async with client.messages.stream(**ASK) as stream:
        async for _ in stream.text_stream:
            break


async def leave_by_close(client: anthropic.AsyncAnthropic) -> None:
    stream = await client.messages.create(**ASK, stream=True)
    await stream.close()


async def leave_by_timeout(client: anthropic.AsyncAnthropic) -> None:
    with anyio.move_on_after(0.05) as scope:
        async for _ in await client.messages.create(**ASK, stream=True):
            pass
    assert scope.cancelled_caught


async def leave_by_an_exception(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(ZeroDivisionError):
        async with client.messages.stream(**ASK) as stream:
            async for _ in stream:
                raise ZeroDivisionError


@pytest.mark.parametrize(
    "leave", [leave_by_break, leave_the_helper, leave_by_close, leave_by_timeout, leave_by_an_exception]
)
async def test_a_stream_that_is_left(leave: Callable[[anthropic.AsyncAnthropic], Awaitable[None]]) -> None:
    ended: list[StreamResult] = []
    upstream = Upstream(stream_reply(SHOWN, ending="stall"))
    async with engine_over(upstream) as engine:
        await leave(engine.anthropic_client(on_end=ended.append))
        assert (engine.stats().running, upstream.open) == (0, 0)
    assert [(result.state, result.cancelled_by) for result in ended] == [("cancelled", "consumer")]
    assert ended[0].text


async def test_a_response_that_is_dropped_unread() -> None:
    upstream = Upstream(stream_reply(SHOWN, ending="stall"))
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client()
        stream: Any = await client.messages.create(**ASK, stream=True)
        assert engine.stats().running == 1
        del stream
        gc.collect()
        await assert_free(engine, upstream)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_twice_cancelled_natively() -> None:
    upstream = Upstream(STALLED)
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client()
        task = asyncio.ensure_future(client.messages.create(**ASK))
        await until(lambda: upstream.read > 0)
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (engine.stats().running, upstream.open) == (0, 0)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_gathered_in_a_scope_that_is_cancelled() -> None:
    """As by LangChain: the scope then cancels what is gathered at every turn of the loop, until it ends."""
    upstream = Upstream(STALLED)
    async with engine_over(upstream, max_concurrency=1) as engine:
        client: Any = engine.anthropic_client()
        with anyio.fail_after(5), anyio.CancelScope() as scope:

            async def cancel() -> None:
                await until(lambda: upstream.read > 0 and engine.stats().waiting == 1)
                scope.cancel()

            asking = (client.messages.create(**ASK, stream=stream) for stream in (True, False))
            await asyncio.gather(*asking, cancel(), return_exceptions=True)
        assert scope.cancelled_caught
        assert (engine.stats().running, engine.stats().waiting, upstream.open) == (0, 0, 0)


async def test_a_cancelled_engine_cancels_them() -> None:
    upstream = Upstream(stream_reply(SHOWN, ending="stall"))
    with anyio.move_on_after(0.1):
        async with engine_over(upstream) as engine:
            async for _ in await engine.anthropic_client().messages.create(**ASK, stream=True):
                pass
    assert upstream.open == 0


DELTA = events_in(TEXT)[3]


async def test_a_reader_who_has_fallen_behind_holds_the_stream_back() -> None:
    count = 20_000
    body = SHOWN + DELTA * count + b"".join(events_in(TEXT)[4:])
    upstream = Upstream(stream_reply(body, size=16 * 1024))
    async with engine_over(upstream) as engine:
        client: Any = engine.anthropic_client()
        response = await client.messages.create(**ASK, stream=True)
        pieces = response.response.aiter_raw()
        got = await anext(pieces)
        before = -1
        while upstream.read != before:  # until it stands still
            before = upstream.read
            await anyio.sleep(0.02)
        assert upstream.read < len(got) + 256 * 1024 + 3 * 16 * 1024 < len(body)
        assert engine.stats().held_by_consumers == 1
        async for piece in pieces:
            got += piece
    assert got == body


async def test_one_event_larger_than_what_may_wait() -> None:
    large = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta",'
    large += b'"text":"' + b"x" * 600_000 + b'"}}\n\n'
    body = SHOWN + large + b"".join(events_in(TEXT)[4:])
    async with engine_over(Upstream(stream_reply(body, size=64 * 1024))) as engine:
        response = await engine.anthropic_client().messages.create(**ASK, stream=True)
        assert b"".join([piece async for piece in response.response.aiter_raw()]) == body


async def test_pings_without_end_are_handed_on() -> None:
    pings = b'event: ping\ndata: {"type": "ping"}\n\n' * 10_000
    body = BEGUN + pings
    async with engine_over(Upstream(stream_reply(body, size=16 * 1024, ending="reset"))) as engine:
        response = await engine.anthropic_client().messages.create(**ASK, stream=True)
        got = b""
        with pytest.raises(anthropic.APIConnectionError):
            async for piece in response.response.aiter_raw():
                got += piece
    assert body.startswith(got)
    assert len(got) > 256 * 1024

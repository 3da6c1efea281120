"""Back-pressure: a lossless consumer that doesn't read stops the server, and one that conflates never does."""

import json
from typing import Any

import anyio.lowlevel
import httpx2
import pytest
from tests.support.engines import engine_for

from manystream import AnthropicModel, Conflate, Engine, Lossless, StreamHandle, TextPart
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

PIECES = 2_000
SIZE = 4_096


def answer(pieces: int = PIECES, size: int = SIZE) -> bytes:
    """8 MB of text in 2,000 deltas, if not told otherwise."""

    def event(kind: str, **fields: Any) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()

    message: dict[str, Any] = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": [],
        "usage": {},
    }
    piece = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "x" * size})
    return b"".join(
        [
            event("message_start", message=message),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            piece * pieces,
            event("content_block_stop", index=0),
            event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}),
            event("message_stop"),
        ]
    )


def in_memory(simulator: Simulator) -> Engine:
    client = httpx2.AsyncClient(transport=simulator.transport())
    return Engine(AnthropicModel("claude-opus-5-5", api_key="k", base_url="http://simulated", http_client=client))


async def settled(simulator: Simulator) -> int:
    """How many bytes the server has sent when it sends no more."""
    sent, same = -1, 0
    while same < 200:
        await anyio.lowlevel.checkpoint()
        now = simulator.requests[-1].bytes_sent if simulator.requests else 0
        sent, same = now, same + 1 if now == sent and now else 0
    return sent


async def finish(handle: StreamHandle, size: int = PIECES * SIZE) -> None:
    result = await handle.wait()
    assert result.state == "complete"
    assert result.parts == (TextPart("x" * size),)


@pytest.mark.parametrize("buffer", [1, 7, 100])
async def test_a_full_buffer_stops_the_reading(buffer: int) -> None:
    simulator = Simulator()
    simulator.script([answer()])
    async with in_memory(simulator) as engine:
        handle = engine.submit("hi")
        async with handle.subscribe(Lossless(buffer=buffer)) as channel:
            for _ in range(4):
                sent = await settled(simulator)
                assert channel.statistics().current_buffer_used == buffer
                # In memory a read is one event: what is sent is the buffer, what was taken, and one read more.
                assert sent <= (channel_seq(handle) + 2) * (SIZE + 200)
                for _ in range(buffer):
                    await channel.receive()
            seen = [event async for event in channel]
            assert all(event.first_seq == event.seq for event in seen)
        await finish(handle)


def channel_seq(handle: StreamHandle) -> int:
    """The number of the last event that happened."""
    return handle.snapshot().seq


async def test_the_slowest_lossless_consumer_sets_the_pace_for_all() -> None:
    simulator = Simulator()
    simulator.script([answer()])
    async with in_memory(simulator) as engine:
        handle = engine.submit("hi")
        async with handle.subscribe(Lossless(buffer=5)) as slow, handle.subscribe(Conflate()) as quick:
            await settled(simulator)
            while (event := quick.receive_nowait()).seq < 5:
                pass
            with pytest.raises(anyio.WouldBlock):
                quick.receive_nowait()
            assert event.seq == 5
            slow.close()  # whoever leaves holds nobody back
            await finish(handle)


async def test_who_conflates_never_holds_the_stream_back() -> None:
    simulator = Simulator()
    simulator.script([answer()])
    async with in_memory(simulator) as engine:
        handle = engine.submit("hi")
        async with handle.subscribe() as channel:
            await finish(handle)
            events = [event async for event in channel]
    # The start, the usage, the part's start, all of its text at once, its end, the usage, the end.
    assert len(events) <= 7


async def test_down_to_the_socket() -> None:
    """Over a real connection the server gets rid of what the buffers between hold, and of no more."""
    body = answer(700, 65_536)  # more than the kernel's buffers take on, which may grow to 32 MB
    with Simulator().in_thread() as simulator:
        simulator.script([body])
        async with engine_for(simulator) as engine:
            handle = engine.submit("hi")
            async with handle.subscribe(Lossless(buffer=3)) as channel:
                for _ in range(3):
                    await channel.receive()
                sent = -1
                while sent != (sent := simulator.requests[0].bytes_sent) or sent == 0:  # noqa: ASYNC110
                    # Not to pass, but to look again: the server's thread and the kernel have their own time.
                    await anyio.sleep(0.1)
                assert sent < len(body)
                assert simulator.requests[0].outcome == "running"
                assert channel.statistics().current_buffer_used == 3
            await finish(handle, 700 * 65_536)

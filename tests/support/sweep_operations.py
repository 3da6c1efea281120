"""The operations that the sweep cancels: everything an app does with an engine, and every stage a stream waits in."""

import math

import anyio
from tests.support.engines import assert_one_ending
from tests.support.peer import begun, cut, refuse, silent, slow, unread
from tests.support.sweep import Operation, Run

from manystream import Conflate, Lossless, StreamRequest
from manystream.actors import Mailbox, PartEvent

__all__ = ["OPERATIONS"]

LEFT = "its last consumer left"


async def stream(run: Run) -> None:
    """One stream, read directly to its end."""
    async with run.engine.stream(run.request()) as stream:
        assert_one_ending([event async for event in stream])


async def leave(run: Run) -> None:
    """One stream that is left after its first event."""
    async with run.engine.stream(run.request()) as stream:
        async for _ in stream:
            break


async def wait(run: Run) -> None:
    await run.engine.submit(run.request()).wait()


async def subscribe(run: Run) -> None:
    """Two consumers, of which one sets the pace."""

    async def read(mailbox: Mailbox) -> None:
        async with mailbox:
            assert_one_ending([event async for event in mailbox])

    handle = run.engine.submit(run.request())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, handle.subscribe(Conflate()))
        tasks.start_soon(read, handle.subscribe(Lossless(buffer=1)))


async def queued(run: Run) -> None:
    """Three streams for one slot."""
    for handle in [run.engine.submit(run.request(number)) for number in (1, 2, 3)]:
        await handle.wait()


async def merge(run: Run) -> None:
    async with run.engine.merge(map(run.request, (1, 2, 3))) as channel:
        async for _ in channel:
            pass


async def gather(run: Run) -> None:
    await run.engine.gather(map(run.request, (1, 2, 3)))


async def as_completed(run: Run) -> None:
    async with run.engine.as_completed(map(run.request, (1, 2, 3))) as done:
        async for _ in done:
            pass


async def race(run: Run) -> None:
    async with run.engine.race(map(run.request, (1, 2))) as stream:
        async for _ in stream:
            pass


async def hedge(run: Run) -> None:
    """The first try gets its answer late."""
    async with run.engine.hedge(run.request(), after=0.002) as stream:
        async for _ in stream:
            pass


async def pipe(run: Run) -> None:
    send, receive = anyio.create_memory_object_stream[PartEvent](math.inf)
    with send, receive:
        await run.engine.pipe(run.request(), send)


async def nothing(run: Run) -> None:
    """The engine is entered and left."""


async def drain(run: Run) -> None:
    """The engine is left while a stream runs."""
    run.engine.submit(run.request())


async def upload(run: Run) -> None:
    """A request that is larger than all buffers on its way."""
    large = StreamRequest("x" * 2_000_000, custom_id="1", group="swept")
    async with run.engine.stream(large) as stream:
        async for _ in stream:
            pass


_READ = frozenset({LEFT})

OPERATIONS = [
    Operation("stream", stream, reasons=_READ),
    Operation("leave", leave, answers=(begun,), reasons=_READ, never_whole=True),
    Operation("wait", wait, survives=True),
    Operation("subscribe", subscribe, survives=True),
    Operation("queued", queued, survives=True, arguments={"max_concurrency": 1}),
    Operation("merge", merge, reasons=frozenset({"the block was left"})),
    Operation("gather", gather, reasons=frozenset({"gather was left"})),
    Operation("as_completed", as_completed, reasons=frozenset({"the block was left"})),
    Operation("race", race, reasons=frozenset({LEFT, "the race was left", "another was faster"})),
    Operation("hedge", hedge, answers=(slow,), reasons=frozenset({LEFT, "the race was left", "another was faster"})),
    Operation("pipe", pipe, reasons=frozenset({"pipe was left"})),
    Operation("enter and leave", nothing),
    Operation("drain", drain, survives=True),
    Operation("backoff", stream, answers=(refuse(529),), reasons=_READ, errors=frozenset({"overloaded_error"})),
    Operation(
        "restart",
        stream,
        answers=(cut,),
        reasons=_READ,
        errors=frozenset({"truncated"}),
        arguments={"recovery": "restart"},
    ),
    Operation("no head", stream, answers=(silent,), reasons=_READ, stalls=True),
    Operation("no end", stream, answers=(begun,), reasons=_READ, stalls=True),
    Operation("no end, waited for", wait, answers=(begun,), survives=True, stalls=True),
    Operation("upload", upload, answers=(unread,), reasons=_READ, stalls=True),
    Operation("dial", stream, server="full", reasons=_READ, stalls=True),
    Operation("dial, waited for", wait, server="full", survives=True, stalls=True),
    Operation("handshake", stream, server="mute", reasons=_READ, stalls=True),
]

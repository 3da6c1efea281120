"""`python -m benchmarks micro`: what framing, decoding, assembling and a mailbox cost by themselves, an event; and what
making a request costs.

Measured by pyperf, which takes care of processes, warming up and outliers. All work on the same answer, in the pieces
that the network might bring.
"""

# pyright: basic, reportMissingImports=false

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import anyio
import anyio.lowlevel
import typer
from rich.console import Console
from rich.text import Text

from manystream.actors.assembler import Assembler
from manystream.actors.channel.audience import Audience
from manystream.actors.channel.log import Cursor, EventLog
from manystream.actors.channel.mailbox import Conflate, Mailbox, Subscriber
from manystream.actors.stream.request import StreamRequest
from manystream.actors.wire.events import WireEvent, decode
from manystream.actors.wire.framing import Frame, SSEFramer
from manystream.engine.api.http.http2.fields import request_fields
from manystream.engine.api.http.http2.frames import DATA, END_HEADERS, HEADERS, frame
from manystream.engine.api.http.http2.incoming import Incoming
from manystream.engine.api.http.http2.session import Session

__all__ = ["command"]

_DELTAS = 500
_PIECE = 560  # bytes: about four events
_TOP = Path(__file__).parents[2]


def command(
    quick: Annotated[bool, typer.Option("--quick", help="Fewer processes and values.")] = False,
    out: Annotated[Path, typer.Option(help="The folder for the figures.")] = Path("benchmarks/out"),
) -> None:
    """What framing, decoding, assembling and a mailbox cost an event, measured by pyperf."""
    if find_spec("pyperf") is None:
        Console(stderr=True).print(Text("this needs pyperf: pip install 'manystream[bench]'"))
        raise typer.Exit(2)
    out.mkdir(parents=True, exist_ok=True)
    figures = (out / "micro.json").resolve()
    figures.unlink(missing_ok=True)  # pyperf writes over nothing
    arguments = ["-o", str(figures), *(["--fast"] if quick else [])]
    done = subprocess.run([sys.executable, "-m", "benchmarks.speed.micro", *arguments], cwd=_TOP, check=False)
    raise typer.Exit(done.returncode)


def _answer() -> bytes:
    delta = '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" and so on"}}'
    start = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
    message = (
        '{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],'
        '"model":"claude-opus-5-5","stop_reason":null,"stop_sequence":null,'
        '"usage":{"input_tokens":25,"output_tokens":1}}}'
    )
    events = [("message_start", message), ("content_block_start", start)]
    events += [("content_block_delta", delta)] * _DELTAS
    return "".join(f"event: {name}\ndata: {data}\n\n" for name, data in events).encode()


def _frame(pieces: list[bytes]) -> list[Frame]:
    framer = SSEFramer()
    return [frame for piece in pieces for frame in framer.feed(piece)]


def _decode(frames: list[Frame]) -> list[WireEvent]:
    return [decode(frame) for frame in frames]


def _assemble(events: list[WireEvent]) -> EventLog:
    log = EventLog("stream")
    feed = Assembler(log).feed
    for event in events:
        feed(event)
    return log


def _mailbox(log: EventLog) -> Mailbox:
    return Mailbox(Subscriber(_audience(), Cursor.after(log, 0), Conflate(), "detach"))


def _audience() -> Audience:
    """A stream's consumers, of whose leaving nobody is told."""
    return Audience(lambda _: None)


def _lagging(log: EventLog) -> None:
    """A consumer that finds all events waiting, text merged."""
    mailbox = _mailbox(log)
    try:
        while True:
            mailbox.receive_nowait()
    except anyio.WouldBlock:
        pass


def _keeping_up(_: None) -> None:
    """A consumer that takes each delta as soon as it comes."""
    log = EventLog("stream")
    mailbox = _mailbox(log)
    for _number in range(_DELTAS):
        log.add_text(0, str, "text")  # pyright: ignore[reportArgumentType]
        mailbox.receive_nowait()


class _Shared:
    """An HTTP/2 connection with live streams, and a read that brings a frame to each."""

    def __init__(self, streams: int) -> None:
        self.session = Session(0.0)
        self.session.data_to_send()
        self.session.receive(frame(4, 0, 0, b""), 0.0)
        fields = request_fields("POST", b"https", b"/v1/messages", [(b"host", b"localhost")])
        opened = [Incoming("POST") for _ in range(streams)]
        for stream in opened:
            self.session.open(stream, fields, end=True)
        heads = b"".join(frame(HEADERS, END_HEADERS, stream.id, b"\x88") for stream in opened)
        self.session.receive(heads, 0.0)
        self.read = b"".join(frame(DATA, 0, stream.id, b"x" * 140) for stream in opened)

    def take(self) -> None:
        for stream in self.session.receive(self.read, 0.0):
            stream.take()
            self.session.credit(stream)
        self.session.data_to_send()


async def _wake_many() -> None:
    """A consumer's task that is woken for each delta."""
    log, audience = EventLog("stream"), _audience()
    mailbox = Mailbox(Subscriber(audience, Cursor.after(log, 0), Conflate(), "detach"))

    async def consume() -> None:
        for _ in range(_DELTAS):
            await mailbox.receive()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(consume)
        for _ in range(_DELTAS):
            while not audience.parked:
                await anyio.lowlevel.checkpoint()
            log.add_text(0, str, "text")  # pyright: ignore[reportArgumentType]
            audience.notify()


def main() -> None:
    """Runs all of them under pyperf, which calls this again in each of its processes."""
    import pyperf

    runner = pyperf.Runner(program_args=("-m", "benchmarks.speed.micro"))
    answer = _answer()
    pieces = [answer[start : start + _PIECE] for start in range(0, len(answer), _PIECE)]
    frames = _frame(pieces)
    events = _decode(frames)
    log = _assemble(events)
    small = {"max_tokens": 100, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]}
    runner.bench_func("making a small request", StreamRequest, small)
    runner.bench_func("framing, an event", _frame, pieces, inner_loops=len(frames))
    runner.bench_func("decoding, an event", _decode, frames, inner_loops=len(frames))
    runner.bench_func("assembling, an event", _assemble, events, inner_loops=len(frames))
    for streams in (1, 20):
        shared = _Shared(streams)
        runner.bench_func(f"HTTP/2, a frame, {streams} in a read", shared.take, inner_loops=streams)
    runner.bench_func("mailbox, lagging consumer, an event", _lagging, log, inner_loops=len(frames))
    runner.bench_func("mailbox, awake consumer, an event", _keeping_up, None, inner_loops=_DELTAS)
    for backend in ("asyncio", "trio"):
        if find_spec(backend) is not None:
            runner.bench_func(f"mailbox, woken for each event, {backend}", _run_waking, backend, inner_loops=_DELTAS)


def _run_waking(backend: str) -> None:
    anyio.run(_wake_many, backend=backend)


if __name__ == "__main__":
    main()

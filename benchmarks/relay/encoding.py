"""Who writes the events, and how: each way gets the pieces of a text and returns the bytes of all its frames.

Ours are fed part events, as a tab is; the others get the pieces as bare strings, in the words of their own library. The
server's part, sending, is not in it.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from typing import Any, NamedTuple

from manystream import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta, encode_event
from manystream.engine.relay.encoders import Protocol, encoder

__all__ = ["BASE", "PEERS", "WAYS", "Way", "pieces_of"]

Write = Callable[[], bytes]
BASE = "json.dumps, the text alone"
_WORDS = ("the", "sea", "is", "calm", "and", "carries", "ships", "from", "one", "harbour", "to", "the", "next")


class Way(NamedTuple):
    name: str
    ready: Callable[[list[str]], Write]
    """Makes ready for these pieces, and returns what is timed."""
    package: str = "manystream"
    is_ours: bool = False


def pieces_of(count: int) -> list[str]:
    """So many words, as a model streams them."""
    return [f"{_WORDS[number % len(_WORDS)]} " for number in range(count)]


def _dumps(pieces: list[str]) -> Write:
    def write() -> bytes:
        return b"".join(
            f"data: {json.dumps({'type': 'text-delta', 'id': 'p0', 'delta': piece})}\n\n".encode() for piece in pieces
        )

    return write


def _events(pieces: list[str]) -> tuple[PartStartEvent, list[PartDeltaEvent]]:
    begun = PartStartEvent(0, TextPart("", complete=False), first_seq=1, seq=1)
    deltas = [PartDeltaEvent(0, TextPartDelta(piece), first_seq=seq, seq=seq) for seq, piece in enumerate(pieces, 2)]
    return begun, deltas


def _ours(protocol: Protocol) -> Callable[[list[str]], Write]:
    def ready(pieces: list[str]) -> Write:
        begun, deltas = _events(pieces)

        def write() -> bytes:
            feed = encoder(protocol).feed
            feed(begun)
            return b"".join(map(feed, deltas))

        return write

    return ready


def _encode_event(pieces: list[str]) -> Write:
    _, deltas = _events(pieces)

    def write() -> bytes:
        return b"".join(
            f"id: {event.seq}\nevent: {event.event_kind}\ndata: {encode_event(event)}\n\n".encode() for event in deltas
        )

    return write


def _sse_starlette(pieces: list[str]) -> Write:
    event: Any = import_module("sse_starlette").ServerSentEvent

    def write() -> bytes:
        return b"".join(
            event(data=json.dumps({"type": "text-delta", "id": "p0", "delta": piece})).encode() for piece in pieces
        )

    return write


def _fastapi(pieces: list[str]) -> Write:
    form: Any = import_module("fastapi.sse").format_sse_event

    def write() -> bytes:
        return b"".join(
            form(data_str=json.dumps({"type": "text-delta", "id": "p0", "delta": piece})) for piece in pieces
        )

    return write


def _ag_ui(pieces: list[str]) -> Write:
    content: Any = import_module("ag_ui.core").TextMessageContentEvent
    writer: Any = import_module("ag_ui.encoder").EventEncoder()

    def write() -> bytes:
        return b"".join(writer.encode(content(message_id="m.0", delta=piece)).encode() for piece in pieces)

    return write


def _pydantic_ai(pieces: list[str]) -> Write:
    messages: Any = import_module("pydantic_ai.messages")
    vercel: Any = import_module("pydantic_ai.ui.vercel_ai")
    asked: Any = import_module("pydantic_ai.ui.vercel_ai.request_types")
    begun = messages.PartStartEvent(index=0, part=messages.TextPart(""))
    deltas = [messages.PartDeltaEvent(index=0, delta=messages.TextPartDelta(content_delta=one)) for one in pieces]

    async def source() -> AsyncIterator[Any]:
        yield begun
        for delta in deltas:
            yield delta

    async def all_of_it() -> bytes:
        stream = vercel.VercelAIEventStream(run_input=asked.SubmitMessage(id="x", messages=[]))
        return b"".join([chunk.encode() async for chunk in stream.encode_stream(stream.transform_stream(source()))])

    return lambda: asyncio.run(all_of_it())


WAYS = [
    Way(BASE, _dumps),
    Way("manystream, native", _ours("native"), is_ours=True),
    Way("manystream, Vercel", _ours("vercel"), is_ours=True),
    Way("manystream, AG-UI", _ours("agui"), is_ours=True),
    Way("manystream's encode_event", _encode_event),
    Way("FastAPI's SSE, json.dumps", _fastapi, "fastapi"),
    Way("sse-starlette, json.dumps", _sse_starlette, "sse_starlette"),
    Way("ag-ui-protocol's models", _ag_ui, "ag_ui"),
    Way("Pydantic AI's Vercel stream", _pydantic_ai, "pydantic_ai"),
]

PEERS = ("ag-ui-protocol's models", "Pydantic AI's Vercel stream")
"""Those that ours are to cost a tenth of at most."""

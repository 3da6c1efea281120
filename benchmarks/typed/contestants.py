"""Who reads the answer, and how: each way takes the pieces and returns what it has at the end.

Ours are fed part events, as a consumer is; the others get the pieces as bare strings, or the SDK its own events.
"""

from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from manystream import PartDeltaEvent, PartEvent, PartStartEvent, TextPart, TextPartDelta
from manystream.actors.output_reader import OutputReader
from manystream.actors.wire import PartialJSON
from manystream.engine.output import typed_output

from .documents import Invoice, ModelInvoice

__all__ = ["BASE", "CONTESTANTS", "Contestant"]

Read = Callable[[list[str]], Callable[[], Any]]
"""Makes ready for these pieces, and returns what is timed."""

_ANY_SIZE = 10_000_000
_QUADRATIC = 200_000  # characters: beyond this, it takes minutes
BASE = "the partial parser alone"


class Contestant(NamedTuple):
    name: str
    read: Read
    package: str = "manystream"
    longest: int = _ANY_SIZE


def _parser(pieces: list[str]) -> Callable[[], Any]:
    def read() -> Any:
        parser = PartialJSON()
        for piece in pieces:
            parser.feed(piece)
        return parser.value

    return read


def _events(pieces: list[str]) -> list[PartEvent]:
    deltas = [PartDeltaEvent(0, TextPartDelta(piece)) for piece in pieces]
    return [PartStartEvent(0, TextPart("", complete=False)), *deltas]


def _items(kind: Any, *, states: bool) -> Read:
    def ready(pieces: list[str]) -> Callable[[], Any]:
        output, events, text = typed_output(kind), _events(pieces), "".join(pieces)
        make = output.item(("lines",))

        def read() -> Any:
            reader = OutputReader()
            reader.shows = output.shows if states else None
            items = reader.items(("lines",))
            made: list[Any] = []
            for event in events:
                reader.feed(event)
                made += map(make, items.take())
                if states:
                    reader.state(("lines",))
                    reader.state(("total",))
                    reader.state(("lines", -1, "sku"))
            return output.read(text) if states else made

        return read

    return ready


def _whole(kind: Any) -> Read:
    """What a stream does whose output nobody looks at before its end."""

    def ready(pieces: list[str]) -> Callable[[], Any]:
        output = typed_output(kind)
        return lambda: output.read("".join(pieces))

    return ready


def _sdk(*, snapshots: bool) -> Read:
    def ready(pieces: list[str]) -> Callable[[], Any]:
        from anthropic.lib.streaming._messages import accumulate_event, build_events
        from anthropic.types import (
            Message,
            RawContentBlockDeltaEvent,
            RawContentBlockStartEvent,
            RawContentBlockStopEvent,
            RawMessageStartEvent,
            TextBlock,
            TextDelta,
            Usage,
        )

        def events() -> list[Any]:  # anew each time: the SDK changes them
            usage = Usage.construct(input_tokens=1, output_tokens=1)
            message = Message.construct(id="m", content=[], model="x", role="assistant", type="message", usage=usage)
            text = TextBlock.construct(type="text", text="", citations=None)
            return [
                RawMessageStartEvent.construct(type="message_start", message=message),
                RawContentBlockStartEvent.construct(type="content_block_start", index=0, content_block=text),
                *(
                    RawContentBlockDeltaEvent.construct(
                        type="content_block_delta", index=0, delta=TextDelta.construct(type="text_delta", text=piece)
                    )
                    for piece in pieces
                ),
                RawContentBlockStopEvent.construct(type="content_block_stop", index=0),
            ]

        def read() -> Any:
            snapshot: Any = None
            kept: dict[int, bytes] = {}
            for event in events():
                snapshot = accumulate_event(
                    event=event,
                    current_snapshot=snapshot,
                    json_bufs=kept,
                    output_format=ModelInvoice,  # pyright: ignore[reportArgumentType]
                )
                for told in build_events(event=event, message_snapshot=snapshot):
                    if snapshots and told.type == "text":
                        told.parsed_snapshot()
            return snapshot

        return read

    return ready


def _jiter(pieces: list[str]) -> Callable[[], Any]:
    from pydantic_core import from_json

    def read() -> Any:
        text, value = "", None
        for piece in pieces:
            text += piece
            value = from_json(text, allow_partial="trailing-strings")
        return value

    return read


def _jiter_at_the_end(pieces: list[str]) -> Callable[[], Any]:
    from pydantic_core import from_json

    return lambda: from_json("".join(pieces))


def _instructor(pieces: list[str]) -> Callable[[], Any]:
    from importlib import import_module

    partial: Any = import_module("instructor.dsl.partial").Partial[ModelInvoice]

    def read() -> Any:
        *_, last = partial.model_from_chunks(iter(pieces))
        return last

    return read


def _pydantic_ai(pieces: list[str]) -> Callable[[], Any]:
    import asyncio

    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.function import FunctionModel
    from pydantic_ai.profiles import ModelProfile

    async def answer(*_: Any) -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    profile = ModelProfile(supports_json_schema_output=True)
    agent = Agent(FunctionModel(stream_function=answer, profile=profile), output_type=NativeOutput(ModelInvoice))

    async def all_of_it() -> Any:
        async with agent.run_stream("Read it") as result:
            *_, last = [output async for output in result.stream_output(debounce_by=None)]
        return last

    return lambda: asyncio.run(all_of_it())


CONTESTANTS = [
    Contestant(BASE, _parser),
    Contestant("items, dataclasses", _items(Invoice, states=False)),
    Contestant("items, pydantic", _items(ModelInvoice, states=False)),
    Contestant("items, 3 states a delta, the whole; dataclasses", _items(Invoice, states=True)),
    Contestant("items, 3 states a delta, the whole; pydantic", _items(ModelInvoice, states=True)),
    Contestant("the whole, once at the end; dataclasses", _whole(Invoice)),
    Contestant("the whole, once at the end; pydantic", _whole(ModelInvoice)),
    Contestant("jiter, once at the end", _jiter_at_the_end, "pydantic_core"),
    Contestant("jiter, at each delta", _jiter, "pydantic_core", _QUADRATIC),
    Contestant("the SDK's events", _sdk(snapshots=False), "anthropic", _QUADRATIC),
    Contestant("the SDK, parsed_snapshot() at each delta", _sdk(snapshots=True), "anthropic", _QUADRATIC),
    Contestant("Pydantic AI, stream_output()", _pydantic_ai, "pydantic_ai", _QUADRATIC),
    Contestant("Instructor, Partial", _instructor, "instructor", _QUADRATIC),
]

"""The assembler: wire events in, part events and the finished message out. Without an event loop."""

import time
from collections.abc import Iterable
from typing import Any

import attrs
import pytest
from tests.support.assembling import TEXT, delta, read
from tests.support.reference.sdk import sdk_final_message
from tests.support.reference.streams import STREAMS, ReferenceStream, last, recordings, start

from manystream.actors import (
    CitationPartDelta,
    Part,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ToolCallPart,
    UnknownEvent,
    UnknownPart,
    UnknownPartDelta,
    UsageEvent,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import EventLog
from manystream.actors.wire.events import WireError, decode
from manystream.actors.wire.framing import SSEFramer

ALL = [*STREAMS.values(), *recordings()]


COMPARABLE = [stream for stream in ALL if stream.comparable]


def assemble(body: bytes, *, beta: bool = False) -> tuple[Assembler, EventLog]:
    log = EventLog("s")
    assembler = Assembler(log, beta=beta)
    framer = SSEFramer()
    for frame in (*framer.feed(body), *framer.close()):
        assembler.feed(decode(frame))
        if assembler.stopped:
            break
    assembler.close()
    return assembler, log


def fold(events: Iterable[PartEvent]) -> dict[int, Part]:
    """The parts a consumer holds after these events, by index."""
    parts: dict[int, Part] = {}
    for event in events:
        match event:
            case PartStartEvent(index, part):
                parts[index] = part
            case PartDeltaEvent(index, delta):
                parts[index] = delta.apply(parts[index])
            case PartEndEvent(index, part):
                # What the deltas made is what the end says.
                assert attrs.evolve(parts[index], complete=part.complete) == part
                parts[index] = part
            case _:
                pass
    return parts


@pytest.mark.anyio
@pytest.mark.parametrize("stream", COMPARABLE, ids=lambda stream: stream.name)
async def test_finished_message_equals_the_sdks(stream: ReferenceStream) -> None:
    assembler, _ = assemble(stream.body, beta=stream.beta)
    assert assembler.message() == await sdk_final_message(stream.body, beta=stream.beta)


def without_errors(streams: Iterable[ReferenceStream]) -> Iterable[ReferenceStream]:
    for stream in streams:
        try:
            assemble(stream.body, beta=stream.beta)
        except WireError:
            continue
        yield stream


@pytest.mark.parametrize("stream", list(without_errors(ALL)), ids=lambda stream: stream.name)
def test_events_add_up_to_the_parts(stream: ReferenceStream) -> None:
    assembler, log = assemble(stream.body, beta=stream.beta)
    one_by_one, merged = read(log), read(log, merge=True)

    for events in (one_by_one, merged):
        before = 0
        for event in events:
            assert event.first_seq == before + 1
            assert event.seq >= event.first_seq
            before = event.seq
        assert before == log.seq
    assert all(event.first_seq == event.seq for event in one_by_one)
    # Blocks that share an index replace each other in a consumer's hands: the last one counts.
    last = dict(assembler.parts())
    assert fold(one_by_one) == fold(merged) == last


def events_of(*data: str) -> list[PartEvent]:
    body = "".join(f"data: {line}\n\n" for line in data).encode()
    return read(assemble(body)[1])


START = '{"type":"message_start","message":{"id":"msg_1","model":"claude-x","content":[],"usage":{"input_tokens":3}}}'


def test_a_part_of_text_event_by_event() -> None:
    stop = '{"type":"content_block_stop","index":0}'
    events = events_of(START, TEXT, delta("text_delta", text="Hel"), delta("text_delta", text="lo"), stop)
    ids: dict[str, Any] = {"stream_id": "s"}
    assert events == [
        StreamStartEvent("msg_1", "claude-x", None, first_seq=1, seq=1, **ids),
        attrs.evolve(events[1], first_seq=2, seq=2),
        PartStartEvent(0, TextPart("", complete=False), first_seq=3, seq=3, **ids),
        PartDeltaEvent(0, TextPartDelta("Hel"), first_seq=4, seq=4, **ids),
        PartDeltaEvent(0, TextPartDelta("lo"), first_seq=5, seq=5, **ids),
        PartEndEvent(0, TextPart("Hello"), first_seq=6, seq=6, **ids),
    ]
    assert isinstance(events[1], UsageEvent)
    assert events[1].usage.input_tokens == 3


def test_a_stream_that_dies_ends_its_open_parts() -> None:
    *_, end = events_of(START, TEXT, delta("text_delta", text="Hel"))
    assert isinstance(end, PartEndEvent)
    assert not end.complete
    assert end.part == TextPart("Hel", complete=False)


def test_what_is_unknown_survives_as_it_was() -> None:
    event = '{"type":"novelty","x":[1]}'
    block = '{"type":"content_block_start","index":0,"content_block":{"type":"poem","metre":"iamb"}}'
    events = events_of(START, event, block, delta("verse_delta", verse="O"), delta("text_delta", text="t"))[2:]
    assert events[0].event_kind == "unknown"
    assert isinstance(events[0], UnknownEvent)
    assert events[0].raw == {"type": "novelty", "x": [1]}
    assert isinstance(events[1], PartStartEvent)
    assert isinstance(events[1].part, UnknownPart)
    assert events[1].part.raw == {"type": "poem", "metre": "iamb"}
    raws: list[dict[str, Any]] = [{"type": "verse_delta", "verse": "O"}, {"type": "text_delta", "text": "t"}]
    assert [event.delta for event in events[2:4] if isinstance(event, PartDeltaEvent)] == [
        UnknownPartDelta(raw) for raw in raws
    ]
    assert isinstance(events[4], PartEndEvent)
    assert events[4].part.unknown_deltas == tuple(raws)


def test_unknown_fields_of_known_kinds_are_kept() -> None:
    block = '{"type":"content_block_start","index":0,"x":1,"content_block":{"type":"text","text":"","shade":"blue"}}'
    _, _, start, grown, end = events_of(START, block, delta("text_delta", text="a", tone=3))
    assert isinstance(start, PartStartEvent)
    assert (start.extra, start.part.extra) == ({"x": 1}, {"shade": "blue"})
    assert isinstance(grown, PartDeltaEvent)
    assert grown.delta == TextPartDelta("a", {"tone": 3})
    assert isinstance(end, PartEndEvent)
    assert end.part == TextPart("a", complete=False, extra={"shade": "blue", "tone": 3})


def test_deltas_go_by_index_not_by_the_current_block() -> None:
    second = TEXT.replace('"index":0', '"index":1')
    events = events_of(
        START,
        TEXT,
        second,
        delta("text_delta", text="a"),
        delta("text_delta", text="b").replace('"index": 0', '"index": 1'),
        delta("text_delta", text="A"),
    )
    assert {index: part.content for index, part in fold(events).items() if isinstance(part, TextPart)} == {
        0: "aA",
        1: "b",
    }


def test_a_signature_is_set_and_citations_attach() -> None:
    thinking = '{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}'
    signed = fold(
        events_of(
            START,
            thinking,
            delta("thinking_delta", thinking="hm", estimated_tokens=5),
            delta("thinking_delta", thinking="m", estimated_tokens=2),
            delta("signature_delta", signature="one"),
            delta("signature_delta", signature="two"),
        )
    )
    assert signed[0] == ThinkingPart("hmm", "two", 7, complete=False)
    cited = events_of(START, TEXT, delta("citations_delta", citation={"type": "c", "n": 1}))
    assert isinstance(cited[3], PartDeltaEvent)
    assert cited[3].delta == CitationPartDelta({"type": "c", "n": 1})
    assert fold(cited)[0] == TextPart("", ({"type": "c", "n": 1},), complete=False)


def test_cut_tool_arguments_are_never_repaired() -> None:
    tool = '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}'
    body = "".join(f"data: {line}\n\n" for line in (START, tool, delta("input_json_delta", partial_json='{"a": "b')))
    assembler, log = assemble(body.encode())
    part = fold(read(log))[0]
    assert isinstance(part, ToolCallPart)
    assert part == ToolCallPart("f", '{"a": "b', "t", complete=False)
    assert not part.is_whole
    with pytest.raises(ValueError, match="before they were complete"):
        part.args_as_dict()
    message = assembler.message()
    assert message is not None
    assert message["content"][0]["input"] == '{"a": "b'


def test_a_large_tool_call_takes_linear_time() -> None:
    """1 MB of JSON in 20,000 deltas, with the best parse so far at each step. Quadratic work would take minutes."""
    log = EventLog("s")
    assembler = Assembler(log)
    framer = SSEFramer()

    def feed(line: str) -> None:
        for frame in framer.feed(f"data: {line}\n\n".encode()):
            assembler.feed(decode(frame))

    feed(START)
    feed('{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}')
    began = time.process_time()
    feed(delta("input_json_delta", partial_json='{"text": "'))
    for _ in range(20_000):
        feed(delta("input_json_delta", partial_json="0123456789" * 5))
        assert assembler.partial_args(0).value is not None
    assert len(assembler.partial_args(0).value["text"]) == 1_000_000
    assert time.process_time() - began < 10


def test_partial_args_of_what_is_no_tool_call() -> None:
    assembler, _ = assemble(f"data: {START}\n\ndata: {TEXT}\n\n".encode())
    for index in (0, 1):
        with pytest.raises(KeyError, match="no tool call"):
            assembler.partial_args(index)


def test_a_usage_that_says_nothing_new_is_not_told() -> None:
    log = EventLog("s")
    assembler = Assembler(log)
    told: list[int] = []
    for body in (start(), last(None, {"output_tokens": 1}), last(None, {"output_tokens": 5}), last(None, {})):
        for frame in SSEFramer().feed(body):
            assembler.feed(decode(frame))
        told.append(sum(isinstance(entry, UsageEvent) for entry in log.entries))
    assert told == [1, 1, 2, 2]

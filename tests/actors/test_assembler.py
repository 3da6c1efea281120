"""The assembler: wire events in, part events and the finished message out. Without an event loop."""

import json
import time
from collections.abc import Iterable
from typing import Any

import attrs
import pytest
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
    Usage,
    UsageEvent,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import Cursor, EventLog
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


def read(log: EventLog, *, merge: bool = False) -> list[PartEvent]:
    cursor = Cursor.after(log, log.base)
    events: list[PartEvent] = []
    while (event := cursor.take(merge=merge)) is not None:
        events.append(event)
    return events


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
TEXT = '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'


def delta(kind: str, **fields: Any) -> str:
    return json.dumps({"type": "content_block_delta", "index": 0, "delta": {"type": kind, **fields}})


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


# -- the rules, one by one


def fed(*lines: str, beta: bool = False, more_of: Assembler | None = None) -> tuple[Assembler, EventLog]:
    """An assembler that took these events in, and its log. The stream is still open."""
    if more_of is None:
        log = EventLog("s")
        assembler = Assembler(log, beta=beta)
    else:
        assembler, log = more_of, EventLog("s")
        more_of._log = log  # pyright: ignore[reportPrivateUsage]
    framer = SSEFramer()
    for line in lines:
        for frame in framer.feed(f"data: {line}\n\n".encode()):
            assembler.feed(decode(frame))
    return assembler, log


def began(message: dict[str, Any] | None = None, **fields: Any) -> str:
    """A `message_start`, with these fields of its message beside the usual ones."""
    usual: dict[str, Any] = {"id": "msg_1", "model": "claude-x", "content": [], "usage": {"input_tokens": 3}}
    return json.dumps({"type": "message_start", "message": {**usual, **(message or {})}, **fields})


def block(kind: str, index: int = 0, **fields: Any) -> str:
    return json.dumps({"type": "content_block_start", "index": index, "content_block": {"type": kind, **fields}})


def stop(index: int = 0, **fields: Any) -> str:
    return json.dumps({"type": "content_block_stop", "index": index, **fields})


def ending(reason: str | None = "end_turn", usage: dict[str, Any] | None = None, **fields: Any) -> str:
    """A `message_delta`; `delta` among the fields adds to its delta."""
    delta = {"stop_reason": reason, "stop_sequence": None, **fields.pop("delta", {})}
    return json.dumps({"type": "message_delta", "delta": delta, "usage": usage, **fields})


STOPPED = '{"type":"message_stop"}'
CALL = block("tool_use", id="t", name="f", input={})


def said(text: str) -> str:
    return delta("text_delta", text=text)


def json_of_call(text: str, **fields: Any) -> str:
    return delta("input_json_delta", partial_json=text, **fields)


def parts_of(assembler: Assembler) -> dict[int, Part]:
    return dict(assembler.parts())


def test_nothing_is_known_before_the_message_begins() -> None:
    assembler = Assembler(EventLog("s"))
    assert assembler.message() is None
    known = (assembler.message_id, assembler.model_name, assembler.stop_reason, assembler.stop_sequence)
    assert known == (None, None, None, None)
    assert assembler.stop_details is None
    assert not assembler.is_whole
    assert not assembler.usage_is_final
    assert (assembler.contents, assembler.attempt_characters) == (0, 0)
    assert assembler.usage == assembler.attempt_usage == Usage()


def test_what_the_api_said_of_the_stop() -> None:
    details = {"type": "refusal", "category": "x"}
    said = ending("stop_sequence", delta={"stop_sequence": "END", "stop_details": details})
    assembler, _ = fed(began({"stop_reason": None, "stop_sequence": None}), said)
    assert (assembler.stop_reason, assembler.stop_sequence) == ("stop_sequence", "END")
    assert assembler.stop_details == details
    # A later event that is silent takes nothing back.
    fed(ending(None), more_of=assembler)
    assert (assembler.stop_reason, assembler.stop_sequence) == ("stop_sequence", "END")
    assert fed(began(), ending(delta={"stop_details": "odd"}))[0].stop_details is None


def test_an_answer_is_whole_once_it_has_a_reason_and_no_open_block() -> None:
    assembler, _ = fed(began(), TEXT, ending())
    assert not assembler.is_whole
    fed(stop(), more_of=assembler)
    assert assembler.is_whole
    assert not fed(began(), TEXT, stop())[0].is_whole
    assert not fed(began(), TEXT, stop(), ending(), '{"type":"error","error":{"type":"api_error"}}')[0].is_whole
    assert not fed(began(), ending(), said("x"))[0].is_whole  # broken


@pytest.mark.parametrize("kind", ["content_block_start", "content_block_delta"])
def test_content_that_can_not_be_read_breaks_the_message(kind: str) -> None:
    assembler, log = fed(began(), json.dumps({"type": kind, "index": 0}))
    assert isinstance(read(log)[-1], UnknownEvent)
    assert assembler.over
    assert assembler.broken == f"a {kind} event does not say what it should"


def test_an_unknown_event_that_is_no_content_breaks_nothing() -> None:
    assembler, _ = fed(began(), '{"type":"novelty"}')
    assert assembler.broken is None
    assert not assembler.over


def test_an_error_is_the_end_of_it() -> None:
    assembler, _ = fed(began(), TEXT, '{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    assert assembler.error is not None
    assert (assembler.stopped, assembler.over, assembler.broken) == (False, True, None)


def test_what_broke_a_message_first_is_what_is_said_of_it() -> None:
    assembler, _ = fed(began(), said("x"), TEXT, TEXT)
    assert assembler.broken == "a delta is for block 0, which never began"


@pytest.mark.parametrize(("before", "why"), [([], "never began"), ([TEXT, stop()], "has ended")])
def test_a_delta_for_no_open_block_is_told_and_breaks_the_message(before: list[str], why: str) -> None:
    assembler, log = fed(began(), *before, said("x"))
    event = read(log)[-1]
    assert isinstance(event, UnknownEvent)
    assert event.raw == {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
    assert assembler.broken is not None
    assert assembler.broken.endswith(why)
    assert assembler.contents == 0


@pytest.mark.parametrize("before", [[], [TEXT, stop()]])
def test_an_end_for_no_open_block_is_told_and_breaks_nothing(before: list[str]) -> None:
    assembler, log = fed(began(), *before, stop(x=1))
    event = read(log)[-1]
    assert isinstance(event, UnknownEvent)
    assert event.raw == {"type": "content_block_stop", "index": 0, "x": 1}
    assert assembler.broken is None


def test_a_block_that_begins_again_ends_the_one_that_was_open() -> None:
    assembler, log = fed(began(), TEXT, said("a"), TEXT)
    assert isinstance(end := read(log)[-2], PartEndEvent)
    assert end.part == TextPart("a", complete=False)
    assert assembler.broken == "block 0 began again before it had ended"
    # One that stood in `message_start` may end without a word.
    assembler, log = fed(began({"content": [{"type": "text", "text": "a"}]}), TEXT)
    assert isinstance(end := read(log)[-2], PartEndEvent)
    assert end.part == TextPart("a")
    assert assembler.broken is None
    # And one that has ended may be followed by another of its index.
    assert fed(began(), TEXT, stop(), TEXT)[0].broken is None


def test_content_that_the_message_begins_with() -> None:
    given = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assembler, _ = fed(began({"content": given}), ending())
    assert assembler.is_whole  # these blocks need no end
    assembler.close()
    assert parts_of(assembler) == {0: TextPart("a"), 1: TextPart("b")}
    assembler, _ = fed(began({"content": given}))
    assembler.close()  # it was cut
    assert parts_of(assembler)[0] == TextPart("a", complete=False)
    assembler, _ = fed(began({"content": given[0]}))
    assert parts_of(assembler) == {0: TextPart("a", complete=False)}
    assert assembler.broken is None
    assembler, _ = fed(began({"content": [given[0], "b"]}))
    assert assembler.broken == "the message begins with content that is no block"


def test_contents_are_counted() -> None:
    assert fed(began(), TEXT)[0].contents == 0
    assert fed(began(), TEXT, said("a"), said("b"))[0].contents == 2
    assert fed(began(), TEXT, delta("text_delta", text="a", x=1))[0].contents == 1
    assert fed(began(), block("redacted_thinking", data="x"), block("poem", 1))[0].contents == 2  # they come whole


def test_empty_deltas_in_a_row_are_kept_as_one() -> None:
    assembler, log = fed(began(), TEXT, said(""), said(""), said("a"), said(""))
    assert [event.delta for event in read(log) if isinstance(event, PartDeltaEvent)] == [
        TextPartDelta(text) for text in ("", "a", "")
    ]
    assert assembler.contents == 3


def test_the_best_parse_of_arguments_keeps_up() -> None:
    assembler, _ = fed(began(), CALL, json_of_call('{"a": 1'))
    args = assembler.partial_args(0).value
    fed(json_of_call(', "b": 2', x=1), more_of=assembler)  # a delta with more than we know
    fed(json_of_call(', "c": 3}'), more_of=assembler)
    assert args == {"a": 1, "b": 2, "c": 3}
    assert assembler.partial_args(0).value is args
    given, _ = fed(began(), block("tool_use", id="t", name="f", input={"a": 1}))
    assert given.partial_args(0).value is None
    fed(stop(), more_of=given)
    assert given.partial_args(0).value == {"a": 1}


def test_a_delta_with_an_unknown_field_is_in_the_part_once() -> None:
    assembler, _ = fed(began(), TEXT, said("a"), delta("text_delta", text="b", tone=3), said("c"))
    assert parts_of(assembler)[0] == TextPart("abc", complete=False, extra={"tone": 3})
    assert assembler.attempt_characters == 3
    assert [part for _, part in assembler.open_parts()] == [TextPart("abc", complete=False, extra={"tone": 3})]


def test_citations_and_what_does_not_fit_its_part() -> None:
    citation = {"type": "c", "n": 1}
    assembler, _ = fed(
        began(), TEXT, delta("citations_delta", citation=citation), delta("signature_delta", signature="s")
    )
    part = TextPart("", (citation,), complete=False)
    assert parts_of(assembler)[0] == attrs.evolve(part, unknown_deltas=({"type": "signature_delta", "signature": "s"},))


def test_a_compaction_is_replaced_by_its_deltas() -> None:
    given = block("compaction", content=None, encrypted_content=None)
    assembler, _ = fed(began(), given, delta("compaction_delta", content="short", encrypted_content="e"), beta=True)
    message = assembler.message()
    assert message is not None
    assert message["content"][0]["content"] == "short"
    assert message["content"][0]["encrypted_content"] == "e"


def test_the_end_of_the_message_ends_blocks_of_which_nothing_can_be_missing() -> None:
    assembler, log = fed(began(), TEXT, said("a"), ending(), STOPPED)
    assert isinstance(end := read(log)[-1], PartEndEvent)
    assert end.part == TextPart("a")
    assert (assembler.stopped, assembler.over, assembler.broken) == (True, True, None)
    assembler, _ = fed(began(), CALL, json_of_call('{"a": 1}'), ending("tool_use"), STOPPED)
    assert parts_of(assembler)[0] == ToolCallPart("f", '{"a": 1}', "t")
    assert (assembler.stopped, assembler.over, assembler.broken) == (True, True, None)
    assembler, _ = fed(began(), CALL, json_of_call('{"a": 1'), ending("tool_use"), STOPPED)
    assert assembler.broken == "message_stop came before the end of block 0"
    assert (assembler.stopped, assembler.over) == (False, True)
    assembler.close()
    assert parts_of(assembler)[0] == ToolCallPart("f", '{"a": 1', "t", complete=False)


@pytest.mark.parametrize(
    ("before", "why"),
    [([], "message_stop came without a message"), ([began()], "message_stop came without a stop reason")],
)
def test_an_end_of_no_message(before: list[str], why: str) -> None:
    assembler, _ = fed(*before, STOPPED)
    assert assembler.broken == why
    assert not assembler.stopped


@pytest.mark.parametrize("whole", [True, False])
def test_a_proxys_last_word_ends_the_answer_if_it_is_whole(whole: bool) -> None:
    assembler, _ = fed(began(), TEXT, said("a"), *([stop(), ending()] if whole else []), "[DONE]")
    assert (assembler.stopped, assembler.over) == (whole, True)


def test_a_delta_of_no_message_is_told() -> None:
    assembler, log = fed(ending())
    (event,) = read(log)
    assert isinstance(event, UnknownEvent)
    assert event.raw["type"] == "message_delta"
    assert assembler.stop_reason is None


def test_a_message_that_begins_twice() -> None:
    # The same, with nothing new to tell: once without an id.
    assembler, log = fed(began(), began(), began({"id": None}))
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent]
    assert (assembler.message_id, assembler.broken) == ("msg_1", None)
    # The same, with another model.
    assembler, log = fed(began(), began({"model": "claude-y"}))
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent, StreamStartEvent]
    assert (assembler.model_name, assembler.broken) == ("claude-y", None)
    # The same, with another usage.
    assembler, _ = fed(began())
    assert assembler.usage == Usage(3)
    fed(began({"usage": {"input_tokens": 4}}), more_of=assembler)
    assert assembler.usage == Usage(4)
    # Its id at last.
    assembler, _ = fed(began({"id": None}), began())
    assert (assembler.message_id, assembler.broken) == ("msg_1", None)
    # Another message, and the same one once there is content.
    for lines in ([began(), began({"id": "msg_2"})], [began(), TEXT, began()]):
        assembler, log = fed(*lines)
        assert isinstance(read(log)[-1], UnknownEvent)
        assert assembler.broken == "another message begins within the message"
        assert assembler.message_id == "msg_1"


def test_a_message_without_usage_tells_none() -> None:
    _, log = fed(began({"usage": None}))
    assert [type(event) for event in read(log)] == [StreamStartEvent]


def test_fields_that_nothing_stands_for() -> None:
    ended = ending(delta={"shade": "blue"}, context_management={"applied": []}, x=1)
    stable, _ = fed(began(), ended)
    assert stable.extra == {"shade": "blue", "context_management": {"applied": []}, "x": 1}
    message = stable.message()
    assert message is not None
    assert "context_management" not in message
    beta, _ = fed(began(), ended, beta=True)
    assert beta.extra == {"shade": "blue", "x": 1}
    message = beta.message()
    assert message is not None
    assert message["context_management"] == {"applied": []}


def test_unknown_fields_of_ends_and_pings_are_told() -> None:
    _, log = fed(began(), TEXT, '{"type":"ping"}', '{"type":"ping","x":1}', stop(y=2))
    *_, ping, end = read(log)
    assert isinstance(ping, UnknownEvent)
    assert ping.raw == {"type": "ping", "x": 1}
    assert isinstance(end, PartEndEvent)
    assert end.extra == {"y": 2}
    assert len(read(log)) == 5  # the ping that says nothing is none of them


def test_a_fallback_names_the_model_on_the_beta_route() -> None:
    fallback = block("fallback", to={"model": "claude-y"})
    assert fed(began(), fallback, beta=True)[0].model_name == "claude-y"
    assert fed(began(), fallback)[0].model_name == "claude-x"
    assert fed(began(), block("fallback", to={}), beta=True)[0].model_name == "claude-x"


def test_the_usage_that_a_message_ends_with() -> None:
    assembler, _ = fed(began(), ending(None, {"output_tokens": 1}))
    assert not assembler.usage_is_final
    fed(ending("end_turn", {"output_tokens": 5, "cache_read_input_tokens": 7, "iterations": []}), more_of=assembler)
    assert assembler.usage_is_final
    assert assembler.usage.output_tokens == 5
    message = assembler.message()
    assert message is not None
    # `iterations` is the beta route's.
    assert message["usage"] == {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 7}


# -- a continuation


def cut(*lines: str) -> Assembler:
    """An answer that was cut after these events, and is about to go on."""
    assembler, _ = fed(began(), *lines)
    assembler.go_on()
    return assembler


def test_text_goes_on_as_one_part() -> None:
    assembler = cut(TEXT, said("Hel"))
    assert (assembler.started, assembler.over, assembler.attempt_characters) == (False, False, 0)
    assert assembler.attempt_usage == Usage()
    assert assembler.usage == Usage(3)
    again = began({"id": "msg_2", "usage": {"input_tokens": 5}})
    _, log = fed(again, block("text", text="l", shade="blue"), said("o"), more_of=assembler)
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent, PartDeltaEvent, PartDeltaEvent]
    assert assembler.attempt_characters == 2
    fed(
        stop(),
        block("text", 1, text="!"),
        stop(1),
        ending("end_turn", {"output_tokens": 2}),
        STOPPED,
        more_of=assembler,
    )
    assert assembler.stopped
    assert parts_of(assembler) == {0: TextPart("Hello", extra={"shade": "blue"}), 1: TextPart("!")}
    assert assembler.usage == Usage(8, 2)
    assert assembler.attempt_usage == Usage(5, 2)
    assert not assembler.usage_is_final  # the first attempt's last word on it is missing
    message = assembler.message()
    assert message is not None
    assert (message["id"], message["usage"]) == ("msg_2", {"input_tokens": 8, "output_tokens": 2})
    assert message["content"] == [{"type": "text", "text": "Hello", "shade": "blue"}, {"type": "text", "text": "!"}]


def test_a_second_continuation_counts_only_its_own() -> None:
    assembler = cut(TEXT, said("Hel"))
    fed(began({"id": "msg_2"}), TEXT, said("lo"), more_of=assembler)
    assembler.go_on()
    assert assembler.usage == Usage(6)
    fed(began({"id": "msg_3"}), TEXT, said("!"), more_of=assembler)
    assert assembler.attempt_characters == 1
    assert assembler.usage == Usage(9)
    assert parts_of(assembler) == {0: TextPart("Hello!", complete=False)}


def test_a_continuation_that_begins_with_nothing_tells_of_no_delta() -> None:
    assembler = cut(TEXT, said("Hel"))
    _, log = fed(began({"id": "msg_2"}), TEXT, more_of=assembler)
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent]


def test_what_follows_something_else_than_text_is_a_part_of_its_own() -> None:
    assembler = cut(TEXT, said("Hello"))
    _, log = fed(began({"id": "msg_2"}), CALL, more_of=assembler)
    assert isinstance(end := read(log)[2], PartEndEvent)
    assert end.part == TextPart("Hello")  # the text was at its end
    assert parts_of(assembler) == {0: TextPart("Hello"), 1: ToolCallPart("f", "", "t", complete=False)}
    assert assembler.partial_args(1).value is None
    with pytest.raises(KeyError):
        assembler.partial_args(0)


def test_a_continuation_without_content_leaves_the_text_whole() -> None:
    assembler = cut(TEXT, said("Hello"))
    fed(began({"id": "msg_2"}), ending(), STOPPED, more_of=assembler)
    assert assembler.stopped
    assembler.close()
    assert parts_of(assembler) == {0: TextPart("Hello")}


def test_text_that_a_continuation_begins_its_message_with_needs_no_end() -> None:
    assembler = cut(TEXT, said("Hel"))
    fed(began({"id": "msg_2", "content": [{"type": "text", "text": "lo"}]}), ending(), more_of=assembler)
    assert assembler.is_whole
    assembler.close()
    assert parts_of(assembler) == {0: TextPart("Hello")}


def test_only_the_last_block_goes_on() -> None:
    assembler = cut(TEXT, said("a"), block("text", 1, text="b"))
    assert parts_of(assembler) == {0: TextPart("a", complete=False), 1: TextPart("b", complete=False)}
    assert [index for index, _ in assembler.open_parts()] == [1]
    fed(began({"id": "msg_2"}), TEXT, said("c"), more_of=assembler)
    assert parts_of(assembler)[1] == TextPart("bc", complete=False)


def test_after_parts_that_ended_the_continuations_parts_are_new() -> None:
    assembler = cut(TEXT, said("a"), stop())
    fed(began({"id": "msg_2"}), TEXT, said("b"), more_of=assembler)
    assert parts_of(assembler) == {0: TextPart("a"), 1: TextPart("b", complete=False)}


def test_a_continuation_says_nothing_of_the_stop_before_its_message_begins() -> None:
    assembler = cut(TEXT, said("a"))
    _, log = fed(ending(), more_of=assembler)
    assert [type(event) for event in read(log)] == [UnknownEvent]
    assert assembler.stop_reason is None


def test_an_answer_that_had_no_content_goes_on_at_its_beginning() -> None:
    assembler = cut()
    fed(began({"id": "msg_2"}), TEXT, said("a"), more_of=assembler)
    assert parts_of(assembler) == {0: TextPart("a", complete=False)}


def test_a_continuation_that_was_broken_off_forgets_the_break() -> None:
    assembler = cut(TEXT, said("a"), '{"type":"error","error":{"type":"overloaded_error"}}')
    assert (assembler.error, assembler.broken, assembler.over) == (None, None, False)
    assembler = cut(TEXT, TEXT)
    assert (assembler.error, assembler.broken, assembler.over) == (None, None, False)


def test_between_the_attempts_the_usage_is_the_earlier_ones() -> None:
    assembler = cut(TEXT, said("a"), ending(None, {"output_tokens": 4}))
    message = assembler.message()
    assert message is not None
    assert message["usage"] == {"input_tokens": 3, "output_tokens": 4}

"""Events as text and back: a copy reads as the original does, from every number, however it was cut into entries."""

from datetime import UTC, datetime
from functools import partial

import attrs
import pytest

from manystream.actors import (
    CitationPartDelta,
    ErrorInfo,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    ServerToolResultPart,
    StreamEndEvent,
    StreamRequest,
    StreamResult,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    UnknownEvent,
    Usage,
    UsageEvent,
)
from manystream.actors.channel import Audience, Copy, Entry, EventLog, Recording, written
from manystream.actors.stream import Fold, lean

CALL = partial(ToolCallPartDelta, tool_call_id="toolu_1")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def recording_of(log: EventLog) -> Recording:
    return Recording(log, Audience(lambda _: None))


def events_of(recording: Recording, after: int = 0, *, merge: bool = False) -> list[PartEvent]:
    cursor = recording.after(after)
    events: list[PartEvent] = []
    while (event := cursor.take(merge=merge)) is not None:
        events.append(event)
    return events


def steps_of_a_stream(log: EventLog) -> list[EventLog]:
    """A stream of all kinds of events, step by step; returns the log after each."""
    logs = [log]

    def text(index: int, make: object, *pieces: str) -> None:
        for piece in pieces:
            logs[-1].add_text(index, make, piece)  # type: ignore[arg-type]
            logs.append(logs[-1])

    def add(kind: object, *args: object) -> None:
        logs[-1].add(kind, *args)  # type: ignore[arg-type]
        logs.append(logs[-1])

    add(StreamStartEvent, "msg_1", "claude", "req_1")
    add(UsageEvent, Usage(input_tokens=3))
    add(PartStartEvent, 0, ThinkingPart(complete=False))
    text(0, ThinkingPartDelta, "hm", "", " \ud83d")
    add(PartDeltaEvent, 0, ThinkingPartDelta(signature_delta="sig"))
    add(PartEndEvent, 0, ThinkingPart("hm \ud83d", "sig"))
    add(PartStartEvent, 1, TextPart(complete=False))
    text(1, TextPartDelta, "a\n", "b\u2028", '"c"')
    add(PartDeltaEvent, 1, CitationPartDelta({"cited_text": "x"}))
    text(1, TextPartDelta, "d")
    following = EventLog("s", logs[-1].seq)
    logs[-1].run, logs[-1].next = None, following
    logs.append(following)
    add(RestartEvent, 2)
    add(PartStartEvent, 0, ToolCallPart("f", "", "toolu_1", complete=False))
    text(0, CALL, '{"a"', ": 1}")
    add(PartEndEvent, 0, ToolCallPart("f", '{"a": 1}', "toolu_1"))
    add(UnknownEvent, {"type": "new", "deep": [1, None]})
    add(StreamEndEvent, StreamResult(state="complete", stream_id="s", timestamp=NOW, stop_reason="tool_use"))
    return logs


def test_a_copy_is_what_it_is_a_copy_of() -> None:
    original = recording_of(EventLog("s"))
    cursor = original.after(0)
    steps_of_a_stream(original.first)
    entry = written(cursor)
    assert entry is not None
    assert entry.text.count("[") < 30  # a run is one item
    copy = Copy(EventLog(""))  # which takes its name from the events
    mirror = recording_of(copy.last)
    assert copy.load(entry) is not None
    assert (mirror.ended, mirror.seq, mirror.characters) == (True, original.seq, original.characters)
    for after in range(original.seq):
        for merge in (True, False):
            assert events_of(mirror, after, merge=merge) == events_of(original, after, merge=merge)


def test_entries_that_are_written_as_events_come_make_the_same_copy() -> None:
    first = EventLog("s")
    original = recording_of(first)
    steps_of_a_stream(first)
    expected = events_of(original)
    log, copy = EventLog("s"), Copy(EventLog("s"))
    mirror, cursor = recording_of(copy.last), recording_of(log).after(0)
    assert written(cursor) is None
    for event in expected:
        if isinstance(event, RestartEvent):
            following = EventLog("s", log.seq)
            log.run, log.next, log = None, following, following
        delta = event.delta if isinstance(event, PartDeltaEvent) else None
        match delta:
            case TextPartDelta(text):
                log.add_text(1, TextPartDelta, text)
            case ThinkingPartDelta(str(text)):
                log.add_text(0, ThinkingPartDelta, text)
            case ToolCallPartDelta(text):
                log.add_text(0, CALL, text)
            case _:
                log.add_again(event)
        entry = written(cursor)
        assert entry is not None
        assert (entry.first_seq, entry.seq, entry.ends) == (event.seq, event.seq, isinstance(event, StreamEndEvent))
        assert entry.text.isascii()
        copy.load(entry)
    assert events_of(mirror) == expected
    assert events_of(mirror, merge=True) == events_of(original, merge=True)


def test_an_entry_that_does_not_follow_or_is_none_is_refused() -> None:
    copy = Copy(EventLog("s"))
    good = Entry(1, 2, '{"v":1,"items":[["text",0,["a","b"]]]}')
    with pytest.raises(ValueError, match="do not follow"):
        copy.load(attrs.evolve(good, first_seq=2, seq=3))
    with pytest.raises(ValueError, match="another version"):
        copy.load(attrs.evolve(good, text='{"v":2,"items":[]}'))
    with pytest.raises(ValueError, match="ends with"):
        Copy(EventLog("s")).load(attrs.evolve(good, seq=3))
    for item in (
        '["text",0,[1]]',
        '["text",0]',
        '["args",0,["{"]]',
        '["song",0,["la"]]',
        "[]",
        "{}",
        "7",
        "[" * 50_000,
    ):
        with pytest.raises(ValueError, match=r".+"):
            Copy(EventLog("s")).load(attrs.evolve(good, text=f'{{"v":1,"items":[{item}]}}'))
    for text in ("", "[]", '{"v":1}', '{"v":1,"items":7}'):
        with pytest.raises(ValueError, match=r".+"):
            Copy(EventLog("s")).load(attrs.evolve(good, text=text))
    copy.load(good)
    with pytest.raises(ValueError, match="does not follow"):
        copy.last.add_again(UnknownEvent({}, stream_id="s", first_seq=9, seq=9))


def test_a_recording_is_read_from_any_of_its_numbers_and_from_no_other() -> None:
    recording = recording_of(EventLog("s"))
    steps_of_a_stream(recording.first)
    for number in (-1, recording.seq + 1):
        with pytest.raises(ValueError, match="not among"):
            recording.after(number)
    assert [event.seq for event in events_of(recording)] == list(range(1, recording.seq + 1))
    texts = 'hm \ud83da\nb\u2028"c"d{"a": 1}'
    others = "sig", "cited_text", "x", "f", "toolu_1", "type", "new", "deep"
    assert recording.characters == len(texts) + sum(map(len, others))


def test_what_a_server_tool_answered_counts_as_text() -> None:
    recording = recording_of(EventLog("s"))
    page = [{"type": "web_search_result", "content": ["x" * 5000, {"deeper": "y" * 5000}]}]
    recording.first.add(PartStartEvent, 0, ServerToolResultPart("web_search_tool_result", "toolu_1", page))
    assert 10_000 < recording.characters < 10_200


def test_a_recording_is_kept_without_its_request_and_reads_the_same() -> None:
    recording = recording_of(EventLog("s"))
    logs = steps_of_a_stream(recording.first)
    ending = logs[-1].entries[-1]
    assert isinstance(ending, StreamEndEvent)
    ending = attrs.evolve(ending, result=attrs.evolve(ending.result, request=StreamRequest("a long prompt")))
    logs[-1].entries[-1] = ending
    kept = recording.without_request()
    assert (kept.ended, kept.seq, kept.characters) == (True, recording.seq, recording.characters)
    for after in range(recording.seq):
        for merge in (True, False):
            *events, last = events_of(recording, after, merge=merge)
            assert events_of(kept, after, merge=merge) == [*events, lean(ending)]
            assert last == ending


def test_an_ending_is_told_without_what_is_private_or_told_already() -> None:
    secret = "planted"
    result = StreamResult(
        state="failed",
        stream_id="s",
        custom_id=secret,
        request=StreamRequest(secret),
        parts=(TextPart(secret),),
        message={"content": secret},
        error=ErrorInfo(
            "rate_limit_error",
            f"organization {secret} …",
            429,
            secret,
            rate_limits={"x": secret},
            cause=OSError(secret),
        ),
        request_id=secret,
        rate_limits={"x": secret},
        extra={"x": secret},
        timestamp=NOW,
        usage=Usage(output_tokens=7),
    )
    event = lean(StreamEndEvent(result, stream_id="s", first_seq=3, seq=3))
    assert secret not in repr([getattr(event.result, field.name) for field in attrs.fields(StreamResult)])
    assert event.result.error is not None
    assert (event.result.state, event.result.error.type, event.result.error.status) == (
        "failed",
        "rate_limit_error",
        429,
    )
    assert (event.result.usage.output_tokens, event.seq) == (7, 3)


@pytest.mark.parametrize("merge", [True, False])
def test_events_come_to_the_parts_that_they_tell(merge: bool) -> None:
    recording = recording_of(EventLog("s"))
    steps_of_a_stream(recording.first)
    fold = Fold()
    seen: list[object] = []
    for event in events_of(recording, merge=merge):
        fold.feed(event)
        seen.append(fold.parts())
    assert ((0, ThinkingPart("hm \ud83d", "sig")), (1, TextPart("", complete=False))) in seen
    last = TextPart('a\nb\u2028"c"d', ({"cited_text": "x"},), complete=False)
    assert ((0, ThinkingPart("hm \ud83d", "sig")), (1, last)) in seen
    assert fold.parts() == ((0, ToolCallPart("f", '{"a": 1}', "toolu_1")),)
    assert fold.open_parts() == ()
    assert (fold.message_id, fold.model_name, fold.usage) == ("msg_1", "claude", Usage(input_tokens=3))
    assert fold.result is not None


def test_a_delta_or_an_end_without_a_beginning_is_refused() -> None:
    for event in (PartDeltaEvent(0, TextPartDelta("a")), PartEndEvent(0, TextPart("a"))):
        with pytest.raises(ValueError, match="has not begun"):
            Fold().feed(event)

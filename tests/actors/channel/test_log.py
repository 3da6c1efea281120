"""The event log: one record, read by anybody from anywhere, merged or event by event, without a gap or a repeat."""

from typing import Any, Literal

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.stage import assert_gapless

from manystream.actors import (
    PartDeltaEvent,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    UnknownEvent,
    Usage,
    UsageEvent,
)
from manystream.actors.channel.log import Cursor, EventLog


def drain(cursor: Cursor, *, merge: bool) -> list[PartEvent]:
    events: list[PartEvent] = []
    while (event := cursor.take(merge=merge)) is not None:
        events.append(event)
    return events


def text_of(events: list[PartEvent]) -> str:
    return "".join(
        e.delta.content_delta for e in events if isinstance(e, PartDeltaEvent) and isinstance(e.delta, TextPartDelta)
    )


def log_of(*pieces: str) -> EventLog:
    log = EventLog("s")
    log.add(PartStartEvent, 0, TextPart(complete=False))
    for piece in pieces:
        log.add_text(0, TextPartDelta, piece)
    return log


def test_a_run_is_one_delta_when_merged_and_its_strings_when_not() -> None:
    log = log_of("a", "b", "c")
    (_, merged) = drain(Cursor.after(log, 0), merge=True)
    assert merged == PartDeltaEvent(0, TextPartDelta("abc"), stream_id="s", first_seq=2, seq=4)
    (_, *single) = drain(Cursor.after(log, 0), merge=False)
    assert single == [
        PartDeltaEvent(0, TextPartDelta(piece), stream_id="s", first_seq=seq, seq=seq)
        for seq, piece in ((2, "a"), (3, "b"), (4, "c"))
    ]


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("seq", range(5))
def test_a_cursor_anywhere_in_a_growing_run_misses_nothing_of_what_comes(seq: int, merge: bool) -> None:
    log = log_of("a", "b", "c")
    cursor = Cursor.after(log, seq)
    log.add_text(0, TextPartDelta, "d")
    events = drain(cursor, merge=merge)
    assert_gapless(events, after=seq)
    assert text_of(events) == "abcd"[max(0, seq - 1) :]
    assert events[-1].seq == log.seq


@pytest.mark.parametrize("merge", [True, False])
@pytest.mark.parametrize("seq", range(10))
def test_a_cursor_behind_whole_runs_reads_on_at_the_very_next_event(seq: int, merge: bool) -> None:
    log = log_of("a", "b", "c")  # 1, then 2 to 4
    log.add(UnknownEvent, {})  # 5
    log.add_text(0, TextPartDelta, "d")  # 6
    log.add_text(1, TextPartDelta, "e")  # 7 and 8: a run of another part
    log.add_text(1, TextPartDelta, "f")
    log.add(UnknownEvent, {})  # 9
    events = drain(Cursor.after(log, seq), merge=merge)
    assert_gapless(events, after=seq)
    assert text_of(events) == "".join(letter for at, letter in enumerate("-abc-def-", 1) if at > seq and letter != "-")


def test_a_cursor_at_the_end_reads_what_comes_into_the_same_run() -> None:
    log = log_of("a")
    cursor = Cursor(log)
    assert cursor.take(merge=True) is None
    log.add_text(0, TextPartDelta, "b")
    assert text_of(drain(cursor, merge=True)) == "b"


def test_nothing_is_merged_across_parts_or_other_events() -> None:
    log = log_of("a")
    log.add_text(1, TextPartDelta, "b")
    log.add_text(0, TextPartDelta, "c")
    log.add(UnknownEvent, {})
    log.add_text(0, TextPartDelta, "d")
    log.add_text(0, ThinkingPartDelta, "e")
    events = drain(Cursor.after(log, 1), merge=True)
    assert [event.seq for event in events] == [2, 3, 4, 5, 6, 7]
    assert_gapless(events)


def test_of_adjacent_usages_the_last_is_told() -> None:
    log = EventLog("s")
    for tokens in (1, 2, 3):
        log.add(UsageEvent, Usage(tokens))
    assert drain(Cursor.after(log, 0), merge=True) == [UsageEvent(Usage(3), stream_id="s", first_seq=1, seq=3)]
    assert drain(Cursor.after(log, 1), merge=True) == [UsageEvent(Usage(3), stream_id="s", first_seq=2, seq=3)]
    assert len(drain(Cursor.after(log, 0), merge=False)) == 3


def test_thinking_that_comes_with_estimates_merges_too() -> None:
    log = EventLog("s")
    deltas = [
        ThinkingPartDelta("a", estimated_tokens=3),
        ThinkingPartDelta("b", estimated_tokens=4, extra={"x": 1}),
        ThinkingPartDelta(signature_delta="one"),
        ThinkingPartDelta(signature_delta="two", extra={"x": 2}),
    ]
    one_by_one = ThinkingPart("-")
    for delta in deltas:
        log.add(PartDeltaEvent, 0, delta)
        one_by_one = delta.apply(one_by_one)
    log.add(PartDeltaEvent, 1, ThinkingPartDelta("other part"))
    merged, other = drain(Cursor.after(log, 0), merge=True)
    assert isinstance(merged, PartDeltaEvent)
    assert (merged.first_seq, merged.seq, other.first_seq) == (1, 4, 5)
    assert merged.delta == ThinkingPartDelta("ab", "two", 7, {"x": 2})
    assert merged.delta.apply(ThinkingPart("-")) == one_by_one


def test_a_lagging_cursor_reads_the_old_attempt_before_the_restart() -> None:
    log = log_of("a", "b")
    behind, at_end = Cursor.after(log, 0), Cursor(log)
    following = EventLog("s", log.seq)
    log.run, log.next = None, following
    following.add(RestartEvent, 2)
    following.add_text(0, TextPartDelta, "c")
    assert [event.event_kind for event in drain(behind, merge=True)] == [
        "part_start", "part_delta", "restart", "part_delta",
    ]  # fmt: skip
    assert [event.seq for event in drain(at_end, merge=True)] == [4, 5]


Operation = tuple[Literal["text", "thinking", "usage", "event", "restart", "join", "take"], int, bool]
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["text", "text", "text", "thinking", "usage", "event", "restart", "join", "take", "take"]),
        st.integers(0, 40),
        st.booleans(),
    ),
    max_size=60,
)


@attrs.define
class Reader:
    cursor: Cursor
    after: int
    merge: bool
    events: list[PartEvent] = attrs.field(factory=list[PartEvent])

    def take(self) -> bool:
        event = self.cursor.take(merge=self.merge)
        if event is not None:
            self.events.append(event)
        return event is not None


def apart(event: PartEvent) -> list[Any]:
    """What an event says, letter by letter, so that merged and single events can be compared."""
    match event:
        case PartDeltaEvent(index, TextPartDelta(text)):
            return [(index, "text", letter) for letter in text]
        case PartDeltaEvent(index, ThinkingPartDelta(text, estimated_tokens=tokens)):
            return [(index, "thinking", letter, tokens and tokens // len(text or "")) for letter in text or ""]
        case _:
            return [attrs.evolve(event, first_seq=0, seq=0)]


@given(OPERATIONS)
@example([("text", 0, True), ("join", 1, True), ("text", 0, True)])
def test_every_reader_reads_the_same(operations: list[Operation]) -> None:
    log = first = EventLog("s")
    everything: list[PartEvent] = []  # as it happened
    record = Reader(Cursor(log), 0, merge=False, events=everything)
    readers: list[Reader] = []
    for kind, number, flag in operations:
        match kind:
            case "text":
                log.add_text(number % 2, TextPartDelta if flag else ThinkingPartDelta, "abcdefgh"[number % 8])
            case "thinking":
                log.add(PartDeltaEvent, number % 2, ThinkingPartDelta("t", estimated_tokens=2))
            case "usage":
                log.add(UsageEvent, Usage(number))
            case "event":
                log.add(UnknownEvent, number)
            case "restart":
                following = EventLog("s", log.seq)
                log.run, log.next = None, following
                following.add(RestartEvent, number)
                log = following
            case "join":
                seq = log.base + number % (log.seq - log.base + 1)
                readers.append(Reader(Cursor.after(log, seq), seq, flag))
            case "take":
                if readers:
                    readers[number % len(readers)].take()
    while record.take():
        pass
    assert [event.seq for event in everything] == list(range(1, log.seq + 1))
    assert first.base == 0
    for reader in readers:
        assert reader.cursor.pending == log.seq - reader.cursor.seq
        while reader.take():
            pass
        assert reader.cursor.pending == 0
        assert_gapless(reader.events, after=reader.after)
        missed = everything[reader.after :]
        if not reader.merge:
            assert reader.events == missed
        else:
            assert len(reader.events) <= len(missed)
            told = [event for event in reader.events if not isinstance(event, UsageEvent)]
            happened = [event for event in missed if not isinstance(event, UsageEvent)]
            assert [x for event in told for x in apart(event)] == [x for event in happened for x in apart(event)]
            for event in reader.events:
                if isinstance(event, UsageEvent):
                    replaced = everything[event.first_seq - 1 : event.seq]
                    assert all(isinstance(each, UsageEvent) for each in replaced)
                    assert attrs.evolve(event, first_seq=event.seq) == replaced[-1]

"""The reader of an output: it grows with a consumer's events, gives each item once, and forgets what is void."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.actors import (
    FallbackPart,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    Partial,
    PartStartEvent,
    RestartEvent,
    SnapshotEvent,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    Usage,
    UsageEvent,
)
from manystream.actors.output_reader import OutputReader


def text(*pieces: str, index: int = 0, ended: bool = True) -> list[PartEvent]:
    events: list[PartEvent] = [PartStartEvent(index, TextPart("", complete=False))]
    events += [PartDeltaEvent(index, TextPartDelta(piece)) for piece in pieces]
    return [*events, PartEndEvent(index, TextPart("".join(pieces)))] if ended else events


def call(name: str, *pieces: str, index: int = 1) -> list[PartEvent]:
    return [
        PartStartEvent(index, ToolCallPart(name, "", "toolu_1", complete=False)),
        *(PartDeltaEvent(index, ToolCallPartDelta(piece, "toolu_1")) for piece in pieces),
        PartEndEvent(index, ToolCallPart(name, "".join(pieces), "toolu_1")),
    ]


def fed(*events: PartEvent, tool: str | None = None) -> OutputReader:
    reader = OutputReader(tool)
    for event in events:
        reader.feed(event)
    return reader


def cut(whole: str, size: int) -> list[str]:
    return [whole[place : place + size] for place in range(0, len(whole), size)]


LINES = [{"sku": f"S{n}", "note": 'a "b" c', "tags": ["x", ["y"]]} for n in range(5)]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("items", [LINES, ["a", "bc", ""], [1, 20, 300], [[1], [], [2, 3]], [None, True], []], ids=str)
def test_every_item_is_given_once_and_within_a_piece_of_its_end(items: list[Any], size: int) -> None:
    whole = json.dumps({"before": [0], "lines": items, "after": ["z"]})
    reader = OutputReader()
    lines = reader.items(("lines",))
    got: list[Any] = []
    so_far = ""
    for event in text(*cut(whole, size), ended=False):
        reader.feed(event)
        got += lines.take()
        if isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
            so_far += event.delta.content_delta
        if items is LINES:
            assert len(got) == so_far.count("]]}")
    assert got == items
    assert lines.take() == []


def test_an_item_does_not_wait_for_the_end_of_its_array() -> None:
    reader = fed(*text('{"lines": [{"a": 1}, {"a', ended=False))
    lines = reader.items(("lines",))
    assert lines.take() == [{"a": 1}]
    assert lines.taken == 1
    assert reader.state(("lines",)) == "growing"


def test_a_list_in_a_list_has_items_too() -> None:
    reader = OutputReader()
    readers = {n: reader.items(("rows", n)) for n in range(3)}
    taken: dict[int, list[int]] = {n: [] for n in readers}
    for event in text(*cut('{"rows": [[1, 2], [], [30, 40, 5]]}', 1)):
        reader.feed(event)
        for n, items in readers.items():
            taken[n] += items.take()
    assert taken == {0: [1, 2], 1: [], 2: [30, 40, 5]}


def test_the_whole_output_can_be_the_array() -> None:
    assert fed(*text('[1, "b"]')).items().take() == [1, "b"]


@pytest.mark.parametrize(
    "whole", ['{"lines": {"a": 1}}', '{"lines": "abc"}', '{"lines": null}', "[[1]]", "5", '{"a": 1}']
)
def test_what_is_no_array_has_no_items(whole: str) -> None:
    assert fed(*text(whole)).items(("lines",)).take() == []


@pytest.mark.parametrize(
    "restart",
    [
        [RestartEvent(2)],
        text('{"lines": [{"a": 9}]}', index=3),
        [SnapshotEvent((), Usage())],
    ],
    ids=["restart", "another text", "snapshot"],
)
def test_what_is_void_is_forgotten(restart: list[PartEvent]) -> None:
    reader = OutputReader()
    lines = reader.items(("lines",))
    for event in text('{"lines": [{"a": 1}, {"a": 2}, {"', ended=False):
        reader.feed(event)
    assert lines.take() == [{"a": 1}, {"a": 2}]
    for event in restart:
        reader.feed(event)
    for event in text('{"lines": [{"a": 3}', index=5, ended=False):
        reader.feed(event)
    assert lines.take() == [{"a": 3}]
    assert reader.value == {"lines": [{"a": 3}]}


def test_a_restart_leaves_nothing() -> None:
    reader = fed(*text('{"a": 1}'), RestartEvent(2))
    assert reader.value is None
    assert reader.state() == "pending"
    assert not reader.complete


def test_the_output_is_the_last_text() -> None:
    thinking: list[PartEvent] = [
        StreamStartEvent("msg", "model"),
        PartStartEvent(0, ThinkingPart("", complete=False)),
        PartDeltaEvent(0, ThinkingPartDelta("{")),
        PartEndEvent(0, ThinkingPart("{")),
    ]
    reader = fed(*thinking, *text("Here it is: ", index=1), *call("f", '{"x": 1}', index=2), *text("[1, 2]", index=3))
    assert reader.value == [1, 2]
    assert reader.complete


def test_the_output_in_the_call_of_a_tool() -> None:
    events = [*text('{"no": 1}'), *call("other", '{"no": 2}'), *call("answer", '{"a"', ': "b"}', index=2), *text("So.")]
    reader = fed(*events, tool="answer")
    assert reader.value == {"a": "b"}
    assert reader.complete
    assert fed(*events[:-6], tool="answer").state() == "pending"


def test_what_changes_nothing_says_so() -> None:
    reader = OutputReader()
    told = [reader.feed(event) for event in [*text("[", "1", ended=False), UsageEvent(Usage()), *call("f", "{}")]]
    assert told == [True, True, True, False, False, False, False]
    assert not reader.feed(PartStartEvent(2, FallbackPart("a", "b")))
    assert not reader.feed(PartEndEvent(0, TextPart("[1", complete=False)))


def test_a_late_joiner_reads_on() -> None:
    held = SnapshotEvent(((0, TextPart("so: ")), (1, TextPart('{"lines": [1, 2', complete=False))), Usage())
    reader = fed(held, PartDeltaEvent(1, TextPartDelta("0, 3")))
    assert reader.items(("lines",)).take() == [1, 20]
    now = fed(PartStartEvent(1, TextPart('{"lines": [1, 2', complete=False)), PartDeltaEvent(1, TextPartDelta("0]")))
    assert now.items(("lines",)).take() == [1, 20]


def test_a_number_that_is_all_is_whole_at_the_end_of_its_part() -> None:
    events = text("1", "20")
    assert fed(*events[:-1]).state() == "growing"
    assert fed(*events).state() == "complete"
    assert fed(*events).value == 120


def test_text_that_is_no_json_is_told() -> None:
    reader = fed(*text('{"a": 1} and more'))
    assert reader.invalid
    assert not reader.complete
    assert not fed(*text('{"a": 1')).complete


def test_only_what_is_worth_it_is_shown_before_its_end() -> None:
    reader = OutputReader()
    reader.shows = lambda path: path[-1] != "kind"
    kinds: list[object] = []
    notes: list[object] = []
    for event in text(*cut('{"note": "ab", "kind": "goods", "note2": "x"}', 1)):
        reader.feed(event)
        shown: dict[str, Any] = reader.value or {}
        kinds.append(shown.get("kind"))
        notes.append(shown.get("note"))
    assert {*kinds} == {None, "goods"}
    assert {*notes} == {None, "", "a", "ab"}
    assert [*reader.value] == ["note", "kind", "note2"]


@given(st.lists(st.integers(1, 30), min_size=1), st.booleans())
def test_how_events_are_merged_changes_nothing(sizes: list[int], in_a_tool: bool) -> None:
    whole = json.dumps({"lines": LINES, "total": 12.5})
    pieces: list[str] = []
    rest = whole
    while rest:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(rest[:size])
        rest = rest[size:]
    reader = OutputReader("answer" if in_a_tool else None)
    lines = reader.items(("lines",))
    got: list[Any] = []
    for event in call("answer", *pieces) if in_a_tool else text(*pieces):
        reader.feed(event)
        got += lines.take()
    assert got == LINES
    assert reader.value == json.loads(whole)
    assert reader.complete


NO_PATHS: list[Any] = [("lines", 0), ["lines"], None, 1.5, True, b"lines", {}]


@pytest.mark.parametrize("key", NO_PATHS, ids=str)
def test_a_path_is_given_key_by_key(key: Any) -> None:
    partial = Partial[Any](fed(*text('{"lines": [{"a": 1}]}')), lambda: False)
    assert partial.state("lines", -1, "a") == "complete"
    with pytest.raises(TypeError, match=r"state\(\) takes names and numbers one by one, as in state\(\*path\), or"):
        partial.state(key)
    with pytest.raises(TypeError, match="not "):
        partial.state("lines", key)

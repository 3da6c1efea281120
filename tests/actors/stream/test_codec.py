"""Events as JSON and back: everything survives but what must not get out."""

import json
import math
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.reference.streams import STREAMS, ReferenceStream

from manystream.actors import (
    Attempt,
    CitationPartDelta,
    CompactionPart,
    CompactionPartDelta,
    ContainerUploadPart,
    ErrorInfo,
    FallbackPart,
    MCPToolListingPart,
    Part,
    PartDelta,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RedactedThinkingPart,
    RestartEvent,
    ServerToolCallPart,
    ServerToolResultPart,
    SnapshotEvent,
    StreamEndEvent,
    StreamRequest,
    StreamResult,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    Timings,
    ToolCallPart,
    ToolCallPartDelta,
    UnknownEvent,
    UnknownPart,
    UnknownPartDelta,
    Usage,
    UsageEvent,
    decode_event,
    encode_event,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import Cursor, EventLog
from manystream.actors.wire.events import WireError, decode
from manystream.actors.wire.framing import SSEFramer
from manystream.actors.wire.strict_json import json_line, json_text


def paired(text: str) -> str:
    """`text` with the surrogates that stand in pairs as the characters that they are: JSON can't tell these apart."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# Any text that JSON can say, lone surrogates included, and any JSON.
texts = st.text(st.characters(), max_size=6).map(paired)
numbers = st.integers(0, 2**53)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(texts, jsons, max_size=3)
object_tuples = st.lists(objects, max_size=2).map(tuple)
maybe_text = st.none() | texts

common = {"complete": st.booleans(), "extra": objects, "unknown_deltas": object_tuples}
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(TextPart, texts, object_tuples, **common),
    st.builds(ThinkingPart, texts, maybe_text, st.none() | numbers, **common),
    st.builds(RedactedThinkingPart, texts, **common),
    st.builds(ToolCallPart, texts, texts, texts, **common),
    st.builds(ServerToolCallPart, texts, texts, texts, maybe_text, **common),
    st.builds(ServerToolResultPart, texts, texts, jsons, **common),
    st.builds(ContainerUploadPart, texts, **common),
    st.builds(CompactionPart, maybe_text, maybe_text, **common),
    st.builds(FallbackPart, maybe_text, maybe_text, **common),
    st.builds(MCPToolListingPart, texts, object_tuples, **common),
    st.builds(UnknownPart, objects, **common),
)
deltas: st.SearchStrategy[PartDelta] = st.one_of(
    st.builds(TextPartDelta, texts, objects),
    st.builds(CitationPartDelta, objects, objects),
    st.builds(ThinkingPartDelta, maybe_text, maybe_text, st.none() | numbers, objects),
    st.builds(ToolCallPartDelta, texts, maybe_text, objects),
    st.builds(CompactionPartDelta, maybe_text, maybe_text, objects),
    st.builds(UnknownPartDelta, objects, objects),
)
usages = st.builds(Usage, numbers, numbers, numbers, numbers, st.none() | numbers, objects)
seconds = st.none() | st.floats(0, 1e6)
errors = st.builds(
    ErrorInfo,
    texts,
    texts,
    status=st.none() | numbers,
    request_id=maybe_text,
    retryable=st.booleans(),
    retry_after=seconds,
    deadline=maybe_text,
    code=maybe_text,
)
results = st.builds(
    StreamResult,
    state=st.sampled_from(["complete", "truncated", "cancelled", "failed"]),
    stream_id=texts,
    custom_id=maybe_text,
    model_name=maybe_text,
    message_id=maybe_text,
    stop_reason=maybe_text,
    stop_sequence=maybe_text,
    stop_details=st.none() | objects,
    parts=st.lists(parts, max_size=2).map(tuple),
    message=st.none() | objects,
    usage=usages,
    usage_is_final=st.booleans(),
    error=st.none() | errors,
    cancelled_by=maybe_text,
    cancel_reason=maybe_text,
    attempts=st.lists(
        st.builds(Attempt, numbers, st.floats(0, 9), st.floats(0, 9), maybe_text, usages, st.none() | errors),
        max_size=2,
    ).map(tuple),
    request_id=maybe_text,
    rate_limits=st.dictionaries(texts, texts, max_size=2),
    timestamp=st.datetimes(timezones=st.just(UTC)),
    timings=st.builds(Timings, queued=seconds, sent=seconds, first_content=seconds, end=st.floats(0, 9)),
    extra=objects,
)
covers: dict[str, Any] = {"stream_id": texts, "first_seq": numbers, "seq": numbers}
RESULT = StreamResult(state="complete", stream_id="s", timestamp=datetime(2026, 10, 21, tzinfo=UTC))
events: dict[type[PartEvent], st.SearchStrategy[PartEvent]] = {
    StreamStartEvent: st.builds(StreamStartEvent, maybe_text, maybe_text, maybe_text, **covers),
    PartStartEvent: st.builds(PartStartEvent, numbers, parts, objects, **covers),
    PartDeltaEvent: st.builds(PartDeltaEvent, numbers, deltas, objects, **covers),
    PartEndEvent: st.builds(PartEndEvent, numbers, parts, objects, **covers),
    UsageEvent: st.builds(UsageEvent, usages, **covers),
    SnapshotEvent: st.builds(
        SnapshotEvent,
        st.lists(st.tuples(numbers, parts), max_size=2).map(tuple),
        usages,
        maybe_text,
        maybe_text,
        maybe_text,
        **covers,
    ),
    RestartEvent: st.builds(RestartEvent, numbers, **covers),
    UnknownEvent: st.builds(UnknownEvent, jsons, **covers),
    StreamEndEvent: st.builds(StreamEndEvent, results, **covers),
}


def test_every_kind_of_event_is_tried() -> None:
    assert {*events} == {*PartEvent.__args__}


@pytest.mark.parametrize("kind", events, ids=lambda kind: kind.event_kind)
def test_there_and_back(kind: type[PartEvent]) -> None:
    @settings(max_examples=30)
    @given(events[kind])
    def check(event: PartEvent) -> None:
        text = encode_event(event)
        assert "\n" not in text
        assert text.isascii()
        decoded = decode_event(text)
        assert decoded == event
        assert type(decoded) is type(event)
        assert decode_event(text.encode()) == event

    check()


def events_of(stream: ReferenceStream) -> list[PartEvent]:
    log = EventLog("s")
    assembler = Assembler(log, beta=stream.beta)
    framer = SSEFramer()
    try:
        for frame in (*framer.feed(stream.body), *framer.close()):
            assembler.feed(decode(frame))
    except WireError:
        pass
    assembler.close()
    cursor = Cursor.after(log, 0)
    return list(iter(lambda: cursor.take(merge=True), None))


def test_the_events_of_all_reference_streams() -> None:
    for stream in STREAMS.values():
        for event in events_of(stream):
            text = encode_event(event)
            decoded = decode_event(text)
            assert encode_event(decoded) == text
            assert decoded == event or "surrogate pair" in stream.name


def test_tags_are_in_the_json() -> None:
    event = PartStartEvent(0, TextPart("a"), stream_id="s", first_seq=2, seq=2)
    data = json.loads(encode_event(event))
    assert (data["event_kind"], data["part"]["part_kind"]) == ("part_start", "text")
    data = json.loads(encode_event(PartDeltaEvent(0, ToolCallPartDelta("{"))))
    assert data["delta"]["part_delta_kind"] == "tool-call"


def test_an_ending_gives_neither_the_request_nor_the_exception_away() -> None:
    result = StreamResult(
        state="failed",
        stream_id="s",
        request=StreamRequest("the secret prompt", custom_id="c", extra_headers={"x-api-key": "secret key"}),
        error=ErrorInfo("api_error", "it broke", cause=RuntimeError("secret cause")),
        attempts=(Attempt(1, 0, 1, error=ErrorInfo("api_error", "it broke", cause=RuntimeError("secret cause"))),),
        timestamp=datetime(2026, 10, 21, tzinfo=UTC),
    )
    event = StreamEndEvent(result, stream_id="s", first_seq=1, seq=1)
    text = encode_event(event)
    assert "secret" not in text
    assert "request" not in json.loads(text)["result"]
    assert "cause" not in json.loads(text)["result"]["error"]
    decoded = decode_event(text)
    assert decoded == event
    assert isinstance(decoded, StreamEndEvent)
    assert decoded.result.request is None
    assert decoded.result.error is not None
    assert decoded.result.error.cause is None


def test_lone_surrogates_survive() -> None:
    event = PartDeltaEvent(0, TextPartDelta("half: \ud83d"), stream_id="s", first_seq=1, seq=1)
    assert decode_event(encode_event(event).encode("ascii")) == event


# What JSON can't say, or readers stumble over, anywhere in a value.
odd = st.sampled_from([math.nan, math.inf, -math.inf, "\ud83d", "a\udc00b", "\u2028\u2029\x85\x00\x1b", 10**400, -0.0])
odd_jsons = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | odd,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


def nested(value: Any, depth: int) -> Any:
    for number in range(depth):
        value = {"a": value} if number % 2 else [value]
    return value


def said(value: Any) -> Any:
    """The value, as JSON can say it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [said(one) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: said(one) for name, one in cast("dict[str, Any]", value).items()}
    return value


def no_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


@settings(max_examples=150)
@given(odd_jsons, st.integers(0, 200))
def test_all_that_python_takes_for_json_there_and_back(value: Any, depth: int) -> None:
    value = nested(value, depth)
    for event in (
        UnknownEvent(value, stream_id="s"),
        PartStartEvent(0, TextPart("a", extra={"x": value}), {"y": value}),
        UsageEvent(Usage(details={"x": value})),
        PartDeltaEvent(0, UnknownPartDelta({"x": value})),
        StreamEndEvent(attrs.evolve(RESULT, message={"x": value}, extra={"y": value}, stop_details={"z": value})),
    ):
        text = encode_event(event)
        assert text.isascii()
        assert len(text.splitlines()) == 1
        json.loads(text, parse_constant=no_constant)
        decoded = decode_event(text)
        assert decode_event(text.encode()) == decoded
        assert encode_event(decoded) == text
        if isinstance(event, UnknownEvent):
            assert isinstance(decoded, UnknownEvent)
            assert decoded.raw == said(value)


@settings(max_examples=150)
@given(odd_jsons, st.integers(0, 200))
def test_lines_are_json_and_lines_to_every_reader(value: Any, depth: int) -> None:
    value = nested(value, depth)
    line = json_line({"x": value})
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line, parse_constant=no_constant) == {"x": said(value)}
    assert json.loads(json_text(value), parse_constant=no_constant) == said(value)


@given(st.sampled_from([math.nan, math.inf, -math.inf]))
def test_times_that_are_not_finite(value: float) -> None:
    error = ErrorInfo("api_error", "it broke", retry_after=value)
    event = StreamEndEvent(attrs.evolve(RESULT, error=error, timings=Timings(end=value, queued=value)))
    text = encode_event(event)
    json.loads(text, parse_constant=no_constant)
    decoded = decode_event(text)
    assert isinstance(decoded, StreamEndEvent)
    assert decoded.result.error is not None
    assert repr(decoded.result.error.retry_after) == repr(value)
    assert repr(decoded.result.timings) == repr(event.result.timings)


def test_what_is_nested_too_deep_for_any_reader_is_given_as_its_text() -> None:
    value: Any = math.nan
    for _ in range(50_000):
        value = {'"': [value]}
    for text in (json_text({"x": value}), json_line({"x": value}).decode(), encode_event(UnknownEvent(value))):
        found: Any = json.loads(text, parse_constant=no_constant)
        assert isinstance(found, dict)
        assert len(text) > 50_000 * 8
    assert isinstance(decode_event(encode_event(UnknownEvent(value))), UnknownEvent)
    number = 10**4299
    assert json.loads(json_text([number + number * 9])) == [hex(10**4300)]


def test_json_is_kept_however_deep_it_goes() -> None:
    raw: Any = 0
    for _ in range(400):
        raw = {"a": [raw]}
    for event in (UnknownEvent(raw), PartEndEvent(0, UnknownPart(raw)), PartEndEvent(0, TextPart(extra=raw))):
        assert decode_event(encode_event(event)) == event


def test_what_a_newer_release_adds_is_no_error() -> None:
    data = json.loads(encode_event(PartEndEvent(3, TextPart("a"))))
    data["novelty"] = data["part"]["novelty"] = 1
    assert decode_event(json.dumps(data)) == PartEndEvent(3, TextPart("a"))


GOOD: dict[str, Any] = json.loads(encode_event(PartStartEvent(0, TextPart("a"), stream_id="s", first_seq=2, seq=2)))
WRONG: list[tuple[str, Any]] = [
    ("index", "0"),
    ("index", None),
    ("index", 0.5),
    ("index", True),
    ("stream_id", 1),
    ("extra", []),
    ("part", None),
    ("part", {"part_kind": "poem"}),
    ("part", {**GOOD["part"], "content": 1}),
    ("part", {**GOOD["part"], "complete": "yes"}),
    ("part", {**GOOD["part"], "citations": 1}),
]


@pytest.mark.parametrize(
    "data",
    [
        "",
        "null",
        "[]",
        '"part_start"',
        "7",
        "{}",
        "{",
        b"\xff",
        "[" * 100_000,
        '{"event_kind":"novelty"}',
        '{"event_kind":["part_start"]}',
        '{"event_kind":"part_start"}',
        *(json.dumps({**GOOD, name: value}) for name, value in WRONG),
    ],
    ids=lambda data: repr(data)[:60],
)
def test_garbage_is_a_value_error(data: str | bytes) -> None:
    with pytest.raises(ValueError, match="not an encoded part event"):
        decode_event(data)


@settings(max_examples=30)
@given(jsons)
def test_any_json_that_is_no_event_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match="not an encoded part event"):
        decode_event(json.dumps(value))


def test_a_merged_event_keeps_its_numbers() -> None:
    event = PartDeltaEvent(0, TextPartDelta("abc"), stream_id="s", first_seq=2, seq=4)
    assert attrs.astuple(decode_event(encode_event(event)))[:3] == ("s", 2, 4)

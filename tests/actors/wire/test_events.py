"""Wire events: what is known comes back typed, what isn't comes back whole, and only what is no JSON raises."""

import json
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manystream.actors.wire.events import (
    ContentBlockDelta,
    Done,
    ErrorEvent,
    Extended,
    MessageStop,
    Ping,
    TextDelta,
    UnknownDelta,
    UnknownDeltaEvent,
    UnknownWireEvent,
    WireError,
    WireEvent,
    decode,
)
from manystream.actors.wire.framing import Frame, SSEFramer


def frame(data: str | bytes, event: str = "") -> Frame:
    """The frame of an event with this data, as the framer makes it."""
    name = f"event: {event}\n" if event else ""
    data = data.encode() if isinstance(data, str) else data
    (made,) = SSEFramer().feed(name.encode() + b"data: " + data + b"\n\n")
    return made


def decoded(value: Any, event: str = "") -> WireEvent:
    return decode(frame(json.dumps(value), event))


def delta(**fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 1, "delta": fields}


def test_what_is_known_is_typed() -> None:
    assert decoded(delta(type="text_delta", text="a")) == ContentBlockDelta(1, TextDelta("a"))
    assert decoded({"type": "message_stop"}) == MessageStop()
    assert decoded({"type": "ping"}) == Ping()


def test_the_json_decides_not_the_frames_name() -> None:
    assert decoded({"type": "message_stop"}, "content_block_start") == MessageStop()


@pytest.mark.parametrize("data", ["", "x", "{", "null"])
def test_a_ping_is_a_ping_whatever_it_holds(data: str) -> None:
    assert decode(frame(data or " ", "ping")) == Ping()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ('{"type": "error", "error": {"type": "api_error"}}', {"type": "api_error"}),
        ('{"error": {"type": "api_error"}}', {"type": "api_error"}),
        ('{"type": "api_error", "message": "m"}', {"type": "api_error", "message": "m"}),
        ('{"error": "it broke"}', {"message": "it broke"}),
        ('{"type": "message_stop"}', {"type": "message_stop"}),
        ('["it broke"]', {"message": ["it broke"]}),
        ("it broke", {"message": "it broke"}),
        ("[DONE]", {"message": "[DONE]"}),
    ],
)
def test_a_frame_named_error_is_an_error_whatever_it_holds(data: str, error: dict[str, Any]) -> None:
    event = decode(frame(data, "error"))
    assert isinstance(event, ErrorEvent)
    assert event.error == error


def test_unknown_fields_stand_beside_what_is_known() -> None:
    event = decoded({**delta(type="text_delta", text="a", tone=3), "x": [1]})
    assert event == Extended(ContentBlockDelta(1, TextDelta("a")), {"x": [1]}, {"tone": 3})


@pytest.mark.parametrize("raw", [{"type": "verse_delta", "verse": "O"}, {"type": "text_delta", "text": 7}, {}])
def test_an_unknown_delta_keeps_its_place_and_its_json(raw: dict[str, Any]) -> None:
    assert decoded(delta(**raw)) == UnknownDeltaEvent(1, UnknownDelta(raw))


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "novelty", "x": [1]},
        {"type": ["ping"]},
        {},
        [],
        "text",
        7,
        None,
    ],
)
def test_an_unknown_event_is_kept_as_it_was(raw: Any) -> None:
    assert decoded(raw) == UnknownWireEvent(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "content_block_stop", "index": "1"},
        {"type": "content_block_delta", "index": 1, "delta": "text"},
        {"type": "content_block_delta", "index": "\ud83d", "delta": {"type": "text_delta", "text": "a"}},
        {"type": "message_start", "message": "\ud83d"},
        {"index": 1, "delta": {}, "type": ["content_block_start"]},
    ],
)
def test_a_known_event_that_says_something_else_is_kept_as_it_was(raw: dict[str, Any]) -> None:
    kind = raw["type"] if isinstance(raw["type"], str) else raw["type"][0]
    assert decode(frame(json.dumps(raw), kind)) == UnknownWireEvent(raw, kind)


def test_without_a_type_of_its_own_an_event_is_what_its_frame_says() -> None:
    assert decoded({"index": 1, "delta": {"type": "text_delta", "text": "a"}}, "content_block_delta") == (
        ContentBlockDelta(1, TextDelta("a"))
    )
    assert decoded({"type": None}, "message_stop") == MessageStop()


def test_done_ends_a_stream() -> None:
    assert decode(frame("[DONE]", "")) == decode(frame(" [DONE]\n", "message")) == Done()


@pytest.mark.parametrize("kind", ["novelty", "message_delta"])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9" * 5000, "9" * 5000),
        ("-" + "9" * 5000, "-" + "9" * 5000),
        ("1e999", "1e999"),
        ("-1E400", "-1E400"),
        ("1e20", 1e20),
        ("9" * 30, int("9" * 30)),
        ("[" * 5000 + "]" * 5000, "[" * 4802 + "]" * 4802),  # 200 deep it is read, the event's own two included
        ('{"a":' * 1000 + '"]}{["' + "}" * 1000, '{"a":' * 802 + '"]}{["' + "}" * 802),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_python_cannot_hold_is_kept_as_its_text(kind: str, text: str, value: Any) -> None:
    event = decode(frame(f'{{"type": "{kind}", "delta": {{"x": {text}}}}}', kind))
    found: Any = event.raw["delta"]["x"] if isinstance(event, UnknownWireEvent) else cast(Any, event).delta["x"]
    while isinstance(found, list | dict):
        found = cast(Any, found)[0 if isinstance(found, list) else "a"]
    assert found == value
    assert json.loads(json.dumps(found, allow_nan=False)) == value


def test_lone_surrogates_are_json() -> None:
    assert decode(frame(json.dumps(delta(type="text_delta", text="\ud83d")))) == ContentBlockDelta(
        1, TextDelta("\ud83d")
    )


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("secret", "not valid JSON"),
        ('{"type": "ping"', "not valid JSON"),
        ('{"type": NaN}', "NaN is not a JSON value"),
        (b'{"type": "\xff"}', "not valid UTF-8"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_raises_and_does_not_quote_it(data: str | bytes, why: str) -> None:
    with pytest.raises(WireError, match=why) as caught:
        decode(frame(data, "content_block_delta"))
    assert "secret" not in str(caught.value)
    assert "content_block_delta" in str(caught.value)


jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
kinds = st.sampled_from(["message_start", "content_block_start", "content_block_delta", "message_delta", "error", "x"])


@given(kinds, st.dictionaries(st.sampled_from(["index", "delta", "message", "usage", "error", "y"]), jsons))
def test_no_json_object_raises_or_vanishes(kind: str, fields: dict[str, Any]) -> None:
    raw = {"type": kind, **fields}
    event = decoded(raw)
    if isinstance(event, UnknownWireEvent):
        assert event.raw == raw
        assert event.kind == (None if kind == "x" else kind)
    elif isinstance(event, Extended):
        assert event.event_extra.items() <= raw.items()
    else:
        assert kind != "x"

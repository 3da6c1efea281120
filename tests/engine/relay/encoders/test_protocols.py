"""Every stream of the reference corpus in every protocol: what its readers insist on, and that no text is lost."""

import json
from collections.abc import Iterator
from typing import Any, cast

import pytest
from tests.support.told import reference

from manystream.actors import PartEvent, ServerToolCallPart, StreamEndEvent, StreamResult, TextPart, ToolCallPart
from manystream.actors.message import mended
from manystream.engine.relay.encoders import PROTOCOLS, Encoder, Protocol, Shown, encoder

CASES = list(reference())
Frame = tuple[str, str, Any]


def frames(encoder: Encoder, events: list[PartEvent]) -> list[Frame]:
    """Id, event and data of each frame."""
    sent = b"".join(map(encoder.feed, events)).decode()
    assert sent.endswith("\n\n") or not sent
    found: list[Frame] = []
    for block in sent.split("\n\n")[:-1]:
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        assert set(fields) <= {"id", "event", "data"}
        data = fields["data"]
        found.append((fields.get("id", ""), fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return found


def result_of(events: list[PartEvent]) -> StreamResult[Any]:
    end = events[-1]
    assert isinstance(end, StreamEndEvent)
    return end.result


def texts_of(events: list[PartEvent]) -> list[str]:
    return [mended(part.content) for part in result_of(events).parts if isinstance(part, TextPart) and part.content]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_frame_is_json_with_one_ending(protocol: Protocol) -> None:
    for name, events in CASES:
        found = frames(encoder(protocol), events)
        kinds = [event or data if isinstance(data, str) else event or data["type"] for _, event, data in found]
        ends = ("stream_end", "[DONE]", "RUN_FINISHED", "RUN_ERROR")
        assert [kind for kind in kinds if kind in ends] == [kinds[-1]], name


def test_native_numbers_have_no_gap_and_no_repeat() -> None:
    for name, events in CASES:
        told = 0
        for id_, _, data in frames(encoder("native", shown=Shown(thinking=False, usage=False)), events):
            assert data["first_seq"] == told + 1, name
            told = data["seq"]
            assert id_ == f"1-{told}"
        assert told == events[-1].seq


def native_texts(found: list[Frame]) -> list[str]:
    """What a browser holds: the rules of docs/relay_events.md."""
    parts: list[dict[str, Any]] = []
    for _, event, data in found:
        match event:
            case "part_start":
                parts.append(data)
            case "part_delta" if "text" in data:
                last = next(part for part in reversed(parts) if part["index"] == data["index"])
                last["text"] += data["text"]
            case "snapshot":
                parts = data["parts"]
            case "restart":
                parts = []
            case _:
                pass
    return [mended(part["text"]) for part in parts if part.get("text")]


def vercel_texts(found: list[Frame]) -> list[str]:
    """As `ai` reads it: it throws at a delta or an end without its start, and at a result without its call."""
    parts: list[list[str]] = []
    active: dict[str, list[str]] = {}
    calls: set[str] = set()
    for _, _, chunk in found[:-1]:
        match chunk["type"]:
            case "text-start" | "reasoning-start":
                active[chunk["id"]] = []
                if chunk["type"] == "text-start":
                    parts.append(active[chunk["id"]])
            case "text-delta" | "reasoning-delta":
                active[chunk["id"]].append(chunk["delta"])
            case "text-end" | "reasoning-end":
                del active[chunk["id"]]
            case "tool-input-start":
                calls.add(chunk["toolCallId"])
            case "tool-input-delta" | "tool-input-available" | "tool-input-error" | "tool-output-available":
                assert chunk["toolCallId"] in calls
            case "reset-step":
                parts.clear()
                active.clear()
            case "start" | "start-step" | "finish-step" | "finish" | "error" | "abort" | "custom":
                pass
            case kind:
                assert kind in ("message-metadata", "source-url", "source-document")
    assert not active
    return ["".join(pieces) for pieces in parts if pieces]


def agui_texts(found: list[Frame]) -> list[str]:
    """As `@ag-ui/client` verifies it: what begins ends, and nothing is open at the run's end."""
    messages: dict[str, list[str]] = {}
    active: set[tuple[str, str]] = set()
    assert found[0][2]["type"] == "RUN_STARTED"
    assert found[0][2]["protocolVersion"] == "1.0"
    for _, _, event in found[1:]:
        kind, _, stage = event["type"].rpartition("_")
        key = (kind, event.get("messageId") or event.get("toolCallId") or "")
        match stage:
            case "START":
                assert key not in active
                active.add(key)
                if kind == "TEXT_MESSAGE":
                    messages.setdefault(key[1], [])
            case "CONTENT" | "ARGS":
                assert key in active
                assert event["delta"]
                if kind == "TEXT_MESSAGE":
                    messages[key[1]].append(event["delta"])
            case "END":
                active.remove(key)
            case _ if event.get("name") == "manystream.restart":
                for void in event["value"]["messageIds"]:
                    messages.pop(void, None)
            case _:
                pass
    assert not active
    return ["".join(pieces) for pieces in messages.values() if pieces]


@pytest.mark.parametrize(
    ("protocol", "read"), [("native", native_texts), ("vercel", vercel_texts), ("agui", agui_texts)]
)
def test_no_text_is_lost(protocol: Protocol, read: Any) -> None:
    for name, events in CASES:
        # AG-UI puts texts side by side into one message. Readers show parts in the order in which they began.
        found, sent = "".join(read(frames(encoder(protocol), events))), "".join(texts_of(events))
        if "out of order" in name:
            found, sent = "".join(sorted(found)), "".join(sorted(sent))
        assert found == sent, name


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield key
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from strings(inner)


def names_in(value: Any) -> Iterator[str]:
    """What is named in frames, whatever a model or a tool says in them: events, fields and kinds."""
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield key
            if key in ("type", "kind") and isinstance(inner, str):
                yield inner
            yield from names_in(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from names_in(inner)


@pytest.mark.parametrize("protocol", ["vercel", "agui"])
def test_no_half_of_a_surrogate_pair_reaches_readers_that_refuse_it(protocol: Protocol) -> None:
    for name, events in CASES:
        for _, _, data in frames(encoder(protocol), events):
            for text in strings(data):
                assert not any("\ud800" <= char <= "\udfff" for char in text), name


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_switched_off_is_not_told(protocol: Protocol) -> None:
    shown = Shown(thinking=False, tool_arguments=False, usage=False)
    for name, events in CASES:
        parts = result_of(events).parts
        found = frames(encoder(protocol, shown=shown), events)
        sent = json.dumps([data for _, _, data in found])
        secrets = [part.args for part in parts if isinstance(part, ToolCallPart) and len(part.args) > 4]
        told = [part.args for part in parts if isinstance(part, ServerToolCallPart)]
        assert not [secret for secret in secrets if json.dumps(secret)[1:-1] in sent and secret not in told], name
        named = " ".join(names_in([{"type": event, "data": data} for _, event, data in found]))
        for word in ("reasoning", "REASONING", "thinking", "inputTokens", "input_tokens"):
            assert word not in named, (name, word)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_head_of_a_response(protocol: Protocol) -> None:
    made = encoder(protocol)
    headers = dict(made.headers)
    assert headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert headers[b"cache-control"] == b"no-cache, no-transform"
    assert b"connection" not in headers  # HTTP/2 forbids it
    assert (b"x-vercel-ai-ui-message-stream" in headers) == (protocol == "vercel")
    for comment in (made.opening, made.keepalive):
        assert comment.startswith(b":")
        assert comment.endswith(b"\n\n")


def test_an_unknown_protocol_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="native, vercel, agui, not 'sse'"):
        encoder(cast("Protocol", "sse"))

"""What crosses to a browser is a list: everything that is not on it stays, whatever holds it."""

import json
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from tests.support.told import a_result, numbered

from manystream.actors import (
    CitationPartDelta,
    CompactionPart,
    CompactionPartDelta,
    ContainerUploadPart,
    ErrorInfo,
    FallbackPart,
    MCPToolListingPart,
    Part,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RedactedThinkingPart,
    ServerToolCallPart,
    ServerToolResultPart,
    SnapshotEvent,
    StreamEndEvent,
    StreamRequest,
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
from manystream.actors.stream import STATUS_OF_TYPE
from manystream.engine.relay.encoders import PROTOCOLS, Protocol, Shown, encoder

SECRET = "org-acme-sk-ant"
EXTRA: dict[str, Any] = {"extra": {SECRET: SECRET}}
CITED: dict[str, Any] = {
    "type": "web_search_result_location",
    "cited_text": "the cited words",
    "url": "https://example.org/page",
    "title": "A page",
    "encrypted_index": SECRET,
    "file_id": SECRET,
    "document_title": {SECRET: SECRET},
}
FOUND: list[dict[str, Any]] = [
    {"type": "web_search_result", "url": "https://example.org/page", "title": "A page", "encrypted_content": SECRET},
    {"type": "newer", SECRET: {"text": SECRET}},
]
FETCHED = {"type": "web_fetch_result", "url": "u", "content": {"type": "document", "source": {"data": SECRET}}}
PARTS: list[Part] = [
    TextPart("Hello", (CITED,), unknown_deltas=({SECRET: SECRET},), **EXTRA),
    ThinkingPart("Hm", "signed", **EXTRA),
    RedactedThinkingPart(SECRET, **EXTRA),
    ToolCallPart("look_up", '{"q": 1}', "toolu_1", **EXTRA),
    ServerToolCallPart("web_search", '{"query": "x"}', "srvtoolu_1", SECRET, **EXTRA),
    ServerToolResultPart("web_search_tool_result", "srvtoolu_1", FOUND, **EXTRA),
    ServerToolResultPart("web_fetch_tool_result", "srvtoolu_2", FETCHED, **EXTRA),
    ContainerUploadPart("file_1", **EXTRA),
    CompactionPart(SECRET, SECRET, **EXTRA),
    FallbackPart("claude-a", "claude-b", extra={"from": {SECRET: SECRET}}),
    MCPToolListingPart(SECRET, ({SECRET: SECRET},), **EXTRA),
    UnknownPart({"type": SECRET}),
]


def everything() -> list[PartEvent]:
    events: list[PartEvent] = [StreamStartEvent("msg_1", "claude-x", SECRET), UsageEvent(Usage(details={SECRET: 1}))]
    for index, part in enumerate(PARTS):
        events += [PartStartEvent(index, attrs.evolve(part, complete=False), {SECRET: SECRET})]
        events += [PartDeltaEvent(index, UnknownPartDelta({SECRET: SECRET}, {SECRET: SECRET}), {SECRET: SECRET})]
        events += [PartEndEvent(index, part, {SECRET: SECRET})]
    events.append(PartDeltaEvent(0, TextPartDelta("more", {SECRET: SECRET}), {SECRET: SECRET}))
    events.append(PartDeltaEvent(0, CitationPartDelta(CITED, {SECRET: SECRET})))
    events.append(PartDeltaEvent(8, CompactionPartDelta(SECRET, SECRET)))
    return [*events, UnknownEvent({SECRET: SECRET})]


def endings() -> Iterator[PartEvent]:
    error = ErrorInfo("overloaded_error", SECRET, 529, SECRET, code=SECRET, rate_limits={"x": SECRET}, deadline=SECRET)
    for state in ("complete", "truncated", "cancelled", "failed"):
        yield StreamEndEvent(
            a_result(
                state,
                error=error if state in ("truncated", "failed") else None,
                custom_id=SECRET,
                request=StreamRequest(SECRET),
                stop_sequence=SECRET,
                stop_details={SECRET: SECRET},
                message={SECRET: SECRET},
                cancelled_by="handle",
                request_id=SECRET,
                rate_limits={SECRET: SECRET},
                extra={SECRET: SECRET},
                usage=Usage(details={SECRET: 1}),
            )
        )


def sent(protocol: Protocol, events: list[PartEvent], shown: Shown | None = None) -> str:
    return b"".join(map(encoder(protocol, shown=shown or Shown()).feed, events)).decode()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_else_crosses(protocol: Protocol) -> None:
    shot = SnapshotEvent(tuple(enumerate(PARTS)), Usage(details={SECRET: 1}), "msg_1", "claude-x", SECRET)
    for end in endings():
        for events in (everything(), [shot], [*everything(), shot]):
            text = sent(protocol, numbered(*events, end))
            assert SECRET not in text
            for wanted in ("Hello", "the cited words", "signed", "https://example.org/page", "file_1", "claude-b"):
                assert wanted in text, wanted


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_request_ids_cross_when_they_are_asked_for(protocol: Protocol) -> None:
    events = numbered(StreamStartEvent("msg_1", "claude-x", "req_1"), StreamEndEvent(a_result(request_id="req_2")))
    assert "req_" not in sent(protocol, events)
    text = sent(protocol, events, Shown(request_ids=True))
    assert "req_1" in text
    assert "req_2" in text


ACCOUNT = ("authentication_error", "billing_error", "permission_error", "not_found_error", "spend_cap_reached", "newer")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", [*STATUS_OF_TYPE, *ACCOUNT, "deadline_exceeded", "internal_error", "engine_error"])
def test_an_error_is_a_fixed_sentence(protocol: Protocol, kind: str) -> None:
    events = numbered(StreamEndEvent(a_result("failed", error=ErrorInfo(kind, SECRET, 429, SECRET, code=SECRET))))
    text = sent(protocol, events)
    assert SECRET not in text
    assert "429" not in text
    if kind in ACCOUNT:
        assert kind not in text
        assert "The answer could not be given." in text


@pytest.mark.parametrize("deep", ["[" * 5000 + "]" * 5000, '{"a":' * 5000 + "1" + "}" * 5000])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_nested_without_end_fails_nothing(protocol: Protocol, deep: str) -> None:
    value: Any = deep
    for _ in range(5000):
        value = [value] if deep[0] == "[" else {"content": value}
    part = ServerToolResultPart("x_tool_result", "srvtoolu_1", value)
    call = ToolCallPart("look_up", deep, "toolu_1")
    begun = [PartStartEvent(0, part), PartStartEvent(1, call), PartEndEvent(1, call)]
    text = sent(protocol, numbered(*begun, StreamEndEvent(a_result())))
    for line in text.splitlines():
        if line.startswith("data: {"):
            json.loads(line[6:])

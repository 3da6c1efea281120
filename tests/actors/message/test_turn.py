"""Turns: what an answer becomes in the next request, and how a tool call is answered."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, cast

import pytest
from tests.support.reference.streams import STREAMS, ReferenceStream

from manystream.actors import (
    CompactionPart,
    FallbackPart,
    Part,
    RedactedThinkingPart,
    ServerToolCallPart,
    ServerToolResultPart,
    StreamResult,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UnknownPart,
    tool_result,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import EventLog
from manystream.actors.stream.result import Ending
from manystream.actors.wire.events import WireError, decode
from manystream.actors.wire.framing import SSEFramer


def turn(*parts: Part, state: Ending = "complete", keep_tools: bool = False) -> list[dict[str, Any]] | None:
    """The content of the turn made of these parts."""
    result = StreamResult(state=state, stream_id="s", parts=parts, timestamp=datetime.now(UTC))
    message = result.to_message_param(keep_tools=keep_tools)
    if message is None:
        return None
    assert message["role"] == "assistant"
    return message["content"]


TEXT = TextPart("Hello")
THINKING = ThinkingPart("Hm", "c2ln")
CALL = ToolCallPart("get_weather", '{"city": "Wien"}', "toolu_1")
SEARCH = ServerToolCallPart("web_search", '{"query": "Wien"}', "srvtoolu_1")
FOUND = ServerToolResultPart("web_search_tool_result", "srvtoolu_1", [])
INTERRUPTED: list[Ending] = ["truncated", "cancelled", "failed"]


def test_a_complete_turn_is_given_back_as_it_came() -> None:
    assert turn(THINKING, TEXT, SEARCH, FOUND, CALL) == [
        {"type": "thinking", "thinking": "Hm", "signature": "c2ln"},
        {"type": "text", "text": "Hello"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "Wien"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
        {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Wien"}},
    ]


def test_a_paused_turn_keeps_the_server_call_that_is_still_to_be_answered() -> None:
    assert turn(TEXT, SEARCH) == [TEXT.to_block(), SEARCH.to_block()]


def test_a_result_whose_call_stood_in_the_turn_before_is_kept() -> None:
    assert turn(FOUND, TEXT) == [FOUND.to_block(), TEXT.to_block()]


@pytest.mark.parametrize("state", INTERRUPTED)
def test_an_interrupted_turn_keeps_its_partial_text(state: Ending) -> None:
    assert turn(THINKING, TextPart("Hel", complete=False), state=state) == [
        THINKING.to_block(),
        {"type": "text", "text": "Hel"},
    ]


@pytest.mark.parametrize("state", INTERRUPTED)
def test_of_an_interrupted_turn_tool_calls_go_unless_they_are_wanted(state: Ending) -> None:
    assert turn(TEXT, CALL, state=state) == [TEXT.to_block()]
    assert turn(TEXT, CALL, state=state, keep_tools=True) == [TEXT.to_block(), CALL.to_block()]


@pytest.mark.parametrize("state", INTERRUPTED)
def test_of_an_interrupted_turn_unanswered_server_calls_go(state: Ending) -> None:
    answered = [TEXT.to_block(), SEARCH.to_block(), FOUND.to_block()]
    assert turn(TEXT, SEARCH, state=state) == [TEXT.to_block()]
    assert turn(TEXT, SEARCH, FOUND, state=state) == answered
    cut = ServerToolResultPart("web_search_tool_result", "srvtoolu_1", [], complete=False)
    assert turn(TEXT, SEARCH, cut, state=state, keep_tools=True) == [TEXT.to_block()]


CUT = '{"city": "W'


@pytest.mark.parametrize("state", ["complete", *INTERRUPTED])
@pytest.mark.parametrize(
    "part",
    [
        TextPart(""),
        TextPart(" \n"),
        ThinkingPart("Hm", complete=False),
        ThinkingPart("Hm", "c2ln", complete=False),
        ThinkingPart("Hm"),
        ThinkingPart("Hm", ""),
        RedactedThinkingPart("RW5j", complete=False),
        ToolCallPart("get_weather", CUT, "toolu_1", complete=False),
        ToolCallPart("get_weather", CUT, "toolu_1"),
        ToolCallPart("get_weather", "[1]", "toolu_1"),
        ServerToolCallPart("web_search", CUT, "srvtoolu_1"),
        CompactionPart("summary", complete=False),
        UnknownPart({"type": "poem"}, complete=False),
        UnknownPart({"type": "poem"}, unknown_deltas=({"type": "verse_delta"},)),
    ],
    ids=repr,
)
def test_what_the_api_would_refuse_is_left_out(part: Part, state: Ending) -> None:
    assert turn(part, TEXT, state=state, keep_tools=True) == [TEXT.to_block()]
    assert turn(part, state=state, keep_tools=True) is None


def test_a_result_goes_with_its_call() -> None:
    invalid = ServerToolCallPart("web_search", CUT, "srvtoolu_1")
    assert turn(TEXT, invalid, FOUND) == [TEXT.to_block()]


def test_a_turn_does_not_end_with_thinking() -> None:
    assert turn(THINKING) is None
    assert turn(TEXT, THINKING, RedactedThinkingPart("RW5j")) == [TEXT.to_block()]
    assert turn(THINKING, CALL, state="cancelled") is None
    assert turn(THINKING, CALL, state="cancelled", keep_tools=True) == [THINKING.to_block(), CALL.to_block()]


def test_citations_go_back_without_what_only_answers_have() -> None:
    citation = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None}
    place = {"start_char_index": 0, "end_char_index": 1}
    assert turn(TextPart("a", ({**citation, **place, "file_id": None},))) == [
        {"type": "text", "text": "a", "citations": [{**citation, **place}]}
    ]


def test_what_a_model_left_when_another_took_over_goes_back_by_the_rules() -> None:
    hop = FallbackPart("a", "b", extra={"from": {"model": "a"}, "to": {"model": "b"}})
    later = ServerToolCallPart("web_search", "{}", "srvtoolu_2")
    call = ToolCallPart("get_weather", "{}", "toolu_2")
    unknown = UnknownPart({"type": "poem"})
    assert turn(THINKING, TEXT, unknown, CALL, SEARCH, FOUND, later, hop, THINKING, unknown, call) == [
        TEXT.to_block(),
        SEARCH.to_block(),
        FOUND.to_block(),
        {"type": "fallback", "from": {"model": "a"}, "to": {"model": "b"}},
        THINKING.to_block(),
        {"type": "poem"},
        call.to_block(),
    ]
    assert turn(hop, THINKING, TEXT) == [hop.to_block(), THINKING.to_block(), TEXT.to_block()]


# The API's own word on shapes: the SDK's request types.


def assert_sendable(message: object, *, beta: bool = False) -> None:
    consume(_validator(beta=beta)(message))


def consume(value: object) -> None:
    """Pydantic checks an iterable only while somebody iterates."""
    if isinstance(value, Mapping):
        value = cast("Mapping[str, object]", value).values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in cast("Iterable[object]", value):
            consume(item)


@cache
def _validator(*, beta: bool) -> Callable[[object], object]:
    from anthropic.types import MessageParam
    from anthropic.types.beta import BetaMessageParam
    from pydantic import TypeAdapter

    return TypeAdapter[Any](BetaMessageParam if beta else MessageParam).validate_python


def assemble(stream: ReferenceStream) -> tuple[Assembler, bool]:
    assembler = Assembler(EventLog("s"), beta=stream.beta)
    framer = SSEFramer()
    try:
        for frame in (*framer.feed(stream.body), *framer.close()):
            assembler.feed(decode(frame))
    except WireError:
        pass
    assembler.close()
    return assembler, assembler.stopped


def test_the_check_checks() -> None:
    with pytest.raises(ValueError, match="signature"):
        assert_sendable({"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm"}]})


# The types can't know what is yet to come, nor a tool without a schema.
_NOT_IN_THE_TYPES = ("unknown fields of blocks", "unknown server tool", "beta, mcp_tool_listing")
KNOWN = [
    stream
    for stream in STREAMS.values()
    if stream.comparable and b"of_the_future" not in stream.body and stream.name not in _NOT_IN_THE_TYPES
]


@pytest.mark.parametrize("stream", KNOWN, ids=lambda stream: stream.name)
def test_turns_have_the_request_types_shapes(stream: ReferenceStream) -> None:
    assembler, stopped = assemble(stream)
    parts = tuple(part for _, part in assembler.parts())
    known = [part for part in parts if not isinstance(part, UnknownPart)]
    for state in ("complete", "cancelled") if stopped else INTERRUPTED:
        result = StreamResult(state=state, stream_id="s", parts=tuple(known), timestamp=datetime.now(UTC))
        for keep_tools in (False, True):
            param = result.to_message_param(keep_tools=keep_tools)
            if param is not None:
                assert_sendable(param, beta=stream.beta)
                assert_acceptable(param["content"])


def assert_acceptable(content: Iterable[Mapping[str, Any]]) -> None:
    """What the types don't say."""
    *_, last = content
    assert last["type"] not in ("thinking", "redacted_thinking")
    for block in content:
        if block["type"] == "text":
            assert block["text"].strip()
            assert all("file_id" not in citation for citation in block.get("citations") or ())
        if block["type"] == "thinking":
            assert block["signature"]


def test_a_call_is_answered_by_its_id() -> None:
    assert tool_result(CALL, "sunny") == {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}
    assert tool_result(CALL, "no such city", is_error=True) == {
        "type": "tool_result",
        "tool_use_id": "toolu_1",
        "content": "no such city",
        "is_error": True,
    }
    blocks = [{"type": "text", "text": "sunny"}]
    answer = tool_result(CALL, blocks)
    assert answer.get("content") == blocks
    assert_sendable({"role": "user", "content": [answer]})

"""Which frame tells what, case by case, in the three protocols."""

import json
from typing import Any

import pytest
from tests.support.told import a_result, numbered

from manystream.actors import (
    ErrorInfo,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    ServerToolCallPart,
    ServerToolResultPart,
    SnapshotEvent,
    StreamEndEvent,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
    ToolCallPartDelta,
    Usage,
)
from manystream.engine.relay.encoders import Encoder, agui, native, vercel

BEGUN = StreamStartEvent("msg_1", "claude-x")


def begun(index: int, part: Any) -> PartEvent:
    return PartStartEvent(index, part)


def data(encoder: Encoder, *events: PartEvent) -> list[Any]:
    sent = b"".join(map(encoder.feed, numbered(*events))).decode()
    lines = [line[6:] for line in sent.split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else json.loads(line) for line in lines]


def chunks(*events: PartEvent) -> list[Any]:
    """Vercel's, without the message's start."""
    found = data(vercel(message_id="m"), BEGUN, *events)
    assert [chunk["type"] for chunk in found[:2]] == ["start", "start-step"]
    return found[2:]


def run(*events: PartEvent) -> list[Any]:
    """AG-UI's, without the run's start."""
    found = data(agui(thread_id="t", run_id="r"), BEGUN, *events)
    assert found[0]["type"] == "RUN_STARTED"
    return found[1:]


# Endings


ENDINGS: list[tuple[dict[str, Any], list[str], dict[str, Any]]] = [
    ({"stop_reason": "end_turn"}, ["finish-step", "finish"], {"finishReason": "stop"}),
    ({"stop_reason": "max_tokens"}, ["finish-step", "finish"], {"finishReason": "length"}),
    ({"stop_reason": "tool_use"}, ["finish-step", "finish"], {"finishReason": "tool-calls"}),
    ({"stop_reason": "refusal"}, ["finish-step", "finish"], {"finishReason": "content-filter"}),
    ({"stop_reason": "pause_turn"}, ["finish-step", "finish"], {"finishReason": "other"}),
    ({"state": "truncated"}, ["finish-step", "finish"], {"finishReason": "interrupted"}),
    (
        {"state": "cancelled", "cancel_reason": "stopped"},
        ["finish-step", "message-metadata", "abort"],
        {"reason": "stopped"},
    ),
    (
        {"state": "failed"},
        ["finish-step", "message-metadata", "error"],
        {"errorText": "The model is overloaded just now."},
    ),
]


@pytest.mark.parametrize(("ending", "kinds", "fields"), ENDINGS)
def test_vercel_tells_how_it_ended(ending: dict[str, Any], kinds: list[str], fields: dict[str, Any]) -> None:
    found = chunks(StreamEndEvent(a_result(**ending)))
    assert found.pop() == "[DONE]"
    assert [chunk["type"] for chunk in found] == kinds
    assert {name: found[-1][name] for name in fields} == fields
    (metadata,) = [chunk["messageMetadata"] for chunk in found if "messageMetadata" in chunk]
    assert metadata["state"] == ending.get("state", "complete")  # `interrupted` itself is invisible in useChat
    assert metadata.get("stopReason") == ending.get("stop_reason")
    assert ("error" in metadata) == (metadata["state"] in ("failed", "truncated"))


@pytest.mark.parametrize(
    ("ending", "kind", "fields"),
    [
        ({"stop_reason": "end_turn"}, "RUN_FINISHED", {"outcome": {"type": "success"}}),
        ({"stop_reason": "refusal"}, "RUN_FINISHED", {"result": {"state": "complete", "stopReason": "refusal"}}),
        ({"state": "cancelled"}, "RUN_FINISHED", {"outcome": {"type": "cancelled"}}),
        ({"state": "truncated"}, "RUN_ERROR", {"code": "truncated", "message": "The answer broke off."}),
        ({"state": "failed"}, "RUN_ERROR", {"code": "overloaded_error"}),
    ],
)
def test_agui_tells_how_it_ended(ending: dict[str, Any], kind: str, fields: dict[str, Any]) -> None:
    usage = Usage(3, 4, 5, 6)
    (found,) = run(StreamEndEvent(a_result(**ending, usage=usage, model_name="claude-x")))
    assert found["type"] == kind
    assert {name: found[name] for name in fields} == fields
    assert found["usage"] == [{"model": "claude-x", "inputTokens": 14, "outputTokens": 4}]


def test_native_tells_how_it_ended() -> None:
    error = ErrorInfo("overloaded_error", "said by the API", retryable=True)
    (found,) = data(native(), StreamEndEvent(a_result("failed", error=error, stop_reason=None)))
    assert found == {
        "first_seq": 1,
        "seq": 1,
        "state": "failed",
        "usage": {"input_tokens": 0, "output_tokens": 0},
        "error": {
            "type": "overloaded_error",
            "message": "The model is overloaded just now.",
            "retryable": True,
        },
    }


# Calls

CUT = ToolCallPart("look_up", '{"q": "riv', "toolu_1", complete=False)
WHOLE = ToolCallPart("look_up", '{"q": 1}', "toolu_1")
WRONG = ToolCallPart("look_up", '{"q": }', "toolu_1")


@pytest.mark.parametrize(
    ("part", "kind", "fields"),
    [
        (WHOLE, "tool-input-available", {"input": {"q": 1}}),
        (CUT, "tool-input-error", {"input": '{"q": "riv', "errorText": "The call was cut off."}),
        (WRONG, "tool-input-error", {"input": '{"q": }', "errorText": "The call's arguments are not valid."}),
    ],
)
def test_a_call_s_arguments(part: ToolCallPart, kind: str, fields: dict[str, Any]) -> None:
    opened = ToolCallPart("look_up", "", "toolu_1", complete=False)
    events = [begun(0, opened), PartDeltaEvent(0, ToolCallPartDelta(part.args)), PartEndEvent(0, part)]
    start, delta, end = chunks(*events)
    assert start == {"type": "tool-input-start", "toolCallId": "toolu_1", "toolName": "look_up"}
    assert delta == {"type": "tool-input-delta", "toolCallId": "toolu_1", "inputTextDelta": part.args}
    assert end == {"type": kind, "toolCallId": "toolu_1", "toolName": "look_up", **fields}

    *told, ended = run(*events, StreamEndEvent(a_result(stop_reason="tool_use")))
    assert [event["type"] for event in told] == ["TOOL_CALL_START", "TOOL_CALL_ARGS", "TOOL_CALL_END"]
    assert told[0]["parentMessageId"] == "r.0"
    # Only what came whole is to be answered.
    assert ended["outcome"].get("pendingToolCallIds") == (["toolu_1"] if part is WHOLE else None)


def test_a_call_without_an_id_gets_one() -> None:
    part = ToolCallPart("look_up", "{}", "")
    events = [begun(3, part), PartEndEvent(3, part)]
    assert {chunk["toolCallId"] for chunk in chunks(*events)} == {"call-3"}
    assert {event["toolCallId"] for event in run(*events)} == {"r.call-3"}


SEARCH = ServerToolCallPart("web_search", '{"query": "x"}', "srvtoolu_1")
FOUND = ServerToolResultPart(
    "web_search_tool_result",
    "srvtoolu_1",
    [{"type": "web_search_result", "url": "https://a.example", "title": "A", "encrypted_content": "x"}],
)
RESULT = [{"type": "web_search_result", "url": "https://a.example", "title": "A"}]


def test_a_server_tool_s_call_and_answer() -> None:
    events = [begun(0, SEARCH), PartEndEvent(0, SEARCH), begun(1, FOUND), PartEndEvent(1, FOUND)]
    *_, available, output = chunks(*events)
    assert available["providerExecuted"] is True
    assert output == {
        "type": "tool-output-available",
        "toolCallId": "srvtoolu_1",
        "output": RESULT,
        "providerExecuted": True,
    }
    *_, told = run(*events)
    assert (told["type"], told["toolCallId"], json.loads(told["content"])) == ("TOOL_CALL_RESULT", "srvtoolu_1", RESULT)


def test_an_answer_to_a_call_that_was_not_told_is_no_output_of_it() -> None:
    """`ai` throws at such an output."""
    (chunk,) = chunks(begun(1, FOUND))
    assert chunk["kind"] == "anthropic.server-tool-result"
    assert chunk["providerMetadata"]["anthropic"] == {"toolCallId": "srvtoolu_1", "content": RESULT}


# Texts


def test_citations_go_with_their_text_and_each_source_is_told_once() -> None:
    page = {"type": "web_search_result_location", "cited_text": "words", "url": "https://a.example"}
    paper = {"type": "char_location", "cited_text": "line", "document_index": 2, "document_title": "Paper"}
    texts = [TextPart("One", (page, paper)), TextPart("Two", (page,))]
    events = [event for index, part in enumerate(texts, 2) for event in (begun(index, part), PartEndEvent(index, part))]
    found = chunks(begun(0, SEARCH), begun(1, FOUND), *events, PartEndEvent(0, SEARCH))
    ends = [chunk for chunk in found if chunk["type"] == "text-end"]
    first, second = ends[0]["citations"]
    assert first["source"] == {
        "type": "source",
        "sourceType": "url",
        "id": "s0",
        "url": "https://a.example",
        "title": "A",  # as the search told it
        "providerMetadata": {"anthropic": page},
    }
    assert first["citedText"] == "words"
    assert second["source"]["sourceType"] == "document"
    assert [one["source"]["id"] for one in ends[1]["citations"]] == ["s0"]
    sources = [chunk for chunk in found if chunk["type"].startswith("source")]
    assert [(chunk["type"], chunk["sourceId"], chunk["title"]) for chunk in sources] == [
        ("source-url", "s0", "A"),
        ("source-document", "s1", "Paper"),
    ]
    cited = [event["value"] for event in run(*events) if event["type"] == "CUSTOM"]
    assert [one["citations"] for one in cited] == [[page, paper], [page]]


def test_thinking_ends_with_its_signature() -> None:
    thought = ThinkingPart("Hm", "signed")
    events = [begun(0, ThinkingPart(complete=False)), PartDeltaEvent(0, ThinkingPartDelta("Hm"))]
    events += [PartDeltaEvent(0, ThinkingPartDelta(None, "signed")), PartEndEvent(0, thought)]
    *_, end = chunks(*events)
    assert end == {"type": "reasoning-end", "id": "p0", "providerMetadata": {"anthropic": {"signature": "signed"}}}
    assert [event["type"] for event in run(*events)] == [
        "REASONING_START",
        "REASONING_MESSAGE_START",
        "REASONING_MESSAGE_CONTENT",
        "REASONING_MESSAGE_END",
        "REASONING_ENCRYPTED_VALUE",
        "REASONING_END",
    ]
    assert data(native(), *events)[-1] == {
        "first_seq": 3,  # the signature's own event is told here
        "seq": 4,
        "index": 0,
        "complete": True,
        "signature": "signed",
    }


PAIRS = [
    (["a\ud83d", "\ude00b"], "a😀b"),
    (["\ud83d", "\ude00"], "😀"),
    (["\ud83d", "x"], "\ufffdx"),
    (["\ude00"], "\ufffd"),
    (["x\ud83d"], "x\ufffd"),
    (["\ud83d", "\ud83d", "\ude00"], "\ufffd😀"),
    (["line\u2028end\x85"], "line\u2028end\x85"),
]


@pytest.mark.parametrize(("pieces", "whole"), PAIRS)
def test_halves_of_surrogate_pairs(pieces: list[str], whole: str) -> None:
    joined = "".join(pieces)
    grown = [PartDeltaEvent(0, TextPartDelta(piece)) for piece in pieces]
    events = [BEGUN, begun(0, TextPart(complete=False)), *grown, PartEndEvent(0, TextPart(joined))]
    for encoder in (vercel(), agui(thread_id="t", run_id="r")):
        assert "".join(chunk.get("delta", "") for chunk in data(encoder, *events)) == whole
    # JavaScript joins the halves.
    assert "".join(chunk.get("text", "") for chunk in data(native(), *events)) == joined
    for encoder in (native(), vercel(), agui(thread_id="t", run_id="r")):
        for event in numbered(*events):
            sent = encoder.feed(event)
            assert sent.decode().splitlines() == sent.decode().split("\n")[: sent.count(b"\n")]


# Beginnings


def test_an_answer_that_begins_anew() -> None:
    half = TextPart("Half an ans", complete=False)
    events = [begun(0, half), PartEndEvent(0, half), RestartEvent(2), BEGUN, begun(0, TextPart("New"))]
    kinds = [chunk["type"] for chunk in chunks(*events)]
    assert kinds == ["text-start", "text-delta", "text-end", "reset-step", "text-start", "text-delta"]
    told = run(*events)
    assert told[3] == {"type": "CUSTOM", "name": "manystream.restart", "value": {"messageIds": ["r.0"]}}
    assert told[4]["messageId"] == "r.r1.0"


def test_an_answer_that_goes_on_after_an_interruption_begins_no_new_message() -> None:
    assert chunks(BEGUN) == []
    assert run(BEGUN) == []


def test_a_snapshot_tells_all_there_is_to_who_comes_late() -> None:
    shot = SnapshotEvent(((0, TextPart("All")), (1, TextPart("Op", complete=False))), Usage(), "msg_1", "claude-x")
    more = PartDeltaEvent(1, TextPartDelta("en"))
    found = data(vercel(), shot, more)
    assert [chunk["type"] for chunk in found[2:]] == ["text-start", "text-delta", "text-end", "text-start"] + [
        "text-delta"
    ] * 2
    assert found[0]["messageId"] == "msg_1"
    shown = data(native(first_seq=1), shot, more)
    assert [(part["text"], part["open"]) for part in shown[0]["parts"]] == [("All", False), ("Op", True)]
    assert shown[1]["text"] == "en"


def test_what_its_process_left_open_is_ended_at_the_end() -> None:
    opened = [begun(0, TextPart(complete=False)), begun(1, ThinkingPart(complete=False))]
    opened.append(begun(2, ToolCallPart("f", "", "toolu_1", complete=False)))
    events = [*opened, StreamEndEvent(a_result("truncated"))]
    kinds = [chunk["type"] for chunk in chunks(*events)[3:6]]
    assert kinds == ["text-end", "reasoning-end", "tool-input-error"]
    kinds = [event["type"] for event in run(*events)]
    assert kinds[-5:] == ["TEXT_MESSAGE_END", "REASONING_MESSAGE_END", "REASONING_END", "TOOL_CALL_END", "RUN_ERROR"]


def test_a_stream_that_failed_before_it_began() -> None:
    end = numbered(StreamEndEvent(a_result("failed")))[0]
    assert vercel(message_id="m").feed(end).startswith(b'data: {"type":"start","messageId":"m"}\n\n')
    assert b'"RUN_STARTED"' in agui(thread_id="t", run_id="r").feed(end)


def test_text_and_the_calls_after_it_are_one_message_and_text_after_a_call_is_the_next() -> None:
    parts = [ThinkingPart("Hm"), TextPart("I look."), WHOLE, TextPart("So."), TextPart(" And so.")]
    events = [event for index, part in enumerate(parts) for event in (begun(index, part), PartEndEvent(index, part))]
    told = run(*events)
    starts = [event["messageId"] for event in told if event["type"] == "TEXT_MESSAGE_START"]
    assert starts == ["r.1", "r.3", "r.3"]
    assert [event["parentMessageId"] for event in told if event["type"] == "TOOL_CALL_START"] == ["r.1"]


# Numbers


def test_native_goes_on_where_the_browser_left() -> None:
    encoder = native(epoch=3, first_seq=5)
    events = numbered(BEGUN, *[PartDeltaEvent(0, TextPartDelta(word)) for word in "abcdef"])
    sent = [encoder.feed(event) for event in events]
    assert sent[:4] == [b""] * 4  # told already
    assert sent[4] == b'id: 3-5\nevent: part_delta\ndata: {"first_seq":5,"seq":5,"index":0,"text":"d"}\n\n'


def test_native_says_which_stream_a_number_is_of() -> None:
    encoder = native(tag="abc", epoch=1)
    start, delta = numbered(BEGUN, PartDeltaEvent(0, TextPartDelta("a")))
    assert encoder.feed(start).startswith(b"id: abc-1-1\n")
    assert encoder.feed(delta).startswith(b"id: abc-1-2\n")
    encoder.reset(epoch=2)
    assert encoder.feed(start).startswith(b"id: abc-2-1\n")


def test_native_begins_anew_after_a_reset() -> None:
    encoder = native(epoch=1, first_seq=9)
    assert encoder.reset(epoch=2) == b"event: reset\ndata: {}\n\n"
    assert encoder.feed(numbered(BEGUN)[0]).startswith(b"id: 2-1\nevent: stream_start\n")

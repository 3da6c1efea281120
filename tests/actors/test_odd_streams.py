"""Streams that servers should not send and do: what is made of them, and that no answer is bought twice for it.

What `complete` means: one message, nothing of its content dropped, a stop reason, and the end of the answer. A stream
that is broken is recovered like one that was cut, but for two things: after a stop reason it is never asked for again,
and the same trouble at the same place twice is no accident.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import anyio
import attrs
import pytest
from tests.support.odd import GOOD, Reply, sse
from tests.support.reference.streams import (
    CALL,
    END,
    PING,
    begin,
    delta,
    event,
    json_delta,
    last,
    raw,
    start,
    stop,
    text_delta,
)
from tests.support.reference.streams import text as text_block
from tests.support.served import Served, answer, assert_at_rest, assert_sound, engine_served, strictly, watch
from tests.support.stage import task_group
from tests.support.virtual import virtual_backends
from tests.support.wire_server import Peer, head, serving

from manystream import AnthropicModel, Deadlines, Engine, RetryPolicy, StreamRequest, StreamResult
from manystream.actors import PartEvent, TextPart, ThinkingPart, ToolCallPart
from manystream.actors.stream.recovery import Recovery
from manystream.engine.runs import RunStopped, open_run

pytestmark = pytest.mark.anyio

FOUR_TIMES = RetryPolicy(max_attempts=4, base_delay=1e-6, max_delay=1e-6)
RECOVERIES: Sequence[Recovery] = ("fail", "restart", "continue")

WORDS = text_block(0, "Herons ", "wade.")
SAID = "Herons wade."
DONE = b"data: [DONE]\n\n"
OPEN_WORDS = begin(0, "text", text="") + text_delta(0, SAID)
WHOLE = sse(start(id="msg_whole") + text_block(0, "All of it.") + last() + END)


def tool_begin(index: int, **fields: Any) -> bytes:
    tool: dict[str, Any] = {"id": f"toolu_{index}", "name": "wade", "input": {}, **fields}
    return begin(index, "tool_use", **tool)


TOOL_USE = last("tool_use")


Attempts = int | Mapping[Recovery, int]
ANY_RECOVERY: Attempts = 2  # nobody has seen anything of it: asked for again, and no more when it is the same
AS_RECOVERY_SAYS: Attempts = {"fail": 1, "restart": 2, "continue": 2}  # words have come
NOT_CONTINUED: Attempts = {"fail": 1, "restart": 2, "continue": 1}  # there is more than words
CUT: Attempts = {"fail": 1, "restart": 4, "continue": 4}  # words have come, and it may be an accident each time
NEVER_AGAIN: Attempts = 1  # its stop reason has come


@attrs.frozen
class Odd:
    """A stream, what comes of it, and how often it is asked for when it is the same each time."""

    name: str
    reply: Reply
    attempts: Attempts
    complete: bool = False
    text: str | None = None
    error: str | None = None
    message: str | None = None
    """What the error says, in part."""
    check: Callable[[StreamResult], object] | None = None


def odd(name: str, *body: bytes, attempts: Attempts, **more: Any) -> Odd:
    ending: Literal["end", "reset", "stall"] = more.pop("ending", "end")
    return Odd(name, Reply(b"".join(body), ending=ending), attempts, **more)


def whole(name: str, *body: bytes, text: str | None = SAID, **more: Any) -> Odd:
    return odd(name, *body, attempts=NEVER_AGAIN, complete=True, text=text, **more)


# -- how an answer ends


def _ends() -> Iterator[Odd]:
    for name, body in {
        "alone": END,
        "after a ping": PING + END,
        "after a comment": b": keep-alive\n\n" + END,
        "without a name": b'data: {"type":"message_stop"}\n\n',
        "with more": event("message_stop", **{"amazon-bedrock-invocationMetrics": {"outputTokenCount": 0}}),
        "after unknown": event("event_to_come") + END,
        "after a stop reason": last() + END,
        "twice": END + END,
    }.items():
        yield odd(f"message_stop and no message, {name}", body, attempts=ANY_RECOVERY)
    for name, body in {
        "no message_delta": b"",
        "null": last(None),
        "no delta in it": event("message_delta", usage={"output_tokens": 5}),
        "only usage": event("message_delta", delta={}, usage={"output_tokens": 5}),
        "a number": last(5),  # type: ignore[arg-type]
        "a list": event("message_delta", delta={"stop_reason": ["end_turn"]}, usage={"output_tokens": 5}),
        "in another event": event("message_done", delta={"stop_reason": "end_turn"}),
    }.items():
        yield odd(f"message_stop without stop reason, {name}", start(), WORDS, body, END, attempts=AS_RECOVERY_SAYS)
        yield odd(f"message_stop without stop reason, {name}, no words", start(), body, END, attempts=ANY_RECOVERY)
        yield odd(f"[DONE] without stop reason, {name}", start(), WORDS, body, DONE, attempts=CUT)
    done = {
        "[DONE]": DONE,
        "[DONE] named": b"event: done\ndata: [DONE]\n\n",
        "[DONE] without space": b"data:[DONE]\n\n",
        "[DONE] without its blank line": b"data: [DONE]\n",
        "[DONE] twice": DONE + DONE,
        "[DONE] and a ping": DONE + PING,
        "[DONE] behind message_stop": END + DONE,
        "message_stop twice": END + END,
        "a clean end": b"",
        "pings and a clean end": PING + PING,
        "a comment and a clean end": b": bye\n\n",
        "half an event": END[:20],
        "half an event's data": END[:-10],
    }
    for name, body in done.items():
        yield whole(f"ended by {name}", start(), WORDS, last(), body)
        yield whole(f"ended by {name}, a tool", start(), WORDS, CALL.replace(b":0", b":1", 1), stop(1), TOOL_USE, body)
        if END not in body:
            yield odd(f"ended by {name}, words open", start(), OPEN_WORDS, last(), body, attempts=NEVER_AGAIN)
            half = start() + WORDS + tool_begin(1) + json_delta(1, '{"to":')
            yield odd(f"ended by {name}, a tool open", half, TOOL_USE, body, attempts=NEVER_AGAIN)
    yield whole("ended by a reset", start(), WORDS, last(), ending="reset")
    yield whole("ended by a reset behind a ping", start(), WORDS, last(), PING, ending="reset")
    yield whole("ended by a reset in message_stop", start(), WORDS, last(), END[:20], ending="reset")
    yield odd("a reset, words open", start(), OPEN_WORDS, last(), attempts=NEVER_AGAIN, ending="reset")
    yield odd("a reset, a tool open", start(), tool_begin(0), TOOL_USE, attempts=NEVER_AGAIN, ending="reset")
    yield whole("no content at all", start(), last(), END, text="")
    yield whole("no content at all, clean end", start(), last(), text="")


def _unended_blocks() -> Iterator[Odd]:
    def calls(*expected: Mapping[str, Any]) -> Callable[[StreamResult], object]:
        def check(result: StreamResult) -> None:
            assert [call.args_as_dict() for call in result.tool_calls] == [*expected]
            assert all(part.complete for part in result.parts)

        return check

    yield whole("text without its stop", start(), OPEN_WORDS, last(), END)
    yield whole(
        "thinking without its stop",
        start(),
        begin(0, "thinking", thinking="", signature=""),
        delta(0, "thinking_delta", thinking="Hm."),
        delta(0, "signature_delta", signature="c2ln"),
        text_block(1, SAID),
        last(),
        END,
    )
    whole_arguments: Sequence[tuple[str, Sequence[str], Mapping[str, Any]]] = (
        ("whole", ['{"to":', ' "wade"}'], {"to": "wade"}),
        ("empty object", ["", "{}"], {}),
        ("nothing", [], {}),
        ("an empty delta", [""], {}),
        ("spaces around", [' {"a" : [1, {}]}\n'], {"a": [1, {}]}),
    )
    for name, pieces, args in whole_arguments:
        deltas = b"".join(json_delta(0, piece) for piece in pieces)
        unended = start() + tool_begin(0) + deltas
        yield whole(f"a tool without its stop, {name}", unended, TOOL_USE, END, text="", check=calls(args))
    both = start() + tool_begin(0) + json_delta(0, '{"a":1}') + tool_begin(1) + json_delta(1, '{"b":2}')
    yield whole("two tools without their stops", both, TOOL_USE, END, text="", check=calls({"a": 1}, {"b": 2}))
    yield whole("the first without its stop", both, stop(1), TOOL_USE, END, text="", check=calls({"a": 1}, {"b": 2}))
    for name, piece in (
        ("in a string", '{"to": "wa'),
        ("after a brace", "{"),
        ("after a comma", '{"a": 1,'),
        ("in a word", '{"a": tru'),
        ("deep", "[" * 5_000),
    ):
        cut = start() + tool_begin(0) + json_delta(0, piece)
        yield odd(f"a tool cut {name}, without its stop", cut, TOOL_USE, END, attempts=NEVER_AGAIN)
        yield odd(f"a tool cut {name}, beside a whole one", start(), text_block(0, SAID), tool_begin(1),
                  json_delta(1, piece), tool_begin(2), json_delta(2, "{}"), stop(2), TOOL_USE, END,
                  attempts=NEVER_AGAIN)  # fmt: skip
    # What was cut by the model itself, its block ended, is all there is.
    yield whole(
        "a tool cut by max_tokens",
        start(),
        tool_begin(0),
        json_delta(0, '{"to": "wa'),
        stop(0),
        last("max_tokens"),
        END,
        text="",
        check=calls(),
    )


# -- what belongs nowhere


def _lost_deltas() -> Iterator[Odd]:
    kinds = {
        "text": text_delta(7, "lost"),
        "json": json_delta(7, "{}"),
        "thinking": delta(7, "thinking_delta", thinking="lost"),
        "unknown": delta(7, "delta_to_come", value="lost"),
    }
    for name, lost in kinds.items():
        yield odd(f"{name} for no block", start(), lost, last(), END, attempts=ANY_RECOVERY)
        yield odd(f"{name} for no block, and its stop", start(), lost, stop(7), last(), END, attempts=ANY_RECOVERY)
        yield odd(f"{name} for no block, after words", start(), WORDS, lost, last(), END, attempts=AS_RECOVERY_SAYS)
        after = lost.replace(b'"index":7', b'"index":0')
        yield odd(f"{name} for an ended block", start(), WORDS, after, last(), END, attempts=AS_RECOVERY_SAYS)
        yield odd(f"{name} after the stop reason", start(), WORDS, last(), after, END, attempts=NEVER_AGAIN)
    yield odd("a negative index", start(), WORDS, text_delta(-1, "lost"), last(), END, attempts=AS_RECOVERY_SAYS)
    yield odd("before message_start", text_delta(0, "lost"), start(), WORDS, last(), END, attempts=ANY_RECOVERY)
    tool = tool_begin(0) + json_delta(0, "{}") + stop(0)
    yield odd("json for an ended tool", start(), tool, json_delta(0, " "), TOOL_USE, END, attempts=NOT_CONTINUED)


def _second_starts() -> Iterator[Odd]:
    first, second = start(id="msg_1"), start(id="msg_1", model="claude-second")
    nameless = event("message_start", message={"role": "assistant", "model": "claude-second", "content": []})
    other = start(id="msg_2")

    def by_second(result: StreamResult) -> None:
        assert result.model_name == "claude-second"
        assert result.message is not None
        assert len(result.message["content"]) == 1

    for name, again in {
        "the same id": second,
        "no id": nameless,
        "a null id": start(id=None, model="claude-second"),
    }.items():
        yield whole(f"a second start, {name}", first, again, WORDS, last(), END, check=by_second)
        yield whole(f"a second start, {name}, after a ping", first, PING, again, WORDS, last(), END, check=by_second)
        yield whole(f"a third start, {name}", first, again, again, WORDS, last(), END, check=by_second)
        yield odd(f"a second start, {name}, after words", first, WORDS, again, text_block(1, "More."), last(), END,
                  attempts=AS_RECOVERY_SAYS)  # fmt: skip
        yield odd(f"a second start, {name}, in words", first, OPEN_WORDS, again, WORDS, last(), END,
                  attempts=AS_RECOVERY_SAYS)  # fmt: skip
    yield odd("a second start, another id", first, other, WORDS, last(), END, attempts=ANY_RECOVERY)
    yield odd("a second start, another id, after words", first, WORDS, other, WORDS, last(), END,
              attempts=AS_RECOVERY_SAYS)  # fmt: skip
    yield odd("a second start, another id, in a tool", first, tool_begin(0), json_delta(0, '{"a'), other, WORDS, last(),
              END, attempts=NOT_CONTINUED)  # fmt: skip


# -- errors


def _errors() -> Iterator[Odd]:
    def failed(name: str, data: str, error: str, message: str, attempts: int = 1) -> Iterator[Odd]:
        said = raw("error", data)
        yield odd(f"{name}, after the stop reason", start(), WORDS, last(), said, attempts=NEVER_AGAIN, error=error,
                  message=message)  # fmt: skip
        yield odd(f"{name}, after the stop reason, and message_stop", start(), WORDS, last(), said, END,
                  attempts=NEVER_AGAIN, error=error, message=message)  # fmt: skip
        yield odd(f"{name}, then as if nothing were", start(), OPEN_WORDS, said, stop(0), last(), END,
                  attempts={"fail": 1, "restart": attempts, "continue": attempts}, error=error,
                  message=message)  # fmt: skip
        yield odd(f"{name}, at once", said, attempts=attempts, error=error, message=message)

    overloaded = '{"type":"error","error":{"type":"overloaded_error","message":"Full up"}}'
    yield from failed("an overload", overloaded, "overloaded_error", "Full up", 4)
    refused = '{"type":"error","error":{"type":"invalid_request_error","message":"Too long"}}'
    yield from failed("a refusal", refused, "invalid_request_error", "Too long")
    yield from failed("a word", '{"type":"error","error":"pond dry"}', "api_error", "pond dry", 4)
    yield from failed("a list", '{"type":"error","error":["pond dry"]}', "api_error", "pond dry", 4)
    yield from failed("no type", '{"type":"error","error":{"message":"pond dry"}}', "api_error", "pond dry", 4)
    yield from failed("no type at all", '{"error":{"message":"pond dry"}}', "api_error", "pond dry", 4)
    yield from failed("a message alone", '{"message":"pond dry"}', "api_error", "pond dry", 4)
    yield from failed("a detail", '{"detail":"pond dry"}', "api_error", "pond dry", 4)
    listed = '{"type":"error","error":{"type":["x"],"message":"pond dry"}}'
    yield from failed("a type that is a list", listed, "api_error", "pond dry", 4)
    yield from failed("a text", "pond dry", "api_error", "pond dry", 4)
    yield from failed("a JSON text", '"pond dry"', "api_error", "pond dry", 4)
    yield from failed("half a pair", '{"type":"error","error":"pond \\ud83d dry"}', "api_error", "pond", 4)
    yield whole("an error behind message_stop", start(), WORDS, last(), END, raw("error", overloaded))


# -- tools and texts


def _odd_calls() -> Iterator[Odd]:
    def called(args: Mapping[str, Any], call_id: str | None = "toolu_0") -> Callable[[StreamResult], object]:
        def check(result: StreamResult) -> None:
            (call,) = result.tool_calls
            assert isinstance(call, ToolCallPart)
            assert (call.tool_name, call.args_as_dict()) == ("wade", args)
            if call_id is not None:
                assert call.tool_call_id == call_id
            assert result.message is not None
            assert not args or result.message["content"][0]["input"] == args

        return check

    deltas = json_delta(0, '{"to":') + json_delta(0, '"wade"}')
    for name, fields in {
        "an empty string": {"input": ""},
        "null": {"input": None},
    }.items():
        begun = start() + tool_begin(0, **fields)
        yield whole(f"input of {name}", begun, deltas, stop(0), TOOL_USE, END, text="", check=called({"to": "wade"}))
        yield whole(f"input of {name} and no more", begun, stop(0), TOOL_USE, END, text="", check=called({}))
    missing = begin(0, "tool_use", id="toolu_0", name="wade")
    yield whole("no input", start(), missing, deltas, stop(0), TOOL_USE, END, text="", check=called({"to": "wade"}))
    for name, begun in {
        "a null id": tool_begin(0, id=None),
        "an empty id": tool_begin(0, id=""),
        "no id": begin(0, "tool_use", name="wade", input={}),
        "a null id and an empty input": tool_begin(0, id=None, input=""),
    }.items():
        check = called({"to": "wade"}, None)
        yield whole(f"a call with {name}", start(), begun, deltas, stop(0), TOOL_USE, END, text="", check=check)

    def given_as_text(text: str) -> Callable[[StreamResult], object]:
        def check(result: StreamResult) -> None:
            assert result.message is not None
            assert result.message["content"][0]["input"] == text
            (part,) = result.parts
            assert isinstance(part, ToolCallPart)
            assert part.args == text

        return check

    for text in ('{"a":NaN}', '{"a":[-Infinity]}', '{"a":1e999}', '{"a":-1e400,"b":1}', '{"a":' + "7" * 5_000 + "}"):
        body = start() + tool_begin(0) + json_delta(0, text) + stop(0)
        yield whole(f"arguments {text[:20]}", body, TOOL_USE, END, text="", check=given_as_text(text))


def _split_characters() -> Iterator[Odd]:
    def halves(kind: str, field: str, first: str, second: str) -> bytes:
        escaped = '{"type":"content_block_delta","index":0,"delta":{"type":"' + kind + '","' + field + '":"'
        return b"".join(raw("content_block_delta", escaped + half + '"}}') for half in (first, second))

    spoken = halves("text_delta", "text", "a\\ud83d", "\\ude00b")
    begun = begin(0, "text", text="")
    yield whole("a character in two", start(), begun, spoken, stop(0), last(), END, text="a😀b")
    pinged = spoken.replace(b"\n\n", b"\n\n" + PING)
    yield whole("a character in two, and pings", start(), begun, pinged, stop(0), last(), END, text="a😀b")
    yield whole("two characters in two", start(), begun, spoken, spoken, stop(0), last(), END, text="a😀ba😀b")
    yield whole("a character in two, unended", start(), begun, spoken, last(), END, text="a😀b")
    begins_with_half = raw(
        "content_block_start",
        '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a\\ud83d"}}',
    )
    second = halves("text_delta", "text", "\\ude00b", "")
    yield whole("a character begun in its block", start(), begins_with_half, second, stop(0), last(), END, text="a😀b")

    def thought(result: StreamResult) -> None:
        part = result.parts[0]
        assert isinstance(part, ThinkingPart)
        assert part.content == "a😀b"

    thinking = start() + begin(0, "thinking", thinking="", signature="")
    thoughts = halves("thinking_delta", "thinking", "a\\ud83d", "\\ude00b")
    yield whole("a thought character in two", thinking, thoughts, stop(0), last(), END, text="", check=thought)

    def called(result: StreamResult) -> None:
        assert result.tool_calls[0].args_as_dict() == {"a": "😀"}

    pieces = halves("input_json_delta", "partial_json", '{\\"a\\":\\"\\ud83d', '\\ude00\\"}')
    yield whole("an argument's character in two", start(), tool_begin(0), pieces, stop(0), TOOL_USE, END, text="",
                check=called)  # fmt: skip
    only = halves("text_delta", "text", "a\\ud83d", "b")
    yield whole("half a character", start(), begun, only, stop(0), last(), END, text="a\ud83db")


# -- an answer that is no stream

MESSAGE: dict[str, Any] = {
    "id": "msg_json",
    "type": "message",
    "role": "assistant",
    "model": "claude-opus-5-5",
    "content": [{"type": "text", "text": SAID}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 4},
}


def _no_streams() -> Iterator[Odd]:
    def message(result: StreamResult) -> None:
        assert result.message is not None
        assert (result.message["id"], result.stop_reason) == ("msg_json", "end_turn")
        assert (result.usage.input_tokens, result.usage.output_tokens) == (3, 4)

    encoded = json.dumps(MESSAGE).encode()
    for name, body, kind in (
        ("a message", encoded, "application/json"),
        ("a message, with a charset", encoded, "application/json; charset=utf-8"),
        ("a message, indented", b"\n" + json.dumps(MESSAGE, indent=2).encode() + b"\n", "application/json"),
        ("a message, with a mark", b"\xef\xbb\xbf" + encoded, "Application/JSON"),
        ("a message, large", json.dumps({**MESSAGE, "more": "x" * 2_000_000}).encode(), "application/json"),
    ):
        yield Odd(f"JSON at 200: {name}", Reply(body, content_type=kind), 1, complete=True, text=SAID, check=message)
    for kind, said, attempts in (
        ("invalid_request_error", "max_tokens: too large", 1),
        ("overloaded_error", "Full up", 4),
        ("api_error", "Out of water", 4),
    ):
        body = json.dumps({"type": "error", "error": {"type": kind, "message": said}}).encode()
        yield Odd(
            f"JSON at 200: {kind}", Reply(body, content_type="application/json"), attempts, error=kind, message=said
        )
    page = b"<html><head><title>Sign in</title></head><body><form></form></body></html>"
    yield Odd(
        "a page", Reply(page, content_type="text/html"), 1, message='200 text/html, not an event stream: "Sign in'
    )
    yield Odd("a text", Reply(b"Sign in", content_type="text/plain"), 1, message="200 text/plain, not an event stream")
    yield Odd("204", Reply(b"", status=204), 1, message="204")
    yield Odd("nothing", Reply(b""), 4)
    unended = {**MESSAGE, "stop_reason": None}
    reply = Reply(json.dumps(unended).encode(), content_type="application/json")
    yield Odd("JSON at 200: no stop reason", reply, ANY_RECOVERY)


ODD: Mapping[str, Odd] = {
    each.name: each
    for kind in (
        _ends,
        _unended_blocks,
        _lost_deltas,
        _second_starts,
        _errors,
        _odd_calls,
        _split_characters,
        _no_streams,
    )
    for each in kind()
}


def serves(*replies: Reply) -> Served:
    """These answers one after the other, and then the last of them; a good one to siblings."""
    return Served(lambda words, n: sse(*GOOD) if words == "sibling" else replies[min(n, len(replies)) - 1])


async def tried(served: Served, recovery: Recovery, **options: Any) -> tuple[Sequence[PartEvent], StreamResult]:
    """One stream of it; its sibling is not disturbed."""
    async with engine_served(served, retry=FOUR_TIMES, max_concurrency=10) as engine:
        found: list[StreamResult] = []

        async def sibling() -> None:
            found.append(await engine.submit("sibling").wait())

        with anyio.fail_after(30):
            async with task_group() as group:
                group.start_soon(sibling)
                request = StreamRequest("the odd one", recovery=recovery, custom_id="odd", **options)
                events, result = await watch(engine, request)
        assert_sound(events, result)
        assert [each.state for each in found] == ["complete"]
        assert_at_rest(engine)
    return events, result


def as_expected(case: Odd, result: StreamResult) -> None:
    if case.complete:
        assert result.state == "complete", result.error
        assert result.text == case.text
    else:
        assert result.state in ("failed", "truncated")
        assert result.error is not None
        if case.error is not None:
            assert (result.state, result.error.type) == ("failed", case.error)
        if case.message is not None:
            assert case.message in result.error.message
    if case.check is not None:
        case.check(result)


@pytest.mark.parametrize("name", ODD)
async def test_what_comes_of_it_and_how_often_it_is_bought(name: str) -> None:
    case = ODD[name]
    for recovery in RECOVERIES:
        served = serves(case.reply)
        _, result = await tried(served, recovery)
        as_expected(case, result)
        wanted = case.attempts if isinstance(case.attempts, int) else case.attempts[recovery]
        assert (served.attempts["the odd one"], len(result.attempts)) == (wanted, wanted), recovery


RECOVERED = [name for name, case in ODD.items() if case.attempts in (ANY_RECOVERY, AS_RECOVERY_SAYS, NOT_CONTINUED)]


@pytest.mark.parametrize("name", RECOVERED)
async def test_broken_and_then_well(name: str) -> None:
    served = serves(ODD[name].reply, WHOLE)
    _, result = await tried(served, "restart")
    assert (result.state, result.text, len(result.attempts)) == ("complete", "All of it.", 2)
    assert served.attempts["the odd one"] == 2


async def test_broken_at_different_places_it_is_tried_again() -> None:
    first = sse(start(), WORDS, text_delta(5, "lost"))
    second = sse(start(), PING, WORDS, text_delta(5, "lost"))
    third = sse(start(), WORDS, b"data: {broken\n\n")
    served = serves(first, second, third, WHOLE)
    _, result = await tried(served, "restart")
    assert (result.state, result.text, len(result.attempts)) == ("complete", "All of it.", 4)
    served = serves(first, second, first, WHOLE)
    _, result = await tried(served, "restart")
    assert len(result.attempts) >= 3


@pytest.mark.parametrize(
    "data", [b"{broken", b'{"type":"content_block_delta","index":0,"delta":{"type":"text_', b'"\xff"', b"NaN"]
)
async def test_what_can_not_be_read_is_recovered_as_a_cut(data: bytes) -> None:
    corrupt = b"event: content_block_delta\ndata: " + data + b"\n\n"
    for body, attempts in ((start() + corrupt, ANY_RECOVERY), (start() + WORDS + corrupt, AS_RECOVERY_SAYS)):
        for recovery in RECOVERIES:
            _, result = await tried(serves(Reply(body + last() + END)), recovery)
            assert (result.state, result.error and result.error.type) == ("failed", "protocol_error")
            assert len(result.attempts) == (attempts if isinstance(attempts, int) else attempts[recovery])
        _, result = await tried(serves(Reply(body + last() + END), WHOLE), "restart")
        assert (result.state, len(result.attempts)) == ("complete", 2)


async def test_continued_it_goes_on_after_what_came() -> None:
    rest = sse(start(id="msg_rest"), text_block(0, " And fly."), last(), END)
    served = serves(sse(start(), WORDS, text_delta(9, "lost"), last(), END), rest)
    _, result = await tried(served, "continue")
    assert (result.state, result.text, len(result.attempts)) == ("complete", SAID + " And fly.", 2)


async def test_continued_by_something_else_the_words_are_whole() -> None:
    called = sse(start(id="msg_rest"), tool_begin(0), json_delta(0, "{}"), stop(0), TOOL_USE, END)
    silent = sse(start(id="msg_rest"), last(), END)
    for rest in (called, silent):
        served = serves(Reply(start() + OPEN_WORDS, ending="reset"), rest)
        _, result = await tried(served, "continue")
        assert (result.state, result.text, len(result.attempts)) == ("complete", SAID, 2)
        assert all(part.complete for part in result.parts)


# -- ended by a deadline


@pytest.mark.parametrize("anyio_backend", [*virtual_backends()])
def test_ended_by_a_deadline(anyio_backend: str) -> None:
    anyio.run(ended_by_deadlines, backend=virtual_backends()[anyio_backend][0],
              backend_options=virtual_backends()[anyio_backend][1])  # fmt: skip


async def ended_by_deadlines() -> None:
    ended = start() + WORDS + last()
    for deadlines in (Deadlines(idle=5), Deadlines(silence=5), Deadlines(total=60, silence=None)):
        for recovery in RECOVERIES:
            served = serves(Reply(ended, ending="stall"))
            request = StreamRequest("the odd one", recovery=recovery, deadlines=deadlines)
            async with engine_served(served, retry=FOUR_TIMES) as engine:
                events, result = await watch(engine, request)
                assert_at_rest(engine)
            assert_sound(events, result)
            assert (result.state, result.text, len(result.attempts)) == ("complete", SAID, 1), deadlines
            served = serves(Reply(start() + OPEN_WORDS + last(), ending="stall"))
            async with engine_served(served, retry=FOUR_TIMES) as engine:
                events, result = await watch(engine, request)
            assert_sound(events, result)
            assert (result.state, served.attempts["the odd one"]) == ("failed", 1)
            assert result.error is not None
            assert result.error.deadline is not None
            served = serves(Reply(start() + WORDS, ending="stall"))  # no stop reason
            async with engine_served(served, retry=RetryPolicy(max_attempts=2, base_delay=1e-6)) as engine:
                events, result = await watch(engine, request)
            assert_sound(events, result)
            assert result.state == "failed"
            once = recovery == "fail" or deadlines.total is not None
            assert served.attempts["the odd one"] == (1 if once else 2)


# -- ended by a reset, on a socket


@pytest.mark.parametrize("open_block", [False, True])
@pytest.mark.parametrize("recovery", RECOVERIES)
async def test_ended_by_a_real_reset(recovery: Recovery, open_block: bool) -> None:
    body = start() + (OPEN_WORDS if open_block else WORDS) + last()
    read = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.stream.send(head("content-type: text/event-stream", f"content-length: {len(body) + 100}") + body)
        await read.wait()  # a reset takes with it what was not read
        await peer.reset()

    async with serving(serve) as server:
        model = AnthropicModel("claude-opus-5-5", api_key="k", base_url=f"http://127.0.0.1:{server.port}")
        async with Engine(model, retry=FOUR_TIMES, recovery=recovery) as engine:
            handle = engine.submit("the odd one")
            events: list[PartEvent] = []
            with anyio.fail_after(30):
                async with handle.subscribe() as mailbox:
                    async for event in mailbox:
                        events.append(event)
                        if not read.is_set() and handle.snapshot().usage.output_tokens == 42:
                            read.set()
                result = await handle.wait()
            assert_at_rest(engine)
    assert_sound(events, result)
    assert len(server.requests) == 1
    assert (result.state == "complete") == (not open_block)
    assert result.text == SAID
    assert isinstance(result.parts[0], TextPart)


# -- runs


async def test_a_run_whose_first_answers_all_break_so_stops(tmp_path: Path) -> None:
    served = serves(sse(start(), WORDS, text_delta(5, "lost"), last(), END))
    requests = [StreamRequest(f"p {n}", custom_id=str(n)) for n in range(200)]
    async with engine_served(served, max_concurrency=4, retry=FOUR_TIMES, recovery="restart") as engine:
        with anyio.fail_after(60), pytest.raises(RunStopped, match="protocol_error"):
            async with open_run(engine, requests, tmp_path / "out") as run:
                _ = [result async for result in run]
        assert_at_rest(engine)
    assert served.attempts.total() < 40


async def test_one_that_breaks_does_not_stop_a_run(tmp_path: Path) -> None:
    broken = sse(start(), WORDS, text_delta(5, "lost"), last(), END)
    served = Served(lambda words, _: broken if words in ("p 3", "p 5") else WHOLE)
    requests = [StreamRequest(f"p {n}", custom_id=str(n)) for n in range(20)]
    output = tmp_path / "out"
    async with (
        engine_served(served, max_concurrency=4, retry=FOUR_TIMES) as engine,
        open_run(engine, requests, output) as run,
    ):
        _ = [result async for result in run]
    kinds = {line["custom_id"]: line["result"]["type"] for line in map(strictly, output.read_bytes().splitlines())}
    assert len(kinds) == 20
    assert {name for name, kind in kinds.items() if kind == "errored"} == {"3", "5"}


# -- bodies from elsewhere

# What must come of them, by the number in the file's name.
FAILED = {"01", "04", "05", "06", "07", "10b"}
COMPLETE = {"08", "09", "10", "12", "12b", "13"}


def bodies() -> Sequence[Path]:
    folder = os.environ.get("MANYSTREAM_CASES")
    return sorted(Path(folder).glob("*.body")) if folder else []


async def test_bodies_from_elsewhere(tmp_path: Path) -> None:
    for path in bodies():
        await a_body_from_elsewhere(path, tmp_path / path.stem)


async def a_body_from_elsewhere(path: Path, output: Path) -> None:
    body = path.read_bytes()
    number = path.stem.partition("-")[0]
    kind = "application/json" if body.startswith(b"{") else "text/event-stream"
    reply = Reply(body, content_type=kind)
    good = answer((await tried(serves(sse(*GOOD)), "fail"))[1])
    for recovery in RECOVERIES:
        served = serves(reply)
        async with engine_served(served, retry=FOUR_TIMES, max_concurrency=10) as engine:
            found: list[Any] = []

            async def sibling(engine: Engine = engine, found: list[Any] = found) -> None:
                found.append(answer(await engine.submit("sibling").wait()))

            with anyio.fail_after(30):
                async with task_group() as group:
                    for _ in range(5):
                        group.start_soon(sibling)
                    events, result = await watch(engine, StreamRequest("the odd one", recovery=recovery))
            assert_at_rest(engine)
        assert_sound(events, result)
        assert found == [good] * 5
        assert number not in FAILED or result.state in ("failed", "truncated"), path.name
        assert number not in COMPLETE or (result.state, len(result.attempts)) == ("complete", 1), path.name
    served = serves(reply)
    requests = [StreamRequest(words, custom_id=str(n)) for n, words in enumerate(["sibling"] * 5 + ["the odd one"])]
    for _ in range(2):
        async with engine_served(served, retry=FOUR_TIMES) as engine, open_run(engine, requests, output) as run:
            _ = [result async for result in run]
        lines = [strictly(line) for line in output.read_bytes().split(b"\n")[:-1]]
        assert sorted(line["custom_id"] for line in lines) == ["0", "1", "2", "3", "4", "5"]
        told = {line["custom_id"]: line["result"] for line in lines}
        assert number not in FAILED or told["5"]["type"] == "errored"
        assert number not in COMPLETE or told["5"]["type"] == "succeeded"

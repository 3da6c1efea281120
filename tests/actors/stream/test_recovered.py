"""Recovery after content: what consumers are told, and what the result holds, of answers that go on or begin anew."""

from contextlib import suppress
from typing import Any

import anyio
import pytest
from tests.support.recovering import PREFILLED, TEXT, USER, pytest_async, read, told, turn
from tests.support.reference.streams import (
    END,
    USAGE,
    begin,
    cite,
    delta,
    event,
    json_delta,
    last,
    start,
    stop,
    text_delta,
)
from tests.support.stage import NO_WAIT, Stage, assert_gapless, fold, settle, task_group

from manystream.actors import (
    Lossless,
    Mailbox,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    RestartEvent,
    RetryPolicy,
    SnapshotEvent,
    StreamRequest,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    Usage,
    UsageEvent,
    decode_event,
    encode_event,
)
from manystream.actors.stream.recovery import Recovery

BEGUN = start(usage={**USAGE, "input_tokens": 10}) + begin(0, "text", text="")


MORE = start(id="msg_2", model="claude-next", usage={**USAGE, "input_tokens": 15}) + begin(0, "text", text="")


DONE = last(usage={"output_tokens": 30}) + END


async def played(
    *attempts: bytes,
    recovery: Recovery = "continue",
    retry: RetryPolicy = NO_WAIT,
    request: StreamRequest | None = None,
) -> tuple[Stage, list[PartEvent]]:
    """A stream whose attempts bring these bytes; the connection breaks after all but the last, whose body ends."""
    stage = Stage(recovery=recovery, retry=retry, request=request)
    mailbox = stage.handle.subscribe(Lossless(10_000))
    *cut, whole = attempts
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        for body in cut:
            stage.write(body)
            stage.fail()
            await settle()
        stage.write(whole)
        stage.end()
        events = await read(mailbox)
    assert_gapless(events, after=0)
    return stage, events


def kinds(events: list[PartEvent]) -> list[str]:
    return [event.event_kind for event in events]


@pytest_async
async def test_an_open_text_goes_on_without_a_seam() -> None:
    stage, events = await played(
        BEGUN + text_delta(0, "Hel") + text_delta(0, "lost")[:40],
        MORE + text_delta(0, "lo") + event("error", error={"type": "overloaded_error", "message": "Overloaded"}),
        MORE + text_delta(0, ", you") + stop(0) + begin(1, "text", text="") + text_delta(1, "!") + stop(1) + DONE,
        request=StreamRequest({"messages": iter([USER]), "max_tokens": 9}),
    )
    assert kinds(events) == [
        "stream_start", "usage", "part_start", "part_delta",
        "stream_start", "usage", "part_delta",
        "stream_start", "usage", "part_delta", "part_end",
        "part_start", "part_delta", "part_end", "usage", "stream_end",
    ]  # fmt: skip
    parts, end = fold(events)
    assert parts == {0: TextPart("Hello, you"), 1: TextPart("!")}
    starts = [(event.message_id, event.request_id) for event in events if isinstance(event, StreamStartEvent)]
    assert starts[1:] == [("msg_2", "req_stage")] * 2
    assert [request.params["messages"] for request in stage.sent] == [
        [USER],
        [USER, turn("Hel")],
        [USER, turn("Hello")],
    ]
    assert {request.params["max_tokens"] for request in stage.sent} == {9}
    assert end is not None
    result = end.result
    assert (result.state, result.text, result.request) == ("complete", "Hello, you!", stage.actor.request)
    assert (result.message_id, result.model_name, result.stop_reason) == ("msg_2", "claude-next", "end_turn")
    assert result.message is not None
    assert [block["text"] for block in result.message["content"]] == ["Hello, you", "!"]
    told_usages = [event.usage for event in events if isinstance(event, UsageEvent)]
    assert [(usage.input_tokens, usage.output_tokens) for usage in told_usages] == [(10, 1), (25, 2), (40, 3), (40, 32)]
    assert [attempt.error and attempt.error.type for attempt in result.attempts] == [
        "truncated",
        "overloaded_error",
        None,
    ]
    assert [attempt.usage.input_tokens for attempt in result.attempts] == [10, 15, 15]
    assert [attempt.usage.output_tokens for attempt in result.attempts] == [1, 1, 30]
    assert result.usage == result.billed == told_usages[-1]
    assert result.message["usage"]["input_tokens"] == 40
    assert result.message["usage"]["cache_creation"] == {
        name: 3 * count for name, count in USAGE["cache_creation"].items()
    }
    assert not result.usage_is_final
    decoded = decode_event(encode_event(end))
    assert decoded == end


@pytest_async
async def test_after_a_part_that_ended_the_parts_that_follow_are_new() -> None:
    _, events = await played(
        BEGUN + text_delta(0, "One. ") + stop(0) + begin(2, "text", text="") + text_delta(2, "Two. ") + stop(2),
        MORE + text_delta(0, "Three.") + stop(0) + begin(1, "text", text="") + text_delta(1, "Four.") + stop(1) + DONE,
    )
    parts, end = fold(events)
    assert parts == {0: TextPart("One. "), 2: TextPart("Two. "), 3: TextPart("Three."), 4: TextPart("Four.")}
    assert end is not None
    assert end.result.parts == tuple(parts.values())


@pytest_async
@pytest.mark.parametrize("first", [0, 1])
async def test_a_continuation_that_does_not_begin_with_text(first: int) -> None:
    call = begin(first, "tool_use", id="t", name="f", input={}) + json_delta(first, '{"a": 1}')
    after = begin(first + 1, "text", text="") + text_delta(first + 1, "Done.") + stop(first + 1)
    stage = Stage(recovery="continue")
    mailbox = stage.handle.subscribe(Lossless(100))
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN + text_delta(0, "Let me see"))
        stage.fail()
        stage.write(start() + call)
        await settle()
        assert stage.handle.partial_args(1 + first) == {"a": 1}
        with pytest.raises(KeyError):
            stage.handle.partial_args(0)
        stage.write(stop(first) + after + DONE)
        stage.end()
        events = await read(mailbox)
    assert fold(events)[0] == {
        0: TextPart("Let me see"),
        1 + first: ToolCallPart("f", '{"a": 1}', "t"),
        2 + first: TextPart("Done."),
    }
    assert kinds(events)[4:8] == ["stream_start", "usage", "part_end", "part_start"]


@pytest_async
async def test_a_continuation_that_has_nothing_to_add() -> None:
    _, events = await played(BEGUN + text_delta(0, "All."), start() + DONE)
    parts, end = fold(events)
    assert parts == {0: TextPart("All.")}
    assert end is not None
    assert end.result.state == "complete"


@pytest_async
async def test_what_a_continuation_brings_beside_text_is_kept() -> None:
    cited = {"type": "char_location", "cited_text": "x"}
    again = start() + event(
        "content_block_start", index=0, tone=1, content_block={"type": "text", "text": "lo", "hue": 2}
    )
    _, events = await played(
        BEGUN + text_delta(0, "Hel"),
        last() + again + delta(0, "citations_delta", citation=cited) + stop(0) + DONE,
    )
    parts, end = fold(events)
    assert parts == {0: TextPart("Hello", (cited,), extra={"tone": 1, "hue": 2})}
    assert end is not None
    assert end.result.message is not None
    assert end.result.message["content"] == [{"type": "text", "text": "Hello", "hue": 2, "citations": [cited]}]
    assert kinds(events)[4] == "unknown"  # a `message_delta` that belongs to no message


@pytest_async
@pytest.mark.parametrize(("index", "citations"), [(0, ({"type": "char_location"},)), (1, ())])
async def test_text_that_is_no_plain_continuation_is_a_part_of_its_own(index: int, citations: tuple[Any, ...]) -> None:
    _, events = await played(
        BEGUN + text_delta(0, "Hel"),
        start() + begin(index, "text", text="lo", citations=list(citations)) + stop(index) + DONE,
    )
    assert fold(events)[0] == {0: TextPart("Hel"), 1 + index: TextPart("lo", citations)}


TOOL_CUT = begin(1, "tool_use", id="t", name="f", input={}) + json_delta(1, '{"a"')


@pytest_async
@pytest.mark.parametrize(
    ("cut", "params"),
    [
        (BEGUN + text_delta(0, "Hel") + stop(0) + TOOL_CUT, {}),
        (start() + begin(0, "thinking", thinking="") + delta(0, "thinking_delta", thinking="Hm"), {}),
        (BEGUN + text_delta(0, "Hel") + cite(0, "char_location"), {}),
        (BEGUN + text_delta(0, "Hello") + last(), {}),  # with its stop reason, and a block open
        (BEGUN + text_delta(0, "Hel"), {"messages": PREFILLED}),
    ],
)
@pytest.mark.parametrize("clean", [False, True])
async def test_what_cannot_be_continued_ends(cut: bytes, params: Any, clean: bool) -> None:
    asked: Any = {"messages": [USER], **params}
    request = StreamRequest(asked)
    endings: list[Any] = []
    for recovery in ("continue", "fail"):
        stage = Stage(recovery=recovery, request=request)
        mailbox = stage.handle.subscribe(Lossless(100))
        async with task_group() as tasks:
            tasks.start_soon(stage.run)
            stage.write(cut)
            stage.end() if clean else stage.fail()
            events = await read(mailbox)
        assert len(stage.sent) == 1
        result = stage.handle.result
        assert (result.state, result.error and result.error.retryable) == ("truncated", True)
        endings.append((kinds(events), result.parts, result.usage, result.message))
    assert endings[0] == endings[1]


@pytest_async
async def test_a_continuation_that_fails_before_its_content_is_asked_for_again() -> None:
    stage, events = await played(BEGUN + text_delta(0, "Hel"), b"", MORE, MORE + text_delta(0, "lo") + stop(0) + DONE)
    assert [request.params["messages"][1:] for request in stage.sent[1:]] == [[turn("Hel")]] * 3
    assert fold(events)[0] == {0: TextPart("Hello")}
    result = stage.handle.result
    assert [attempt.usage.input_tokens for attempt in result.attempts] == [10, 0, 15, 15]
    assert result.usage.input_tokens == 40


@pytest_async
async def test_a_last_event_without_its_blank_line_is_told_and_quoted() -> None:
    stage = Stage(recovery="continue")
    events: list[PartEvent] = []

    async def follow(mailbox: Mailbox) -> None:
        with suppress(anyio.EndOfStream):
            while True:
                events.append(await mailbox.receive())

    async with task_group() as tasks:
        tasks.start_soon(follow, stage.handle.subscribe())
        tasks.start_soon(stage.run)
        stage.write(BEGUN + text_delta(0, "Hel"))
        await settle()
        stage.write(text_delta(0, "lo").rstrip())
        stage.end()
        await settle()
        deltas = [event.delta for event in events if isinstance(event, PartDeltaEvent)]
        assert deltas == [TextPartDelta("Hel"), TextPartDelta("lo")]
        assert stage.sent[-1].params["messages"][-1] == turn("Hello")
        stage.scope.cancel()


@pytest_async
async def test_no_more_attempts_than_the_policy_has() -> None:
    retry = RetryPolicy(max_attempts=3, base_delay=1e-9)
    stage, events = await played(*[MORE + text_delta(0, "a")] * 2, b"", retry=retry)
    result = stage.handle.result
    assert (result.state, result.text, len(result.attempts), len(stage.sent)) == ("truncated", "aa", 3, 3)
    assert fold(events)[0] == {0: TextPart("aa", complete=False)}
    assert result.message is not None
    assert (result.usage.input_tokens, result.message["usage"]["input_tokens"]) == (30, 30)
    assert kinds(events)[-2:] == ["part_end", "stream_end"]


@pytest_async
async def test_between_the_attempts_the_text_is_there_and_stays() -> None:
    stage = Stage(recovery="continue")
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN + text_delta(0, "Hel"))
        stage.fail()
        await settle()
        snapshot = stage.handle.snapshot()
        assert snapshot.parts == ((0, TEXT),)
        assert (snapshot.message_id, snapshot.usage.input_tokens) == ("msg_0123456789abcdefghijklmn", 10)
        late, later = stage.handle.subscribe(), stage.handle.subscribe(start="now")
        stage.write(MORE + text_delta(0, "lo"))
        await settle()
        for mailbox in (late, later):
            assert fold(told(mailbox))[0] == {0: TextPart("Hello", complete=False)}
        stage.scope.cancel()
    result = stage.handle.result
    assert (result.state, result.text) == ("cancelled", "Hello")
    assert [attempt.usage.input_tokens for attempt in result.attempts] == [10, 15]
    assert result.usage == result.billed


@pytest_async
async def test_begun_anew_nothing_older_counts() -> None:
    stage = Stage(recovery="restart")
    record = stage.handle.subscribe(Lossless(100))
    lagging, merged = stage.handle.subscribe(Lossless(100)), stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN + text_delta(0, "Hel") + stop(0) + TOOL_CUT)
        await settle()
        cut_at = stage.actor.log.seq
        stage.fail()
        await settle()
        assert stage.handle.snapshot().parts == ()
        assert stage.handle.usage == Usage()
        in_between = stage.handle.subscribe()
        stage.write(start() + begin(0, "text", text="") + text_delta(0, "An"))
        await settle()
        joined = {number: stage.handle.subscribe(start=number) for number in (0, 3, cut_at, cut_at + 2)}
        for number, mailbox in joined.items():
            (snapshot, *rest) = told(mailbox)
            if number < cut_at + 2:
                assert isinstance(snapshot, SnapshotEvent)
                assert (snapshot.first_seq, snapshot.parts) == (number + 1, ((0, TextPart("An", complete=False)),))
                assert not rest
        stage.write(text_delta(0, "ew") + stop(0) + DONE)
        stage.end()
        everything = await read(record)
        assert await read(lagging) == everything
        for mailbox in (merged, in_between):
            assert fold(await read(mailbox))[0] == {0: TextPart("Anew")}
    assert kinds(everything)[:10] == [
        "stream_start", "usage", "part_start", "part_delta", "part_end", "part_start", "part_delta",
        "part_end", "restart", "stream_start",
    ]  # fmt: skip
    cut, restart = everything[7:9]
    assert isinstance(cut, PartEndEvent)
    assert cut.part == ToolCallPart("f", '{"a"', "t", complete=False)
    assert isinstance(restart, RestartEvent)
    assert restart.attempt == 2
    result = stage.handle.result
    assert (result.state, result.text, result.parts) == ("complete", "Anew", (TextPart("Anew"),))
    assert [request.params["messages"] for request in stage.sent] == [[{"role": "user", "content": "the prompt"}]] * 2
    assert [attempt.usage.output_tokens for attempt in result.attempts] == [1, 30]
    assert (result.usage.output_tokens, result.billed.output_tokens) == (30, 31)
    assert result.usage_is_final

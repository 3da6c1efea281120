"""Handles: joining a stream at any moment, from anywhere, and looking at it without joining."""

from contextlib import suppress
from typing import Any, Literal

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.reference.streams import (
    END,
    PING,
    USAGE,
    begin,
    delta,
    event,
    json_delta,
    last,
    start,
    stop,
    text,
    text_delta,
)
from tests.support.stage import Stage, assert_gapless, fold, settle, task_group

from manystream.actors import (
    Conflate,
    Lossless,
    Mailbox,
    PartEvent,
    PartStartEvent,
    RestartEvent,
    SnapshotEvent,
    State,
    StreamEndEvent,
    TextPart,
)
from manystream.actors.stream import Recovery

pytestmark = pytest.mark.anyio

BEGUN = start() + begin(0, "text", text="")
HELLO = BEGUN + text_delta(0, "Hel") + text_delta(0, "lo")
REST = text_delta(0, ", you") + stop(0) + last() + END


async def read(mailbox: Mailbox) -> list[PartEvent]:
    return [event async for event in mailbox]


def told(mailbox: Mailbox) -> list[PartEvent]:
    """All that the mailbox has now."""
    events: list[PartEvent] = []
    with suppress(anyio.WouldBlock, anyio.EndOfStream):
        while True:
            events.append(mailbox.receive_nowait())
    return events


async def played(*chunks: bytes, ended: bool = False) -> Stage:
    """A stream after these bytes, its task at rest or over."""
    stage = Stage()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(*chunks)
        if ended:
            stage.end()
            await stage.handle.wait()
    return stage


# -- joining while it runs


async def test_joining_at_the_start_tells_what_has_been_in_one_snapshot() -> None:
    stage = Stage()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(HELLO)
        await settle()
        mailbox = stage.handle.subscribe()
        (snapshot,) = told(mailbox)
        assert isinstance(snapshot, SnapshotEvent)
        assert snapshot == stage.handle.snapshot()
        assert snapshot.parts == ((0, TextPart("Hello", complete=False)),)
        assert (snapshot.seq, snapshot.model_name) == (5, "claude-opus-5-5")
        assert (snapshot.message_id, snapshot.request_id) == ("msg_0123456789abcdefghijklmn", "req_stage")
        stage.write(REST)
        stage.end()
        rest = await read(mailbox)
    assert_gapless(rest, after=5)
    assert fold([snapshot, *rest])[0] == {0: TextPart("Hello, you")}


async def test_before_anything_has_been_there_is_no_snapshot() -> None:
    stage = Stage()
    for where in ("start", "now", 0):
        assert told(stage.handle.subscribe(start=where)) == []


async def test_joining_now_tells_the_open_parts_and_what_follows() -> None:
    stage = Stage()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        call = begin(2, "tool_use", id="toolu_2", name="f", input={}) + json_delta(2, '{"a"')
        stage.write(start() + text(0, "over") + begin(1, "text", text="") + text_delta(1, "open") + call)
        await settle()
        mailbox = stage.handle.subscribe(start="now")
        events = told(mailbox)
        assert [(event.index, event.part) for event in events if isinstance(event, PartStartEvent)] == list(
            stage.actor.assembler.open_parts()
        )
        assert [event.seq for event in events] == [stage.actor.log.seq - 1, stage.actor.log.seq]
        stage.write(text_delta(1, "!") + stop(1) + json_delta(2, ": 1}") + stop(2) + last("tool_use") + END)
        stage.end()
        events += await read(mailbox)
    assert_gapless(events)
    parts, end = fold(events)
    assert end is not None
    assert tuple(parts.values()) == end.result.parts[1:]


@pytest.mark.parametrize("policy", [Conflate(), Lossless(100)], ids=repr)
@pytest.mark.parametrize("seq", range(6))
async def test_joining_after_a_number_tells_every_later_event(seq: int, policy: Conflate | Lossless) -> None:
    stage = Stage()
    whole = stage.handle.subscribe(Lossless(100))
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(HELLO)
        await settle()
        mailbox = stage.handle.subscribe(policy, start=seq)
        stage.write(REST)
        stage.end()
        events = await read(mailbox)
        everything = await read(whole)
    assert_gapless(events, after=seq)
    if isinstance(policy, Lossless):
        assert events == everything[seq:]
    before = everything[:seq]
    assert fold([*before, *events]) == fold(everything)


@pytest.mark.parametrize("ended", [False, True])
async def test_a_number_that_lies_ahead_is_refused(ended: bool) -> None:
    stage = await played(HELLO + REST, ended=True) if ended else Stage()
    number = stage.actor.log.seq
    for wrong in (number + 1, -1):
        with pytest.raises(ValueError, match=f"start={wrong}"):
            stage.handle.subscribe(start=wrong)


# -- joining after the end


@pytest.mark.parametrize("where", ["start", "now", 0, 3])
async def test_after_the_end_there_are_the_snapshot_and_the_end(where: Literal["start", "now"] | int) -> None:
    stage = await played(HELLO + REST, ended=True)
    snapshot, end = await read(stage.handle.subscribe(start=where))
    assert isinstance(snapshot, SnapshotEvent)
    assert isinstance(end, StreamEndEvent)
    assert end.result is stage.handle.result
    assert tuple(part for _, part in snapshot.parts) == end.result.parts
    assert_gapless([snapshot, end], after=where if isinstance(where, int) else None)


async def test_after_the_end_nothing_is_told_twice() -> None:
    stage = await played(HELLO + REST, ended=True)
    number = stage.actor.log.seq
    (end,) = await read(stage.handle.subscribe(start=number - 1))
    assert isinstance(end, StreamEndEvent)
    assert end.seq == number
    mailbox = stage.handle.subscribe(start=number)
    for receive in (mailbox.receive, mailbox.receive_batch):
        with pytest.raises(anyio.EndOfStream):
            await receive()


async def test_a_stream_that_never_began_has_only_its_end() -> None:
    stage = Stage()
    early = stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        await settle()
        stage.handle.cancel("no need")
    for where in ("start", "now", 0):
        (end,) = await read(stage.handle.subscribe(start=where))
        assert (end.first_seq, end.seq) == (1, 1)
    assert await read(early) == [StreamEndEvent(stage.handle.result, stream_id="s", first_seq=1, seq=1)]


# -- restarts


async def test_after_a_restart_nothing_older_is_told() -> None:
    stage = Stage()
    slow, fast = stage.handle.subscribe(), stage.handle.subscribe(Lossless(100))
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN)
        await settle()
        events = told(fast)
        stage.fail()
        await settle()
        events += told(fast)
        assert [event.event_kind for event in events] == ["stream_start", "usage", "part_start", "part_end", "restart"]
        late = stage.handle.subscribe()
        stage.write(start() + begin(1, "text", text="") + text_delta(1, "again"))
        await settle()
        assert stage.handle.snapshot().parts == ((1, TextPart("again", complete=False)),)
        resumed = stage.handle.subscribe(start=3)
        (snapshot,) = told(resumed)
        assert snapshot == attrs.evolve(stage.handle.snapshot(), first_seq=4)
        at_the_restart = stage.handle.subscribe(start=4)
        stage.write(stop(1) + last() + END)
        stage.end()
        for mailbox, before, after in (
            (fast, events, 0),
            (slow, [], 0),
            (late, [], None),
            (resumed, [snapshot], 3),
            (at_the_restart, [], 4),
        ):
            all_told = [*before, *await read(mailbox)]
            assert_gapless(all_told, after=after)
            parts, end = fold(all_told)
            assert parts == {1: TextPart("again")}
            assert end is not None
            assert len(end.result.attempts) == 2
            restarts = [place for place, event in enumerate(all_told) if isinstance(event, RestartEvent)]
            after_it = all_told[restarts[-1] :] if restarts else all_told
            assert not any(isinstance(event, PartStartEvent) and event.index == 0 for event in after_it)


# -- the handle itself


async def test_a_handle_says_how_it_stands() -> None:
    moment = 100.0
    stage = Stage(clock=lambda: moment)
    handle = stage.handle
    assert (handle.id, handle.custom_id, handle.state, handle.model_name) == ("s", None, State.NEW, None)
    assert (handle.last_byte_at, handle.last_content_at) == (None, None)
    with pytest.raises(RuntimeError, match="still running"):
        _ = handle.result
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(BEGUN)
        await settle()
        assert (handle.state, handle.model_name) == (State.STREAMING, "claude-opus-5-5")
        assert (handle.last_byte_at, handle.last_content_at) == (100, None)
        assert handle.usage.input_tokens == USAGE["input_tokens"]
        moment = 101.0
        stage.write(text_delta(0, "a"))
        await settle()
        moment = 102.0
        stage.write(PING)
        await settle()
        assert (handle.last_byte_at, handle.last_content_at) == (102, 101)
        stage.write(stop(0) + last() + END)
        stage.end()
        assert (await handle.wait()) is handle.result
    assert handle.state is State.DONE
    assert handle.result.state == "complete"
    assert "prompt" not in repr(handle) + repr(handle.result)


@attrs.define
class Bill:
    """What a handle says was billed, each time it is asked: all input, and output."""

    stage: Stage
    said: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])

    async def ask(self, *chunks: bytes) -> None:
        """Asks when these bytes were read."""
        self.stage.write(*chunks)
        await settle()
        usage = self.stage.handle.billed
        self.said.append((usage.total_input_tokens, usage.output_tokens))


INPUT = USAGE["input_tokens"] + USAGE["cache_creation_input_tokens"] + USAGE["cache_read_input_tokens"]
LONG = 400 * "word"


@pytest.mark.parametrize("recovery", ["restart", "continue"])
async def test_billed_counts_all_attempts_while_they_run_and_after(recovery: Recovery) -> None:
    stage = Stage(recovery=recovery)
    bill = Bill(stage)
    async with task_group() as tasks:
        await bill.ask()
        tasks.start_soon(stage.run)
        await bill.ask()
        await bill.ask(BEGUN)
        await bill.ask(text_delta(0, LONG))
        stage.fail()
        await bill.ask()
        await bill.ask(BEGUN + text_delta(0, LONG))
        await bill.ask(stop(0) + last(usage={"output_tokens": 30}))  # now the API says how much it was
        stage.end()
        await bill.ask(END)
    assert bill.said == [
        (0, 0),
        (0, 0),
        (INPUT, 1),
        (INPUT, 400),
        (INPUT, 400),
        (2 * INPUT, 800),
        (2 * INPUT, 430),
        (2 * INPUT, 430),
    ]
    result = stage.handle.result
    assert len(result.attempts) == 2
    assert stage.handle.billed == result.billed
    assert (result.billed.total_input_tokens, result.billed.output_tokens) == bill.said[-1]


async def test_billed_counts_the_attempts_that_failed_before_any_content() -> None:
    stage = Stage()
    bill = Bill(stage)
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        for _ in range(2):
            await bill.ask(BEGUN)
            stage.fail()
        await bill.ask(HELLO + REST)
        stage.end()
    assert bill.said == [(INPUT, 1), (2 * INPUT, 2), (3 * INPUT, 44)]
    assert stage.handle.billed == stage.handle.result.billed
    assert stage.handle.billed.output_tokens == 44


@pytest.mark.parametrize("how", ["cancelled", "truncated", "failed"])
async def test_billed_counts_what_came_before_a_stream_was_cut(how: str) -> None:
    stage = Stage()
    bill = Bill(stage)
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        await bill.ask(BEGUN, text_delta(0, LONG))
        if how == "cancelled":
            stage.handle.cancel()
        elif how == "truncated":
            stage.end()
        else:
            stage.write(b"data: {\n\n")
    result = stage.handle.result
    assert result.state == how
    assert bill.said == [(INPUT, 400)]
    assert stage.handle.billed == result.billed == result.attempts[0].known_usage
    assert (result.billed.output_tokens, result.usage.output_tokens) == (400, 1)


@pytest.mark.parametrize(
    ("ending", "state"),
    [
        ("complete", State.DONE),
        ("cancelled", State.CANCELLED),
        ("truncated", State.FAILED),
        ("failed", State.FAILED),
    ],
)
async def test_the_handles_state_and_the_results_agree(ending: str, state: State) -> None:
    stage = Stage()
    states: list[State] = []
    mailbox = stage.handle.subscribe()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(HELLO)
        await settle()
        states.append(stage.handle.state)
        match ending:
            case "complete":
                stage.write(REST)
                stage.end()
            case "cancelled":
                stage.handle.cancel()
            case "truncated":
                stage.end()
            case _:
                stage.write(event("error", error={"type": "overloaded_error", "message": "busy"}))
        states += [stage.handle.state async for happened in mailbox if isinstance(happened, StreamEndEvent)]
    assert states == [State.STREAMING, state]
    assert (stage.handle.state, stage.handle.result.state) == (state, ending)


async def test_cancelling_a_wait_leaves_the_stream_running() -> None:
    stage = Stage()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(HELLO)
        with anyio.CancelScope() as scope:
            tasks.start_soon(_cancel_later, scope)
            await stage.handle.wait()
        assert scope.cancelled_caught
        assert stage.handle.state is State.STREAMING
        stage.write(REST)
        stage.end()
    assert stage.handle.result.text == "Hello, you"


async def _cancel_later(scope: anyio.CancelScope) -> None:
    await settle()
    scope.cancel()


async def test_partial_args_are_kept_up_in_place() -> None:
    stage = Stage()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(start() + begin(0, "tool_use", id="toolu_0", name="f", input={}) + json_delta(0, '{"a": [1'))
        await settle()
        value: Any = stage.handle.partial_args(0)
        stage.write(json_delta(0, ', 2], "b": "x'))
        await settle()
        assert value == stage.handle.partial_args(0) == {"a": [1, 2], "b": "x"}
        with pytest.raises(KeyError):
            stage.handle.partial_args(1)
        stage.end()


# -- snapshots


async def test_snapshots_give_the_latest_state_and_skip_what_lies_between() -> None:
    stage = Stage()
    async with task_group() as tasks, stage.handle.snapshots() as snapshots:
        tasks.start_soon(stage.run)
        first = await snapshots.receive()
        assert (first.seq, first.parts) == (0, ())
        stage.write(BEGUN, text_delta(0, "Hel"), text_delta(0, "lo"))
        await settle()
        assert await snapshots.receive() == stage.handle.snapshot()
        tasks.start_soon(_write_later, stage, REST)
        later = [snapshot async for snapshot in snapshots]
        assert later[-1].parts == ((0, TextPart("Hello, you")),)
        assert later[-1] == stage.handle.snapshot()
        with pytest.raises(anyio.EndOfStream):
            await snapshots.receive()
    with pytest.raises(anyio.ClosedResourceError):
        await snapshots.receive()


async def _write_later(stage: Stage, body: bytes) -> None:
    await settle()
    stage.write(body)
    stage.end()


async def test_several_tasks_may_wait_for_one_channel_of_snapshots() -> None:
    stage = Stage()
    snapshots = stage.handle.snapshots()
    await snapshots.receive()
    got: list[SnapshotEvent | None] = []
    async with task_group() as tasks:

        async def watch() -> None:
            try:
                while True:
                    got.append(await snapshots.receive())
            except (anyio.EndOfStream, anyio.ClosedResourceError):
                got.append(None)

        for _ in range(3):
            tasks.start_soon(watch)
        tasks.start_soon(stage.run)
        await settle()
        stage.write(HELLO)
        await settle()
        assert [snapshot.seq for snapshot in got if snapshot] == [5]
        stage.write(REST)
        stage.end()
    assert got.count(None) == 3


async def test_closing_a_channel_of_snapshots_wakes_who_waits() -> None:
    stage = Stage()
    snapshots = stage.handle.snapshots()
    await snapshots.receive()
    async with task_group() as tasks:

        async def watch() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await snapshots.receive()

        tasks.start_soon(watch)
        await settle()
        await snapshots.aclose()
    assert stage.actor.audience.parked == []


async def test_watching_snapshots_is_no_reason_to_go_on() -> None:
    stage = Stage(on_abandon="cancel")
    snapshots = stage.handle.snapshots()
    await snapshots.receive()
    stage.handle.subscribe().close()
    assert stage.abandoned == ["cancel"]


# -- any interleaving


TOLD = [
    start(),
    begin(0, "thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="Hm", estimated_tokens=2),
    delta(0, "thinking_delta", thinking="m", estimated_tokens=1),
    delta(0, "signature_delta", signature="c2ln"),
    stop(0),
    begin(1, "text", text=""),
    *(text_delta(1, letter) for letter in "abcdef"),
    begin(2, "tool_use", id="toolu_2", name="f", input={}),
    json_delta(2, '{"x"'),
    text_delta(1, "g"),
    json_delta(2, ": 1}"),
    stop(2),
    delta(1, "citations_delta", citation={"type": "char_location"}),
    text_delta(1, "h"),
    stop(1),
    last(usage={"output_tokens": 5}),
    last(usage={"output_tokens": 6}),
    END,
]


NO_CONTENT = 2  # how many of them bring no content yet: until then a failure is followed by another attempt


@attrs.define
class Consumer:
    """Somebody who joined, and what was told since. `joined` is the number after which events come as they happen."""

    mailbox: Mailbox
    policy: Conflate | Lossless
    where: Literal["start", "now"] | int
    joined: int
    after: int | None
    events: list[PartEvent] = attrs.field(factory=list[PartEvent])

    def take(self) -> None:
        with suppress(anyio.WouldBlock, anyio.EndOfStream):
            self.events.append(self.mailbox.receive_nowait())

    async def finish(self) -> None:
        self.events += await read(self.mailbox)


def join(stage: Stage, where: Literal["start", "now"] | int, policy: Conflate | Lossless) -> Consumer:
    log = stage.actor.log
    after = where if isinstance(where, int) else None
    joined = log.base if stage.actor.life.ended else log.seq
    if isinstance(where, int) and where >= log.base:
        joined = where
    return Consumer(stage.handle.subscribe(policy, start=where), policy, where, joined, after)


ACTIONS = ["write", "write", "write", "take", "take", "drain", "conflate", "lossless", "leave", "restart"]


@settings(max_examples=80)
@given(
    steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 60)), max_size=50),
    ending=st.sampled_from(["complete", "truncated", "broken", "cancelled"]),
)
async def test_every_consumer_ends_with_the_same(steps: list[tuple[str, int]], ending: str) -> None:
    stage = Stage()
    record = join(stage, 0, Lossless(100_000))
    consumers = [record, join(stage, 0, Conflate())]
    to_come = list(TOLD)
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        for action, number in steps:
            consumer = consumers[number % len(consumers)]
            numbered = number % (stage.actor.log.seq + 1)
            where: Literal["start", "now"] | int = (
                "start" if number % 3 == 0 else "now" if number % 3 == 1 else numbered
            )
            match action:
                case "write" if to_come:
                    stage.write(to_come.pop(0))
                case "take":
                    consumer.take()
                case "drain":
                    consumer.events += told(consumer.mailbox)
                case "conflate":
                    consumers.append(join(stage, where, Conflate()))
                case "lossless":
                    consumers.append(join(stage, where, Lossless(1 + number % 4)))
                case "leave" if consumer is not record:
                    consumer.mailbox.close()
                    consumers.remove(consumer)
                case "restart" if len(TOLD) - len(to_come) <= NO_CONTENT:
                    stage.fail()
                    to_come = list(TOLD)
                case _:
                    pass
            await settle()
        while len(TOLD) - len(to_come) <= NO_CONTENT or (to_come and ending == "complete"):
            stage.write(to_come.pop(0))
        if ending == "cancelled":
            stage.handle.cancel()
        elif ending == "broken":
            stage.fail()
        else:
            stage.end()
        for consumer in consumers:
            tasks.start_soon(consumer.finish)
    result = stage.handle.result
    final = dict(stage.actor.assembler.parts())
    assert tuple(final.values()) == result.parts
    if ending == "complete":
        assert result.state == "complete"
    assert [event.seq for event in record.events] == list(range(1, stage.actor.log.seq + 1))
    for consumer in consumers:
        assert_gapless(consumer.events, after=consumer.after)
        since = [event for event in consumer.events if event.seq > consumer.joined]
        happened = record.events[consumer.joined :]
        if isinstance(consumer.policy, Lossless):
            assert since == happened
        else:
            assert len(since) <= len(happened)
        before = record.events[: consumer.after] if consumer.after is not None else []
        if consumer.where == "now":
            open_then = {e.index: e.part for e in consumer.events if isinstance(e, PartStartEvent)}
            parts, end = fold(consumer.events)
            assert {index: final[index] for index in open_then if index in parts} == {
                index: part for index, part in parts.items() if index in open_then
            }
        else:
            parts, end = fold([*before, *consumer.events])
            assert parts == final
        if consumer.joined < stage.actor.log.seq:
            assert end is not None
            assert end.result is result
            assert end == consumer.events[-1]

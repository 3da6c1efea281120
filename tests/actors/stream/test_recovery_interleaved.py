"""Recovery after content: whatever is interleaved with it, every consumer holds the answer once."""

from contextlib import suppress
from typing import Literal

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.recovering import pytest_async, read, told
from tests.support.reference.streams import (
    END,
    begin,
    last,
    start,
    stop,
    text_delta,
)
from tests.support.stage import Stage, assert_gapless, fold, settle, task_group

from manystream.actors import (
    Conflate,
    Lossless,
    Mailbox,
    PartEvent,
    TextPart,
)
from manystream.actors.stream.recovery import Recovery

ANSWER = "abcdefgh"


ACTIONS = ["write", "write", "write", "break", "take", "drain", "join", "leave"]


@attrs.define
class Consumer:
    mailbox: Mailbox
    after: int | None
    events: list[PartEvent] = attrs.field(factory=list[PartEvent])

    async def finish(self) -> None:
        self.events += await read(self.mailbox)


@pytest_async
@pytest.mark.parametrize("recovery", ["restart", "continue"])
@settings(max_examples=60)
@given(steps=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 60)), max_size=60))
async def test_every_consumer_holds_the_answer_once(recovery: Recovery, steps: list[tuple[str, int]]) -> None:
    stage = Stage(recovery=recovery)
    record = Consumer(stage.handle.subscribe(Lossless(100_000)), 0)
    consumers = [record, Consumer(stage.handle.subscribe(), 0)]

    def answer(left: str) -> list[bytes]:
        half = len(left) // 2
        one, two = (
            [text_delta(index, letter) for letter in text] for index, text in enumerate((left[:half], left[half:]))
        )
        return [
            start(),
            begin(0, "text", text=""),
            *one,
            stop(0),
            begin(1, "text", text=""),
            *two,
            stop(1),
            last(),
            END,
        ]

    to_come = answer(ANSWER)
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        await settle()
        for action, number in steps:
            consumer = consumers[number % len(consumers)]
            match action:
                case "write" if len(to_come) > 2:
                    stage.write(to_come.pop(0))
                case "break":
                    stage.fail()
                    attempts = len(stage.sent)
                    while len(stage.sent) == attempts:
                        for each in consumers:
                            each.events += told(each.mailbox)
                        await settle()
                    text = "".join(
                        part.content for _, part in stage.handle.snapshot().parts if isinstance(part, TextPart)
                    )
                    to_come = answer(ANSWER.removeprefix(text))
                case "take":
                    with suppress(anyio.WouldBlock):
                        consumer.events.append(consumer.mailbox.receive_nowait())
                case "drain":
                    consumer.events += told(consumer.mailbox)
                case "join":
                    wheres: list[Literal["start"] | int] = ["start", number % (stage.actor.log.seq + 1)]
                    where = wheres[number % 2]
                    policy = Conflate() if number % 3 else Lossless(1 + number % 4)
                    mailbox = stage.handle.subscribe(policy, start=where)
                    consumers.append(Consumer(mailbox, None if where == "start" else where))
                case "leave" if consumer is not record:
                    consumer.mailbox.close()
                    consumers.remove(consumer)
                case _:
                    pass
            await settle()
        stage.write(*to_come)
        stage.end()
        for consumer in consumers:
            tasks.start_soon(consumer.finish)
    result = stage.handle.result
    assert (result.state, result.text) == ("complete", ANSWER)
    final = dict(stage.actor.assembler.parts())
    assert [event.seq for event in record.events] == list(range(1, stage.actor.log.seq + 1))
    for consumer in consumers:
        assert_gapless(consumer.events, after=consumer.after)
        before = record.events[: consumer.after] if consumer.after is not None else []
        parts, end = fold([*before, *consumer.events])
        assert parts == final
        assert end is None or end.result is result
        assert end is not None or consumer.after == stage.actor.log.seq

"""An answer that another process began, and this one goes on with: its numbers, its parts and what is sent for it."""

from typing import Any

import pytest
from tests.support.reference.streams import END, begin, last, start, stop, text_delta
from tests.support.stage import Stage, assert_gapless, task_group

from manystream.actors import PartDeltaEvent, PartEndEvent, StreamRequest, TextPart, ThinkingPart, ToolCallPart
from manystream.actors.channel import EventLog
from manystream.actors.prefix import Prefix

pytestmark = pytest.mark.anyio

HALF = ((0, TextPart("Whole.")), (1, TextPart("Half a sent", complete=False)))
REQUEST = StreamRequest({"messages": [{"role": "user", "content": "hi"}], "model": "m", "max_tokens": 9})


async def test_it_goes_on_in_the_open_part_under_the_numbers_that_follow() -> None:
    stage = Stage()
    stage.actor.go_on_behind(Prefix(41, HALF))
    recording = stage.handle.recording()
    async with task_group() as tasks:
        tasks.start_soon(stage.run)
        stage.write(start() + begin(0, "text", text="") + text_delta(0, "ence.") + stop(0) + last() + END)
        stage.end()
        result = await stage.handle.wait()
    cursor = recording.after(41)
    events: list[Any] = []
    while (event := cursor.take(merge=False)) is not None:
        events.append(event)
    assert_gapless(events, after=41)
    assert [event.index for event in events if isinstance(event, PartDeltaEvent | PartEndEvent)] == [1, 1]
    assert result.state == "complete"
    assert result.parts == (TextPart("Whole."), TextPart("Half a sentence."))
    assert not result.usage_is_final
    sent = Prefix(41, HALF).continued(REQUEST, EventLog("s"))[1].params["messages"]
    assert sent[0] == REQUEST.params["messages"][0]
    assert "[Whole.Half a sent]" in sent[1]["content"]


@pytest.mark.parametrize(
    ("parts", "may"),
    [
        ((), True),
        (HALF, True),
        (((0, TextPart("", complete=False)),), False),
        (((0, ThinkingPart("hm")), (1, TextPart("a"))), False),
        (((0, TextPart("a")), (1, ToolCallPart("f", "{}", "t", complete=False))), False),
        (((0, TextPart("a", ({"cited_text": "x"},))),), False),
    ],
)
def test_only_plain_text_and_nothing_at_all_can_be_continued(parts: Any, may: bool) -> None:
    assert Prefix(7, parts).may_be_continued(REQUEST) == may


def test_what_has_not_begun_is_asked_for_as_it_was() -> None:
    log = EventLog("s", 7)
    assembler, request = Prefix(7, ()).continued(REQUEST, log)
    assert request is REQUEST
    assert assembler.parts() == ()

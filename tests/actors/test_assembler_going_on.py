"""The assembler over a continuation: an answer that goes on where its first attempt broke off."""

import pytest
from tests.support.assembling import CALL, STOPPED, TEXT, began, block, ending, fed, parts_of, read, said, stop

from manystream.actors import (
    PartDeltaEvent,
    PartEndEvent,
    StreamStartEvent,
    TextPart,
    ToolCallPart,
    UnknownEvent,
    Usage,
    UsageEvent,
)
from manystream.actors.assembler import Assembler


def cut(*lines: str) -> Assembler:
    """An answer that was cut after these events, and is about to go on."""
    assembler, _ = fed(began(), *lines)
    assembler.go_on()
    return assembler


def test_text_goes_on_as_one_part() -> None:
    assembler = cut(TEXT, said("Hel"))
    assert (assembler.started, assembler.over, assembler.attempt_characters) == (False, False, 0)
    assert assembler.attempt_usage == Usage()
    assert assembler.usage == Usage(3)
    again = began({"id": "msg_2", "usage": {"input_tokens": 5}})
    _, log = fed(again, block("text", text="l", shade="blue"), said("o"), more_of=assembler)
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent, PartDeltaEvent, PartDeltaEvent]
    assert assembler.attempt_characters == 2
    fed(
        stop(),
        block("text", 1, text="!"),
        stop(1),
        ending("end_turn", {"output_tokens": 2}),
        STOPPED,
        more_of=assembler,
    )
    assert assembler.stopped
    assert parts_of(assembler) == {0: TextPart("Hello", extra={"shade": "blue"}), 1: TextPart("!")}
    assert assembler.usage == Usage(8, 2)
    assert assembler.attempt_usage == Usage(5, 2)
    assert not assembler.usage_is_final  # the first attempt's last word on it is missing
    message = assembler.message()
    assert message is not None
    assert (message["id"], message["usage"]) == ("msg_2", {"input_tokens": 8, "output_tokens": 2})
    assert message["content"] == [{"type": "text", "text": "Hello", "shade": "blue"}, {"type": "text", "text": "!"}]


def test_a_second_continuation_counts_only_its_own() -> None:
    assembler = cut(TEXT, said("Hel"))
    fed(began({"id": "msg_2"}), TEXT, said("lo"), more_of=assembler)
    assembler.go_on()
    assert assembler.usage == Usage(6)
    fed(began({"id": "msg_3"}), TEXT, said("!"), more_of=assembler)
    assert assembler.attempt_characters == 1
    assert assembler.usage == Usage(9)
    assert parts_of(assembler) == {0: TextPart("Hello!", complete=False)}


def test_a_continuation_that_begins_with_nothing_tells_of_no_delta() -> None:
    assembler = cut(TEXT, said("Hel"))
    _, log = fed(began({"id": "msg_2"}), TEXT, more_of=assembler)
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent]


def test_what_follows_something_else_than_text_is_a_part_of_its_own() -> None:
    assembler = cut(TEXT, said("Hello"))
    _, log = fed(began({"id": "msg_2"}), CALL, more_of=assembler)
    assert isinstance(end := read(log)[2], PartEndEvent)
    assert end.part == TextPart("Hello")  # the text was at its end
    assert parts_of(assembler) == {0: TextPart("Hello"), 1: ToolCallPart("f", "", "t", complete=False)}
    assert assembler.partial_args(1).value is None
    with pytest.raises(KeyError):
        assembler.partial_args(0)


def test_a_continuation_without_content_leaves_the_text_whole() -> None:
    assembler = cut(TEXT, said("Hello"))
    fed(began({"id": "msg_2"}), ending(), STOPPED, more_of=assembler)
    assert assembler.stopped
    assembler.close()
    assert parts_of(assembler) == {0: TextPart("Hello")}


def test_text_that_a_continuation_begins_its_message_with_needs_no_end() -> None:
    assembler = cut(TEXT, said("Hel"))
    fed(began({"id": "msg_2", "content": [{"type": "text", "text": "lo"}]}), ending(), more_of=assembler)
    assert assembler.is_whole
    assembler.close()
    assert parts_of(assembler) == {0: TextPart("Hello")}


def test_only_the_last_block_goes_on() -> None:
    assembler = cut(TEXT, said("a"), block("text", 1, text="b"))
    assert parts_of(assembler) == {0: TextPart("a", complete=False), 1: TextPart("b", complete=False)}
    assert [index for index, _ in assembler.open_parts()] == [1]
    fed(began({"id": "msg_2"}), TEXT, said("c"), more_of=assembler)
    assert parts_of(assembler)[1] == TextPart("bc", complete=False)


def test_after_parts_that_ended_the_continuations_parts_are_new() -> None:
    assembler = cut(TEXT, said("a"), stop())
    fed(began({"id": "msg_2"}), TEXT, said("b"), more_of=assembler)
    assert parts_of(assembler) == {0: TextPart("a"), 1: TextPart("b", complete=False)}


def test_a_continuation_says_nothing_of_the_stop_before_its_message_begins() -> None:
    assembler = cut(TEXT, said("a"))
    _, log = fed(ending(), more_of=assembler)
    assert [type(event) for event in read(log)] == [UnknownEvent]
    assert assembler.stop_reason is None


def test_an_answer_that_had_no_content_goes_on_at_its_beginning() -> None:
    assembler = cut()
    fed(began({"id": "msg_2"}), TEXT, said("a"), more_of=assembler)
    assert parts_of(assembler) == {0: TextPart("a", complete=False)}


def test_a_continuation_that_was_broken_off_forgets_the_break() -> None:
    assembler = cut(TEXT, said("a"), '{"type":"error","error":{"type":"overloaded_error"}}')
    assert (assembler.error, assembler.broken, assembler.over) == (None, None, False)
    assembler = cut(TEXT, TEXT)
    assert (assembler.error, assembler.broken, assembler.over) == (None, None, False)


def test_between_the_attempts_the_usage_is_the_earlier_ones() -> None:
    assembler = cut(TEXT, said("a"), ending(None, {"output_tokens": 4}))
    message = assembler.message()
    assert message is not None
    assert message["usage"] == {"input_tokens": 3, "output_tokens": 4}

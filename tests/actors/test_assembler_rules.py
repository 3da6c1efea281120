"""The assembler's rules, one by one: what each wire event does to parts, usage and the message."""

import json
from typing import Any

import attrs
import pytest
from tests.support.assembling import CALL, STOPPED, TEXT, began, block, delta, ending, fed, parts_of, read, said, stop

from manystream.actors import (
    PartDeltaEvent,
    PartEndEvent,
    StreamStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    UnknownEvent,
    Usage,
    UsageEvent,
)
from manystream.actors.assembler import Assembler
from manystream.actors.channel.log import EventLog


def json_of_call(text: str, **fields: Any) -> str:
    return delta("input_json_delta", partial_json=text, **fields)


def test_nothing_is_known_before_the_message_begins() -> None:
    assembler = Assembler(EventLog("s"))
    assert assembler.message() is None
    known = (assembler.message_id, assembler.model_name, assembler.stop_reason, assembler.stop_sequence)
    assert known == (None, None, None, None)
    assert assembler.stop_details is None
    assert not assembler.is_whole
    assert not assembler.usage_is_final
    assert (assembler.contents, assembler.attempt_characters) == (0, 0)
    assert assembler.usage == assembler.attempt_usage == Usage()


def test_what_the_api_said_of_the_stop() -> None:
    details = {"type": "refusal", "category": "x"}
    said = ending("stop_sequence", delta={"stop_sequence": "END", "stop_details": details})
    assembler, _ = fed(began({"stop_reason": None, "stop_sequence": None}), said)
    assert (assembler.stop_reason, assembler.stop_sequence) == ("stop_sequence", "END")
    assert assembler.stop_details == details
    # A later event that is silent takes nothing back.
    fed(ending(None), more_of=assembler)
    assert (assembler.stop_reason, assembler.stop_sequence) == ("stop_sequence", "END")
    assert fed(began(), ending(delta={"stop_details": "odd"}))[0].stop_details is None


def test_an_answer_is_whole_once_it_has_a_reason_and_no_open_block() -> None:
    assembler, _ = fed(began(), TEXT, ending())
    assert not assembler.is_whole
    fed(stop(), more_of=assembler)
    assert assembler.is_whole
    assert not fed(began(), TEXT, stop())[0].is_whole
    assert not fed(began(), TEXT, stop(), ending(), '{"type":"error","error":{"type":"api_error"}}')[0].is_whole
    assert not fed(began(), ending(), said("x"))[0].is_whole  # broken


@pytest.mark.parametrize("kind", ["content_block_start", "content_block_delta"])
def test_content_that_can_not_be_read_breaks_the_message(kind: str) -> None:
    assembler, log = fed(began(), json.dumps({"type": kind, "index": 0}))
    assert isinstance(read(log)[-1], UnknownEvent)
    assert assembler.over
    assert assembler.broken == f"a {kind} event does not say what it should"


def test_an_unknown_event_that_is_no_content_breaks_nothing() -> None:
    assembler, _ = fed(began(), '{"type":"novelty"}')
    assert assembler.broken is None
    assert not assembler.over


def test_an_error_is_the_end_of_it() -> None:
    assembler, _ = fed(began(), TEXT, '{"type":"error","error":{"type":"overloaded_error","message":"busy"}}')
    assert assembler.error is not None
    assert (assembler.stopped, assembler.over, assembler.broken) == (False, True, None)


def test_what_broke_a_message_first_is_what_is_said_of_it() -> None:
    assembler, _ = fed(began(), said("x"), TEXT, TEXT)
    assert assembler.broken == "a delta is for block 0, which never began"


@pytest.mark.parametrize(("before", "why"), [([], "never began"), ([TEXT, stop()], "has ended")])
def test_a_delta_for_no_open_block_is_told_and_breaks_the_message(before: list[str], why: str) -> None:
    assembler, log = fed(began(), *before, said("x"))
    event = read(log)[-1]
    assert isinstance(event, UnknownEvent)
    assert event.raw == {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}}
    assert assembler.broken is not None
    assert assembler.broken.endswith(why)
    assert assembler.contents == 0


@pytest.mark.parametrize("before", [[], [TEXT, stop()]])
def test_an_end_for_no_open_block_is_told_and_breaks_nothing(before: list[str]) -> None:
    assembler, log = fed(began(), *before, stop(x=1))
    event = read(log)[-1]
    assert isinstance(event, UnknownEvent)
    assert event.raw == {"type": "content_block_stop", "index": 0, "x": 1}
    assert assembler.broken is None


def test_a_block_that_begins_again_ends_the_one_that_was_open() -> None:
    assembler, log = fed(began(), TEXT, said("a"), TEXT)
    assert isinstance(end := read(log)[-2], PartEndEvent)
    assert end.part == TextPart("a", complete=False)
    assert assembler.broken == "block 0 began again before it had ended"
    # One that stood in `message_start` may end without a word.
    assembler, log = fed(began({"content": [{"type": "text", "text": "a"}]}), TEXT)
    assert isinstance(end := read(log)[-2], PartEndEvent)
    assert end.part == TextPart("a")
    assert assembler.broken is None
    # And one that has ended may be followed by another of its index.
    assert fed(began(), TEXT, stop(), TEXT)[0].broken is None


def test_content_that_the_message_begins_with() -> None:
    given = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assembler, _ = fed(began({"content": given}), ending())
    assert assembler.is_whole  # these blocks need no end
    assembler.close()
    assert parts_of(assembler) == {0: TextPart("a"), 1: TextPart("b")}
    assembler, _ = fed(began({"content": given}))
    assembler.close()  # it was cut
    assert parts_of(assembler)[0] == TextPart("a", complete=False)
    assembler, _ = fed(began({"content": given[0]}))
    assert parts_of(assembler) == {0: TextPart("a", complete=False)}
    assert assembler.broken is None
    assembler, _ = fed(began({"content": [given[0], "b"]}))
    assert assembler.broken == "the message begins with content that is no block"


def test_contents_are_counted() -> None:
    assert fed(began(), TEXT)[0].contents == 0
    assert fed(began(), TEXT, said("a"), said("b"))[0].contents == 2
    assert fed(began(), TEXT, delta("text_delta", text="a", x=1))[0].contents == 1
    assert fed(began(), block("redacted_thinking", data="x"), block("poem", 1))[0].contents == 2  # they come whole


def test_empty_deltas_in_a_row_are_kept_as_one() -> None:
    assembler, log = fed(began(), TEXT, said(""), said(""), said("a"), said(""))
    assert [event.delta for event in read(log) if isinstance(event, PartDeltaEvent)] == [
        TextPartDelta(text) for text in ("", "a", "")
    ]
    assert assembler.contents == 3


def test_the_best_parse_of_arguments_keeps_up() -> None:
    assembler, _ = fed(began(), CALL, json_of_call('{"a": 1'))
    args = assembler.partial_args(0).value
    fed(json_of_call(', "b": 2', x=1), more_of=assembler)  # a delta with more than we know
    fed(json_of_call(', "c": 3}'), more_of=assembler)
    assert args == {"a": 1, "b": 2, "c": 3}
    assert assembler.partial_args(0).value is args
    given, _ = fed(began(), block("tool_use", id="t", name="f", input={"a": 1}))
    assert given.partial_args(0).value is None
    fed(stop(), more_of=given)
    assert given.partial_args(0).value == {"a": 1}


def test_a_delta_with_an_unknown_field_is_in_the_part_once() -> None:
    assembler, _ = fed(began(), TEXT, said("a"), delta("text_delta", text="b", tone=3), said("c"))
    assert parts_of(assembler)[0] == TextPart("abc", complete=False, extra={"tone": 3})
    assert assembler.attempt_characters == 3
    assert [part for _, part in assembler.open_parts()] == [TextPart("abc", complete=False, extra={"tone": 3})]


def test_citations_and_what_does_not_fit_its_part() -> None:
    citation = {"type": "c", "n": 1}
    assembler, _ = fed(
        began(), TEXT, delta("citations_delta", citation=citation), delta("signature_delta", signature="s")
    )
    part = TextPart("", (citation,), complete=False)
    assert parts_of(assembler)[0] == attrs.evolve(part, unknown_deltas=({"type": "signature_delta", "signature": "s"},))


def test_a_compaction_is_replaced_by_its_deltas() -> None:
    given = block("compaction", content=None, encrypted_content=None)
    assembler, _ = fed(began(), given, delta("compaction_delta", content="short", encrypted_content="e"), beta=True)
    message = assembler.message()
    assert message is not None
    assert message["content"][0]["content"] == "short"
    assert message["content"][0]["encrypted_content"] == "e"


def test_the_end_of_the_message_ends_blocks_of_which_nothing_can_be_missing() -> None:
    assembler, log = fed(began(), TEXT, said("a"), ending(), STOPPED)
    assert isinstance(end := read(log)[-1], PartEndEvent)
    assert end.part == TextPart("a")
    assert (assembler.stopped, assembler.over, assembler.broken) == (True, True, None)
    assembler, _ = fed(began(), CALL, json_of_call('{"a": 1}'), ending("tool_use"), STOPPED)
    assert parts_of(assembler)[0] == ToolCallPart("f", '{"a": 1}', "t")
    assert (assembler.stopped, assembler.over, assembler.broken) == (True, True, None)
    assembler, _ = fed(began(), CALL, json_of_call('{"a": 1'), ending("tool_use"), STOPPED)
    assert assembler.broken == "message_stop came before the end of block 0"
    assert (assembler.stopped, assembler.over) == (False, True)
    assembler.close()
    assert parts_of(assembler)[0] == ToolCallPart("f", '{"a": 1', "t", complete=False)


@pytest.mark.parametrize(
    ("before", "why"),
    [([], "message_stop came without a message"), ([began()], "message_stop came without a stop reason")],
)
def test_an_end_of_no_message(before: list[str], why: str) -> None:
    assembler, _ = fed(*before, STOPPED)
    assert assembler.broken == why
    assert not assembler.stopped


@pytest.mark.parametrize("whole", [True, False])
def test_a_proxys_last_word_ends_the_answer_if_it_is_whole(whole: bool) -> None:
    assembler, _ = fed(began(), TEXT, said("a"), *([stop(), ending()] if whole else []), "[DONE]")
    assert (assembler.stopped, assembler.over) == (whole, True)


def test_a_delta_of_no_message_is_told() -> None:
    assembler, log = fed(ending())
    (event,) = read(log)
    assert isinstance(event, UnknownEvent)
    assert event.raw["type"] == "message_delta"
    assert assembler.stop_reason is None


def test_a_message_that_begins_twice() -> None:
    # The same, with nothing new to tell: once without an id.
    assembler, log = fed(began(), began(), began({"id": None}))
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent]
    assert (assembler.message_id, assembler.broken) == ("msg_1", None)
    # The same, with another model.
    assembler, log = fed(began(), began({"model": "claude-y"}))
    assert [type(event) for event in read(log)] == [StreamStartEvent, UsageEvent, StreamStartEvent]
    assert (assembler.model_name, assembler.broken) == ("claude-y", None)
    # The same, with another usage.
    assembler, _ = fed(began())
    assert assembler.usage == Usage(3)
    fed(began({"usage": {"input_tokens": 4}}), more_of=assembler)
    assert assembler.usage == Usage(4)
    # Its id at last.
    assembler, _ = fed(began({"id": None}), began())
    assert (assembler.message_id, assembler.broken) == ("msg_1", None)
    # Another message, and the same one once there is content.
    for lines in ([began(), began({"id": "msg_2"})], [began(), TEXT, began()]):
        assembler, log = fed(*lines)
        assert isinstance(read(log)[-1], UnknownEvent)
        assert assembler.broken == "another message begins within the message"
        assert assembler.message_id == "msg_1"


def test_a_message_without_usage_tells_none() -> None:
    _, log = fed(began({"usage": None}))
    assert [type(event) for event in read(log)] == [StreamStartEvent]


def test_fields_that_nothing_stands_for() -> None:
    ended = ending(delta={"shade": "blue"}, context_management={"applied": []}, x=1)
    stable, _ = fed(began(), ended)
    assert stable.extra == {"shade": "blue", "context_management": {"applied": []}, "x": 1}
    message = stable.message()
    assert message is not None
    assert "context_management" not in message
    beta, _ = fed(began(), ended, beta=True)
    assert beta.extra == {"shade": "blue", "x": 1}
    message = beta.message()
    assert message is not None
    assert message["context_management"] == {"applied": []}


def test_unknown_fields_of_ends_and_pings_are_told() -> None:
    _, log = fed(began(), TEXT, '{"type":"ping"}', '{"type":"ping","x":1}', stop(y=2))
    *_, ping, end = read(log)
    assert isinstance(ping, UnknownEvent)
    assert ping.raw == {"type": "ping", "x": 1}
    assert isinstance(end, PartEndEvent)
    assert end.extra == {"y": 2}
    assert len(read(log)) == 5  # the ping that says nothing is none of them


def test_a_fallback_names_the_model_on_the_beta_route() -> None:
    fallback = block("fallback", to={"model": "claude-y"})
    assert fed(began(), fallback, beta=True)[0].model_name == "claude-y"
    assert fed(began(), fallback)[0].model_name == "claude-x"
    assert fed(began(), block("fallback", to={}), beta=True)[0].model_name == "claude-x"


def test_the_usage_that_a_message_ends_with() -> None:
    assembler, _ = fed(began(), ending(None, {"output_tokens": 1}))
    assert not assembler.usage_is_final
    fed(ending("end_turn", {"output_tokens": 5, "cache_read_input_tokens": 7, "iterations": []}), more_of=assembler)
    assert assembler.usage_is_final
    assert assembler.usage.output_tokens == 5
    message = assembler.message()
    assert message is not None
    # `iterations` is the beta route's.
    assert message["usage"] == {"input_tokens": 3, "output_tokens": 5, "cache_read_input_tokens": 7}

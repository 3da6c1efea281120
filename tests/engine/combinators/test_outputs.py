"""Outputs with types: items and partials while they come, the value at the end, endings that are no output, and an
output that is asked for again."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import anyio
import msgspec
import pytest
from pydantic import BaseModel
from tests.support.engines import AT_ONCE, engine_for, model_for
from tests.support.reference.streams import last, message, text, thinking, tool

from manystream import (
    Conflate,
    Engine,
    Lossless,
    OutputFailed,
    OutputSpec,
    PartDeltaEvent,
    Partial,
    RestartEvent,
    RetryPolicy,
    Stream,
    StreamEndEvent,
    StreamRequest,
    SyncEngine,
    ToolCallPart,
)
from manystream.engine.simulator import Cut, Fail, Simulator, Stall, Structured, Thinking, ToolUse

pytestmark = pytest.mark.anyio


@dataclass
class Line:
    sku: str
    qty: int
    kind: Literal["goods", "service"]


@dataclass
class Invoice:
    number: str
    lines: list[Line]
    total: float


class ModelLine(BaseModel):
    sku: str
    qty: int
    kind: Literal["goods", "service"]


class ModelInvoice(BaseModel):
    number: str
    lines: list[ModelLine]
    total: float


LINES = [{"sku": f"S{n}", "qty": n, "kind": "goods"} for n in range(6)]
INVOICE = {"number": "2026-1", "lines": LINES, "total": 12.5}
WANTED = Invoice("2026-1", [Line(f"S{n}", n, "goods") for n in range(6)], 12.5)
WRONG = {**INVOICE, "lines": [*LINES[:2], {**LINES[2], "qty": "many"}, *LINES[3:]]}


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
async def engine(simulator: Simulator, anyio_backend: str) -> AsyncIterator[Engine]:
    async with engine_for(simulator) as engine:
        yield engine


def answer(value: Any, *, reason: str = "end_turn", cut: int | None = None, size: int = 5) -> bytes:
    """The body of an answer that is this JSON, in small pieces."""
    written = json.dumps(value)[:cut]
    pieces = [written[place : place + size] for place in range(0, len(written), size)]
    return message(text(0, *pieces), ended=last(reason))


# -- what comes


async def test_a_type_is_asked_for_and_its_value_comes(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Structured(INVOICE)])
    async with engine.stream("Read it", output=Invoice) as stream:
        async for _ in stream:
            pass
    assert stream.result.output == WANTED
    sent = simulator.requests[0].json["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert [*sent["schema"]["$defs"]["Invoice"]["properties"]] == ["number", "lines", "total"]


@pytest.mark.parametrize("policy", [Conflate(), Lossless(buffer=1)], ids=["conflate", "lossless"])
@pytest.mark.parametrize("slow", [False, True], ids=["quick", "slow"])
@pytest.mark.parametrize("kind", [Invoice, ModelInvoice])
@pytest.mark.parametrize("via", ["format", "tool"])
async def test_every_item_comes_once(
    engine: Engine, simulator: Simulator, policy: Any, slow: bool, kind: Any, via: Any
) -> None:
    simulator.script([Structured(INVOICE) if via == "format" else ToolUse("give_answer", INVOICE)])
    async with engine.stream("Read it", output=OutputSpec(kind, via=via), policy=policy) as stream:
        items: list[Any] = []
        lines = stream.items("lines")
        async for line in lines:
            items.append(line)
            if slow:
                await anyio.lowlevel.checkpoint()
    assert items == stream.result.output.lines
    assert [line.sku for line in items] == [f"S{n}" for n in range(6)]
    assert lines.starts == 1


async def test_an_item_comes_within_one_delta_of_its_brace(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(INVOICE, size=3)])
    seen = ""
    given: list[Line] = []
    async with engine.stream("Read it", output=Invoice, policy=Lossless()) as stream:
        items = stream.items("lines")
        reader = stream._view.reader  # pyright: ignore[reportPrivateUsage]
        assert reader is not None
        whole = reader.items(("lines",))
        async for event in stream:
            if isinstance(event, PartDeltaEvent):
                seen += getattr(event.delta, "content_delta", "")
                given += whole.take()
                assert len(given) == seen.count('goods"}')
        assert [item async for item in items] == WANTED.lines


async def test_a_list_is_an_output(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Structured(LINES)])
    async with engine.stream("Read it", output=list[Line]) as stream:
        items = [item async for item in stream.items()]
    assert items == stream.result.output == WANTED.lines


async def test_a_list_by_a_tool_stands_under_a_name_of_its_own(engine: Engine, simulator: Simulator) -> None:
    simulator.script([ToolUse("lines", {"value": LINES})] * 2)
    spec = OutputSpec(list[Line], via="tool", tool="lines")
    async with engine.stream("Read it", output=spec) as stream:
        assert [item async for item in stream.items()] == stream.result.output == WANTED.lines
    async with engine.stream("Read it", output=spec) as stream:
        shown: list[Partial[Any]] = []
        async for partial in stream.partials():
            assert partial.value is None or isinstance(partial.value, list)
            shown.append(partial)
        assert shown[-1].value == LINES
        assert shown[-1].state(-1, "sku") == "complete"
    (offered,) = simulator.requests[0].json["tools"]
    assert offered["name"] == "lines"


async def test_an_output_grows(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer({"number": "2026-1", "lines": LINES[:1], "total": 1200}, size=1)])
    numbers: list[Any] = []
    kinds: list[Any] = []
    totals: list[Any] = []
    states: list[tuple[str, ...]] = []
    async with engine.stream("Read it", output=Invoice, policy=Lossless()) as stream:
        async for partial in stream.partials():
            so_far: dict[str, Any] = partial.value or {}
            numbers.append(so_far.get("number"))
            kinds += [line.get("kind") for line in so_far.get("lines", [])]
            totals.append(so_far.get("total"))
            states.append(tuple(partial.state(*way) for way in [(), ("number",), ("lines",), ("lines", -1, "sku")]))
            assert partial.complete == (partial.state() == "complete")
            assert "Partial" in repr(partial)
    assert {*numbers} == {None, *("2026-1"[:n] for n in range(7))}
    assert {*kinds} == {None, "goods"}
    assert {*totals} == {None, 1200}
    assert states[0] == ("pending", "pending", "pending", "pending")
    assert states[-1] == ("complete", "complete", "complete", "complete")
    assert ("growing", "growing", "pending", "pending") in states
    assert ("growing", "complete", "growing", "growing") in states


async def test_partials_of_a_lagging_reader_are_fewer(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(INVOICE, size=1)])
    async with engine.stream("Read it", output=Invoice) as stream:
        await stream.wait()
        shown = [partial.state() async for partial in stream.partials()]
    assert len(shown) < 10
    assert shown[-1] == "complete"


async def test_first_partials_and_then_items(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(INVOICE)])
    async with engine.stream("Read it", output=Invoice) as stream:
        async for partial in stream.partials():
            if partial.state("number") == "complete":
                break
        assert [item async for item in stream.items("lines")] == WANTED.lines


async def test_without_a_type_plain_data_comes(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Structured(INVOICE)] * 2)
    async with engine.stream("Read it") as stream:
        assert [item async for item in stream.items("lines")] == LINES
    assert stream.result.output is None
    async with engine.stream("Read it") as stream:
        partials = [partial async for partial in stream.partials()]
    assert partials[-1].value == INVOICE


async def test_a_plain_schema(engine: Engine, simulator: Simulator) -> None:
    pytest.importorskip("jsonschema_rs")
    simulator.script([Structured({"a": [1, 2]}), Structured({"a": ["x"]})])
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
        "required": ["a"],
    }
    request = StreamRequest("Read it", output=schema)
    schema["properties"] = {}  # later changes change nothing
    async with engine.stream(request) as stream:
        assert [item async for item in stream.items("a")] == [1, 2]
    assert stream.result.output == {"a": [1, 2]}
    result = await engine.submit(request).wait()
    assert result.error is not None
    assert (result.state, result.error.type) == ("failed", "output_invalid")


async def test_reading_begins_with_the_view(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(INVOICE)])
    async with engine.stream("Read it", output=Invoice) as stream:
        with pytest.raises(ValueError, match="is no list at 'total'"):
            stream.items("total")
        await anext(stream)
        with pytest.raises(RuntimeError, match="before the stream is read"):
            stream.items("lines")
        with pytest.raises(RuntimeError, match="before the stream is read"):
            stream.partials()


# -- the answer among other things


@pytest.mark.parametrize(
    ("body", "via"),
    [
        (message(thinking(0, "{"), text(1, json.dumps(INVOICE))), "format"),
        (message(text(0, "Here it is: "), text(1, json.dumps(INVOICE))), "format"),
        (message(text(0, "[1, 2]"), tool(1, "{}", name="other"), text(2, json.dumps(INVOICE))), "format"),
        (message(text(0, "So:"), tool(1, json.dumps(INVOICE), name="give_answer"), ended=last("tool_use")), "tool"),
        (message(tool(0, '{"no": 1}', name="other"), tool(1, json.dumps(INVOICE), name="give_answer")), "tool"),
    ],
    ids=["thinking", "text before", "two texts", "a tool", "two tools"],
)
async def test_the_output_is_the_last_of_its_kind(engine: Engine, simulator: Simulator, body: bytes, via: Any) -> None:
    simulator.script([body])
    async with engine.stream("Read it", output=OutputSpec(Invoice, via=via)) as stream:
        assert [item async for item in stream.items("lines")] == WANTED.lines
    assert stream.result.output == WANTED


@pytest.mark.parametrize("reason", ["tool_use", "pause_turn"])
@pytest.mark.parametrize("via", ["format", "tool"])
async def test_a_turn_that_ends_before_the_answer_is_complete_without_one(
    engine: Engine, simulator: Simulator, reason: str, via: Any
) -> None:
    simulator.script([message(text(0, "I shall look."), tool(1, "{}", name="look"), ended=last(reason))])
    result = await engine.submit(StreamRequest("Read it", output=OutputSpec(Invoice, via=via))).wait()
    assert (result.state, result.output) == ("complete", None)
    assert isinstance(result.parts[-1], ToolCallPart)


# -- endings


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (answer(INVOICE, reason="max_tokens", cut=60), "output_truncated", "max_tokens"),
        (answer(INVOICE, reason="model_context_window_exceeded", cut=60), "output_truncated", "context"),
        (message(ended=last("refusal")), "output_refused", "refused"),
        (message(text(0, '{"number": "20'), ended=last("refusal")), "output_refused", "refused"),
        (answer(WRONG), "output_invalid", r"lines\[2\]\.qty: Expected `int`, got `str`"),
        (answer(INVOICE, cut=60), "output_invalid", "no JSON"),
        (answer(INVOICE, reason="stop_sequence", cut=60), "output_invalid", "no JSON"),
        (message(text(0, "I can't.")), "output_invalid", "no JSON"),
        (message(), "output_invalid", "has no text"),
    ],
)
async def test_an_answer_that_is_no_output_says_why(
    engine: Engine, simulator: Simulator, body: bytes, kind: str, words: str
) -> None:
    simulator.script([body] * 2)
    async with engine.stream("Read it", output=Invoice) as stream:
        events: list[StreamEndEvent] = []
        with pytest.raises(OutputFailed, match=words) as caught:
            async for event in stream:
                events += [event] if isinstance(event, StreamEndEvent) else []
        assert len(events) == 1
    result = stream.result
    assert caught.value.result is result
    assert result.error is not None
    assert (result.state, result.error.type, result.output) == ("failed", kind, None)
    assert not result.error.retryable
    assert result.message is not None
    assert result.stop_reason is not None
    assert result.usage_is_final
    assert len(result.attempts) == 1
    assert result.attempts[0].error == result.error
    (other,) = await engine.gather([StreamRequest("Read it", output=Invoice)])
    assert other.error is not None
    assert (other.state, other.error.type) == ("failed", kind)


async def test_the_tool_that_was_not_called(engine: Engine, simulator: Simulator) -> None:
    simulator.script([message(text(0, "It is 12."))])
    result = await engine.submit(StreamRequest("Read it", output=OutputSpec(int, via="tool"))).wait()
    assert result.error is not None
    assert "no call of the tool 'give_answer'" in result.error.message


async def test_what_a_type_s_own_code_raises_is_the_answer_s_fault(engine: Engine, simulator: Simulator) -> None:
    @dataclass
    class Broken:
        it: int

        def __post_init__(self) -> None:
            raise KeyError("no")

    simulator.script([Structured([{"it": 1}])] * 2)
    result = await engine.submit(StreamRequest("Read it", output=list[Broken])).wait()
    assert result.error is not None
    assert (result.error.type, "KeyError" in result.error.message) == ("output_invalid", True)
    async with engine.stream("Read it", output=list[Broken]) as stream:
        with pytest.raises(OutputFailed):
            async for _ in stream.items():
                raise AssertionError


async def test_items_end_where_one_does_not_fit(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(WRONG)])
    items: list[Any] = []
    async with engine.stream("Read it", output=Invoice) as stream:
        with pytest.raises(OutputFailed, match=r"lines\[2\]\.qty"):
            async for item in stream.items("lines"):
                items.append(item)  # noqa: PERF401
    assert items == WANTED.lines[:2]


# -- begun anew


async def test_a_restart_in_the_middle_of_a_list_begins_it_anew(simulator: Simulator) -> None:
    simulator.script([Cut(60, "end", text=Structured(INVOICE)), Structured(INVOICE)])
    async with (
        engine_for(simulator, recovery="restart") as engine,
        engine.stream("Read it", output=Invoice, policy=Lossless(buffer=1)) as stream,
    ):
        lines = stream.items("lines")
        items = [item async for item in lines]
    assert stream.result.output == WANTED
    assert len(stream.result.attempts) == lines.starts == 2
    before = len(items) - 6
    assert 0 < before < 6
    assert items == [*WANTED.lines[:before], *WANTED.lines]


async def test_partials_show_a_restart(simulator: Simulator) -> None:
    simulator.script([Cut(12, "reset", text=Structured(INVOICE)), Structured(INVOICE)])
    async with (
        engine_for(simulator, recovery="restart") as engine,
        engine.stream("Read it", output=Invoice, policy=Lossless()) as stream,
    ):
        partials = stream.partials()
        async with stream.subscribe(Lossless(buffer=8)):  # it reads nothing, and so holds the answer back
            states = [(await anext(partials)).state()]
            while states[-1] != "growing":
                states.append((await anext(partials)).state())
        states += [partial.state() async for partial in partials]
    assert [*pairwise(states)].count(("growing", "pending")) == 1


async def test_no_output_is_continued(simulator: Simulator) -> None:
    simulator.script([Cut(12, "reset", text=Structured(INVOICE))])
    async with engine_for(simulator, recovery="continue") as engine:
        result = await engine.submit(StreamRequest("Read it", output=Invoice)).wait()
    assert (result.state, len(result.attempts)) == ("truncated", 1)
    assert result.output is None


# -- asked for again


async def read_all(stream: Stream[Any]) -> list[Any]:
    return [event async for event in stream]


async def test_an_answer_that_does_not_fit_is_asked_for_again(engine: Engine, simulator: Simulator) -> None:
    simulator.script([[Thinking("Hm"), Structured(WRONG)], Structured(INVOICE)])
    request = StreamRequest(
        {"messages": [{"role": "user", "content": "Read it"}], "output_config": {"effort": "low"}},
        output=OutputSpec(Invoice, retry_invalid=1),
    )
    async with engine.stream(request, policy=Lossless()) as stream:
        events = await read_all(stream)
    result = stream.result
    assert (result.state, result.output) == ("complete", WANTED)
    restarts = [event for event in events if isinstance(event, RestartEvent)]
    assert [event.attempt for event in restarts] == [2]
    first, second = result.attempts
    assert first.error is not None
    assert (first.error.type, second.error) == ("output_invalid", None)
    assert result.billed.output_tokens == first.usage.output_tokens + second.usage.output_tokens
    sent = [recorded.json for recorded in simulator.requests]
    assert sent[0]["output_config"] == sent[1]["output_config"]
    asked, told, again = sent[1]["messages"]
    assert asked == sent[0]["messages"][0]
    assert (told["role"], told["content"][-1]["text"]) == ("assistant", json.dumps(WRONG))
    assert again["role"] == "user"
    assert "lines[2].qty: Expected `int`, got `str`" in again["content"][0]["text"]
    assert result.request is request


async def test_a_call_that_does_not_fit_is_answered(engine: Engine, simulator: Simulator) -> None:
    simulator.script([ToolUse("give_answer", WRONG), ToolUse("give_answer", INVOICE)])
    spec = OutputSpec(Invoice, via="tool", retry_invalid=1)
    result = await engine.submit(StreamRequest("Read it", output=spec)).wait()
    assert result.output == WANTED
    called, answered = simulator.requests[1].json["messages"][1:]
    assert called["content"][0]["type"] == "tool_use"
    assert answered["content"][0]["tool_use_id"] == called["content"][0]["id"]
    assert answered["content"][0]["is_error"]
    assert "lines[2].qty" in answered["content"][1]["text"]


@pytest.mark.parametrize(
    ("retry_invalid", "most", "attempts"), [(0, 4, 1), (1, 4, 2), (2, 4, 3), (9, 4, 4), (3, 1, 1), (3, 2, 2)]
)
async def test_it_is_asked_for_again_so_often_and_within_max_attempts(
    engine: Engine, simulator: Simulator, retry_invalid: int, most: int, attempts: int
) -> None:
    simulator.script([Structured(WRONG)] * 9)
    spec = OutputSpec(Invoice, retry_invalid=retry_invalid)
    retry = RetryPolicy(max_attempts=most, base_delay=AT_ONCE.base_delay)
    result = await engine.submit(StreamRequest("Read it", output=spec, retry=retry)).wait()
    assert len(result.attempts) == len(simulator.requests) == attempts
    assert result.error is not None
    assert (result.state, result.error.type) == ("failed", "output_invalid")
    assert [len(recorded.json["messages"]) for recorded in simulator.requests] == [1 + 2 * n for n in range(attempts)]


async def test_other_failures_take_from_the_same_attempts(engine: Engine, simulator: Simulator) -> None:
    simulator.script([529, Structured(WRONG), 529, Structured(INVOICE)])
    spec = OutputSpec(Invoice, retry_invalid=1)
    result = await engine.submit(StreamRequest("Read it", output=spec)).wait()
    assert (result.state, len(result.attempts)) == ("complete", 4)
    assert len(simulator.requests[3].json["messages"]) == 3


@pytest.mark.parametrize("body", [answer(INVOICE, reason="max_tokens", cut=60), message(ended=last("refusal"))])
async def test_only_what_does_not_fit_is_asked_for_again(engine: Engine, simulator: Simulator, body: bytes) -> None:
    simulator.script([body])
    spec = OutputSpec(Invoice, retry_invalid=3)
    result = await engine.submit(StreamRequest("Read it", output=spec)).wait()
    assert len(result.attempts) == 1


async def test_nothing_is_asked_for_again_once_an_item_was_taken(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(WRONG), Structured(INVOICE)])
    spec = OutputSpec(Invoice, retry_invalid=1)
    items: list[Any] = []
    # The buffer holds the answer's end back until the items before it were taken.
    async with engine.stream("Read it", output=spec, policy=Lossless(buffer=1)) as stream:
        with pytest.raises(OutputFailed):
            async for item in stream.items("lines"):
                items.append(item)  # noqa: PERF401
    assert items == WANTED.lines[:2]
    assert len(stream.result.attempts) == len(simulator.requests) == 1


async def test_a_cancelled_stream_has_no_output(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Cut(3, "end", text=Structured(INVOICE))])
    async with engine.stream("Read it", output=OutputSpec(Invoice, retry_invalid=1)) as stream:
        stream.cancel("enough")
        result = await stream.wait()
    assert result.state in ("cancelled", "truncated")
    assert result.output is None


# -- many


async def test_the_combinators_get_it_from_the_request(engine: Engine, simulator: Simulator) -> None:
    requests = [StreamRequest("Read it", custom_id=str(n), output=Invoice) for n in range(3)]
    simulator.script([Structured(INVOICE)] * 20)
    assert [result.output for result in await engine.gather(requests)] == [WANTED] * 3
    async with engine.as_completed(requests) as done:
        assert [result.output async for result in done] == [WANTED] * 3
    async with engine.merge(requests) as channel:
        ends = [one.event.result async for one in channel if isinstance(one.event, StreamEndEvent)]
    assert [result.output for result in ends] == [WANTED] * 3
    async with engine.race(requests[:2]) as stream:
        assert [item async for item in stream.items("lines")] == WANTED.lines
    assert stream.result.output == WANTED
    async with engine.hedge(requests[0], after=30) as stream:
        partials = [partial async for partial in stream.partials()]
    assert partials[-1].value == INVOICE
    assert stream.result.output == WANTED


async def test_what_is_refused_is_refused_before_anything_is_sent(engine: Engine, simulator: Simulator) -> None:
    class Tree(msgspec.Struct):
        children: list[dict[str, int]]

    request = StreamRequest("Hi", output=Tree)
    with pytest.raises(ValueError, match=r"children is a dictionary.*list of entries"):
        engine.submit(request)
    with pytest.raises(ValueError, match="dictionary"):
        async with engine.stream("Hi", output=Tree):
            raise AssertionError
    with pytest.raises(ValueError, match="dictionary"):
        await engine.gather([request])
    with pytest.raises(ValueError, match="may hold anything"):
        engine.submit(StreamRequest("Hi", output=object))
    with pytest.raises(TypeError, match="can't be read"):
        engine.submit(StreamRequest("Hi", output=Engine))
    with pytest.raises(TypeError, match="wants an output already"):
        async with engine.stream(StreamRequest("Hi", output=int), output=str):
            raise AssertionError
    assert simulator.requests == []


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("The compiled grammar is too large, which would cause performance issues.", True),
        ("output_config.format.schema: Invalid schema: The compiled grammar is too large", True),
        ("Schema is too complex for compilation.", True),
        ("Schemas contains too many parameters with union types (49) which exceeds the limit: 16", True),
        ("Grammar compilation timed out.", True),
        ("max_tokens: Field required", False),
    ],
)
async def test_a_schema_that_is_too_much_for_the_api_says_what_to_change(
    engine: Engine, simulator: Simulator, message: str, told: bool
) -> None:
    simulator.script([Fail(400, message=message)] * 2)
    result = await engine.submit(StreamRequest("Hi", output=Invoice)).wait()
    assert result.error is not None
    assert result.error.message.startswith(message)
    assert ('OutputSpec(..., via="tool")' in result.error.message) is told
    plain = await engine.submit("Hi").wait()
    assert plain.error is not None
    assert plain.error.message == message


async def test_what_an_engine_makes_of_a_request_without_an_output_has_not_changed(
    engine: Engine, simulator: Simulator
) -> None:
    simulator.script(["Hello"])
    result = await engine.submit("Hi").wait()
    assert result.output is None
    assert {"output_config", "tools"} & {*simulator.requests[0].json} == set()


async def test_a_cancelled_wait_for_an_item_loses_none(engine: Engine, simulator: Simulator) -> None:
    simulator.script([answer(INVOICE, size=3)])
    items: list[Any] = []
    async with engine.stream("Read it", output=Invoice, policy=Lossless(buffer=1)) as stream:
        lines = stream.items("lines")
        while True:
            with anyio.move_on_after(0):  # cancels whatever would have to wait
                try:
                    items.append(await anext(lines))
                except StopAsyncIteration:
                    break
            await anyio.lowlevel.checkpoint()
    assert items == WANTED.lines


async def test_leaving_in_the_middle_of_a_list_cancels_the_stream(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(60, text=Structured(INVOICE))])
    async with engine.stream("Read it", output=OutputSpec(Invoice, retry_invalid=1)) as stream:
        async for line in stream.items("lines"):
            assert line == WANTED.lines[0]
            break
    assert (stream.result.state, stream.result.output) == ("cancelled", None)
    assert len(simulator.requests) == 1


def test_the_synchronous_engine_gets_it_from_the_request(simulator: Simulator) -> None:
    simulator.script([Structured(INVOICE)] * 2)
    with SyncEngine(model_for(simulator)) as engine:
        (result,) = engine.gather([StreamRequest("Read it", output=Invoice)])
        assert result.output == WANTED
        with engine.stream(StreamRequest("Read it", output=Invoice)) as stream:
            for _ in stream:
                pass
        assert stream.result.output == WANTED

"""Turns over the wire: what becomes of an answer, whole or interrupted, is accepted in the next request."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, cast

import pytest
from tests.support.engines import engine_for, model_for
from tests.support.reference.streams import STREAMS, ReferenceStream

from manystream import Engine, Lossless, MessageParams, RetryPolicy, StreamRequest, StreamResult, tool_result
from manystream.engine.simulator import Simulator

pytestmark = pytest.mark.anyio

Json = dict[str, Any]

ONCE = RetryPolicy(max_attempts=1)
BETA = "any-2026-01-01"
OVERLOADED = (
    b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n'
)

_OF_INTEREST = (b'"thinking', b'"redacted_thinking', b"tool_use", b"_tool_result", b"citation", b'"fallback')
BODIES = [
    stream
    for stream in STREAMS.values()
    if any(word in stream.body for word in (*_OF_INTEREST, b"surrogate")) or stream.name.startswith("text")
]

# The types can't know what is yet to come, nor a tool without a schema.
_NOT_IN_THE_TYPES = ("unknown fields of blocks", "unknown server tool", "beta, mcp_tool_listing")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def cuts(body: bytes, most: int = 4) -> list[bytes]:
    """The body as far as it had come after some of its events."""
    ends = [place + 2 for place in range(len(body)) if body.startswith(b"\n\n", place)][:-1]
    if len(ends) > most:
        ends = [ends[len(ends) * number // most] for number in range(most)]
    return [body[:end] for end in ends]


def user(*blocks: Any) -> Json:
    return {"role": "user", "content": [*blocks, {"type": "text", "text": "Go on."}]}


def follow_up(result: StreamResult, *, keep_tools: bool = False) -> list[Any]:
    """The messages of the next request: the turn, and a user's turn that answers what is to be answered."""
    turn = result.to_message_param(keep_tools=keep_tools)
    asked: Json = {"role": "user", "content": "Hi"}
    if turn is None:
        return [asked, user()]
    if result.state == "complete" and result.stop_reason == "pause_turn":
        return [asked, turn]  # it goes back as it is
    called = {block["id"] for block in turn["content"] if block["type"] == "tool_use"}
    calls = [call for call in result.tool_calls if call.tool_call_id in called]
    assert len(calls) == len(called)
    return [asked, turn, user(*[tool_result(call, "done") for call in calls])]


class Turns:
    """Follow-up requests, each kept once: many answers are cut down to the same turn."""

    def __init__(self) -> None:
        self.requests: dict[str, StreamRequest] = {}
        self.typed: dict[str, bool] = {}

    def add(self, stream: ReferenceStream, result: StreamResult) -> None:
        for keep_tools in (False, True):
            messages = follow_up(result, keep_tools=keep_tools)
            key = json.dumps([stream.beta, messages])
            known = b"of_the_future" not in stream.body and stream.name not in _NOT_IN_THE_TYPES and stream.comparable
            self.typed[key] = self.typed.get(key, False) or known
            # A paused turn is the last message, which the simulator takes from the older models only.
            model = "claude-opus-5-5" if messages[-1]["role"] == "user" else "claude-haiku-4-5"
            params: MessageParams = {"model": model, "max_tokens": 1, "messages": messages}
            self.requests[key] = StreamRequest(
                params, custom_id=f"{stream.name}: {messages}", betas=[BETA] if stream.beta else []
            )

    async def assert_accepted(self, engine: Engine, simulator: Simulator) -> int:
        """Sends them. Returns how many of them had a turn of the assistant's."""
        results = await engine.gather(self.requests.values())
        refused = [(result.custom_id, result.error) for result in results if result.state != "complete"]
        assert not refused, "\n".join(str(one)[:1500] for one in refused)
        sent = [request.json for request in simulator.requests[-len(results) :]]
        assert sorted(map(_messages, sent)) == sorted(
            json.dumps(request.params["messages"], sort_keys=True) for request in self.requests.values()
        )
        for key, typed in self.typed.items():
            if typed:
                beta, messages = json.loads(key)
                for message in messages:
                    consume(_validator(beta=beta)(message))
        return sum('"assistant"' in key for key in self.requests)


def _messages(body: Json) -> str:
    return json.dumps(body["messages"], sort_keys=True)


@cache
def _validator(*, beta: bool) -> Callable[[object], object]:
    from anthropic.types import MessageParam
    from anthropic.types.beta import BetaMessageParam
    from pydantic import TypeAdapter

    return TypeAdapter[Any](BetaMessageParam if beta else MessageParam).validate_python


def consume(value: object) -> None:
    """Pydantic checks an iterable only while somebody iterates."""
    if isinstance(value, Mapping):
        value = cast("Mapping[str, object]", value).values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for item in cast("Iterable[object]", value):
            consume(item)


def request_for(stream: ReferenceStream) -> StreamRequest:
    return StreamRequest("Hi", custom_id=stream.name, betas=[BETA] if stream.beta else [])


# -- what is accepted


async def test_whole_answers(simulator: Simulator) -> None:
    turns = Turns()
    async with engine_for(simulator, retry=ONCE) as engine:
        for stream in BODIES:  # one after the other, as each takes the next step of the script
            simulator.script([stream.body])
            turns.add(stream, await engine.submit(request_for(stream)).wait())
        assert await turns.assert_accepted(engine, simulator) > 80


@pytest.mark.parametrize("end", [b"", OVERLOADED], ids=["truncated", "failed"])
async def test_interrupted_answers(simulator: Simulator, end: bytes) -> None:
    turns = Turns()
    seen: set[bytes] = set()
    async with engine_for(simulator, retry=ONCE) as engine:
        for stream in BODIES:
            for body in cuts(stream.body):
                if body in seen or b"event: message_stop" in body:
                    continue
                seen.add(body)
                simulator.script([body + end])
                result = await engine.submit(request_for(stream)).wait()
                # With its stop reason and every block ended it is whole, unless the API says otherwise.
                whole = not end and result.stop_reason is not None and all(part.complete for part in result.parts)
                assert result.state in (("complete",) if whole else ("truncated", "failed")), stream.name
                turns.add(stream, result)
        assert await turns.assert_accepted(engine, simulator) > 80


CANCELLED = ["thinking", "tools in parallel", "blocks interleaved", "citations of every kind", "thinking, redacted"]


@pytest.mark.parametrize("name", CANCELLED)
async def test_answers_that_were_cancelled_at_any_event(name: str) -> None:
    stream = STREAMS[name]
    turns = Turns()
    states: set[str] = set()
    # At a model's pace, or else the answer would be there before anybody could leave.
    with Simulator(tokens_per_second=1000).in_thread() as simulator:
        async with engine_for(simulator, retry=ONCE) as engine:
            for place in range(1, 100):
                simulator.script([stream.body])
                count = 0
                async with engine.stream(request_for(stream), policy=Lossless(100)) as reading:
                    async for _ in reading:
                        count += 1
                        if count == place:
                            break
                turns.add(stream, reading.result)
                states.add(reading.result.state)
                if count < place:
                    break
            assert states == {"cancelled", "complete"}
            assert await turns.assert_accepted(engine, simulator) > 0


async def test_the_calls_of_an_interrupted_answer_can_be_kept(simulator: Simulator) -> None:
    stream = STREAMS["tools in parallel"]
    first_call = stream.body.split(b"event: content_block_start")
    simulator.script([b"event: content_block_start".join(first_call[:3])])
    async with engine_for(simulator, retry=ONCE) as engine:
        result = await engine.submit("Hi").wait()
        assert result.state == "truncated"
        (call,) = result.tool_calls
        messages = follow_up(result, keep_tools=True)
        assert messages[1]["content"][-1] == call.to_block()
        assert messages[2]["content"][0] == tool_result(call, "done")
        assert (await engine.submit({"messages": messages}).wait()).state == "complete"
        # Without them, to answer one is what the API refuses.
        without = [messages[0], follow_up(result)[1], messages[2]]
        refused = await engine.submit({"messages": without}).wait()
    assert refused.error is not None
    assert refused.error.status == 400
    assert "unexpected `tool_use_id`" in refused.error.message


async def test_a_call_whose_arguments_are_no_json_leaves_nothing_to_answer(simulator: Simulator) -> None:
    stream = STREAMS["tools in parallel"]
    simulator.script([stream.body.replace(b'\\"Wien\\"}', b'\\"Wien')])
    async with engine_for(simulator) as engine:
        result = await engine.submit("Hi").wait()
        assert result.state == "complete"
        assert [call.tool_call_id[-1] for call in result.tool_calls] == ["2"]
        assert (await engine.submit({"messages": follow_up(result)}).wait()).state == "complete"


async def test_a_generated_conversation_goes_on(simulator: Simulator) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    params: MessageParams = {
        "messages": [],
        "max_tokens": 4000,
        "thinking": {"type": "adaptive"},
        "tools": [{"name": "get_weather", "input_schema": schema}, {"name": "get_time", "input_schema": schema}],
    }
    messages: list[Any] = [{"role": "user", "content": "The weather and the time, please."}]
    reasons: list[str | None] = []
    async with engine_for(simulator) as engine:
        while len(reasons) < 5 and reasons[-1:] != ["end_turn"]:
            result = await engine.submit({**params, "messages": messages}).wait()
            result.raise_for_state()
            reasons.append(result.stop_reason)
            turn = result.to_message_param()
            assert turn is not None
            assert turn["content"][0]["type"] == "thinking"
            results = [tool_result(call, "done") for call in result.tool_calls]
            messages += [turn, {"role": "user", "content": results or "Thank you."}]
        assert reasons == ["tool_use", "end_turn"]
        assert (await engine.submit({**params, "messages": messages}).wait()).state == "complete"


# -- what is not: without this, nothing above could fail

THOUGHT: Json = {"type": "thinking", "thinking": "Hm", "signature": "c2ln"}
TEXT: Json = {"type": "text", "text": "Hello"}
CALL: Json = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([CALL], id="a call without an answer"),
        pytest.param([TEXT, {"type": "text", "text": ""}], id="empty text"),
        pytest.param([], id="no content"),
        pytest.param([{"type": "text", "text": " \n"}], id="white space"),
        pytest.param([{"type": "thinking", "thinking": "Hm"}, TEXT], id="thinking without a signature"),
        pytest.param([{**THOUGHT, "signature": ""}, TEXT], id="thinking with an empty signature"),
        pytest.param([TEXT, THOUGHT], id="thinking at the end"),
    ],
)
async def test_the_simulator_refuses(simulator: Simulator, content: list[Json]) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}, user()]
    async with Engine(model_for(simulator), retry=ONCE) as engine:
        result = await engine.submit({"messages": messages}).wait()
    assert result.error is not None
    assert (result.error.status, result.error.type) == (400, "invalid_request_error")

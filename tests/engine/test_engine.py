"""The engine: streams that are read, submitted, gathered, merged and piped; how they end, and what they raise."""

import asyncio
import contextlib
import contextvars
import socket
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import anthropic
import anyio
import anyio.to_thread
import httpx2
import pytest
from tests.support.engines import (
    AT_ONCE,
    assert_one_ending,
    engine_for,
    first_text,
    happens,
    model_for,
    outcomes,
    requests_named,
    stream_ids,
)
from tests.support.reference.streams import STREAMS

from manystream import (
    AnthropicModel,
    ApiError,
    ConnectionFailed,
    Engine,
    EngineBusy,
    Lossless,
    PartDeltaEvent,
    ProtocolError,
    RestartEvent,
    RetryPolicy,
    State,
    StreamEndEvent,
    StreamError,
    StreamHandle,
    StreamRequest,
    StreamResult,
    StreamStartEvent,
    StreamTruncated,
    TextPart,
)
from manystream.actors import PartEvent
from manystream.engine.simulator import Conditions, Cut, Fail, ScriptStep, ServiceLimits, Simulator, Stall

pytestmark = pytest.mark.anyio

ONCE = RetryPolicy(max_attempts=1)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


@pytest.fixture
async def engine(simulator: Simulator, anyio_backend: str) -> AsyncIterator[Engine]:
    async with engine_for(simulator) as engine:
        yield engine


# -- one stream


async def test_a_stream_is_read_event_by_event(engine: Engine, simulator: Simulator) -> None:
    simulator.script(["Three small words"])
    events: list[PartEvent] = []
    async with engine.stream(StreamRequest("Hi", custom_id="mine"), policy=Lossless()) as stream:
        assert stream.custom_id == "mine"
        assert stream.state is State.CONNECTING or stream.state is State.QUEUED
        assert engine.get(stream.id) is not None
        with pytest.raises(RuntimeError, match="still running"):
            stream.result  # noqa: B018
        async for event in stream:
            events.append(event)  # noqa: PERF401
    end = assert_one_ending(events)
    start = events[0]
    assert isinstance(start, StreamStartEvent)
    assert start.model_name == stream.model_name == "claude-opus-5-5"
    deltas = [event.delta for event in events if isinstance(event, PartDeltaEvent)]
    assert "".join(getattr(delta, "content_delta", "") for delta in deltas) == "Three small words"
    assert end.result is stream.result
    assert stream.state is State.DONE
    assert engine.get(stream.id) is None


async def test_only_the_text(engine: Engine, simulator: Simulator) -> None:
    simulator.script(["Three small words"])
    async with engine.stream("Hi") as stream:
        assert "".join([text async for text in stream.text_stream]) == "Three small words"
    assert stream.result.text == "Three small words"


async def test_a_result_has_the_limits_that_the_api_told() -> None:
    limits = ServiceLimits(requests_per_minute=1_000)
    with Simulator(conditions=Conditions(limits=limits)).in_thread() as simulator:
        async with engine_for(simulator) as engine:
            result = await engine.submit("Hi").wait()
    assert result.rate_limits["anthropic-ratelimit-requests-limit"] == "1000"
    assert "anthropic-ratelimit-requests-remaining" in result.rate_limits


async def test_a_result_tells_all(engine: Engine, simulator: Simulator) -> None:
    simulator.script(["Hello"])
    request = StreamRequest("Hi", custom_id="mine")
    result = await engine.submit(request).wait()
    (recorded,) = simulator.requests
    assert result.state == "complete"
    assert result.request is request
    assert (result.custom_id, result.stream_id[:7]) == ("mine", "stream_")
    assert (result.stop_reason, result.stop_sequence, result.stop_details) == ("end_turn", None, None)
    assert result.parts == (TextPart("Hello"),)
    assert (result.text, result.tool_calls, result.error) == ("Hello", (), None)
    assert result.message is not None
    assert result.message["id"] == result.message_id
    assert result.message["content"] == [{"type": "text", "text": "Hello"}]
    assert result.usage.output_tokens > 0
    assert result.usage_is_final
    assert result.request_id is not None
    assert result.request_id.startswith("req_")
    (attempt,) = result.attempts
    assert (attempt.number, attempt.error, attempt.usage) == (1, None, result.usage)
    assert attempt.request_id == result.request_id
    times = result.timings
    assert times.queued is not None
    assert times.sent is not None
    assert times.connected is not None
    assert times.first_event is not None
    assert times.first_content is not None
    assert times.ttft is not None
    assert times.queued <= times.sent <= times.connected <= times.first_event <= times.first_content <= times.end
    assert result.to_message_param() == {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]}
    assert result.raise_for_state() is result
    assert recorded.json == {
        "model": "claude-opus-5-5",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
    }


async def test_what_a_request_brings_is_sent(engine: Engine, simulator: Simulator) -> None:
    request = StreamRequest(
        {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 7, "temperature": 0.5, "stream": False},
        betas=["one-2026-01-01", "two-2026-01-01"],
        extra_headers={"x-extra": "yes"},
        extra_body={"novelty": 1},
        extra_query={"page": "2"},
    )
    await engine.submit(request).wait()
    (recorded,) = simulator.requests
    assert recorded.json["stream"] is True
    assert (recorded.json["max_tokens"], recorded.json["temperature"], recorded.json["novelty"]) == (7, 0.5, 1)
    assert recorded.headers["anthropic-beta"] == "one-2026-01-01,two-2026-01-01"
    assert recorded.headers["x-extra"] == "yes"
    assert recorded.headers["accept-encoding"] == "identity"
    assert "page=2" in recorded.target


async def test_a_stream_may_be_entered_and_left_in_different_tasks(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(1, text="a b c")])
    context = engine.stream("Hi")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(context.__aenter__)
    stream = engine.get(stream_ids(engine)[0])
    assert stream is not None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(context.__aexit__, None, None, None)
    assert stream.result.state == "cancelled"
    with pytest.raises(RuntimeError, match="entered once"):
        await context.__aenter__()


async def test_one_engine_serves_several_models(engine: Engine, simulator: Simulator) -> None:
    other = AnthropicModel("claude-haiku-4-5", api_key="other", base_url=simulator.url, defaults={"max_tokens": 5})
    await engine.gather([StreamRequest("a"), StreamRequest("b", model=other), StreamRequest("c", model=other)])
    sent = {first_text(request): request.json for request in simulator.requests}
    assert {name: (body["model"], body["max_tokens"]) for name, body in sent.items()} == {
        "a": ("claude-opus-5-5", 4096),
        "b": ("claude-haiku-4-5", 5),
        "c": ("claude-haiku-4-5", 5),
    }


async def test_a_request_may_name_its_model_itself(engine: Engine, simulator: Simulator) -> None:
    result = await engine.submit({"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}).wait()
    assert result.model_name == "claude-haiku-4-5"


# -- what raises

ENDINGS: dict[str, tuple[ScriptStep, str, type[StreamError]]] = {
    "refused": (400, "failed", ApiError),
    "refused without a key": (401, "failed", ApiError),
    "overloaded": (529, "failed", ApiError),
    "no response": (Cut("nothing", "close"), "failed", ConnectionFailed),
    "a reset instead of a response": (Cut("nothing", "reset"), "failed", ConnectionFailed),
    "an error inside the stream": (Cut(2, Fail(529), text="a b c d"), "failed", ApiError),
    "an error at its beginning": (Cut("head", Fail(500)), "failed", ApiError),
    "bytes that end too early": (Cut(2, "end", text="a b c d"), "truncated", StreamTruncated),
    "a connection closed too early": (Cut(2, "close", text="a b c d"), "truncated", StreamTruncated),
    "a reset": (Cut(2, "reset", text="a b c d"), "truncated", StreamTruncated),
    "nothing but a head": (Cut("head", "end"), "truncated", StreamTruncated),
    "garbage": (Cut(2, "garbage", text="a b c d"), "failed", ProtocolError),
    "no stream at all": (b"<html>502 Bad Gateway</html>\n\n", "truncated", StreamTruncated),
}
ending = pytest.mark.parametrize(("step", "state", "error"), ENDINGS.values(), ids=list(ENDINGS))


@ending
async def test_reading_directly_raises_after_the_last_event(
    simulator: Simulator, step: ScriptStep, state: str, error: type[StreamError]
) -> None:
    async with engine_for(simulator, retry=ONCE) as engine:
        simulator.script([step])
        events: list[PartEvent] = []
        async with engine.stream("Hi") as stream:
            with pytest.raises(error) as caught:
                async for event in stream:
                    events.append(event)  # noqa: PERF401
            with pytest.raises(error):  # and again, whenever it is read on
                await anext(stream)
        end = assert_one_ending(events)
        assert end.result is caught.value.result is stream.result
        assert stream.result.state == state
        simulator.script([step])
        async with engine.stream("Hi") as stream:
            with pytest.raises(error):
                async for _ in stream.text_stream:
                    pass
        assert simulator.open_connections <= 2


@ending
async def test_over_channels_an_ending_is_a_value(
    simulator: Simulator, step: ScriptStep, state: str, error: type[StreamError]
) -> None:
    async with engine_for(simulator, retry=ONCE) as engine:
        simulator.script([step] * 4)
        results: list[StreamResult] = [await engine.submit("a").wait(), *await engine.gather(["b"])]
        async with engine.merge(["c"]) as merged:
            events = [tagged.event async for tagged in merged]
        results.append(assert_one_ending(events).result)
        send, receive = anyio.create_memory_object_stream[PartEvent](1000)
        async with send, receive:
            results.append(await engine.pipe("d", send))
            assert receive.statistics().current_buffer_used > 0
    for result in results:
        assert result.state == state
        with pytest.raises(error) as caught:
            result.raise_for_state()
        assert caught.value.result is result


async def test_an_api_error_carries_the_sdks_exception(simulator: Simulator) -> None:
    async with engine_for(simulator, retry=ONCE) as engine:
        simulator.script([Cut(1, Fail(529)), Fail(429, message="slowly", headers={"retry-after": "3"})])
        broken, refused = await engine.gather(["a", "b"], limit=1)
    with pytest.raises(ApiError, match="slowly") as caught:
        refused.raise_for_state()
    error = caught.value
    assert isinstance(error.__cause__, anthropic.RateLimitError)
    assert (error.status, error.type) == (429, "rate_limit_error")
    assert error.request_id == error.__cause__.request_id
    assert refused.error is not None
    assert (refused.error.retryable, refused.error.retry_after) == (True, 3.0)
    with pytest.raises(ApiError) as caught:
        broken.raise_for_state()
    assert (caught.value.status, caught.value.type) == (529, "overloaded_error")
    assert caught.value.request_id == broken.request_id


async def test_a_request_that_cannot_be_sent(engine: Engine, simulator: Simulator) -> None:
    bad, good = await engine.gather([{"messages": [{"role": "user", "content": object()}]}, "Hi"])
    assert good.state == "complete"
    with pytest.raises(StreamError, match="could not be sent") as caught:
        bad.raise_for_state()
    assert type(caught.value) is StreamError
    assert isinstance(caught.value.__cause__, TypeError)
    assert len(bad.attempts) == 1
    assert len(simulator.requests) == 1


async def test_a_tool_call_that_was_cut_is_no_tool_call(simulator: Simulator) -> None:
    body = STREAMS["tool cut short by max_tokens"].body if "tool cut short by max_tokens" in STREAMS else None
    body = body or next(stream.body for name, stream in STREAMS.items() if "max_tokens" in name)
    async with engine_for(simulator) as engine:
        simulator.script([body])
        result = await engine.submit("Hi").wait()
    assert result.state == "complete"
    assert result.stop_reason == "max_tokens"
    assert result.tool_calls == ()


async def test_one_failure_never_touches_the_others(engine: Engine, simulator: Simulator) -> None:
    steps: list[ScriptStep] = [step for step, _, _ in ENDINGS.values() if step != 529]
    simulator.script([step for bad in steps for step in (bad, "fine")])
    results = await engine.gather([f"{number}" for number in range(2 * len(steps))])
    assert len(results) == 2 * len(steps)
    assert len([result for result in results if result.text == "fine"]) >= len(steps)
    assert engine.stats().running == engine.stats().waiting == 0


# -- retries


async def test_a_failure_before_the_first_content_is_tried_again(engine: Engine, simulator: Simulator) -> None:
    simulator.script([529, Cut("nothing", "reset"), Cut("head", "close"), "at last"])
    async with engine.stream("Hi") as stream:
        assert [text async for text in stream.text_stream] == ["at last"]
    result = stream.result
    assert [attempt.number for attempt in result.attempts] == [1, 2, 3, 4]
    errors = [attempt.error.type if attempt.error else None for attempt in result.attempts]
    assert errors == ["overloaded_error", "connection_error", "truncated", None]
    assert result.attempts[0].error is not None
    assert isinstance(result.attempts[0].error.cause, anthropic.OverloadedError)
    assert result.error is None


async def test_attempts_run_out(engine: Engine, simulator: Simulator) -> None:
    simulator.script([500, 502, 503, 529])
    result = await engine.submit("Hi").wait()
    assert [attempt.error and attempt.error.status for attempt in result.attempts] == [500, 502, 503, 529]
    assert result.state == "failed"
    with pytest.raises(ApiError) as caught:
        result.raise_for_state()
    assert caught.value.status == 529


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413])
async def test_what_is_never_tried_again(engine: Engine, simulator: Simulator, status: int) -> None:
    simulator.script([status])
    result = await engine.submit("Hi").wait()
    assert len(result.attempts) == len(simulator.requests) == 1
    assert result.error is not None
    assert result.error.status == status


async def test_the_api_has_the_last_word_on_retries(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Fail(529, headers={"x-should-retry": "false"})])
    assert len((await engine.submit("Hi").wait()).attempts) == 1
    simulator.script([Fail(400, headers={"x-should-retry": "true"}), "fine"])
    assert (await engine.submit("Hi").wait()).text == "fine"


async def test_retry_after_is_waited_for(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Fail(429, headers={"retry-after-ms": "120"}), "fine"])
    result = await engine.submit("Hi").wait()
    first, second = result.attempts
    assert result.text == "fine"
    assert second.started - first.ended >= 0.12


async def test_a_longer_retry_after_is_told_instead(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Fail(429, headers={"retry-after": "3600"})])
    result = await engine.submit("Hi").wait()
    assert result.error is not None
    assert result.error.retry_after == 3600


async def test_what_was_told_before_a_retry_is_taken_back(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Cut(0, "reset", text="a b c"), "all of it"])
    events: list[PartEvent] = []
    async with engine.stream("Hi", policy=Lossless()) as stream:
        async for event in stream:
            events.append(event)  # noqa: PERF401
    assert_one_ending(events)
    kinds = [event.event_kind for event in events]
    restart = kinds.index("restart")
    assert kinds[0] == kinds[restart + 1] == "stream_start"
    told = events[restart]
    assert isinstance(told, RestartEvent)
    assert told.attempt == 2
    assert stream.result.text == "all of it"


async def test_no_retry_after_content(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Cut(1, Fail(529), text="a b c"), Cut(1, "reset", text="a b c")])
    results = await engine.gather(["x", "y"], limit=1)
    assert [result.state for result in results] == ["failed", "truncated"]
    assert [len(result.attempts) for result in results] == [1, 1]
    assert [result.parts[0].complete for result in results] == [False, False]
    assert "a b c".startswith(results[0].text)


async def test_a_request_brings_its_own_retry_policy(engine: Engine, simulator: Simulator) -> None:
    simulator.script([529])
    result = await engine.submit(StreamRequest("Hi", retry=ONCE)).wait()
    assert len(result.attempts) == 1


# -- many streams


def peak(simulator: Simulator) -> int:
    return len([outcome for outcome in outcomes(simulator) if outcome == "running"])


async def test_no_more_run_than_may(simulator: Simulator) -> None:
    simulator.script([Stall("head")] * 12)
    async with engine_for(simulator, max_concurrency=3) as engine:
        handles = [engine.submit(f"{number}") for number in range(12)]
        assert (engine.stats().running, engine.stats().waiting) == (3, 9)
        for number, handle in enumerate(handles):
            await happens(simulator, lambda simulator, number=number: len(simulator.requests) == min(number + 3, 12))
            assert peak(simulator) <= 3
            assert engine.stats().running <= 3
            handle.cancel()
            await handle.wait()
            await happens(
                simulator, lambda simulator, number=number: outcomes(simulator).count("disconnected") > number
            )
        assert (engine.stats().running, engine.stats().waiting) == (0, 0)


async def test_gather_keeps_the_order(engine: Engine, simulator: Simulator) -> None:
    names = [f"{number}" for number in range(40)]
    simulator.script(["short"] * len(names))
    results = await engine.gather(iter(requests_named(*names)), limit=7)
    assert [result.custom_id for result in results] == names
    assert {result.state for result in results} == {"complete"}
    assert simulator.total_connections <= 7
    assert await engine.gather([]) == []
    with pytest.raises(ValueError, match="at least 1"):
        await engine.gather(["a"], limit=0)


async def test_requests_are_taken_as_slots_come_free(engine: Engine, simulator: Simulator) -> None:
    taken = 0

    async def endless() -> AsyncGenerator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield f"{taken}"

    simulator.script([Stall("head")] * 4)
    async with contextlib.aclosing(endless()) as requests, anyio.create_task_group() as tasks:

        async def gather() -> None:
            await engine.gather(requests, limit=4)

        tasks.start_soon(gather)
        await happens(simulator, lambda simulator: len(simulator.requests) == 4)
        assert taken <= 5
        tasks.cancel_scope.cancel()
    assert engine.stats().running == 0


async def test_what_the_requests_raise_is_raised(engine: Engine, simulator: Simulator) -> None:
    def requests() -> Iterator[Any]:
        yield "fine"
        raise LookupError("no more")

    simulator.script([Stall("head"), Stall("head")])
    with pytest.raises(LookupError, match="no more"):
        await engine.gather(requests())
    async with engine.merge(requests()) as merged:
        with pytest.raises(LookupError, match="no more"):
            async for _ in merged:
                pass
    with pytest.raises(TypeError, match="not a int"):
        await engine.gather(["a", 5])  # pyright: ignore[reportArgumentType]
    assert engine.stats().running == 0
    assert "running" not in outcomes(simulator) or len(simulator.requests) == 0


async def test_merge_gives_all_of_all(engine: Engine, simulator: Simulator) -> None:
    simulator.script([f"answer {number}" for number in range(19)] + [400])
    names = [f"{number}" for number in range(20)]
    events: dict[str | None, list[PartEvent]] = {}
    async with engine.merge(requests_named(*names)) as merged:
        async for tagged in merged:
            events.setdefault(tagged.custom_id, []).append(tagged.event)
        with pytest.raises(anyio.EndOfStream):
            merged.receive_nowait()
    assert set(events) == set(names)
    states = [assert_one_ending(told).result.state for told in events.values()]
    assert sorted(states) == ["complete"] * 19 + ["failed"]
    with pytest.raises(anyio.ClosedResourceError):
        await merged.receive()


async def test_merge_in_batches(engine: Engine, simulator: Simulator) -> None:
    ended = 0
    simulator.script(["a b c"] * 3)
    async with engine.merge(requests_named("a", "b", "c")) as merged:
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                batch = await merged.receive_batch()
                assert batch
                ended += len([tagged for tagged in batch if isinstance(tagged.event, StreamEndEvent)])
    assert ended == 3


async def test_leaving_a_merge_stops_its_streams(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(1, text="a b c")] * 5)
    async with engine.merge(["x"] * 5) as merged:
        await merged.receive()
    assert engine.stats().running == 0
    await happens(simulator, lambda simulator: "running" not in outcomes(simulator))


async def test_a_merge_that_was_read_to_its_end_gives_its_connections_back(
    engine: Engine, simulator: Simulator
) -> None:
    for _ in range(5):
        simulator.script(["short"])
        async with engine.merge(["x"]) as merged:
            async for _ in merged:
                pass
    assert simulator.total_connections == 1


async def test_pipe_feeds_the_callers_channel(engine: Engine, simulator: Simulator) -> None:
    simulator.script(["a b c"])
    send, receive = anyio.create_memory_object_stream[PartEvent](0)
    results: list[StreamResult] = []
    events: list[PartEvent] = []

    async def feed() -> None:
        async with send:
            results.append(await engine.pipe("Hi", send))

    async with anyio.create_task_group() as tasks, receive:
        tasks.start_soon(feed)
        events.extend([event async for event in receive])
    assert assert_one_ending(events).result is results[0]
    assert results[0].text == "a b c"


async def test_pipe_stops_when_its_receiver_is_gone(engine: Engine, simulator: Simulator) -> None:
    simulator.script([Stall(1, text="a b c")])
    send, receive = anyio.create_memory_object_stream[PartEvent](0)
    receive.close()
    with send:
        result = await engine.pipe("Hi", send)
    assert (result.state, result.cancelled_by, result.cancel_reason) == (
        "cancelled",
        "consumer",
        "its receiver is gone",
    )


async def test_priority_goes_first(simulator: Simulator) -> None:
    simulator.script([Stall("head")])
    async with engine_for(simulator, max_concurrency=1) as engine:
        first = engine.submit("first")
        await happens(simulator, lambda simulator: len(simulator.requests) == 1)
        handles = [engine.submit(StreamRequest(f"{number}", priority=number)) for number in (0, 5, 1, 5)]
        handles[0].cancel()
        first.cancel()
        for handle in handles:
            await handle.wait()
    assert [first_text(request) for request in simulator.requests] == ["first", "5", "5", "1"]
    assert handles[0].result.state == "cancelled"
    assert handles[0].result.attempts == ()


async def test_a_full_queue_refuses(simulator: Simulator) -> None:
    simulator.script([Stall("head")])
    async with engine_for(simulator, max_concurrency=1, max_queued=2, grace=0) as engine:
        engine.submit("runs")
        waiting = [engine.submit("waits"), engine.submit("waits")]
        with pytest.raises(EngineBusy, match="max_queued"):
            engine.submit("one too many")
        with pytest.raises(EngineBusy):
            async with engine.stream("one too many"):
                pass
        waiting[0].cancel()
        await waiting[0].wait()
        engine.submit("there is room again")


async def test_combinators_are_not_bound_by_the_queue(simulator: Simulator) -> None:
    simulator.script(["short"] * 9)
    async with engine_for(simulator, max_concurrency=2, max_queued=0) as engine:
        assert len(await engine.gather(["x"] * 9)) == 9
        with pytest.raises(ValueError, match="max_queued"):
            engine_for(simulator, max_queued=-1)
        with pytest.raises(ValueError, match="max_concurrency"):
            engine_for(simulator, max_concurrency=0)


# -- the submitter's context

USER: contextvars.ContextVar[str] = contextvars.ContextVar("USER", default="nobody")


class Seen(httpx2.AsyncBaseTransport):
    """Notes the context in which each request is sent."""

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self.inner = inner
        self.users: list[str] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.users.append(USER.get())
        USER.set("changed inside")
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_a_stream_runs_in_its_submitters_context(simulator: Simulator) -> None:
    seen = Seen(httpx2.AsyncHTTPTransport(verify=False))
    async with httpx2.AsyncClient(transport=seen) as http_client:
        model = model_for(simulator, http_client=http_client)
        async with Engine(model, max_concurrency=1) as engine:
            handles: list[StreamHandle] = []
            for user in ("ann", "bob"):  # the second has to wait for its slot
                USER.set(user)
                handles.append(engine.submit("Hi"))
            USER.set("somebody else")
            for handle in handles:
                await handle.wait()
            assert USER.get() == "somebody else"
    assert seen.users == ["ann", "bob"]


# -- entering, leaving and misuse


async def test_an_engine_is_entered_once(simulator: Simulator) -> None:
    engine = engine_for(simulator)
    with pytest.raises(RuntimeError, match="enter the engine first"):
        engine.submit("Hi")
    async with engine:
        handle = engine.submit("Hi")
        with pytest.raises(RuntimeError, match="entered once"):
            await engine.__aenter__()
    assert handle.result.state == "complete"
    assert engine.get(handle.id) is None
    for misuse in (lambda: engine.submit("Hi"), lambda: engine.merge(["x"]).__aenter__().send(None)):
        with pytest.raises(RuntimeError, match="shutting down"):
            misuse()
    with pytest.raises(RuntimeError, match="shutting down"):
        async with engine.stream("Hi"):
            pass
    with pytest.raises(RuntimeError, match="shutting down"):
        await engine.gather(["x"])
    with pytest.raises(RuntimeError, match="entered once"):
        await engine.__aenter__()
    handle.cancel()  # asks for nothing any more


async def test_an_engine_belongs_to_its_loop(engine: Engine) -> None:
    async def submit() -> None:
        engine.submit("Hi")

    def in_another_loop() -> None:
        with pytest.raises(RuntimeError, match="another"):
            anyio.run(submit)

    def in_no_loop() -> None:
        with pytest.raises(RuntimeError, match="another thread"):
            engine.submit("Hi")

    await anyio.to_thread.run_sync(in_another_loop)
    await anyio.to_thread.run_sync(in_no_loop)


def test_an_engine_of_a_loop_that_is_over(simulator: Simulator) -> None:
    async def enter() -> tuple[Engine, Any]:
        engine = engine_for(simulator)
        async with engine:
            handle = engine.submit("Hi")
            await handle.wait()
        return engine, handle

    async def submit(engine: Engine) -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            engine.submit("Hi")

    engine, handle = asyncio.run(enter())
    asyncio.run(submit(engine))
    with pytest.raises(RuntimeError):
        engine.submit("Hi")
    handle.cancel()
    thread = threading.Thread(target=handle.cancel)
    thread.start()
    thread.join()
    assert handle.result.state == "complete"


@pytest.mark.parametrize(
    ("request_", "error", "words"),
    [
        (5, TypeError, "a string or a mapping"),
        ({"prompt": "Hi"}, TypeError, "needs `messages`"),
        ({"messages": [], "timeout": 5}, TypeError, "deadlines"),
        ({"messages": [], "max_token": 5}, TypeError, "did you mean 'max_tokens'"),
        ({"messages": [], "quantum": 5}, TypeError, "extra_body"),
        ({"messages": [], "mcp_servers": []}, TypeError, "betas="),
    ],
    ids=["a number", "no messages", "timeout", "a slip", "a novelty", "a beta parameter"],
)
async def test_what_is_no_request(engine: Engine, request_: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        engine.submit(request_)
    with pytest.raises(error, match=words):
        async with engine.stream(request_):
            pass
    with pytest.raises(error, match=words):
        await engine.gather([request_])
    assert engine.stats().running == 0


async def test_a_request_names_one_model(engine: Engine, simulator: Simulator) -> None:
    params: Any = {"model": "claude-haiku-4-5", "messages": [{"role": "user", "content": "Hi"}]}
    with pytest.raises(TypeError, match="names two models"):
        StreamRequest(params, model=model_for(simulator))
    same = model_for(simulator)
    assert StreamRequest(params | {"model": "claude-opus-5-5"}, model=same).model is same
    with pytest.raises(TypeError, match="betas is a sequence"):
        StreamRequest("Hi", betas="one")


class Stop(BaseException):
    """An exception that is no Exception."""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, Stop, ExceptionGroup, GeneratorExit])
async def test_the_bodys_own_exception_comes_out_as_it_is(simulator: Simulator, error: type[BaseException]) -> None:
    raised = ExceptionGroup("mine", [ValueError()]) if error is ExceptionGroup else error("mine")
    simulator.script([Stall("head"), Stall("head")])
    handle = None
    with pytest.raises(error) as caught:
        async with engine_for(simulator) as engine:
            handle = engine.submit("Hi")
            async with engine.stream("Hi"):
                await happens(simulator, lambda simulator: len(simulator.requests) == 2)
                raise raised
    assert caught.value is raised
    assert handle is not None
    assert (handle.result.state, handle.result.cancelled_by) == ("cancelled", "engine")


async def test_leaving_lets_what_runs_finish(simulator: Simulator) -> None:
    async with engine_for(simulator, max_concurrency=2) as engine:
        handles = [engine.submit("Hi") for _ in range(4)]
    states = [handle.result.state for handle in handles]
    assert states == ["complete", "complete", "cancelled", "cancelled"]
    assert handles[3].result.cancelled_by == "engine"


# -- connections that are not made


async def failing(base_url: str, policy: RetryPolicy = AT_ONCE) -> StreamResult:
    async with Engine(AnthropicModel("claude-opus-5-5", api_key="key", base_url=base_url), retry=policy) as engine:
        result = await engine.submit("Hi").wait()
    with pytest.raises(ConnectionFailed) as caught:
        result.raise_for_state()
    assert isinstance(caught.value.__cause__, anthropic.APIConnectionError)
    return result


async def test_a_refused_connection_is_tried_again() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        result = await failing(f"http://127.0.0.1:{unused.getsockname()[1]}")
    assert len(result.attempts) == 4
    assert result.error is not None
    assert result.error.retryable
    assert isinstance(result.error.cause.__cause__ if result.error.cause else None, httpx2.ConnectError)


async def test_a_name_that_does_not_resolve() -> None:
    await failing("http://nowhere.invalid", ONCE)


async def test_a_url_that_nobody_can_connect_to_is_tried_once() -> None:
    client = anthropic.AsyncAnthropic(api_key="k", base_url="ftp://127.0.0.1")
    async with Engine(AnthropicModel("claude-opus-5-5", anthropic_client=client)) as engine:
        assert len((await engine.submit("Hi").wait()).attempts) == 1
    await client.close()


async def test_a_wrong_path_is_the_apis_answer(simulator: Simulator) -> None:
    async with Engine(model_for(simulator, base_url=f"{simulator.url}/elsewhere")) as engine:
        result = await engine.submit("Hi").wait()
    with pytest.raises(ApiError) as caught:
        result.raise_for_state()
    assert caught.value.status == 404

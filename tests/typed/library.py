"""A small library on top of manystream, as a user with strict type checking writes it. It uses every public name."""

from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, assert_never, assert_type

import anthropic
import anyio
from anthropic.types import MessageParam, ToolResultBlockParam
from anthropic.types.beta import BetaMessageParam, BetaToolResultBlockParam

import manystream
from manystream import (
    AnswerFailed,
    AnswerTimedOut,
    AnthropicClient,
    AnthropicModel,
    ApiError,
    Asked,
    AssistantTurn,
    Attempt,
    Authorize,
    Beside,
    Budget,
    BudgetStats,
    CacheMiss,
    CacheSaving,
    ChannelContext,
    CitationPartDelta,
    Columns,
    CompactionPart,
    CompactionPartDelta,
    CompletionChannel,
    Conflate,
    ConnectDeadlineExceeded,
    ConnectionFailed,
    ConnectionStats,
    ContainerUploadPart,
    DeadlineExceeded,
    Deadlines,
    Ending,
    Engine,
    EngineBusy,
    EngineStats,
    ErrorInfo,
    Estimate,
    Failure,
    FallbackPart,
    Figures,
    FirstContentDeadlineExceeded,
    FirstEventDeadlineExceeded,
    Group,
    HedgeContext,
    HostBudget,
    IdleDeadlineExceeded,
    InputError,
    Invalid,
    InvalidRequestsError,
    ItemStream,
    JsonObject,
    Limits,
    LimitsError,
    LimitStats,
    Linger,
    Lossless,
    Mailbox,
    MCPToolListingPart,
    MergeChannel,
    MessageParams,
    MissingCredentialsError,
    Model,
    ModelPlan,
    Numbered,
    OnAbandon,
    OutputError,
    OutputFailed,
    OutputLike,
    OutputSpec,
    Part,
    PartDelta,
    PartDeltaEvent,
    PartEndEvent,
    PartEvent,
    Partial,
    PartialStream,
    PartStartEvent,
    PlanError,
    Policy,
    PoolStats,
    Price,
    ProtocolError,
    QueuedDeadlineExceeded,
    RaceContext,
    RaceStream,
    RayBudget,
    Reason,
    Recovery,
    RedactedThinkingPart,
    RedisBudget,
    RelayProtocol,
    RequestFile,
    RequestLike,
    RequestPipe,
    RestartEvent,
    ResultsError,
    Resumed,
    RetryPolicy,
    Run,
    RunAgain,
    RunPlan,
    RunStopped,
    ServerToolCallPart,
    ServerToolResultPart,
    Shown,
    SilenceDeadlineExceeded,
    Simulator,
    SnapshotEvent,
    Snapshots,
    Source,
    State,
    StopReason,
    Stream,
    StreamCancelled,
    StreamContext,
    StreamEndEvent,
    StreamError,
    StreamHandle,
    StreamHub,
    StreamRequest,
    StreamResult,
    StreamStartEvent,
    StreamTruncated,
    SyncEngine,
    SyncHandle,
    SyncItemStream,
    SyncPartialStream,
    SyncResults,
    SyncStream,
    SyncTextStream,
    TaggedEvent,
    TextPart,
    TextPartDelta,
    TextStream,
    ThinkingPart,
    ThinkingPartDelta,
    Ticket,
    Timings,
    ToolCallPart,
    ToolCallPartDelta,
    ToolResultBlock,
    TotalDeadlineExceeded,
    Totals,
    UnknownEvent,
    UnknownPart,
    UnknownPartDelta,
    Until,
    Usage,
    UsageEvent,
    ValueState,
    WaitingRequest,
    decode_event,
    encode_event,
    open_run,
    plan_run,
    read_requests,
    read_results,
    relay_response,
    tool_result,
)

assert_type(manystream.__version__, str)


# -- an engine and its requests


def a_client() -> AnthropicClient:
    return anthropic.AsyncAnthropic(api_key="k")


def a_budget(url: str | None = None) -> Budget:
    if url == "ray":
        return RayBudget(name="us", weight=2, priority=1, namespace="ours")
    if url is not None:
        return RedisBudget(url, name="us", weight=2, priority=1)
    budget = HostBudget("budget.db", name="us", weight=2, priority=1)
    assert_type(budget.name, str | None)
    assert_type(budget.weight, float)
    assert_type(budget.priority, int)
    return budget


async def closed(budget: Budget) -> None:
    await budget.aclose()


def an_engine(name: str = "claude-opus-5-5", *, recovery: Recovery = "restart") -> Engine:
    try:
        model = AnthropicModel(name, api_key="k", base_url="http://127.0.0.1:1", defaults={"max_tokens": 100})
        AnthropicModel(name, anthropic_client=a_client(), limits_pool="mine", reuse_heads=False)
        AnthropicModel(name, http2=True)
        served: Model = model
        assert_type(served.model_name, str)
        return Engine(
            model,
            max_concurrency=20,
            max_queued=100,
            limits={name: Limits(requests_per_minute=50, input_tokens_per_minute=1e5, output_tokens_per_minute=1e4)},
            groups={"batch": Group(max_concurrency=5, weight=0.5, spend_cap=2)},
            deadlines=Deadlines(connect=5, first_content=20, total=None),
            retry=RetryPolicy(max_attempts=3, base_delay=0.1, max_delay=8, longest_wait=60),
            recovery=recovery,
            spend_cap=10,
            prices={name: Price(5, 25)},
            grace=5,
            keep_ended=60,
            budget=a_budget(),
        )
    except MissingCredentialsError:
        return Engine(AnthropicModel(name, api_key="k"), limits="ask", admin_key="a")


def requests(texts: Iterable[str]) -> list[RequestLike]:
    first: MessageParams = {"messages": [{"role": "user", "content": "Hi"}]}
    first["temperature"] = 0.5  # it is built step by step
    said: list[MessageParam] = [{"role": "user", "content": "Hi"}]
    made = StreamRequest(
        {"messages": said, "max_tokens": 50, "tools": [], "system": "Be brief.", "thinking": {"type": "adaptive"}},
        model=AnthropicModel("claude-haiku-4-5"),
        custom_id="one",
        betas=["context-1m"],
        extra_headers={"x-trace": "1"},
        extra_body={"newer_than_this": True},
        extra_query={"a": "b"},
        deadlines=Deadlines(idle=3),
        retry=RetryPolicy(),
        recovery="continue",
        group="batch",
        priority=3,
    )
    assert_type(made.custom_id, str | None)
    assert_type(made.betas, tuple[str, ...])
    assert_type(made.dropped_headers, tuple[str, ...])
    return [first, made, {"messages": said, "metadata": {"user_id": "u"}}, *texts]


# -- one stream


async def read(engine: Engine, request: RequestLike, policy: Policy | None = None) -> StreamResult:
    block = engine.stream(request, policy=policy)
    assert_type(block, StreamContext)
    async with block as stream:
        assert_type(stream, Stream)
        texts = stream.text_stream
        assert_type(texts, TextStream)
        async for text in texts:
            assert_type(text, str)
        await stream.aclose()
        return stream.result


# -- outputs with types


@dataclass
class Line:
    sku: str
    qty: int


@dataclass
class Invoice:
    lines: list[Line]


async def outputs(engine: Engine, wanted: OutputLike[Invoice]) -> list[Line]:
    async with engine.stream("Hi", output=Invoice) as stream:
        assert_type(stream, Stream[Invoice])
        assert_type(stream.items("lines"), ItemStream[Any])
        async for line in stream.items("lines"):
            print(line)  # noqa: T201
        assert_type(stream.items("lines").starts, int)
        partials = stream.partials()
        assert_type(partials, PartialStream[Invoice])
        async for partial in partials:
            assert_type(partial, Partial[Invoice])
            assert_type(partial.state("lines", -1, "sku"), ValueState)
            assert_type(partial.complete, bool)
            assert_type(partial.void, bool)
            print(partial.value)  # noqa: T201
    assert_type(stream.result, StreamResult[Invoice])
    assert_type(stream.result.output, Invoice)
    async with engine.stream("Hi", output=list[Line]) as lines:
        assert_type(lines.items(), ItemStream[Line])
        async for line in lines.items():
            assert_type(line, Line)
    async with engine.stream("Hi", output=OutputSpec(Invoice, via="tool", retry_invalid=1, tool="invoice")) as called:
        assert_type(called.result.output, Invoice)
    async with engine.stream("Hi", output={"type": "object"}) as data:
        assert_type(data.result.output, Any)
    async with engine.stream(StreamRequest("Hi"), output=Invoice) as said_late:
        assert_type(said_late, Stream[Invoice])
    request = StreamRequest("Hi", output=Invoice)
    assert_type(request, StreamRequest[Invoice])
    assert_type(StreamRequest("Hi", output=wanted), StreamRequest[Invoice])
    async with engine.stream(request) as asked:
        assert_type(asked.result.output, Invoice)
    try:
        return await of_many(engine, [StreamRequest("Hi", output=list[Line])], request)
    except OutputFailed as failed:
        return failed.result.output or []


async def of_many(
    engine: Engine, requests: list[StreamRequest[list[Line]]], request: RequestLike[Invoice]
) -> list[Line]:
    """Where an ending is a value, an output may be missing, and the types say so."""
    found: list[Line] = []
    for result in await engine.gather(requests):
        assert_type(result, StreamResult[list[Line] | None])
        found += result.output or []
    async with engine.as_completed(requests) as done:
        assert_type(done, CompletionChannel[list[Line] | None])
        async for result in done:
            found += result.output or []
    async with engine.race([request, request]) as winner:
        assert_type(winner, RaceStream[Invoice])
        found += winner.result.output.lines
    async with engine.hedge(request) as stream:
        assert_type(stream.partials(), PartialStream[Invoice])
    handle = engine.submit(request)
    assert_type(handle, StreamHandle[Invoice])
    assert_type(handle.partials(), PartialStream[Invoice])
    assert_type((await handle.wait()).output, Invoice | None)
    assert_type(handle.result.output, Invoice | None)
    async for line in engine.submit(requests[0]).items():
        assert_type(line, Line)
    send, _ = anyio.create_memory_object_stream[PartEvent](10)
    assert_type(await engine.pipe(request, send), StreamResult[Invoice | None])
    return found


async def outputs_of_a_run(engine: Engine, requests: list[StreamRequest[list[Line]]]) -> list[Line]:
    found: list[Line] = []
    async with open_run(engine, requests, "lines.jsonl") as run:
        async for result in run:
            assert_type(result, StreamResult[list[Line] | None])
            found += result.output or []
    rows: list[dict[str, Any]] = [{"prompt": "Hi"}]
    async with open_run(engine, rows, "invoices.jsonl", schema=OutputSpec(Invoice)) as invoices:
        assert_type(invoices, Run[Invoice])
        async for invoice in invoices:
            found += invoice.output.lines if invoice.output else []
    assert_type(open_run(engine, "prompts.jsonl", "lines.jsonl", schema=list[Line]), Run[list[Line]])
    return found


def outputs_in_a_script(engine: SyncEngine, requests: list[StreamRequest[list[Line]]]) -> list[Line]:
    with engine.stream("Hi", output=list[Line]) as stream:
        assert_type(stream, SyncStream[list[Line]])
        assert_type(stream.items(), SyncItemStream[Line])
        found = [*stream.items()]
        assert_type(stream.items().starts, int)
    found += stream.result.output
    partials = engine.stream(requests[0]).partials()
    assert_type(partials, SyncPartialStream[list[Line]])
    for partial in partials:
        assert_type(partial, Partial[list[Line]])
    handle = engine.submit(requests[0])
    assert_type(handle, SyncHandle[list[Line]])
    assert_type(handle.items(), SyncItemStream[Line])
    assert_type(handle.partials(), SyncPartialStream[list[Line]])
    assert_type(handle.wait().output, list[Line] | None)
    assert_type(engine.gather(requests), list[StreamResult[list[Line] | None]])
    assert_type(engine.as_completed(requests), SyncResults[list[Line] | None])
    return found


async def watch(handle: StreamHandle, policy: Policy, on_abandon: OnAbandon) -> Sequence[PartEvent]:
    assert_type(handle.id, str)
    assert_type(handle.custom_id, str | None)
    assert_type(handle.model_name, str | None)
    assert_type(handle.timestamp, datetime)
    assert_type(handle.usage, Usage)
    assert_type(handle.billed, Usage)
    assert_type(handle.last_byte_at, float | None)
    assert_type(handle.last_content_at, float | None)
    assert_type(handle.snapshot(), SnapshotEvent)
    partial: object = handle.partial_args(0)
    assert_type(handle.partial(0).state("city"), ValueState)
    seen: list[PartEvent] = []
    async with handle.subscribe(policy, start="now", on_abandon=on_abandon) as channel:
        assert_type(channel, Mailbox)
        seen.append(channel.receive_nowait())
        seen.append(await channel.receive())
        seen.extend(await channel.receive_batch())
        assert_type(channel.statistics().tasks_waiting_receive, int)
        other = channel.clone()
        other.close()
        seen.extend([event async for event in channel])
    async with handle.snapshots() as latest:
        assert_type(latest, Snapshots)
        async for state in latest:
            assert_type(state, SnapshotEvent)
    match handle.state:
        case State.DONE | State.FAILED | State.CANCELLED:
            result = handle.result
        case _:
            handle.cancel(reason=f"so far {partial}")
            result = await handle.wait()
    assert_type(result, StreamResult[Any | None])
    return seen


# -- many


async def many(engine: Engine, texts: Sequence[str], until: Until) -> None:
    async with engine:
        merged = engine.merge(requests(texts))
        assert_type(merged, ChannelContext[MergeChannel])
        async with merged as channel:
            async for tagged in channel:
                assert_type(tagged, TaggedEvent)
                told(tagged.event, tagged.custom_id)
        async with engine.as_completed(texts) as done:
            assert_type(done, CompletionChannel[Any | None])
            async for result in done:
                assert_type(result, StreamResult[Any | None])
        assert_type(await engine.gather(async_requests(texts), limit=3), list[StreamResult[Any | None]])
        results: list[StreamResult] = await engine.gather(texts)
        print([result.output for result in results])  # noqa: T201
        race = engine.race(requests(texts), until=until, policy=Conflate())
        assert_type(race, RaceContext)
        async with race as winner:
            assert_type(winner, RaceStream)
            async for event in winner:
                told(event, winner.custom_id)
        assert_type(winner.losers, tuple[StreamResult[Any | None], ...])
        hedge = engine.hedge("Hi", after=0.5)
        assert_type(hedge, HedgeContext)
        async with hedge as stream:
            assert_type(stream, RaceStream)
        send, _ = anyio.create_memory_object_stream[PartEvent](10)
        assert_type(await engine.pipe("Hi", send), StreamResult[Any | None])
        try:
            handle = engine.submit("Hi")
        except EngineBusy:
            return
        assert_type(engine.get(handle.id), StreamHandle | None)
        await watch(handle, Lossless(buffer=10, stall_timeout=2), Linger(30))
        engine.cancel_group("batch", reason="enough")
        statistics(engine.stats())


async def by_hand(engine: Engine) -> None:
    try:
        await engine.open()
    except LimitsError as error:
        print(error)  # noqa: T201
    finally:
        await engine.aclose()


async def async_requests(texts: Iterable[str]) -> AsyncIterator[str]:
    for text in texts:
        yield text


def statistics(stats: EngineStats) -> Mapping[Reason, LimitStats]:
    for wait in stats.waits:
        assert_type(wait, WaitingRequest)
        assert_type(wait.seconds, float | None)
    assert_type(stats.waiting_for, Mapping[str, int])
    assert_type(stats.spent, float | None)
    assert_type(stats.budget, BudgetStats | None)
    assert_type(stats.connections, tuple[ConnectionStats, ...])
    (pool,) = stats.pools
    assert_type(pool, PoolStats)
    assert_type(pool.paused_until, datetime | None)
    return pool.limits


# -- events, parts and deltas: each match is complete


def told(event: PartEvent, custom_id: str | None) -> str:
    assert decode_event(encode_event(event)) == event
    match event:
        case StreamStartEvent():
            return f"{custom_id}: {event.model_name} {event.message_id}"
        case PartStartEvent(index=index, part=part) | PartEndEvent(index=index, part=part):
            return f"{index}: {of_part(part)}"
        case PartDeltaEvent(delta=delta):
            return of_delta(delta)
        case UsageEvent(usage=usage):
            return f"{usage.output_tokens + usage.total_input_tokens}"
        case SnapshotEvent():
            return f"{len(event.parts)} {event.usage}"
        case RestartEvent():
            return f"again, after {event.attempt}"
        case UnknownEvent():
            return event.event_kind
        case StreamEndEvent(result=result):
            return result.text
        case _:
            assert_never(event)


def of_part(part: Part) -> str:
    match part:
        case TextPart() | ThinkingPart():
            return part.content
        case RedactedThinkingPart():
            return part.data
        case ToolCallPart():
            return str(part.args_as_dict().get("city"))
        case ServerToolCallPart():
            return part.tool_name
        case ServerToolResultPart():
            return part.tool_call_id
        case ContainerUploadPart() | CompactionPart() | FallbackPart() | MCPToolListingPart() | UnknownPart():
            block: JsonObject = part.to_block()
            return str(block["type"])
        case _:
            assert_never(part)


def of_delta(delta: PartDelta) -> str:
    match delta:
        case TextPartDelta():
            return delta.content_delta
        case ThinkingPartDelta():
            return delta.content_delta or delta.signature_delta or ""
        case ToolCallPartDelta():
            return delta.args_delta
        case CitationPartDelta() | CompactionPartDelta() | UnknownPartDelta():
            return delta.part_delta_kind
        case _:
            assert_never(delta)


# -- results, and the next turn


def next_messages(messages: list[MessageParam], result: StreamResult) -> list[MessageParam]:
    turn = result.to_message_param(keep_tools=True)
    assert_type(turn, AssistantTurn | None)
    if turn is not None:
        messages.append(turn)
    answers: list[ToolResultBlockParam] = [tool_result(call, "done") for call in result.tool_calls]
    if answers:
        messages.append({"role": "user", "content": answers})
    return messages


def next_beta_messages(messages: list[BetaMessageParam], result: StreamResult) -> list[BetaMessageParam]:
    if (turn := result.to_message_param()) is not None:
        messages.append(turn)
    blocks: list[ToolResultBlock] = [
        tool_result(call, [{"type": "text", "text": "x"}], is_error=True) for call in result.tool_calls
    ]
    answers: list[BetaToolResultBlockParam] = [*blocks]
    return [*messages, {"role": "user", "content": answers}]


def record(result: StreamResult, *, everything: bool) -> dict[str, Any]:
    ending: Ending = result.state
    assert_type(result.attempts, tuple[Attempt, ...])
    assert_type(result.billed, Usage)
    assert_type(result.cache_miss, CacheMiss | None)
    assert_type(result.error, ErrorInfo | None)
    assert_type(result.timings, Timings)
    assert_type(result.timings.ttft, float | None)
    assert_type(result.parts, tuple[Part, ...])
    assert_type(result.to_json(), str)
    assert_type(result.raise_for_state(), StreamResult)
    assert_type(result.exception(), StreamError | None)
    return {"ending": ending, **result.to_dict(request=everything)}


def why(error: StreamError) -> str:
    match error:
        case ApiError():
            return f"{error.status} {error.type} {error.request_id}"
        case (
            QueuedDeadlineExceeded()
            | ConnectDeadlineExceeded()
            | SilenceDeadlineExceeded()
            | FirstEventDeadlineExceeded()
            | FirstContentDeadlineExceeded()
            | IdleDeadlineExceeded()
            | TotalDeadlineExceeded()
        ):
            return error.deadline
        case DeadlineExceeded():
            return error.deadline
        case StreamCancelled():
            return error.result.cancel_reason or ""
        case StreamTruncated() | ConnectionFailed() | ProtocolError():
            return str(error)
        case _:
            return error.result.state


# -- runs


def a_plan(model: AnthropicModel, rows: list[dict[str, Any]]) -> RunPlan:
    try:
        plan = plan_run(model, rows, "results.jsonl", template="Say {{ text }}", limits=Limits(requests_per_minute=900))
    except PlanError as refused:
        assert_type(str(refused), str)
        raise
    assert_type(plan.models, tuple[ModelPlan, ...])
    assert_type(plan.caching, CacheSaving | None)
    assert_type(plan.seconds, Estimate | None)
    assert_type(plan.to_dict(), dict[str, Any])
    return plan


async def a_run(engine: Engine, source: Source, output: Path) -> Totals:
    try:
        requests = read_requests("prompts.jsonl", skip_invalid=True)
        assert_type(requests, RequestFile | RequestPipe)
        columns = Columns(prompt="question", id="key")
        assert_type(columns.id, str | None)
        if isinstance(requests, RequestFile):
            for numbered in requests.numbered():
                assert_type(numbered, Numbered)
                assert_type(numbered.request, StreamRequest)
                assert_type(numbered.beside, Beside | None)
        rows: list[dict[str, Any]] = [{"text": "Hello", "label": 1}, {"text": "Hi", "label": None}]
        open_run(engine, rows, output, template="Say {{ text }}", epochs=2, sample=10, shuffle=True, seed=7)
        open_run(engine, "rows.csv", output, template=Path("prompt.j2"), columns=Columns(id="key"))
        async with open_run(engine, source, output, ordered=True, limit=5) as run:
            assert_type(run, Run)
            async for result in run:
                assert_type(result, StreamResult[Any | None])
            run.drain()
        assert_type(run.figures, Figures)
        assert_type(run.figures.failures, tuple[Failure, ...])
        assert_type(run.resumed, Resumed)
        assert_type(run.resumed.again, RunAgain)
        assert_type(run.invalid, Invalid)
        return run.totals
    except InvalidRequestsError as refused:
        assert_type(refused.invalid, Invalid)
        return Totals()
    except (InputError, OutputError):
        return Totals()
    except RunStopped as stopped:
        assert_type(stopped.result, StreamResult)
        assert_type(stopped.reason, StopReason)
        raise


# -- code that is written for the SDK


async def for_the_sdk(engine: Engine, theirs: anthropic.AsyncAnthropic) -> str | None:
    client = engine.anthropic_client(client=theirs, on_end=lambda result: print(result.state), max_retries=5)  # noqa: T201
    assert_type(client, anthropic.AsyncAnthropic)
    assert_type(engine.sync_anthropic_client(timeout=30), anthropic.Anthropic)
    try:
        with engine.labels(group="nightly", priority=2, custom_id="a"):
            message = await client.messages.create(model="claude-opus-5-5", max_tokens=5, messages=[])
        return message.id
    except AnswerTimedOut as exc:
        return exc.result.text
    except AnswerFailed as exc:
        assert_type(exc.result, StreamResult)
        return exc.result.request_id


# -- without an event loop


def a_table(results: Path) -> list[dict[str, Any]]:
    try:
        rows = read_results(results, "more.jsonl", column_prefix="input_")
        assert_type(rows, Generator[dict[str, Any]])
        return list(rows)
    except ResultsError:
        return []


def in_a_script(model: AnthropicModel) -> list[StreamResult]:
    with SyncEngine(model, backend="trio", max_concurrency=5, keep_ended=3) as engine:
        with engine.stream("Hi", policy=Conflate()) as stream:
            assert_type(stream, SyncStream)
            assert_type(stream.text_stream, SyncTextStream)
            for event in stream:
                told(event, stream.custom_id)
        handle = engine.submit({"messages": [], "max_tokens": 5})
        assert_type(handle, SyncHandle)
        assert_type(handle.wait(timeout=5), StreamResult[Any | None])
        assert_type(engine.get(handle.id), SyncHandle | None)
        statistics(engine.stats())
        client = engine.anthropic_client(on_end=lambda result: print(result.state), timeout=30)  # noqa: T201
        assert_type(client, anthropic.Anthropic)
        with engine.labels(group="nightly", custom_id="a"):
            client.messages.create(model="claude-opus-5-5", max_tokens=5, messages=[])
        done = engine.as_completed(["Hi"])
        assert_type(done, SyncResults)
        return [*done, *engine.gather(["Hi"], limit=2)]


# -- streams to browsers


async def for_browsers(engine: Engine, authorize: Authorize, protocol: RelayProtocol) -> Ticket:
    ended: list[StreamResult] = []

    async def on_end(key: str, result: StreamResult) -> None:
        ended.append(result)

    async def build(scope: Any, asked: Asked) -> StreamRequest:
        assert_type(asked.key, str | None)
        return asked.request()

    async with StreamHub(engine, linger=30, shown=Shown(thinking=False), on_end=on_end, store="sqlite:a.db") as hub:
        print(hub.app(protocol, authorize=authorize, build=build))  # noqa: T201
        ticket = await hub.start("Hi", key="chat")
        assert_type(ticket.id, str)
        print(hub.response(ticket.id, protocol), relay_response(engine.submit("Hi"), protocol=protocol))  # noqa: T201
        assert_type(await hub.stop("chat", reason="enough"), bool)
        await hub.settled("chat")
        await hub.drain()
    other = StreamHub(engine)
    await other.open()
    await other.aclose()
    return ticket


# -- tests of the library's own


async def against_a_simulator() -> None:
    simulator = Simulator(seed=1, tokens_per_second=100)
    simulator.script([529, "hello"])
    model = AnthropicModel(
        "claude-opus-5-5", api_key="k", base_url="http://test", http_client=anthropic.DefaultAsyncHttpxClient()
    )
    async with simulator.serve(), Engine(model) as engine:
        await read(engine, "Hi", Conflate())
        print(timedelta(seconds=1), simulator.url)  # noqa: T201

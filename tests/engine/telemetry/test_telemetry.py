"""What logs, traces and metrics tell of requests, by the OpenTelemetry SDK's exporters in memory."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

import anyio
import pytest
import structlog
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import LogCapture
from tests.support.engines import AT_ONCE, engine_for

from manystream import AnthropicModel, Deadlines, Engine, RetryPolicy, StreamRequest
from manystream.engine.cli.logs import write_logs
from manystream.engine.simulator import Cut, Fail, Simulator, Stall
from manystream.engine.telemetry.parents import called_by

pytestmark = pytest.mark.anyio

LONG = "one two three four five six seven " * 4
EXPORTER = InMemorySpanExporter()
READER = InMemoryMetricReader()


@pytest.fixture(scope="session", autouse=True)
def provided() -> None:
    """The providers can be set but once in a process."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)
    metrics.set_meter_provider(MeterProvider([READER]))


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    EXPORTER.clear()
    READER.get_metrics_data()
    yield EXPORTER
    EXPORTER.clear()


@pytest.fixture
def logs() -> Iterator[LogCapture]:
    capture = LogCapture()
    structlog.configure(processors=[capture])
    yield capture
    structlog.reset_defaults()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator().in_thread() as simulator:
        yield simulator


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_one_span_a_request_in_the_callers_context(simulator: Simulator, spans: InMemorySpanExporter) -> None:
    simulator.script([Fail(529), Fail(529), "fine"])
    async with engine_for(simulator) as engine:
        with trace.get_tracer("app").start_as_current_span("caller") as caller:
            request = StreamRequest(
                {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50, "temperature": 1.0},
                custom_id="mine",
                extra_headers={"anthropic-version": "2023-06-01"},  # the last one that has a temperature
            )
            result = await engine.submit(request).wait()
    span, parent = spans.get_finished_spans()
    assert (span.name, span.kind, span.status.status_code) == (
        "chat claude-opus-5-5",
        SpanKind.CLIENT,
        StatusCode.UNSET,
    )
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id
    assert parent.name == "caller"
    found = told(span)
    usage = result.usage
    assert {name: found[name] for name in found if name.startswith("gen_ai.")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-opus-5-5",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.stream": True,
        "gen_ai.response.model": result.model_name,
        "gen_ai.response.id": result.message_id,
        "gen_ai.response.finish_reasons": ("end_turn",),
        "gen_ai.response.time_to_first_chunk": result.timings.ttft,
        "gen_ai.usage.input_tokens": usage.total_input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
    }
    assert (found["server.address"], found["manystream.attempts"], found["manystream.custom_id"]) == (
        "127.0.0.1",
        3,
        "mine",
    )
    assert [event.name for event in span.events] == ["manystream.retry"] * 2
    assert {str((event.attributes or {})["error.type"]) for event in span.events} == {"overloaded_error"}


@pytest.mark.parametrize(
    ("step", "state", "error", "status"),
    [
        (Fail(400), "failed", "invalid_request_error", StatusCode.ERROR),
        (Cut(2, "end", text=LONG), "truncated", "truncated", StatusCode.ERROR),
        (Cut(2, Fail(529), text=LONG), "failed", "overloaded_error", StatusCode.ERROR),
        (Stall(2, text=LONG), "failed", "deadline_exceeded", StatusCode.ERROR),
    ],
    ids=["refused", "cut", "error in the stream", "deadline"],
)
async def test_a_span_tells_how_it_truly_ended(
    simulator: Simulator, spans: InMemorySpanExporter, step: Any, state: str, error: str, status: StatusCode
) -> None:
    simulator.script([step])
    request = StreamRequest("hi", deadlines=Deadlines(idle=0.2), retry=RetryPolicy(max_attempts=1))
    async with engine_for(simulator) as engine:
        result = await engine.submit(request).wait()
    (span,) = spans.get_finished_spans()
    found = told(span)
    assert (result.state, found["manystream.state"], found["error.type"]) == (state, state, error)
    assert span.status.status_code is status
    if state == "truncated":
        assert found["gen_ai.usage.input_tokens"] > 0


async def test_a_cancelled_stream_is_no_error(simulator: Simulator, spans: InMemorySpanExporter) -> None:
    simulator.script([Stall(1, text="one two")])
    async with engine_for(simulator) as engine, engine.stream("hi") as stream:
        async for _ in stream:
            break
    (span,) = spans.get_finished_spans()
    assert told(span)["error.type"] == "cancelled"
    assert span.status.status_code is StatusCode.UNSET


async def test_no_prompt_answer_or_key_in_spans_and_metrics(simulator: Simulator, spans: InMemorySpanExporter) -> None:
    key, prompt, answer = "sk-ant-planted-key", "planted-prompt", "planted-answer one two three"
    steps: list[Any] = [answer, Fail(401), Fail(529), answer, Cut(2, "reset", text=answer), Stall(2, text=answer)]
    simulator.script(steps)
    model = AnthropicModel("claude-opus-5-5", api_key=key, base_url=simulator.url, defaults={"system": prompt})
    async with Engine(model, retry=AT_ONCE, deadlines=Deadlines(idle=0.2)) as engine:
        states = [
            (
                await engine.submit(
                    StreamRequest(
                        {
                            "messages": [{"role": "user", "content": prompt}],
                            "metadata": {"user_id": prompt},
                            "stop_sequences": [prompt],
                        }
                    )
                ).wait()
            ).state
            for _ in range(len(steps) - 1)
        ]
    finished = spans.get_finished_spans()
    assert states == ["complete", "failed", "complete", "truncated", "failed"]
    assert len(finished) == len(states)
    data = READER.get_metrics_data()
    assert data is not None
    told = "".join(span.to_json() for span in finished) + data.to_json()
    assert "gen_ai.client.token.usage" in told
    assert "authentication_error" in told
    for secret in (key, prompt, "planted-answer"):
        assert secret not in told


async def test_the_client_metrics(simulator: Simulator, spans: InMemorySpanExporter) -> None:
    simulator.script(["one two three", Fail(400)])
    async with engine_for(simulator) as engine:
        await engine.submit("hi").wait()
        await engine.submit("hi").wait()
    data: Any = READER.get_metrics_data()
    found = {
        metric.name: metric.data.data_points
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        if scope.scope.name == "manystream"
        for metric in scope.metrics
    }
    assert set(found) >= {
        "gen_ai.client.token.usage",
        "gen_ai.client.operation.duration",
        "gen_ai.client.operation.time_to_first_chunk",
    }
    errors = {point.attributes.get("error.type") for point in found["gen_ai.client.operation.duration"]}
    assert {None, "invalid_request_error"} <= errors
    assert {point.attributes["gen_ai.token.type"] for point in found["gen_ai.client.token.usage"]} == {
        "input",
        "output",
    }


async def test_the_log_of_a_request(simulator: Simulator, logs: LogCapture) -> None:
    simulator.script([Fail(529), "fine", Fail(400)])
    async with engine_for(simulator) as engine:
        result = await engine.submit(StreamRequest("hi", custom_id="a")).wait()
        await engine.submit(StreamRequest("hi", custom_id="b")).wait()
    ours = [entry for entry in logs.entries if entry["event"].startswith("stream.")]
    assert [(entry["event"], entry["log_level"], entry["custom_id"]) for entry in ours] == [
        ("stream.submitted", "debug", "a"),
        ("stream.retrying", "warning", "a"),
        ("stream.ended", "info", "a"),
        ("stream.submitted", "debug", "b"),
        ("stream.ended", "warning", "b"),
    ]
    ended = ours[2]
    assert ended["stream_id"] == result.stream_id
    assert (ended["request_id"], ended["model"], ended["attempts"]) == (result.request_id, result.model_name, 2)
    assert (ours[1]["error"], ours[4]["error"], ours[4]["status"]) == ("overloaded_error", "invalid_request_error", 400)


WORDS = "planted-words of an error"
EVIL = "\x1b[2J\x9b\u202e\r\n\ud83d"


async def test_what_an_error_said_is_in_no_log_span_metric_or_stats(
    simulator: Simulator, logs: LogCapture, spans: InMemorySpanExporter
) -> None:
    failures: list[Any] = [
        Fail(529, message=WORDS),
        Fail(400, message=WORDS),
        Cut(1, Fail(500, message=WORDS), text="a b"),
    ]
    simulator.script(failures)
    async with engine_for(simulator) as engine:
        results = [await engine.submit("hi").wait() for _ in range(2)]
        stats = engine.stats()
    assert [result.error is not None and WORDS in result.error.message for result in results] == [True, True]
    data: Any = READER.get_metrics_data()
    told = "".join(span.to_json() for span in spans.get_finished_spans()) + data.to_json() + repr((logs.entries, stats))
    assert "invalid_request_error" in told
    assert "overloaded_error" in told
    assert "planted-words" not in told


async def test_a_log_says_names_in_one_plain_line(simulator: Simulator, logs: LogCapture) -> None:
    simulator.script([Fail(529, type=f"a{EVIL[:-1]}"), Fail(400, type=f"b{EVIL[:-1]}"), "fine"])
    async with engine_for(simulator) as engine:
        for _ in range(2):
            await engine.submit(StreamRequest("hi", custom_id=f"c{EVIL}", group=f"g{EVIL}")).wait()
    assert len(logs.entries) >= 4
    for entry in logs.entries:
        assert all(value.isprintable() for value in entry.values() if isinstance(value, str))
        assert not entry["event"].startswith("stream.") or entry["custom_id"].startswith(r"c\x1b[2J\x9b")


async def test_names_of_others_are_made_plain(
    simulator: Simulator, spans: InMemorySpanExporter, capsys: pytest.CaptureFixture[str]
) -> None:
    simulator.script([Fail(529, type=f"a{EVIL[:-1]}"), Fail(400, type=f"b{EVIL[:-1]}"), "fine"])
    write_logs("debug", "console")
    try:
        async with engine_for(simulator) as engine:
            for _ in range(2):
                await engine.submit(StreamRequest("hi", custom_id=f"c{EVIL}", group=f"g{EVIL}")).wait()
    finally:
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert told.count("stream.ended") == 2
    assert all(line.isprintable() for line in told.split("\n"))
    finished = spans.get_finished_spans()
    assert len(finished) == 2
    for span in finished:
        texts = [str(value) for value in (span.attributes or {}).values()]
        texts += [str(value) for event in span.events for value in (event.attributes or {}).values()]
        assert all(text.isprintable() for text in texts)
        assert any(text.startswith(r"c\x1b[2J") for text in texts)


@pytest.mark.parametrize("event", ["stream.submitted", "stream.retrying", "stream.ended"])
async def test_a_log_that_fails_harms_no_stream(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, event: str
) -> None:
    def broken(_: object, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if entry["event"] == event:
            raise OSError("planted-words")
        raise structlog.DropEvent

    simulator.script([Fail(529), "fine", "fine"])
    structlog.configure(processors=[broken])
    try:
        with anyio.fail_after(20):
            async with engine_for(simulator) as engine:
                results = [await engine.submit("hi").wait() for _ in range(2)]
    finally:
        structlog.reset_defaults()
    assert [result.state for result in results] == ["complete", "complete"]
    (told,) = [record.getMessage() for record in caplog.records if record.name == "manystream.engine"]
    assert "OSError" in told
    assert "planted-words" not in told


async def test_without_structlog_configured_nothing_is_logged(
    simulator: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()
    async with engine_for(simulator) as engine:
        await engine.submit("hi").wait()
    assert capfd.readouterr() == ("", "")


async def test_the_parent_that_a_caller_names_over_http(simulator: Simulator, spans: InMemorySpanExporter) -> None:
    traceparent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with engine_for(simulator) as engine:
        for headers in ([(b"Traceparent", traceparent)], [(b"traceparent", b"nonsense")], []):
            with called_by(headers):
                handle = engine.submit("hi")
            await handle.wait()
        assert not trace.get_current_span().get_span_context().is_valid
    named, *others = spans.get_finished_spans()
    assert named.parent is not None
    assert (named.parent.trace_id, named.parent.span_id) == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    assert [span.parent for span in others] == [None, None]
